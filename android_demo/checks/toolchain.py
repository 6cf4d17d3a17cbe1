"""What checking the Kotlin code takes, fetched once from package registries into a cache: compiler, classes, runtime."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path

from filelock import FileLock, Timeout

KOTLIN = "kotlin-compiler@2.4.20"
"""The Kotlin compiler as its makers publish it on npm (Apache-2.0), with stdlib and kotlin-test beside it."""
ORT_ANDROID = "com.github.asus4.onnxruntime@0.4.9"
"""An npm package that carries the whole onnxruntime.aar, ONNX Runtime 1.29.0 (MIT)."""
ORT_DESKTOP = "pyserini==1.6.0"
"""A PyPI package whose jar holds ONNX Runtime's Java classes and its Linux libraries, 1.17.0 (MIT)."""
ANDROID = "libandroid-23-java"
"""Debian 11's android.jar: the stubs of Android 6.0, API 23 (Apache-2.0)."""
JUNIT = ("junit4", "libhamcrest-java")
TRIES = 3
PAUSE_S = 5.0
"""A mirror may be in the middle of an update."""
FETCH_S = 300
"""Most seconds that a fetch may take, and half of what another process's is waited for: a registry may hang."""


class Absent(Exception):
    """Something cannot be had here, and why; what needs it is to be skipped, visibly."""


def java() -> str:
    """Return the Java program; raises Absent."""
    if (found := shutil.which("java")) is None:
        raise Absent("no java on the PATH (Debian: apt install openjdk-17-jre-headless)")
    return found


def kotlin() -> Path:
    """Return the compiler's folder, with lib/ in it; raises Absent."""
    return _kept("kotlin-2.4.20", lambda place: _npm(KOTLIN, place)) / "package"


def android_jar() -> Path:
    """Return android.jar of API 23; raises Absent."""
    folder = _kept("android-23", lambda place: _debs([ANDROID], place))
    return folder / "usr" / "share" / "java" / "com.android.android-23.jar"


def junit_jars() -> list[Path]:
    """Return JUnit 4 and what it needs; raises Absent."""
    folder = _kept("junit4", lambda place: _debs(JUNIT, place)) / "usr" / "share" / "java"
    return [next(folder.glob(f"{name}-[0-9]*.jar")) for name in ("junit4", "hamcrest-core")]


def ort_android_jar() -> Path:
    """Return the classes of ONNX Runtime for Android; its libraries do not run here; raises Absent."""
    return _kept("ort-android-1.29.0", _ort_android) / "classes.jar"


def ort_desktop_jar() -> Path:
    """Return ONNX Runtime for Java with its library for this machine; raises Absent."""
    return _kept("ort-desktop-1.17.0", _ort_desktop) / "onnxruntime.jar"


def cache() -> Path:
    """Return the folder where all of it is kept: EDGECOMP_ANDROID_CACHE, or one in the user's cache."""
    told = os.environ.get("EDGECOMP_ANDROID_CACHE")
    return Path(told) if told else Path.home() / ".cache" / "edgecomp" / "android"


def _kept(name: str, make: Callable[[Path], None]) -> Path:
    """Return a folder of the cache, made once and whole."""
    place = cache() / name
    place.parent.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(place.parent / f".{name}.lock", timeout=2 * FETCH_S):
            return place if place.is_dir() else _made(place, make)
    except Timeout:
        raise Absent(f"another process has been fetching {name} for more than {2 * FETCH_S} s") from None


def _made(place: Path, make: Callable[[Path], None]) -> Path:
    for left in reversed(range(TRIES)):
        work = Path(tempfile.mkdtemp(prefix=f".{place.name}-", dir=place.parent))
        try:
            make(work)
            os.replace(work, place)
            return place
        except (OSError, subprocess.SubprocessError, StopIteration, KeyError) as why:
            shutil.rmtree(work, ignore_errors=True)
            if not left or isinstance(why, subprocess.TimeoutExpired):
                said = getattr(why, "stderr", None) or why
                raise Absent(f"{place.name} cannot be fetched: {str(said).strip()[-300:]}") from None
            time.sleep(PAUSE_S)
    raise Absent(place.name)


def _run(command: Sequence[str], folder: Path) -> str:
    if shutil.which(command[0]) is None:
        raise Absent(f"{command[0]} is not installed")
    return subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True, timeout=FETCH_S).stdout


def _npm(package: str, place: Path) -> None:
    _run(["npm", "pack", "--silent", package], place)
    archive = next(place.glob("*.tgz"))
    with tarfile.open(archive) as packed:
        packed.extractall(place, filter="data")
    archive.unlink()


def _ort_android(place: Path) -> None:
    _npm(ORT_ANDROID, place)
    with zipfile.ZipFile(next(place.rglob("onnxruntime.aar"))) as aar:
        aar.extract("classes.jar", place)
        aar.extract("AndroidManifest.xml", place)
    shutil.rmtree(place / "package")


def _ort_desktop(place: Path) -> None:
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--no-binary", ":all:", ORT_DESKTOP]
    _run(pip, place)
    archive = next(place.glob("*.tar.gz"))
    with tarfile.open(archive) as packed:
        jar = next(one for one in packed if one.name.endswith("-fatjar.jar"))
        jar.name = "all.jar"
        packed.extract(jar, place, filter="data")
    archive.unlink()
    machine = {"x86_64": "linux-x64", "aarch64": "linux-aarch64"}[os.uname().machine]
    with zipfile.ZipFile(place / "all.jar") as whole, zipfile.ZipFile(place / "onnxruntime.jar", "w") as wanted:
        for one in whole.infolist():
            is_ours = one.filename.startswith("ai/onnxruntime/")
            if is_ours and ("/native/" not in one.filename or f"/native/{machine}/" in one.filename):
                wanted.writestr(one.filename, whole.read(one))
    (place / "all.jar").unlink()


def _debs(names: Sequence[str], place: Path) -> None:
    """Fetch Debian 11's packages through apt with a state of its own, and unpack them without installing."""
    for folder in ("state/lists/partial", "cache/archives/partial"):
        (place / folder).mkdir(parents=True)
    (place / "sources.list").write_text(f"deb {_debian()} bullseye main\n", encoding="utf-8")
    own = {
        "Dir::State": place / "state",
        "Dir::State::status": "/dev/null",
        "Dir::Cache": place / "cache",
        "Dir::Etc::SourceList": place / "sources.list",
        "Dir::Etc::SourceParts": "/dev/null",
        "APT::Sandbox::User": "root",
    }
    options = [part for key, value in own.items() for part in ("-o", f"{key}={value}")]
    _run(["apt-get", *options, "-qq", "update"], place)
    _run(["apt-get", *options, "-qq", "download", *names], place)
    for deb in place.glob("*.deb"):
        _run(["dpkg-deb", "-x", str(deb), str(place)], place)
        deb.unlink()
    shutil.rmtree(place / "state")
    shutil.rmtree(place / "cache")


def _debian() -> str:
    """Return the Debian archive that this machine uses; raises Absent where it is no Debian."""
    said = _run(["apt-get", "indextargets", "--format", "$(CODENAME) $(REPO_URI)", "Created-By: Packages"], Path.cwd())
    for line in said.splitlines():
        codename, _, uri = line.partition(" ")
        if codename in ("bullseye", "bookworm", "trixie", "forky", "sid"):
            return uri
    raise Absent("this machine's apt knows no Debian archive; android.jar comes from there")
