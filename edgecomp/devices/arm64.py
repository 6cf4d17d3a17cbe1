"""An emulated arm64 processor on this machine, by qemu-user: for whether answers are right there, never for how fast."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from edgecomp.devices._arm64_root import Root, find_root
from edgecomp.devices._arm64_root import prepare as prepare_root
from edgecomp.devices._emulated import Emulated
from edgecomp.errors import DeviceError, nearest

NEEDS = "Debian 12 or newer, 400 MB; prepared once"
CORES: Mapping[str, str] = {"cortex-a53": "Cortex-A53", "cortex-a76": "Cortex-A76", "cortex-a710": "Cortex-A710"}
"""What qemu calls a core → what its MIDR register says.

The A53 has no dot product, the A76 has, the A710 adds i8mm, bf16 and SVE2. qemu's `max` is left out: its SME makes an
inference take seconds.
"""


class Arm64(Emulated):
    """An emulated core."""

    def __init__(self, core: str, root: Root):
        super().__init__()
        self.core, self.root, self.python = core, root, str(root.python)
        self.emulator = f"qemu-aarch64 {root.versions['qemu']}"
        self.name = f"arm64 {CORES[core]} ({self.emulator}, emulated)"

    def command(self, arguments: list[str]) -> list[str]:
        """Return the command under emulation; -P keeps what lies beside a script from shadowing modules."""
        _, script, *rest = arguments
        return self.root.command(self.core, ["-P", str(Path(self._folder.name) / script), *rest])

    def describe(self) -> dict[str, Any]:
        """Say what the emulated core says of itself: its MIDR register, read by its own instruction, and its features.

        raises: DeviceError where that is not the core that was asked for
        """
        facts = super().describe()
        if facts["core_names"] != [CORES[self.core]]:
            raise DeviceError(
                f"the emulated core says that it is {', '.join(facts['core_names']) or facts['midr']}",
                where=self.name,
                fix=f"emulate on a machine of another architecture; {CORES[self.core]} was asked for",
            )
        return {**facts, "versions": dict(self.root.versions)}


def open_device(argument: str, cache: Path) -> Arm64:
    """Open an emulated core: cortex-a53 where none is named.

    raises: DeviceError for an unknown core, or where the emulation is not prepared
    """
    core = argument or "cortex-a53"
    if core not in CORES:
        raise DeviceError(f"unknown core {argument!r}", where=f"--on arm64:{argument}", fix=nearest(argument, CORES))
    return Arm64(core, find_root(cache))


def prepare(cache: Path) -> Path:
    """Build the folder with the arm64 Python, the runtimes and qemu in the build folder; returns where it lies."""
    return prepare_root(cache).folder


def missing(cache: Path) -> str:
    """Say what is not ready yet; empty where nothing is."""
    try:
        find_root(cache)
    except DeviceError as why:
        return why.what
    return ""
