"""The log-mel front end: waveform in, normalised log-mel frames out; a float part of every student.

It is defined here once, as tables. log_mel.py computes it the plain way; each runtime lowers the same tables
the way that it runs fastest, and Verify holds them together.

The DFT of a frame is done in two short steps (Cooley and Tukey 1965): one over the samples that lie a fixed step
apart, and one over the residues modulo that step. The first step's tables carry the window and the twiddle factors, so
that nothing stands between the two products: a seventh of the plain table's work and, in float32, of its bytes.
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
        step = 16 if sample_rate >= 8_000 else 4  # so that the window has short factors; half a step is less than 1 ms
        return FrontEnd(
            sample_rate,
            samples,
            window=window or step * round(base["window"] * scale / step),
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
    """What a lowering needs, float32; n = residues × a + b is a sample of a frame, run = window / residues.

    first:  (residues, 2 × half, run), half = run // 2 + 1: for each b, from its samples to the real parts, then the
            imaginary parts, of half of the frequencies k of a DFT over a; windowed and with the twiddle factors
    second: (2 × residues, 2 × residues): from every b's real and imaginary part to the real parts, then the imaginary
            parts, of a DFT over b; one table for every k
    mel:    (residues, half, mels), only values that float16 can hold: the weights of bin run × j + k, counted down from
            the window's end above its middle; two places that hold one bin have half of its weight each
    """

    first: np.ndarray
    second: np.ndarray
    mel: np.ndarray


def tables(front_end: FrontEnd) -> Tables:
    """Return the two factors of the windowed DFT, and the mel table in the order of their bins.

    source: Cooley and Tukey 1965, doi:10.1090/S0025-5718-1965-0178586-1
    """
    size, residues = front_end.window, residues_of(front_end)
    run = size // residues
    residue, low = np.arange(residues), np.arange(run // 2 + 1)
    sample = residues * np.arange(run) + residue[:, None]
    first = hann(size)[sample][:, None] * np.exp(-2j * np.pi * low[:, None] * sample[:, None] / size)
    second = np.exp(-2j * np.pi * np.outer(residue, residue) / residues)
    bins = low + run * residue[:, None]
    bins = np.minimum(bins, size - bins)
    share = np.bincount(bins.ravel())[bins]
    return Tables(
        first=np.concatenate([first.real, first.imag], axis=1).astype(np.float32),
        second=np.stack(  # columns: b, then real and imaginary
            [np.stack([second.real, -second.imag], axis=-1), np.stack([second.imag, second.real], axis=-1)]
        )
        .reshape(2 * residues, 2 * residues)
        .astype(np.float32),
        mel=mel_table(front_end)[bins] / share[..., None].astype(np.float32),
    )


def residues_of(front_end: FrontEnd) -> int:
    """Return the step of the first factor, a divisor of the window: the one with the least work and the smallest tables.

    A divisor of the hop as well saves LiteRT a copy of every frame, and is taken unless it costs twice as much.
    """

    def cost(residues: int) -> int:
        run = front_end.window // residues
        half = run // 2 + 1
        first, second = front_end.window * _whole_vectors(2 * half), 2 * residues * _whole_vectors(2 * residues)
        return first + half * second + first + second  # a table's entry weighs as much as a product in every frame

    def cheapest(of: int) -> int:
        return min((n for n in range(1, of + 1) if of % n == 0), key=cost)

    best, shared = cheapest(front_end.window), cheapest(math.gcd(front_end.window, front_end.hop))
    return shared if cost(shared) <= 2 * cost(best) else best


def hann(size: int) -> np.ndarray:
    """Return the window, (size,) float64: Hann at half samples, × 2 / size, so that a unit sine has power 0.25."""
    return np.sin(np.pi * (np.arange(size) + 0.5) / size) ** 2 * (2 / size)


def mel_table(front_end: FrontEnd) -> np.ndarray:
    """Return the mel filters as every form of the front end has them, (window / 2 + 1, mels) float32 rounded to float16.

    Rounding moves a log-mel value by less than 5e-4.
    """
    return mel_filters(front_end).astype(np.float16).astype(np.float32)


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


def front_end_macs(front_end: FrontEnd) -> int:
    """Return the multiply-accumulates of the lowered front end's matrix products for one clip."""
    table = tables(front_end)
    half = table.mel.shape[1]
    return front_end.frames * (table.first.size + half * table.second.size + table.mel.size)


def _whole_vectors(columns: int) -> int:
    return 8 * math.ceil(columns / 8)  # a vector of AVX, or two of NEON
