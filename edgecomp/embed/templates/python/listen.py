"""Live listening: overlapping windows, pooled over the last few, and one announcement for each change."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from .facts import Facts, ModelError
from .outcome import AskTeacher, Outcome, decide
from .resample import Resampler

Session = Callable[[np.ndarray], "tuple[np.ndarray, float]"]


@dataclass(frozen=True)
class Heard:
    """One window and what is heard up to it.

    first_sample: of the window, at the model's rate, since the beginning or the end of the last gap
    changed:      this outcome has now come `hold` times in a row, and another one was announced before
    """

    first_sample: int
    outcome: Outcome
    changed: bool


class Listener:
    """Asks the model about every window of a live stream; how the stream is cut changes nothing.

    rate_hz: of what is pushed
    pool:    over how many of the last windows probabilities and uncertainty are averaged
    hold:    how many times in a row an outcome must come before it is announced
    """

    def __init__(self, facts: Facts, session: Session, rate_hz: int, pool: int = 3, hold: int = 1):
        if pool < 1 or hold < 1:
            raise ModelError(f"pool {pool!r} and hold {hold!r} must be 1 or more")
        self.facts, self._session, self._rate_hz, self._hold = facts, session, rate_hz, hold
        self._pool: deque[tuple[np.ndarray, float]] = deque(maxlen=pool)
        self._announced: str | None = None
        self.gap()

    def push(self, wave: np.ndarray) -> list[Heard]:
        """Take (n,) float32, full scale is -1 to 1; return what was heard in it.

        raises: ModelError where a sample is no finite number
        """
        wave = as_wave(wave)
        self._kept = np.concatenate([self._kept, self._resampler.push(wave)])
        heard = []
        while len(self._kept) >= self.facts.samples:
            heard.append(self._ask(self._kept[: self.facts.samples]))
            self._kept = self._kept[self.facts.hop_samples :]
            self._first += self.facts.hop_samples
        return heard

    def gap(self) -> None:
        """Begin anew after samples were lost; what was announced stays."""
        self._resampler = Resampler(self._rate_hz, self.facts.sample_rate_hz)
        self._kept, self._first = np.zeros(0, np.float32), 0
        self._pool.clear()
        self._key, self._times = "", 0

    def _ask(self, window: np.ndarray) -> Heard:
        probabilities, uncertainty = self._session(window)
        self._pool.append((probabilities.astype(np.float64), uncertainty))
        total, unsure = np.zeros(len(self.facts.labels)), 0.0
        for one, its_uncertainty in self._pool:  # the oldest first
            total, unsure = total + one, unsure + its_uncertainty
        pooled = (total / len(self._pool)).astype(np.float32)
        outcome = decide(self.facts, pooled, float(np.float32(unsure / len(self._pool))))
        key = "ask" if isinstance(outcome, AskTeacher) else f"label {outcome.label}"
        self._key, self._times = key, self._times + 1 if key == self._key else 1
        changed = self._times >= self._hold and key != self._announced
        if changed:
            self._announced = key
        return Heard(self._first, outcome, changed)


def as_wave(chunk: np.ndarray) -> np.ndarray:
    """Return a chunk as (n,) float32; raises ModelError where it is no mono sound of finite samples."""
    given = np.asarray(chunk)
    if given.ndim != 1 or given.dtype.kind != "f":
        raise ModelError(
            f"a chunk of shape {given.shape} and type {given.dtype} cannot be used; "
            "give one channel of floats from -1 to 1 (16-bit samples divided by 32768)"
        )
    with np.errstate(over="ignore"):
        wave = given.astype(np.float32)
    if not np.isfinite(wave).all():
        raise ModelError(f"{int(np.count_nonzero(~np.isfinite(wave)))} of {wave.size} samples are NaN or infinite")
    return wave
