"""An emulated older x86-64 processor on this machine, by qemu-user: for whether answers are right there, never for how fast.

This environment's own Python and runtimes run there, so that two processors are compared and not two versions. What
differs between x86-64 processors is which kernels the runtimes choose: those for AVX2 without VNNI add products of bytes
in pairs into 16 bits, which saturate (see portable/cpuid.py).
"""

from __future__ import annotations

import json
import os
import platform
import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgecomp.devices._debian import Apt
from edgecomp.devices._emulated import Emulated
from edgecomp.devices._prepared import prepare_folder
from edgecomp.devices._qemu import LEAST_QEMU, checked, qemu_version, take_qemu
from edgecomp.devices._scripted import PORTABLE
from edgecomp.errors import DeviceError, nearest
from edgecomp.progress import say

NEEDS = "an x86-64 Linux with Debian's packages or a qemu-x86_64; prepared once, 20 MB"
PREPARE = "edgecomp devices prepare x86"
PROGRAM = "qemu-x86_64"
SEAL = "prepared.json"
OTHERWISE = f"put a {PROGRAM} {LEAST_QEMU} or newer on the PATH"
CHECK = "import numpy, onnxruntime\nfrom ai_edge_litert import interpreter\nprint(numpy.__version__)"


@dataclass(frozen=True)
class Core:
    """A processor as qemu knows it.

    name:     beside every number
    qemu:     what qemu calls it; without transactional memory, which qemu lacks and warns of
    has:      the newest vector extensions that choose a runtime's kernels
    """

    name: str
    qemu: str
    has: tuple[str, ...]


CORES: Mapping[str, Core] = {
    "nehalem": Core("Nehalem", "Nehalem-v1", ("sse4_2",)),
    "goldmont": Core("Goldmont", "Denverton-v3", ("sse4_2",)),
    "sandybridge": Core("Sandy Bridge", "SandyBridge-v1", ("sse4_2", "avx")),
    "haswell": Core("Haswell", "Haswell-v4", ("sse4_2", "avx", "f16c", "fma", "avx2")),
    "skylake": Core("Skylake", "Skylake-Client-v3", ("sse4_2", "avx", "f16c", "fma", "avx2")),
    "zen2": Core("Zen 2", "EPYC-Rome-v1", ("sse4_2", "avx", "f16c", "fma", "avx2")),
}
"""Tried with ONNX Runtime 1.32, LiteRT 2.3 and qemu 10.0: all of these run both. Older ones (Core 2, Penryn) end in an
illegal instruction or are refused by numpy, which wants SSE4.2. qemu has no AVX-512, so nothing with VNNI can be emulated."""


class X86(Emulated):
    """An emulated core."""

    python = sys.executable

    def __init__(self, core: str, qemu: Path, version: str):
        super().__init__()
        self.core, self.qemu = CORES[core], qemu
        self.emulator = f"{PROGRAM} {version}"
        self.name = f"x86 {self.core.name} ({self.emulator}, emulated)"

    def command(self, arguments: list[str]) -> list[str]:
        """Return the command under emulation; -P keeps what lies beside a script from shadowing modules."""
        python, script, *rest = arguments
        return [str(self.qemu), "-cpu", self.core.qemu, python, "-P", str(Path(self._folder.name) / script), *rest]

    def failure(self, code: int, complaints: list[str]) -> DeviceError:
        """Return the error for a job that failed; what qemu cannot emulate of a core is no reason."""
        return super().failure(code, [line for line in complaints if "warning: TCG" not in line])

    def describe(self) -> dict[str, Any]:
        """Say what the emulated core says of itself by its own CPUID instruction.

        raises: DeviceError where that is not the core that was asked for
        """
        script = self.put(PORTABLE / "cpuid.py", "cpuid.py")
        told = json.loads("".join(self._lines([self.python, script], "")))
        if set(told["features"]) != set(self.core.has):
            raise DeviceError(
                f"the emulated core says that it has {', '.join(told['features']) or 'no vector extensions'}",
                where=self.name,
                fix=f"use another {PROGRAM}; a {self.core.name} has {', '.join(self.core.has)}",
            )
        dot_product = any("vnni" in name for name in told["features"])
        return {**super().describe(), **told, "dot_product": dot_product}


def open_device(argument: str, cache: Path) -> X86:
    """Open an emulated core: haswell where none is named, whose kernels are the ones that can saturate.

    raises: DeviceError for an unknown core, where this host is no x86-64 Linux, or where the emulation is not prepared
    """
    core = argument or "haswell"
    if core not in CORES:
        raise DeviceError(f"unknown core {argument!r}", where=f"--on x86:{argument}", fix=nearest(argument, CORES))
    _check_host()
    if (found := _ready(_folder(cache))) is None:
        raise DeviceError("the x86 emulation is not prepared", where=_folder(cache), fix=PREPARE)
    return X86(core, *found)


def prepare(cache: Path) -> Path:
    """Put qemu into the build folder: the one on the PATH where it is new enough, or Debian's; returns where it lies.

    raises: DeviceError where this host is no x86-64 Linux, or where apt or dpkg-deb are missing or fail
    """
    _check_host()
    folder = _folder(cache)
    return prepare_folder(folder, lambda: _ready(folder), _build, PREPARE, megabytes=50)[0].parent


def missing(cache: Path) -> str:
    """Say what is not ready yet; empty where nothing is."""
    try:
        open_device("", cache).close()
    except DeviceError as why:
        return why.what
    return ""


def _check_host() -> None:
    machine = f"{platform.machine()} {platform.system()}"
    if machine != "x86_64 Linux":
        raise DeviceError(
            f"an emulated x86 runs this environment's own Python, and this is {machine}",
            where="--on x86",
            fix="run it on an x86-64 Linux, or use a real older machine: --on ssh:USER@HOST",
        )


def _build(work: Path) -> None:
    """Put qemu into an empty folder, and see that everything that a job imports runs there."""
    work.mkdir(parents=True)
    qemu = work / PROGRAM
    own = shutil.which(PROGRAM)
    if own is not None and int(qemu_version(Path(own), PREPARE).split(".")[0]) >= LEAST_QEMU:
        qemu.symlink_to(own)
    else:
        say("x86: fetching qemu-user")
        apt = Apt(work / "scratch", None, OTHERWISE)
        apt.update()
        take_qemu(apt, PROGRAM, qemu, PREPARE)
        shutil.rmtree(work / "scratch")
    say("x86: a first run")
    core = next(iter(CORES.values()))
    checked([str(qemu), "-cpu", core.qemu, sys.executable, "-c", CHECK], "this Python does not run there", PREPARE)
    seal = {"versions": {"qemu": qemu_version(qemu, PREPARE)}}
    (work / SEAL).write_text(json.dumps(seal, indent=1), encoding="utf-8")


def _folder(cache: Path) -> Path:
    return cache.resolve() / "devices" / "x86"


def _ready(folder: Path) -> tuple[Path, str] | None:
    """Return qemu and its version."""
    try:
        version = str(json.loads((folder / SEAL).read_text(encoding="utf-8"))["versions"]["qemu"])
    except (OSError, ValueError, KeyError, TypeError):  # absent, unfinished or damaged: the same here
        return None
    qemu = folder / PROGRAM
    return (qemu, version) if os.access(qemu, os.X_OK) else None
