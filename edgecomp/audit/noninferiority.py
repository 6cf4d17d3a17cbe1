"""Is the student not worse than its teacher, by more than a margin? Bounds, exact tests and the four verdicts.

`kept` is earned by a bound, never by a missing p-value: the one-sided 95 % lower bound of the difference must lie above
−margin. `benchmarks/audit_simulations.py` measures how often it is wrong where the true difference is exactly −margin.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from statistics import NormalDist
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from edgecomp.audit.intervals import Pairs, effect_of_subjects
from edgecomp.audit.quantiles import clopper_pearson, student_quantile
from edgecomp.errors import InputError

Verdict = Literal["lost", "unclear", "too small", "kept"]
VERDICTS: tuple[Verdict, ...] = ("lost", "unclear", "too small", "kept")
"""In the order in which a reader should meet them."""

TAIL = 0.05
"""The chance of a wrong `kept`, and of one false `lost` in the whole family."""
FEWEST_CLIPS = 20
"""With fewer, one clip moves the figure by more than 5 points."""
FEWEST_SUBJECTS = 6
"""With 5, the exact test's smallest p is 2 / 2**5 = 0.06: it could never reject."""
LIKENESS = 0.1
"""The intraclass correlation of losses that is assumed until discordant clips tell: `keywords` measured 0.00 to 0.05
by voice, over 22 students. Up to this value `kept` keeps its promise; see benchmarks/results/audit-simulations.jsonl."""
WEIGHT = 20
"""How many discordant clips the assumption weighs: at 20, half the effect is assumed and half is measured."""


def lower_bounds(family: Sequence[Pairs]) -> NDArray[np.float64]:
    """Return the one-sided 95 % lower bound of the difference for each member of a family, (len(family),).

    The limits of the shares gained and lost (Clopper-Pearson) are joined by the method of variance recovery, with the
    two counts' correlation. On independent clips its error at the margin, enumerated for n = 20 to 1,000, margins of
    1 to 10 points and discordance up to a half, never passed 5 %. With subjects, counts are divided by the effect of
    subjects (never below 1; shrunk to LIKENESS) and by (Student's t / normal quantile)².
    source: Zou and Donner 2008, doi:10.1002/sim.3095; effective counts: Korn and Graubard 1998, Survey Methodology 24:193
    """
    if not family:
        return np.zeros(0)
    cut = np.array([_effect(one) for one in family])
    known = np.isfinite(cut)
    n = np.array([one.n for one in family]) / np.where(known, cut, 1)
    gained = np.array([one.gained.sum() for one in family]) / np.where(known, cut, 1)
    lost = np.array([one.lost.sum() for one in family]) / np.where(known, cut, 1)
    up, down = gained / n, lost / n
    below = up - clopper_pearson(gained, n, TAIL)[0]
    above = clopper_pearson(lost, n, TAIL)[1] - down
    apart = (1 - up) * (1 - down)
    likeness = np.sqrt(up * down / np.where(apart > 0, apart, 1))
    bounds = up - down - np.sqrt(below**2 + above**2 + 2 * likeness * below * above)
    return np.where(known, np.maximum(bounds, -1.0), -1.0)


def best_bounds(family: Sequence[Pairs]) -> NDArray[np.float64]:
    """Return the bounds that students would reach who answered every clip like the teacher, right or wrong."""
    return lower_bounds(
        [
            replace(
                one,
                both=one.both + one.lost,
                neither=one.neither + one.gained,
                gained=np.zeros_like(one.gained),
                lost=np.zeros_like(one.lost),
            )
            for one in family
        ]
    )


def exact_p(counted: Pairs) -> float:
    """Return the exact two-sided p-value of "no difference".

    Without subjects it is McNemar's exact test. With subjects, the sum of each subject's gains and losses is as likely
    as its opposite under the null, and the distribution over all 2**subjects signs is computed, not sampled.
    No discordant clips: 1.
    source: McNemar 1947, doi:10.1007/BF02295996; sign flips: Fisher 1935, The Design of Experiments, section 21
    """
    if not counted.is_by_subject:
        gained, lost = int(counted.gained.sum()), int(counted.lost.sum())
        return _binomial_p(min(gained, lost), gained + lost)
    sums = np.abs(counted.gained - counted.lost)
    sums, seen = sums[sums > 0], abs(int((counted.gained - counted.lost).sum()))
    reach = int(sums.sum())
    chance = np.zeros(2 * reach + 1)  # place s + reach holds the chance that the sum is s
    chance[reach] = 1.0
    for step in sums:
        moved = np.zeros_like(chance)
        moved[step:] += chance[:-step] / 2
        moved[:-step] += chance[step:] / 2
        chance = moved
    return min(1.0, float(chance[np.abs(np.arange(-reach, reach + 1)) >= seen].sum()))


