"""Tails of the beta and of Student's distribution in numpy alone: what exact intervals are made of."""

from __future__ import annotations

import math
from functools import lru_cache
from statistics import NormalDist

import numpy as np
from numpy.typing import ArrayLike, NDArray

STEPS = 60
"""Most steps to a quantile; about eight do, and halvings alone would then know it to 1e-18."""
_TERMS = 400
"""Most terms of the continued fraction; it needs about sqrt(largest parameter), and stops when it is there."""
_log_gamma = np.frompyfunc(math.lgamma, 1, 1)


def beta_below(x: ArrayLike, a: ArrayLike, b: ArrayLike) -> NDArray[np.float64]:
    """Return the chance that a beta(a, b) variable is below x; the arrays broadcast.

    x: 0 to 1; a, b: above 0
    source: continued fraction of Abramowitz and Stegun 26.5.8, by Lentz's method
    """
    x, a, b = np.broadcast_arrays(*(np.asarray(value, float) for value in (x, a, b)))
    turned = x > (a + 1) / (a + b + 2)  # the fraction is fast below the mean, so the upper part is turned round
    x, a, b = np.where(turned, 1 - x, x), np.where(turned, b, a), np.where(turned, a, b)
    with np.errstate(divide="ignore"):
        logs = a * np.log(x) + b * np.log1p(-x)
    below = np.exp(logs + _log_scale(a, b)) * _fraction(x, a, b) / a
    return np.where(turned, 1 - below, below)


def beta_quantile(share: ArrayLike, a: ArrayLike, b: ArrayLike) -> NDArray[np.float64]:
    """Return the x that a beta(a, b) variable falls below with this chance; the arrays broadcast.

    Newton's steps, and halvings of what is left where such a step would lead out of it.
    """
    share, a, b = np.broadcast_arrays(*(np.asarray(value, float) for value in (share, a, b)))
    low, high, x = np.zeros(a.shape), np.ones(a.shape), a / (a + b)
    scale = _log_scale(a, b)
    for _ in range(STEPS):
        excess = beta_below(x, a, b) - share
        low, high = np.where(excess < 0, x, low), np.where(excess < 0, high, x)
        with np.errstate(all="ignore"):
            step = x - excess / np.exp((a - 1) * np.log(x) + (b - 1) * np.log1p(-x) + scale)
        after = np.where((step > low) & (step < high), step, (low + high) / 2)
        moved, x = np.abs(after - x).max(initial=0.0), after
        if moved <= 1e-11:  # the next step would be about the square of this one
            break
    return x


def clopper_pearson(events: ArrayLike, n: ArrayLike, tail: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the exact lower and upper limit of a share, each broken with a chance of at most `tail`.

    events, n: counts; fractions are allowed, as for effective counts; n above 0
    source: Clopper and Pearson 1934, doi:10.1093/biomet/26.4.404
    """
    events, n = np.broadcast_arrays(np.asarray(events, float), np.asarray(n, float))
    none, every = events <= 0, events >= n
    low = beta_quantile(tail, np.where(none, 1, events), np.where(none, 1, n - events + 1))
    high = beta_quantile(1 - tail, np.where(every, 1, events + 1), np.where(every, 1, n - events))
    return np.where(none, 0.0, low), np.where(every, 1.0, high)


def student_above(value: float, freedom: float) -> float:
    """Return the chance that Student's t exceeds a value; infinite freedom is the normal distribution."""
    if math.isinf(freedom):
        return 1 - NormalDist().cdf(value)
    half = float(beta_below(freedom / (freedom + value**2), freedom / 2, 0.5)) / 2
    return half if value > 0 else 1 - half


@lru_cache(maxsize=4096)
def student_quantile(tail: float, freedom: int) -> float:
    """Return the value that Student's t exceeds with a chance of `tail`, good to 4 digits.

    It sums the density over the angle, where it has no long tail: t = sqrt(freedom) tan(angle).
    """
    angle = np.linspace(0, np.pi / 2, 20_001)
    density = np.cos(angle) ** (freedom - 1)
    mass = np.concatenate([[0.0], np.cumsum((density[1:] + density[:-1]) / 2)])
    return float(np.sqrt(freedom) * np.tan(np.interp(1 - 2 * tail, mass / mass[-1], angle)))


def _log_scale(a: NDArray, b: NDArray) -> NDArray:
    return np.asarray(_log_gamma(a + b) - _log_gamma(a) - _log_gamma(b), float)


def _fraction(x: NDArray, a: NDArray, b: NDArray) -> NDArray:
    tiny = 1e-300
    front = np.ones(x.shape)
    back = 1 - (a + b) * x / (a + 1)
    back = 1 / np.where(np.abs(back) < tiny, tiny, back)
    value = back.copy()
    for m in range(1, _TERMS):
        before = value
        for step in (
            m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m)),
            -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1)),
        ):
            back, front = 1 + step * back, 1 + step / front
            back = 1 / np.where(np.abs(back) < tiny, tiny, back)
            front = np.where(np.abs(front) < tiny, tiny, front)
            value = value * front * back
        if np.all(np.abs(value - before) <= 1e-15 * np.abs(value)):
            break
    return value
