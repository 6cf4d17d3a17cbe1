"""Read the app's manifest and resources with Debian's aapt, as a build would; it knows attributes up to API 23."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

from android_demo.checks import toolchain
from android_demo.checks.kotlinc import APP, CompileError

NEWER = (r'\s+android:dataExtractionRules="[^"]*"', r'\s+tools:targetApi="\d+"', r"density\|")
"""What this aapt does not know yet, by API level: 31, a tool's note, 24."""


def package(work: Path) -> str:
    """Put manifest and resources into a package; return R.java, as Android's own tool writes it.

    raises: CompileError in aapt's words; toolchain.Absent where it is not installed
    """
    if shutil.which("aapt") is None:
        raise toolchain.Absent("aapt is not installed (Debian: apt install aapt)")
    jar = toolchain.android_jar()
    shutil.copytree(APP / "res", work / "res", ignore=shutil.ignore_patterns("*-v2[4-9]", "*-v3?"))
    text = (APP / "AndroidManifest.xml").read_text(encoding="utf-8")
    for newer in NEWER:
        text = re.sub(newer, "", text)
    text = text.replace("<manifest ", '<manifest package="edgecomp.demo" ', 1)
    (work / "AndroidManifest.xml").write_text(text, encoding="utf-8")
    (work / "gen").mkdir()
    command = ["aapt", "package", "-f", "-m", "-J", "gen", "-M", "AndroidManifest.xml", "-S", "res", "-I", str(jar)]
    command += ["--min-sdk-version", "23", "--target-sdk-version", "23", "-F", "resources.apk"]
    ended = subprocess.run(command, cwd=work, capture_output=True, text=True, timeout=120, check=False)
    if ended.returncode != 0:
        raise CompileError(ended.stderr.strip())
    return next((work / "gen").rglob("R.java")).read_text(encoding="utf-8")