def holm(p_values: ArrayLike, weights: ArrayLike | None = None) -> NDArray[np.float64]:
    """Return the p-values of a family adjusted by Holm's method, in the order given.

    weights: (n,) above 0, settled before any p-value is looked at: a member with twice the weight of another is given twice
             the chance of a false alarm, and the whole family's stays what it was; None: all alike
    source: Holm 1979, Scandinavian Journal of Statistics 6:65, weighted in section 4
    """
    p_values = np.asarray(p_values, float)
    weights = np.ones(p_values.shape) if weights is None else np.asarray(weights, float)
    if p_values.ndim != 1 or not ((p_values >= 0) & (p_values <= 1)).all():
        raise InputError("p-values outside 0 to 1", where="holm", fix="a list of numbers from 0 to 1")
    if weights.shape != p_values.shape or not (weights > 0).all():
        raise InputError(f"weights of shape {weights.shape}", where="holm", fix="one above 0 for each p-value")
    order = np.argsort(p_values / weights, kind="stable")
    left = np.cumsum(weights[order][::-1])[::-1]
    steps = p_values[order] / weights[order] * left
    adjusted = np.empty_like(p_values)
    adjusted[order] = np.minimum(1.0, np.maximum.accumulate(steps)) if p_values.size else steps
    return adjusted


def smallness(n: int, subjects: int | None) -> str | None:
    """Say why a slice is too small for any verdict; None where it is not.

    n: clips, for an AUROC those of the smaller class; subjects: None where clips count as independent
    """
    if n < FEWEST_CLIPS:
        return f"{n} clip{'' if n == 1 else 's'}, fewer than {FEWEST_CLIPS}"
    if subjects is not None and subjects < FEWEST_SUBJECTS:
        return f"{subjects} subject{'' if subjects == 1 else 's'}, fewer than {FEWEST_SUBJECTS}"
    return None


def verdict(value: float, *, bound: float, best: float, holm_p: float, margin: float) -> tuple[Verdict, str]:
    """Judge one difference that is large enough to be judged, in one of four words and with the reason.

    A found loss counts however few the clips; `too small` is said only where neither a loss was found nor could even a
    student that answers every clip like the teacher have been found `kept`.
    value:  student minus teacher; bound: its one-sided 95 % lower bound; best: as best_bounds gives it
    holm_p: the test of "no difference", adjusted over the family
    margin: the largest loss that is accepted, above 0 and below 1
    """
    if value < -margin and holm_p <= TAIL:
        return "lost", f"{-100 * value:.1f} points lost, Holm-adjusted p {_short(holm_p)}"
    if bound > -margin:
        return "kept", f"a loss above {-100 * min(bound, 0.0):.1f} points is ruled out with 95 % confidence"
    if best <= -margin:
        return "too small", f"even without one difference, only {-100 * best:.1f} points of loss could be ruled out"
    return "unclear", f"a loss of {-100 * bound:.1f} points cannot be ruled out"


def checked_margin(margin: float) -> float:
    """Return a margin that is above 0 and below 1.

    raises: InputError otherwise
    """
    if not 0 < margin < 1:
        raise InputError(
            f"a margin of {margin}",
            where="max_slice_loss",
            fix="a share above 0 and below 1, such as 0.03 for 3 points",
        )
    return float(margin)


def _effect(counted: Pairs) -> float:
    """Return what the counts of a family's member are divided by."""
    if not counted.is_by_subject:
        return 1.0
    groups, clips = len(counted.both), counted.clips
    if groups < 2:
        return float("inf")
    discordant = float(counted.gained.sum() + counted.lost.sum())
    seen = effect_of_subjects(
        counted.gained - counted.lost, clips, counted.value, discordant / counted.n - counted.value**2
    )
    assumed = 1 + float((clips**2).sum() / clips.sum() - 1) * LIKENESS
    shrunk = (WEIGHT * assumed + discordant * seen) / (WEIGHT + discordant)
    return max(1.0, seen, shrunk) * (student_quantile(TAIL, groups - 1) / NormalDist().inv_cdf(1 - TAIL)) ** 2


def _binomial_p(fewer: int, n: int) -> float:
    """Return twice the chance of at most `fewer` heads in n throws, in whole numbers until the last division."""
    ways, total = 1, 1
    for heads in range(fewer):
        ways = ways * (n - heads) // (heads + 1)
        total += ways
    return 1.0 if 2 * fewer >= n else min(1.0, 2 * total / 2**n)


def _short(p: float) -> str:
    return "below 0.001" if p < 0.001 else f"{p:.3f}"
