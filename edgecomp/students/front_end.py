"""The log-mel front end: waveform in, normalised log-mel frames out; a float part of every student.

It is defined here once, as tables. log_mel.py computes it the plain way; each runtime lowers the same tables
the way that it runs fastest, and Verify holds them together.

With a symmetric window the real and imaginary parts of a frame's DFT are cosine and sine sums over the sum and
the difference of its mirrored halves. Even and odd bins fold once more about the quarter, so that four tables of
a quarter of the window by half of the bins are enough: an eighth of the plain table.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

FLOOR = 1e-8
"""Added to a band's power before the logarithm; 74 dB below a full-scale sine, whose power is 0.25."""
HEARD = 1e-3
"""A band none of whose bins weighs this much is as good as empty: it would hear a loud voice 30 dB below the others."""
PRESETS = {
    8_000: dict(window=240, hop=160, low_hz=60.0, high_hz=3_800.0, mels=40),
    16_000: dict(window=480, hop=320, low_hz=60.0, high_hz=7_600.0, mels=40),
}
"""By sample rate: windows of 30 ms every 20 ms, as MLPerf Tiny's keyword task has them."""


@dataclass(frozen=True)
class FrontEnd:
    """The settings of a log-mel front end.

    samples: length of the waveform it takes
    window:  samples in a frame, and bins × 2 of its DFT; a multiple of 4
    hop:     samples from frame to frame
    """

    sample_rate: int
    samples: int
    window: int
    hop: int
    mels: int
    low_hz: float
    high_hz: float

    def __post_init__(self) -> None:
        if self.window % 4 or self.samples < self.window or not 0 <= self.low_hz < self.high_hz <= self.sample_rate / 2:
            raise ValueError(
                f"window {self.window} must be a multiple of 4 and at most {self.samples} samples; the band "
                f"{self.low_hz}–{self.high_hz} Hz must lie within 0–{self.sample_rate / 2} Hz"
            )

    @staticmethod
    def preset(
        sample_rate: int,
        samples: int,
        *,
        mels: int | None = None,
        hop: int | None = None,
        window: int | None = None,
        low_hz: float | None = None,
        high_hz: float | None = None,
    ) -> FrontEnd:
        """Return the front end for a sample rate; what is given replaces the preset's value."""
        near = min(PRESETS, key=lambda rate: abs(math.log(rate / sample_rate)))
        scale = sample_rate / near
        base = PRESETS[near]
        return FrontEnd(
            sample_rate,
            samples,
            window=window or 4 * round(base["window"] * scale / 4),
            hop=hop or round(base["hop"] * scale),
            mels=mels or base["mels"],
            low_hz=base["low_hz"] if low_hz is None else low_hz,
            high_hz=high_hz or min(base["high_hz"] * scale, 7_600.0 if scale > 1 else base["high_hz"] * scale),
        )

    @property
    def frames(self) -> int:
        """Return the number of frames; only whole frames count, nothing is padded."""
        return 1 + (self.samples - self.window) // self.hop


@dataclass(frozen=True)
class Tables:
    """What a lowering needs, float32; the trigonometric tables hold only values that float16 can hold.

    window_inner, window_outer: (window / 4,) weights of the quarters beside and away from the frame's centre
    cos_even, sin_even: (window / 4, even bins); cos_odd, sin_odd: (window / 4, odd bins)
    mel_even: (even bins, mels); mel_odd: (odd bins, mels)
    """

    window_inner: np.ndarray
    window_outer: np.ndarray
    cos_even: np.ndarray
    sin_even: np.ndarray
    cos_odd: np.ndarray
    sin_odd: np.ndarray
    mel_even: np.ndarray
    mel_odd: np.ndarray


def tables(front_end: FrontEnd) -> Tables:
    """Return the folded DFT and mel tables; only bins that a mel band uses are there.

    source: the symmetric Hann window at half samples, sin²(π(n + ½)/N); the two folds are the even-odd
            split of the DCT-II and DST-II (Rao and Yip 1990, ch. 4), whose squares sum to the frame's power
    """
    size = front_end.window
    mel = mel_filters(front_end)
    used = np.flatnonzero(mel.any(axis=1))
    even, odd = used[used % 2 == 0], used[used % 2 == 1]
    quarter = np.arange(size // 4)
    hann = np.sin(np.pi * (np.arange(size) + 0.5) / size) ** 2 * (2 / size)  # × 2/N: a unit sine has power 0.25

    def wave(kind: np.ufunc, bins: np.ndarray) -> np.ndarray:
        return _in_float16(kind(2 * np.pi * np.outer(quarter + 0.5, bins) / size))

    return Tables(
        window_inner=hann[size // 2 + quarter].astype(np.float32),
        window_outer=hann[quarter].astype(np.float32),
        cos_even=wave(np.cos, even),
        sin_even=wave(np.sin, even),
        cos_odd=wave(np.cos, odd),
        sin_odd=wave(np.sin, odd),
        mel_even=_in_float16(mel[even]),
        mel_odd=_in_float16(mel[odd]),
    )


def mel_filters(front_end: FrontEnd) -> np.ndarray:
    """Return triangular filters on the HTK mel scale, (window / 2 + 1, mels) float64, peak 1.

    source: Davis and Mermelstein 1980; the scale is 2595 log10(1 + f / 700)
    """

    def to_mel(hz: float | np.ndarray) -> np.ndarray:
        return 2595 * np.log10(1 + np.asarray(hz) / 700)

    edges = np.linspace(to_mel(front_end.low_hz), to_mel(front_end.high_hz), front_end.mels + 2)
    edges_hz = 700 * (10 ** (edges / 2595) - 1)
    bins_hz = np.arange(front_end.window // 2 + 1) * front_end.sample_rate / front_end.window
    low, centre, high = edges_hz[:-2], edges_hz[1:-1], edges_hz[2:]
    rising = (bins_hz[:, None] - low) / (centre - low)
    falling = (high - bins_hz[:, None]) / (high - centre)
    filters = np.maximum(0, np.minimum(rising, falling))
    empty = np.flatnonzero(filters.max(axis=0) < HEARD)  # a band narrower than a bin listens to the nearest one
    filters[np.abs(bins_hz[:, None] - centre[empty]).argmin(axis=0), empty] = 1
    return filters


def frame_blocks(front_end: FrontEnd) -> tuple[np.ndarray, np.ndarray]:
    """Return which blocks of the waveform make the near and the far (mirrored) half of each frame, (frames, n) each.

    A block is gcd(hop, window / 4) samples, so that hops and quarters are whole numbers of blocks.
    """
    block = math.gcd(front_end.hop, front_end.window // 4)
    quarter = front_end.window // 4 // block
    first = np.arange(front_end.frames)[:, None] * (front_end.hop // block)
    run = np.arange(quarter)
    near = np.concatenate([2 * quarter + run, run])
    far = np.concatenate([2 * quarter - 1 - run, 4 * quarter - 1 - run])
    return first + near, first + far


def front_end_macs(front_end: FrontEnd) -> int:
    """Return the multiply-accumulates of the folded front end's matrix products for one clip."""
    table = tables(front_end)
    trig = sum(t.size for t in (table.cos_even, table.sin_even, table.cos_odd, table.sin_odd))
    return front_end.frames * (trig + table.mel_even.size + table.mel_odd.size)


def _in_float16(values: np.ndarray) -> np.ndarray:
    return values.astype(np.float16).astype(np.float32)
