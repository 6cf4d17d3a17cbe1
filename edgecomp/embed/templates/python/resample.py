"""Change the sample rate as the model was trained with: a linear-phase low-pass without delay, in whole or in pieces."""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np

from .facts import ModelError

CUTOFF, HALF, BETA = 0.9556642, 133.25, 18.43353
"""Of half the lower rate; samples of the lower rate on each side; Kaiser. Fitted to the impulse response of soxr's VHQ."""
LOWEST_HZ, HIGHEST_HZ = 4_000, 384_000
MOST_PHASES = 1_280
BLOCK = 4_096
"""Outputs made at once."""
FEW = 64
"""Below this many outputs one call for all taps is faster than one for each tap."""


class Resampler:
    """Resamples a stream: `push` pieces of any size, then `finish`; the same bits however it was cut.

    raises: ModelError where the rates cannot be used
    """

    def __init__(self, source_hz: int, target_hz: int):
        for rate in (source_hz, target_hz):
            if isinstance(rate, bool) or not isinstance(rate, int) or not LOWEST_HZ <= rate <= HIGHEST_HZ:
                raise ModelError(f"a sample rate of {rate!r} Hz cannot be used; allowed: {LOWEST_HZ} to {HIGHEST_HZ}")
        self.source_hz, self.target_hz = source_hz, target_hz
        self._up, self._down, self._reach, self._table = _design(source_hz, target_hz)
        self._kept = np.zeros(self._reach)  # source samples from index _first on; zeros before the beginning
        self._first, self._given, self._made = -self._reach, 0, 0

    def push(self, wave: np.ndarray) -> np.ndarray:
        """Take (n,) float32 at the source's rate; return what is ready at the target's, (m,) float32."""
        if self.source_hz == self.target_hz:
            return wave
        self._kept = np.concatenate([self._kept, wave])
        self._given += len(wave)
        return self._make(-(-(self._given - self._reach - 1) * self._up // self._down))

    def finish(self) -> np.ndarray:
        """Return the last samples, with zeros after the end."""
        if self.source_hz == self.target_hz:
            return np.zeros(0, np.float32)
        self._kept = np.concatenate([self._kept, np.zeros(self._reach + 2)])
        return self._make((2 * self._given * self.target_hz + self.source_hz) // (2 * self.source_hz))

    def _make(self, end: int) -> np.ndarray:
        """Return the outputs from the next one to `end`, and forget the sources that no later one needs."""
        parts = [np.zeros(0, np.float32)]
        while self._made < end:
            at = np.arange(self._made, min(end, self._made + BLOCK), dtype=np.int64) * self._down
            parts.append(self._sums(at % self._up, at // self._up - self._reach - self._first).astype(np.float32))
            self._made += len(at)
        spare = min(self._made * self._down // self._up - self._reach - self._first, len(self._kept))
        if spare > 0:
            self._kept, self._first = self._kept[spare:], self._first + spare
        return np.concatenate(parts)

    def _sums(self, phase: np.ndarray, begin: np.ndarray) -> np.ndarray:
        """Return one sum for each output, added from the first tap to the last in either way.

        NumPy's sum and dot change their order with the number of outputs: a stream would differ from the whole.
        """
        taps, kept = len(self._table), self._kept
        if len(phase) < FEW:  # one call for all taps
            windows = np.lib.stride_tricks.sliding_window_view(kept, taps)[begin].T
            return np.add.accumulate(self._table[:, phase] * windows, axis=0)[-1]
        total = np.zeros(len(phase))
        for k, weights in enumerate(self._table):
            if self._up == 1:
                product = kept[begin[0] + k : begin[-1] + k + 1 : self._down] * weights[0]
            else:
                product = np.take(kept[k:], begin) * np.take(weights, phase)
            total = product if k == 0 else np.add(total, product, out=total)
        return total


def resample(wave: np.ndarray, source_hz: int, target_hz: int) -> np.ndarray:
    """Resample a whole recording: (n,) float32 → (about n · target / source,) float32."""
    one = Resampler(source_hz, target_hz)
    return np.concatenate([one.push(wave), one.finish()])


@lru_cache(maxsize=8)
def _design(source_hz: int, target_hz: int) -> tuple[int, int, int, np.ndarray]:
    """Return the steps up and down, the reach in source samples, and the table (taps, phases) float64."""
    shared = math.gcd(source_hz, target_hz)
    up, down, low = target_hz // shared, source_hz // shared, min(source_hz, target_hz)
    if up == down:
        return 1, 1, 0, np.ones((2, 1))
    if up > MOST_PHASES:
        raise ModelError(
            f"{source_hz} Hz cannot be resampled to {target_hz} Hz in {MOST_PHASES} phases; "
            "record at 8000, 16000, 22050, 32000, 44100 or 48000 Hz"
        )
    half, cut = HALF * source_hz / low, CUTOFF * low / source_hz
    reach = int(half)
    away = np.arange(2 * reach + 2)[None] - reach - np.arange(up)[:, None] / up
    bell = np.i0(BETA * np.sqrt(np.clip(1 - (away / half) ** 2, 0, None))) / np.i0(BETA)
    table = np.where(np.abs(away) <= half, cut * np.sinc(cut * away) * bell, 0.0)
    return up, down, reach, np.ascontiguousarray(table.T)
