"""How far a median of times would be off if it were measured again: over windows of one run, and over fresh processes.

Windows of one process are alike in what does not change while it lives: where its memory lies, which core it got, what
else the machine was doing just then. An interval from them alone says too little; what several processes give says it.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from edgecomp.errors import EdgecompError
from edgecomp.metrics import RESAMPLES, Estimate, student_t

FEWEST_PROCESSES = 3
"""From which their own spread is an interval; of two it would be 18 times as wide as their difference."""
MIDDLE = 0.8
"""Share of the windows that an interval reaches over; with half of them, 8 % of all pairs of benches on a busy machine
still differed by more than the interval, with this 0 to 1 % (benchmarks/README.md)."""


def median_interval(rounds: ArrayLike, seed: int = 0) -> Estimate:
    """Estimate the median of values taken one after another, by resampling blocks of neighbours.

    source: Künsch 1989, doi:10.1214/aos/1176347265; block length n^(1/3)
    """
    rounds = np.asarray(rounds, float)
    return _spread(float(np.median(rounds)), np.median(rounds[_blocks(rounds.size, seed)], axis=1), rounds.size)


def median_ratio(numerator: ArrayLike, denominator: ArrayLike, seed: int = 0) -> Estimate:
    """Estimate the ratio of two medians taken in the same rounds, resampling each round's pair together."""
    numerator, denominator = np.asarray(numerator, float), np.asarray(denominator, float)
    if numerator.shape != denominator.shape:
        raise EdgecompError(
            f"{numerator.size} rounds against {denominator.size}",
            where="median_ratio",
            fix="time both in one call of latency",
        )
    rows = _blocks(numerator.size, seed)
    drawn = np.median(numerator[rows], axis=1) / np.median(denominator[rows], axis=1)
    return _spread(float(np.median(numerator) / np.median(denominator)), drawn, numerator.size)


def repeated(values: ArrayLike, processes: ArrayLike, base: ArrayLike | None = None, seed: int = 0) -> Estimate:
    """Estimate the median of times taken in windows of several fresh processes, and where it would lie if taken again.

    The value is the median of the processes' medians. The interval is Student's for their mean (for that of their
    logarithms where all are above 0), and reaches at least as far as that from the windows, to which a run of fewer than
    three processes is left. Where nothing is held against it, it also reaches over the middle 80 % of the windows: on a
    busy machine windows are of two kinds, and how many of each there are differs from one minute to the next.
    source: benchmarks/repeats.py

    values:    of each window
    processes: of each window, which process it ran in
    base:      of each window, what the value is held against: then a ratio of medians is estimated
    """
    values, processes = np.asarray(values, float), np.asarray(processes)
    within = median_interval(values, seed) if base is None else median_ratio(values, base, seed)
    value, ends = within.value, [within.low, within.high]
    if base is None:
        ends += [float(end) for end in np.quantile(values, [(1 - MIDDLE) / 2, (1 + MIDDLE) / 2])]
    groups = [processes == one for one in np.unique(processes)]
    if len(groups) >= FEWEST_PROCESSES:
        found = np.array([np.median(values[one]) for one in groups])
        if base is not None:
            found /= [np.median(np.asarray(base, float)[one]) for one in groups]
        to, back = (np.log, np.exp) if (found > 0).all() else (np.asarray, np.asarray)
        half = student_t(len(found) - 1) * to(found).std(ddof=1) / np.sqrt(len(found))
        value = float(np.median(found))
        ends += [value, *(float(back(to(found).mean() + end)) for end in (-half, half))]
    return Estimate(value, min(ends), max(ends), within.n)


def mean_interval(values: ArrayLike, seed: int = 0) -> Estimate:
    """Estimate the mean of values taken one after another, by resampling blocks of neighbours."""
    values = np.asarray(values, float)
    return _spread(float(values.mean()), values[_blocks(values.size, seed)].mean(axis=1), values.size)


def _blocks(n: int, seed: int) -> NDArray[np.int64]:
    """Return RESAMPLES rows of n positions, made of runs of neighbours."""
    length = max(1, round(n ** (1 / 3)))
    starts = np.random.default_rng(seed).integers(0, n - length + 1, size=(RESAMPLES, -(-n // length)))
    return (starts[:, :, None] + np.arange(length)).reshape(RESAMPLES, -1)[:, :n]


def _spread(value: float, drawn: NDArray, n: int) -> Estimate:
    low, high = np.quantile(drawn, [0.025, 0.975])
    return Estimate(value, min(value, float(low)), max(value, float(high)), n)
