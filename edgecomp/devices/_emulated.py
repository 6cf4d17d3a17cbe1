"""What all emulated processors share: answers count, and nothing else that a clock, a sensor or a counter would say."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, ClassVar

import numpy as np

from edgecomp.devices import Effort, How, ModelFile, Start, Timing
from edgecomp.devices._scripted import Local

OF_THE_HOST = ("model", "soc", "governor", "clock_khz", "temperature_c", "battery")
"""What shines through from the machine that emulates, and says nothing of the emulated one."""


class Emulated(Local):
    """A processor under qemu-user on this machine.

    emulator: the program and its version, such as "qemu-aarch64 10.0.2"
    """

    how: ClassVar[How] = "emulated"
    timeout_s = 900.0
    emulator: str

    def describe(self) -> dict[str, Any]:
        """Say what the emulated processor says of itself, and by what it is emulated."""
        return {**super().describe(), **dict.fromkeys(OF_THE_HOST), "emulator": self.emulator}

    def time(self, models: list[ModelFile], clips: np.ndarray, effort: Effort) -> Timing:
        """Time files under emulation, which says nothing of a real core; heat and energy would be this machine's."""
        timing = super().time(models, clips, effort)
        bare = dict(energy_uj={}, temperature_c=None, clock_khz=(), battery=None)
        return replace(timing, windows=tuple(replace(window, **bare) for window in timing.windows))

    def starts(self, model: ModelFile, samples: int, threads: int = 1, starts: int = 5) -> tuple[Start, ...]:
        """Return nothing: the start and the memory of an emulator are not those of a device."""
        return ()
