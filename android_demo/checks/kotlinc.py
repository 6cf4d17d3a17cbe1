"""Compile and run the project's Kotlin: core and its tests on the JVM, the Android modules against Android's classes."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import xml.etree.ElementTree as ET
from collections.abc import Sequence
from pathlib import Path

from filelock import FileLock

from android_demo.checks import toolchain

PROJECT = Path(__file__).resolve().parents[1]
CORE = PROJECT / "core" / "src" / "main" / "kotlin"
CORE_TESTS = PROJECT / "core" / "src" / "test" / "kotlin"
APP = PROJECT / "app" / "src" / "main"
STUBS = PROJECT / "checks" / "stubs"
COMPILER = "org.jetbrains.kotlin.cli.jvm.K2JVMCompiler"
MAPPED = "environment.createSession(file, options)"
ARRAY = "environment.createSession(ByteArray(file.remaining()).also { file.duplicate().get(it) }, options)"
ID = "{http://schemas.android.com/apk/res/android}id"


class CompileError(Exception):
    """The compiler's own words."""


def compiled(sources: Sequence[Path], classpath: Sequence[Path], *options: str) -> Path:
    """Compile files or folders of Kotlin (and the Java that it refers to) into a jar, which is kept; warnings are errors.

    raises: CompileError; toolchain.Absent where there is no compiler
    """
    home = toolchain.kotlin()
    out = toolchain.cache() / "compiled" / f"{_key(sources, classpath, options)}.jar"
    out.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{out}.lock"):
        if out.exists():
            return out
        work = out.with_suffix(".new.jar")
        command = [toolchain.java(), "-Xmx1200m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"]
        command += ["-cp", str(home / "lib" / "kotlin-compiler.jar"), COMPILER, "-kotlin-home", str(home)]
        command += ["-no-reflect", "-no-stdlib", "-jvm-target", "11", "-Werror", *options]
        command += ["-cp", os.pathsep.join(map(str, [stdlib(), *classpath])), "-d", str(work), *map(str, sources)]
        ended = subprocess.run(command, capture_output=True, text=True, timeout=900, check=False)
        if ended.returncode != 0:
            raise CompileError(ended.stderr.strip() or ended.stdout.strip())
        os.replace(work, out)
    return out


def run(
    main: str, classpath: Sequence[Path], *arguments: str, timeout_s: float = 600
) -> subprocess.CompletedProcess[str]:
    """Run a main class on the JVM."""
    path = os.pathsep.join(map(str, [stdlib(), *classpath]))
    command = [toolchain.java(), "-Xmx600m", "-XX:+UseSerialGC", "-cp", path, main, *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=timeout_s, check=False)


def stdlib() -> Path:
    """Return Kotlin's standard library."""
    return toolchain.kotlin() / "lib" / "kotlin-stdlib.jar"


def core() -> Path:
    """Compile core for the JVM."""
    return compiled([CORE], [])


def core_tests() -> tuple[Path, list[Path]]:
    """Compile core's tests; return them and what they need beside core."""
    lib = toolchain.kotlin() / "lib"
    needs = [lib / "kotlin-test.jar", lib / "kotlin-test-junit.jar", *toolchain.junit_jars()]
    return compiled([CORE_TESTS], [core(), *needs]), needs


def run_core_tests() -> subprocess.CompletedProcess[str]:
    """Run all of core's tests with JUnit."""
    tests, needs = core_tests()
    names = [f"edgecomp.core.{file.stem}" for file in sorted(CORE_TESTS.rglob("*Test.kt"))]
    return run("org.junit.runner.JUnitCore", [tests, core(), *needs], *names)


def on_android(sources: Sequence[Path], classpath: Sequence[Path]) -> Path:
    """Check sources against Android's own classes, its java.* among them, and none of a JDK's."""
    return compiled(sources, [toolchain.android_jar(), *classpath], "-no-jdk")


def model_module(folder: Path) -> Path:
    """Check the types of a generated module, whose core is checked with it; raises CompileError, Absent."""
    classpath = [toolchain.ort_android_jar()] if list(folder.rglob("OrtModel.kt")) else []
    stubs = [STUBS] if list(folder.rglob("LiteRtModel.kt")) else []
    main = folder / "src" / "main" / "kotlin"
    return on_android([folder / "src" / "core" / "kotlin", main, *stubs], classpath)


def app(model: Path, work: Path) -> Path:
    """Check the types of the app against a module that was checked before; raises CompileError, Absent."""
    resources = work / "edgecomp" / "demo" / "R.java"
    resources.parent.mkdir(parents=True, exist_ok=True)
    resources.write_text(resource_class(), encoding="utf-8")
    return on_android([APP / "kotlin", resources], [model])


def replay(module: Path, work: Path) -> tuple[Path, list[Path]]:
    """Compile a generated ONNX module and the program that drives it here; return that and what it runs with.

    One call of the module is changed: the newest ONNX Runtime for Java that can be had for a desktop is 1.17, which takes a
    model as an array and not yet as a mapped file. Android's classes stand behind all others: they are named, never called.
    """
    copy = work / "module"
    shutil.copytree(module, copy)
    (opener,) = (copy / "src" / "main" / "kotlin").rglob("OrtModel.kt")
    text = opener.read_text(encoding="utf-8")
    if MAPPED not in text:
        raise CompileError(f"{opener.name} no longer holds {MAPPED!r}")
    opener.write_text(text.replace(MAPPED, ARRAY), encoding="utf-8")
    model = model_module(copy)
    needs = [model, toolchain.ort_desktop_jar(), toolchain.android_jar()]
    return compiled([PROJECT / "checks" / "replay"], [model]), needs


def resource_class() -> str:
    """Return R as Android's tools would write it: one number for each resource and each id of a layout."""
    found: dict[str, set[str]] = {}
    for file in sorted((APP / "res").rglob("*.xml")):
        kind = file.parent.name.split("-")[0]
        tree = ET.parse(file).getroot()
        if kind == "values":
            for one in tree:
                found.setdefault(one.tag, set()).add(one.attrib["name"].replace(".", "_"))
        else:
            found.setdefault(kind, set()).add(file.stem)
        for one in tree.iter():
            if (told := one.attrib.get(ID)) is not None:
                found.setdefault("id", set()).add(re.sub(r"^@\+?id/", "", told))
    lines = ["package edgecomp.demo;", "public final class R {"]
    for at, (kind, names) in enumerate(sorted(found.items())):
        lines.append(f"  public static final class {kind} {{")
        lines += [
            f"    public static final int {n} = {0x7F000000 + (at << 16) + i};" for i, n in enumerate(sorted(names))
        ]
        lines.append("  }")
    return "\n".join([*lines, "}", ""])


def _key(sources: Sequence[Path], classpath: Sequence[Path], options: Sequence[str]) -> str:
    """Return a hash of all that a compilation reads; jars of the cache are named after their content or version."""
    digest = hashlib.sha256(
        repr([toolchain.KOTLIN, options, [f"{p.parent.name}/{p.name}" for p in classpath]]).encode()
    )
    for source in sources:
        files = sorted(p for p in source.rglob("*") if p.suffix in (".kt", ".java")) if source.is_dir() else [source]
        for file in files:
            name = file.relative_to(source) if source.is_dir() else file.name
            digest.update(f"\n{name}\n".encode() + file.read_bytes())
    return digest.hexdigest()[:24]
