"""The analysis that a model file does: from its waveform to log-mel frames, at the recipe's rate or at a source's own.

A file for a source of another rate does not resample first. Resampling is a sum over samples, and so is the DFT that
follows it: the two are one table. Each frame is analysed at the source's rate over the same 30 ms, in the same bins, and
the gain of the resampler's low-pass stands in the mel table. So no filter of hundreds of taps runs, nothing is lost at the
ends of a recording, and no waveform at the recipe's rate ever exists. The first factor of the DFT takes the samples that lie
a fixed step apart: those are the frame's polyphase components. What was measured: docs/embedding.md, "Inside the file".
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from edgecomp.students.front_end import FLOOR, FrontEnd, Tables, mel_table, tables

CUTOFF, HALF, BETA = 0.9556642, 133.25, 18.43353
"""Of half the lower rate; samples of the lower rate on each side; Kaiser. soxr's VHQ, as rule 3 of docs/embedding.md has it."""
STEPS = 8
"""Points of the low-pass in a sample of the lower rate: it holds nothing above half of that rate, so more change nothing."""
COMMON_HZ = (8_000, 11_025, 12_000, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000, 96_000)
"""What microphones and files have; only for messages, any rate that fits is taken."""


@dataclass(frozen=True)
class Analysis:
    """What a lowering needs of a front end.

    sample_rate: of the waveform, Hz
    samples:     its length; those after the last frame are not read
    window, hop: in samples of that rate
    tables:      as in front_end.Tables, but that `second` and `mel` may lack residues which hold no bin of the band
    """

    sample_rate: int
    samples: int
    window: int
    hop: int
    frames: int
    mels: int
    tables: Tables

    @property
    def residues(self) -> int:
        """Return the step between the samples that the first factor takes together."""
        return self.tables.first.shape[0]

    @property
    def half(self) -> int:
        """Return how many frequencies of each residue the first factor gives."""
        return self.tables.first.shape[1] // 2

    @property
    def kept(self) -> int:
        """Return how many rows of frequencies the second factor gives."""
        return self.tables.mel.shape[0]

    @property
    def macs(self) -> int:
        """Return the multiply-accumulates of the matrix products for one clip."""
        table = self.tables
        return self.frames * (table.first.size + self.half * table.second.size + table.mel.size)

    @property
    def table_bytes(self) -> int:
        """Return what the tables take as they are stored; the mel table is kept in float16."""
        return self.tables.first.nbytes + self.tables.second.nbytes + 2 * self.tables.mel.size


