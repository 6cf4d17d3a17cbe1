"""The folder in which arm64 programs run here: Debian's arm64 Python, the runtimes' arm64 wheels, and qemu-aarch64.

It is put together by apt, dpkg-deb and pip from whatever mirrors and indexes they are set up with. Nothing is installed
on this machine and nobody needs to be root; apt works on a state of its own, which is thrown away.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from edgecomp.devices._debian import Apt
from edgecomp.devices._prepared import prepare_folder
from edgecomp.devices._qemu import checked, qemu_version, take_qemu
from edgecomp.errors import DeviceError
from edgecomp.progress import say

PREPARE = "edgecomp devices prepare arm64"
SEAL = "prepared.json"
"""Written last: the versions of what lies there, by which an unfinished or older folder is known."""
RUNTIMES = ("onnxruntime", "ai-edge-litert")
"""In the versions that are installed here, so that two processors are compared and not two versions."""
SITE = "opt/site"
OTHERWISE = "use an arm64 board: --on ssh:USER@HOST"
CHECK = "import ctypes, random, tempfile, numpy, onnxruntime\nfrom ai_edge_litert import interpreter\nprint(numpy.__version__)"
"""All that a job imports: Python keeps what it compiled for later runs, which halves their start under emulation."""
CHECK_CORE = "cortex-a53"
SPARED = ("doc", "man", "info", "locale", "lintian", "bash-completion")
"""Folders of usr/share that no program needs: a quarter of the bytes."""


@dataclass(frozen=True)
class Root:
    """What was prepared.

    folder:   what qemu shows to a program as /
    versions: of qemu, python, libc6, numpy and the runtimes
    """

    folder: Path
    qemu: Path
    python: Path
    versions: dict[str, str]

    def command(self, core: str, arguments: list[str]) -> list[str]:
        """Return the command that runs the arm64 Python on an emulated core, with nothing of this machine's settings."""
        clean = ["env", "-i", f"PYTHONPATH={self.folder / SITE}", "LANG=C.UTF-8"]
        return [*clean, str(self.qemu), "-L", str(self.folder), "-cpu", core, str(self.python), "-sS", *arguments]


def prepare(cache: Path) -> Root:
    """Build the folder, unless it is there with the runtimes' versions of this environment.

    raises: DeviceError where apt, dpkg-deb or pip are missing or fail, or where this is no Debian 12 or newer
    """
    folder = _folder(cache)
    wanted = {name: metadata.version(name) for name in RUNTIMES}

    def ready() -> Root | None:
        found = _ready(folder)
        return found if found is not None and wanted.items() <= found.versions.items() else None

    return prepare_folder(folder, ready, lambda work: _build(work, wanted), PREPARE, megabytes=500)


def find_root(cache: Path) -> Root:
    """Return what was prepared.

    raises: DeviceError with the command that prepares it
    """
    if (ready := _ready(_folder(cache))) is None:
        raise DeviceError("the arm64 emulation is not prepared", where=_folder(cache), fix=PREPARE)
    return ready


def _build(work: Path, wanted: dict[str, str]) -> None:
    """Put everything into an empty folder, and see that it runs."""
    root, scratch = work / "root", work / "scratch"
    root.mkdir(parents=True)
    apt = Apt(scratch, "arm64", OTHERWISE)
    apt.update()
    say("arm64: fetching Debian's Python for arm64")
    debs = apt.fetch_with_dependencies("libpython3-stdlib", apt.depends("python3-minimal", "python3."), "libstdc++6")
    versions = {}
    for deb in debs:
        apt.unpack(deb, root)
        name, version = deb.name.split("_")[:2]
        if name == "libc6":
            versions["libc6"] = version
    for name in SPARED:
        shutil.rmtree(root / "usr" / "share" / name, ignore_errors=True)
    say("arm64: fetching qemu-user")
    take_qemu(apt, "qemu-aarch64", work / "qemu-aarch64", PREPARE)
    python = _python(root)
    minor = int(python.name.split(".")[1])
    say(f"arm64: fetching {', '.join(wanted)} for arm64 and Python 3.{minor}")
    _install(root / SITE, wanted, minor, int(versions["libc6"].split("-")[0].split(".")[1]))
    shutil.rmtree(scratch)
    say("arm64: a first run")
    trial = Root(root, work / "qemu-aarch64", python, {})
    versions["numpy"] = checked(trial.command(CHECK_CORE, ["-c", CHECK]), "the prepared Python does not run", PREPARE)
    told = trial.command(CHECK_CORE, ["-c", "import platform; print(platform.python_version())"])
    versions["python"] = checked(told, "no version", PREPARE)
    versions["qemu"] = qemu_version(trial.qemu, PREPARE)
    seal = {"versions": versions | wanted, "packages": sorted(deb.name for deb in debs)}
    (work / SEAL).write_text(json.dumps(seal, indent=1), encoding="utf-8")


def _install(site: Path, wanted: dict[str, str], minor: int, glibc: int) -> None:
    """Let pip put the arm64 wheels into a folder."""
    pins = [f"{name}=={version}" for name, version in wanted.items()]
    platforms = [f"manylinux_2_{n}_aarch64" for n in range(glibc, 16, -1)] + ["manylinux2014_aarch64"]
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-compile", "--target", str(site)]
    command += ["--only-binary=:all:", "--implementation", "cp", "--python-version", f"3.{minor}", "--retries", "5"]
    command += [part for one in platforms for part in ("--platform", one)]
    done = subprocess.run([*command, *pins, "numpy"], capture_output=True, text=True, check=False)
    if done.returncode:
        said = [line.strip() for line in done.stderr.splitlines() if line.strip()]
        last = next((line for line in reversed(said) if "ERROR" in line or "No module" in line), "no reason given")
        fix = "python -m ensurepip" if "No module named pip" in last else "see that the package index can be reached"
        raise DeviceError(f"pip cannot fetch the arm64 wheels: {last}", where="arm64", fix=f"{fix}; then {PREPARE}")


def _python(root: Path) -> Path:
    found = sorted((root / "usr" / "bin").glob("python3.*"))
    if not found:
        raise DeviceError("Debian's packages brought no Python", where=root, fix=f"run {PREPARE} again")
    return found[0]


def _folder(cache: Path) -> Path:
    return cache.resolve() / "devices" / "arm64"


def _ready(folder: Path) -> Root | None:
    try:
        versions = dict(json.loads((folder / SEAL).read_text(encoding="utf-8"))["versions"])
        found = Root(folder / "root", folder / "qemu-aarch64", _python(folder / "root"), versions)
    except (OSError, ValueError, KeyError, TypeError, DeviceError):  # absent, unfinished or damaged: the same here
        return None
    return found if os.access(found.qemu, os.X_OK) and (found.folder / SITE).is_dir() else None
