"""Which part of a recording the model is asked about: the window is found while the samples come in."""

from __future__ import annotations

import numpy as np

from .facts import ModelError

CENTRE_LIMIT_S = 600
"""A stream's centre is known only at its end, so half of it must be kept."""


class Fit:
    """Crops a stream to the model's length, or sets a shorter one in the middle of zeros.

    how: "loudest" (the window of highest energy, the first of equals), "centre" or "start"
    """

    def __init__(self, samples: int, how: str, sample_rate_hz: int):
        self._samples, self._how = samples, how
        self._limit = CENTRE_LIMIT_S * sample_rate_hz
        self._given = 0
        self._kept = np.zeros(0, np.float32)  # the last samples; for "start" the first, for "centre" from its window on
        self._energy = np.zeros(1)  # running sum of squares before each kept sample and after the last
        self._best: tuple[float, np.ndarray] | None = None

    def push(self, wave: np.ndarray) -> None:
        """Take (n,) float32; raises ModelError where "centre" is asked of more than CENTRE_LIMIT_S seconds."""
        if self._how == "centre" and self._given + len(wave) > self._limit:
            raise ModelError(f"the centre of more than {CENTRE_LIMIT_S} s cannot be kept; cut the recording first")
        before, self._given = self._given - len(self._kept), self._given + len(wave)
        if self._how == "start":
            self._kept = np.concatenate([self._kept, wave[: self._samples - len(self._kept)]])
        elif self._how == "centre":
            first = max(0, (self._given - self._samples) // 2)
            self._kept = np.concatenate([self._kept, wave])[first - before :]
        else:
            self._follow_energy(wave)

    def finish(self) -> np.ndarray:
        """Return the window, (samples,) float32."""
        if self._best is not None:
            return self._best[1]
        kept = self._kept[: self._samples]
        spare = self._samples - len(kept)
        return np.pad(kept, (spare // 2, spare - spare // 2))

    def _follow_energy(self, wave: np.ndarray) -> None:
        squares = np.square(wave, dtype=np.float64)
        after = np.add.accumulate(np.concatenate([self._energy[-1:], squares]))[1:]  # one sum, left to right
        kept, energy = np.concatenate([self._kept, wave]), np.concatenate([self._energy, after])
        if len(kept) >= self._samples:
            of_window = energy[self._samples :] - energy[: -self._samples]
            first = int(np.argmax(of_window))
            if self._best is None or of_window[first] > self._best[0]:
                self._best = float(of_window[first]), kept[first : first + self._samples].copy()
        self._kept, self._energy = kept[-self._samples :], energy[-self._samples - 1 :]