def analysis_of(front_end: FrontEnd, source_hz: int | None = None) -> Analysis:
    """Return how a file analyses its waveform.

    source_hz: the waveform's sample rate; None for the front end's own
    raises:    ValueError, with the reason, where the source's rate does not fit
    """
    if source_hz in (None, front_end.sample_rate):
        shape = front_end.samples, front_end.window, front_end.hop
        return Analysis(front_end.sample_rate, *shape, front_end.frames, front_end.mels, tables(front_end))
    if (why := misfit(front_end, source_hz)) is not None:
        raise ValueError(why)
    samples = source_samples(front_end.samples, front_end.sample_rate, source_hz)
    window, hop = (length * source_hz // front_end.sample_rate for length in (front_end.window, front_end.hop))
    mel = source_mel(front_end, source_hz)
    residues = _residues(window, hop, np.flatnonzero(mel.any(axis=1)))
    made = _tables(source_window(front_end, source_hz), residues, mel)
    return Analysis(source_hz, samples, window, hop, front_end.frames, front_end.mels, made)


def misfit(front_end: FrontEnd, source_hz: int) -> str | None:
    """Say why a front end cannot be computed at a source's rate, or None: windows and hops must be whole samples there."""
    for what, length in (("window", front_end.window), ("hop", front_end.hop)):
        if length * source_hz % front_end.sample_rate:
            there = length * source_hz / front_end.sample_rate
            return f"a {what} of {length} samples at {front_end.sample_rate} Hz would be {there:g} at {source_hz} Hz"
    if not mel_table(front_end)[: _bins(front_end, source_hz)].any():
        return f"the band from {front_end.low_hz:g} Hz on lies above what {source_hz} Hz can hold"
    return None


def rates_that_fit(front_end: FrontEnd) -> list[int]:
    """Return the common rates at which a front end can be computed, its own included."""
    return [rate for rate in COMMON_HZ if misfit(front_end, rate) is None]


def source_samples(samples: int, sample_rate: int, source_hz: int) -> int:
    """Return how many samples of a source last as long as some of the recipe's; a part of one is left out."""
    return samples * source_hz // sample_rate


def source_window(front_end: FrontEnd, source_hz: int) -> np.ndarray:
    """Return a frame's window at a source's rate, (window,) float64: the same curve at the same times, the same power.

    Sample 0 stands at one time in both. The recipe's window begins half a sample of its own earlier, so that one or
    two of the source's may lie before sample 0; their weights are below 1e-5 of the largest, and left out.
    """
    size = front_end.window * source_hz // front_end.sample_rate
    place = np.arange(size) * (front_end.sample_rate / source_hz) + 0.5
    inside = place < front_end.window
    return np.where(inside, np.sin(np.pi * place / front_end.window) ** 2, 0.0) * (2 / size)


def source_mel(front_end: FrontEnd, source_hz: int) -> np.ndarray:
    """Return the mel filters for bins of a source, (window / 2 + 1, mels) float32 rounded to float16.

    They are the front end's own, by the power gain that the resampler has at each bin, and nothing from half of the
    source's rate on.
    """
    size = front_end.window * source_hz // front_end.sample_rate
    bins = _bins(front_end, source_hz)
    hz = np.arange(bins) * front_end.sample_rate / front_end.window
    gain = low_pass_gain(hz, source_hz, front_end.sample_rate) ** 2
    mel = np.zeros((size // 2 + 1, front_end.mels), np.float32)
    mel[:bins] = (mel_table(front_end)[:bins] * gain[:, None]).astype(np.float16)
    return mel


def low_pass_gain(hz: np.ndarray, source_hz: int, target_hz: int) -> np.ndarray:
    """Return the amplitude gain of the resampler's low-pass at some frequencies: (n,) → (n,) float64.

    source: the impulse response of rule 3 in docs/embedding.md, which is fitted to soxr's VHQ
    """
    away = np.arange(-int(HALF * STEPS), int(HALF * STEPS) + 1) / STEPS
    bell = np.i0(BETA * np.sqrt(np.clip(1 - (away / HALF) ** 2, 0, None))) / np.i0(BETA)
    taps = CUTOFF * np.sinc(CUTOFF * away) * bell / STEPS
    return np.cos(2 * np.pi * np.outer(hz, away) / min(source_hz, target_hz)) @ taps


def source_log_mel(front_end: FrontEnd, source_hz: int, waves: np.ndarray) -> np.ndarray:
    """Compute a source's log-mel frames the plain way: one product with the whole windowed DFT, as log_mel.py does it.

    waves:   (n, samples) float32 at source_hz
    returns: (n, frames, mels) float32, not normalised: what a file's own frames are held against
    """
    window, mel = source_window(front_end, source_hz), source_mel(front_end, source_hz)
    hop, used = front_end.hop * source_hz // front_end.sample_rate, np.flatnonzero(mel.any(axis=1))
    turns = 2 * np.pi * np.outer(np.arange(len(window)), used) / len(window)
    wave = (window[:, None] * np.concatenate([np.cos(turns), np.sin(turns)], axis=1)).astype(np.float32)
    made = np.empty((len(waves), front_end.frames, front_end.mels), np.float32)
    for row, one in zip(made, np.asarray(waves, np.float32), strict=True):
        frames = np.lib.stride_tricks.sliding_window_view(one, len(window))[::hop][: front_end.frames]
        real, imaginary = np.split(np.ascontiguousarray(frames) @ wave, 2, axis=1)
        row[:] = np.log((real * real + imaginary * imaginary) @ mel[used] + np.float32(FLOOR))
    return made


def _bins(front_end: FrontEnd, source_hz: int) -> int:
    """Return how many bins lie below half of the lower rate, or are the recipe's last one."""
    held = -(-front_end.window * source_hz // (2 * front_end.sample_rate))
    return min(held, front_end.window // 2 + 1)


def _residues(window: int, hop: int, used: np.ndarray) -> int:
    """Return the step of the first factor, as front_end.residues_of chooses it, but that rows without a used bin cost nothing."""

    def cost(residues: int) -> int:
        half = window // residues // 2 + 1
        kept = len(_kept_rows(window, residues, used))
        first, second = window * _whole_vectors(2 * half), 2 * residues * _whole_vectors(2 * kept)
        return first + half * second + first + second  # a table's entry weighs as much as a product in every frame

    def cheapest(of: int) -> int:
        return min((n for n in range(1, of + 1) if of % n == 0), key=cost)

    best, shared = cheapest(window), cheapest(math.gcd(window, hop))
    return shared if cost(shared) <= 2 * cost(best) else best


def _tables(window: np.ndarray, residues: int, mel: np.ndarray) -> Tables:
    """Return the two factors of a windowed DFT and the mel table; see front_end.tables, of which this is the general form."""
    size = len(window)
    run = size // residues
    residue, low = np.arange(residues), np.arange(run // 2 + 1)
    sample = residues * np.arange(run) + residue[:, None]
    first = window[sample][:, None] * np.exp(-2j * np.pi * low[:, None] * sample[:, None] / size)
    rows = _kept_rows(size, residues, np.flatnonzero(mel.any(axis=1)))
    second = np.exp(-2j * np.pi * np.outer(rows, residue) / residues)
    bins = _bins_of(size, residues)
    share = np.bincount(bins.ravel())[bins]
    second = np.stack(
        [np.stack([second.real, -second.imag], axis=-1), np.stack([second.imag, second.real], axis=-1)]
    ).reshape(2 * len(rows), 2 * residues)
    return Tables(
        first=np.concatenate([first.real, first.imag], axis=1).astype(np.float32),
        second=second.astype(np.float32),
        mel=mel[bins[rows]] / share[rows][..., None].astype(np.float32),
    )


def _bins_of(size: int, residues: int) -> np.ndarray:
    """Return which bin each row and column of the second factor's result is, (residues, half)."""
    run = size // residues
    bins = np.arange(run // 2 + 1) + run * np.arange(residues)[:, None]
    return np.minimum(bins, size - bins)


def _kept_rows(size: int, residues: int, used: Iterable[int]) -> np.ndarray:
    return np.flatnonzero(np.isin(_bins_of(size, residues), used).any(axis=1))


def _whole_vectors(columns: int) -> int:
    return 8 * math.ceil(columns / 8)  # a vector of AVX, or two of NEON
