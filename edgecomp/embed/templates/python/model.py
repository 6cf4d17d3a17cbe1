"""The model: asks about whole recordings, about recordings in pieces and about live sound, and tests itself."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from .facts import Facts, ModelError, is_number, read_checked, read_object
from .listen import Listener, Session, as_wave
from .outcome import Outcome, decide
from .resample import Resampler
from .wav import read_wav
from .window import Fit


@dataclass(frozen=True)
class SelfTest:
    """The golden clips replayed here.

    worst: largest difference of a probability or an uncertainty from what the bundle states; at most tolerance if passed
    """

    passed: bool
    worst: float
    tolerance: float
    clips: int


class Model:
    """A loaded model; `load` of this package makes one. Not to be used by two threads at once."""

    def __init__(self, facts: Facts, session: Session):
        self.facts, self._session = facts, session

    def answer(self, wave: np.ndarray, rate_hz: int) -> Outcome:
        """Answer a whole recording.

        wave:   (n,) float, one channel, full scale is -1 to 1
        raises: ModelError where it is empty or holds a sample that is no finite number
        """
        recording = self.recording(rate_hz)
        recording.push(wave)
        return recording.finish()

    def answer_file(self, path: str | Path) -> Outcome:
        """Answer a WAV file of any rate, channels and length; raises ModelError where it cannot be read."""
        return self.answer(*read_wav(path))

    def recording(self, rate_hz: int) -> Recording:
        """Begin a recording that comes in pieces, at its own rate."""
        return Recording(self.facts, self._session, rate_hz)

    def listen(self, rate_hz: int, pool: int = 3, hold: int = 1) -> Listener:
        """Begin to listen to live sound at its own rate.

        pool: over how many of the last windows probabilities and uncertainty are averaged
        hold: how many times in a row an outcome must come before it is announced
        """
        return Listener(self.facts, self._session, rate_hz, pool, hold)

    def self_test(self) -> SelfTest:
        """Replay the golden clips on this device; raises ModelError where they are damaged."""
        told = read_object(read_checked("golden/golden.json", self.facts.golden_sha256), "golden.json")
        try:
            clips = [(one["file"], one["sha256"], [*one["probabilities"], one["uncertainty"]]) for one in told["clips"]]
            tolerance = told["tolerance"]
            if not (clips and is_number(tolerance) and all(map(is_number, (x for *_, row in clips for x in row)))):
                raise ValueError("a figure is missing")
        except (KeyError, TypeError, ValueError) as why:
            raise ModelError(f"golden.json cannot be read: {why}") from None
        worst = 0.0
        for file, sha256, stated in clips:
            wave = np.frombuffer(read_checked(f"golden/{file}", sha256), "<f4").astype(np.float32)
            probabilities, uncertainty = self._session(wave)
            apart = np.abs(np.array([*probabilities, uncertainty], np.float64) - np.array(stated))
            worst = max(worst, float(apart.max())) if np.isfinite(apart).all() else math.nan
            if math.isnan(worst):
                break
        return SelfTest(worst <= tolerance, worst, tolerance, len(clips))


class Recording:
    """A recording that comes in pieces: `push` any number of samples, then `finish` once."""

    def __init__(self, facts: Facts, session: Session, rate_hz: int):
        self._facts, self._session = facts, session
        self._resampler = Resampler(rate_hz, facts.sample_rate_hz)
        self._fit = Fit(facts.samples, facts.fit, facts.sample_rate_hz)
        self._given, self._finished = 0, False

    def push(self, chunk: np.ndarray) -> None:
        """Take (n,) float; raises ModelError, and changes nothing, where a sample is no finite number."""
        if self._finished:
            raise ModelError("this recording was finished; begin a new one")
        wave = as_wave(chunk)
        self._given += len(wave)
        self._fit.push(self._resampler.push(wave))

    def finish(self) -> Outcome:
        """Return the outcome, bit for bit that of the whole recording; raises ModelError where nothing was pushed."""
        if self._finished:
            raise ModelError("this recording was finished; begin a new one")
        if self._given == 0:
            raise ModelError("the recording has no samples")
        self._finished = True
        self._fit.push(self._resampler.finish())
        return decide(self._facts, *self._session(self._fit.finish()))
