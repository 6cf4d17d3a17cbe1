"""Deferral: when the small model should ask the teacher, and what that promises.

An uncertainty is (n,), larger means less sure; the model asks where it is above the threshold. Thresholds are chosen on the
validation split. Subjects are (n,) names or numbers; None or "" is a clip of its own.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from statistics import NormalDist

import numpy as np
from numpy.typing import ArrayLike, NDArray

from edgecomp import metrics
from edgecomp.audit.intervals import effect_of_subjects, share, subject_numbers
from edgecomp.audit.quantiles import beta_below, student_quantile
from edgecomp.errors import InputError
from edgecomp.metrics import Estimate

STEP = 1.1
"""Each rung answers a tenth more clips than the one before: finer gains no coverage, coarser loses some."""
SLACK_ERRORS = 2
"""Errors that the first rung may have where that takes no more than a quarter of the clips: starting at none stops
more often by bad luck (at n = 800, 3 % instead of 1 %, and 4 points less coverage; 10 % errors, bound 5 %)."""


@dataclass(frozen=True)
class Threshold:
    """When to ask the teacher: where the uncertainty is above ask_above; always, where that is None.

    answered, errors, n: validation clips that it answers, how many of those wrongly, of how many
    coverage: share of validation clips that it answers
    bound:    upper limit of the risk among answered clips, at this confidence; None where it always asks
    subjects: how many subjects the bound rests on; None where clips counted as independent
    note:     why it always asks, or what the promise leaves out
    """

    ask_above: float | None
    answered: int
    errors: int
    n: int
    coverage: Estimate
    bound: float | None
    max_risk: float
    confidence: float
    subjects: int | None = None
    note: str | None = None

    def asks(self, uncertainty: ArrayLike) -> NDArray[np.bool_]:
        """Say for which clips the teacher is asked, (n,) bool; an uncertainty that is NaN always asks."""
        uncertainty = np.asarray(uncertainty, float)
        return np.ones(uncertainty.shape, bool) if self.ask_above is None else ~(uncertainty <= self.ask_above)


@dataclass(frozen=True)
class RiskCoverage:
    """The share of wrong answers against the share answered, surest first, both (points,); area is its mean."""

    coverage: NDArray[np.float64]
    risk: NDArray[np.float64]
    area: float


def choose_threshold(
    uncertainty: ArrayLike,
    wrong: ArrayLike,
    max_risk: float,
    *,
    confidence: float = 0.95,
    subjects: ArrayLike | None = None,
) -> Threshold:
    """Return the loosest threshold whose risk among answered clips is at most max_risk, with this confidence.

    Thresholds are tried from strict to loose at counts of answered clips that are fixed before a right or wrong is looked
    at, each by an exact binomial test, until the first fails; so the chance that the risk is above max_risk is at most
    1 - confidence, whatever the model. It holds for clips drawn like these: not after a change of place or microphone.

    With subjects the test counts clips at their effective number, with Student's t for few subjects. That is an
    approximation, since how alike one person's clips are is itself estimated from all validation clips, and the first
    count rests on it. Simulated (benchmarks/deferral_simulations.py, part "subjects", 5 to 300 people) it was broken in at
    most 3 % of cases where one person's clips correlate by up to 0.1, and by 0.4 in at most 5.3 % (ten people, 300 cases). Few
    people promise little: ten with 30 clips each often end in asking always.

    uncertainty: (n,) finite; wrong: (n,) bool; max_risk: above 0, below 1; confidence: 0.5 to below 1
    raises:  InputError for NaN, infinity, arrays that do not fit, or bounds outside their range
    source:  fixed-sequence testing: Angelopoulos et al. 2021, arXiv:2110.01052; selective risk: Geifman and El-Yaniv
             2017, arXiv:1705.08500; effective counts: Korn and Graubard 1998, Survey Methodology 24:193
    """
    uncertainty, wrong = _numbers(uncertainty), as_bools(wrong, np.shape(uncertainty))
    if not 0 < max_risk < 1 or not 0.5 <= confidence < 1:
        raise _bad(
            f"max_risk {max_risk}, confidence {confidence}", "a risk above 0, below 1; a confidence from 0.5, below 1"
        )
    n, tail = len(wrong), 1 - confidence
    order = np.argsort(uncertainty, kind="stable")
    ordered, wrong = uncertainty[order], wrong[order]
    people = None if subjects is None else same_length(subject_numbers(subjects), n)[order]
    needed = _clips_for(0, max_risk, confidence)
    rungs = _rungs(ordered, needed)
    widening = np.ones(len(rungs)) if people is None or not len(rungs) else _widening(wrong, people, rungs, tail)
    effective = rungs / widening
    slack = _clips_for(SLACK_ERRORS, max_risk, confidence)
    start = slack if slack <= effective.max(initial=0) / 4 else needed
    tried = np.flatnonzero(effective >= start)
    found = None if people is None else int(np.unique(people).size)
    if not tried.size:
        of = "" if people is None else f" from {found} subjects, worth {effective.max(initial=0):.0f} independent ones"
        why = f"always asks: a risk of {max_risk:g} takes at least {needed} clips without an error to show; here are {n}{of}"
        return _always(n, max_risk, confidence, found, why)
    errors = np.cumsum(wrong)[rungs - 1]
    at = _last_passed(errors[tried] / widening[tried], effective[tried], max_risk, confidence)
    if at is None:
        first = tried[0]
        why = f"always asks: of the surest {rungs[first]} clips {errors[first]} are wrong, too many for {max_risk:g}"
        return _always(n, max_risk, confidence, found, why)
    rung = tried[at]
    answered = int(rungs[rung])
    bound = _upper(errors[rung] / widening[rung], effective[rung], max_risk, confidence)
    return Threshold(
        _between(ordered, answered),
        answered,
        int(errors[rung]),
        n,
        metrics.proportion(answered, n),
        bound,
        max_risk,
        confidence,
        found,
        None if people is None else "approximate: the likeness of one person's clips is estimated",
    )


def risk_coverage(uncertainty: ArrayLike, wrong: ArrayLike, points: int = 200) -> RiskCoverage:
    """Return the risk-coverage curve at thresholds between distinct uncertainties, and the area below it (AURC).

    Clips of equal uncertainty count as in random order.
    source: El-Yaniv and Wiener 2010, JMLR 11:1605; area: Geifman et al. 2019, arXiv:1805.08206
    """
    uncertainty, wrong = _numbers(uncertainty), as_bools(wrong, np.shape(uncertainty))
    _, place, size = np.unique(uncertainty, return_inverse=True, return_counts=True)
    blocks = np.bincount(place, wrong)
    ends, errors = np.cumsum(size), np.cumsum(blocks)
    expected = np.interp(np.arange(1, len(wrong) + 1), np.r_[0, ends], np.r_[0, errors])
    area = float((expected / np.arange(1, len(wrong) + 1)).mean())
    kept = np.unique(np.linspace(0, len(ends) - 1, min(points, len(ends))).round().astype(int))
    return RiskCoverage(ends[kept] / len(wrong), errors[kept] / ends[kept], area)


def disagreements_caught(asked: ArrayLike, student: ArrayLike, teacher: ArrayLike) -> Estimate | None:
    """Estimate the share of clips answered unlike the teacher that are deferred; None where all are answered alike."""
    asked, student, teacher = as_bools(asked), np.asarray(student), np.asarray(teacher)
    if student.shape != asked.shape or teacher.shape != asked.shape:
        raise _bad(f"answers {student.shape} and {teacher.shape} for {asked.shape} clips", "all of them (n,)")
    differs = student != teacher
    return metrics.proportion(int((asked & differs).sum()), int(differs.sum())) if differs.any() else None


def foreign_auroc(own_uncertainty: ArrayLike, foreign_uncertainty: ArrayLike) -> Estimate:
    """Estimate how well the uncertainty tells foreign audio from the task's own: the chance that it is higher there."""
    own, foreign = _numbers(own_uncertainty), _numbers(foreign_uncertainty)
    return metrics.auroc(np.r_[own, foreign], np.r_[np.zeros(len(own), int), np.ones(len(foreign), int)])


def with_teacher(
    asked: ArrayLike, student_right: ArrayLike, teacher_right: ArrayLike, subjects: ArrayLike | None = None
) -> Estimate:
    """Estimate the accuracy of the pair, when the teacher answers what is asked; all arrays (n,) bool."""
    asked = as_bools(asked)
    right = np.where(asked, as_bools(teacher_right, asked.shape), as_bools(student_right, asked.shape))
    return share(right, None if subjects is None else same_length(subject_numbers(subjects), len(asked)))


@lru_cache(maxsize=64)
def _clips_for(errors: int, max_risk: float, confidence: float) -> int:
    """Return the fewest independent clips of which this many may be wrong while the risk is still shown."""
    high = errors + 1
    while beta_below(max_risk, errors + 1, high - errors) < confidence:
        high *= 2
    low = max(errors, high // 2)
    while high - low > 1:
        middle = (low + high) // 2
        is_enough = beta_below(max_risk, errors + 1, middle - errors) >= confidence
        low, high = (low, middle) if is_enough else (middle, high)
    return high


def _rungs(ordered: NDArray, first: int) -> NDArray[np.int64]:
    """Return counts of answered clips to try, from strict to loose; equal uncertainties are answered together."""
    n = len(ordered)
    if n < first:
        return np.zeros(0, np.int64)
    steps = first * STEP ** np.arange(math.floor(math.log(n / first) / math.log(STEP)) + 1)
    counts = np.r_[np.ceil(steps - 1e-9).clip(max=n).astype(int), n]
    return np.unique(np.searchsorted(ordered, ordered[counts - 1], side="right"))


def _last_passed(errors: NDArray, n: NDArray, max_risk: float, confidence: float) -> int | None:
    """Return the last rung before the first that fails; counts may be fractions."""
    passed = beta_below(max_risk, errors + 1, np.maximum(n - errors, 1e-9)) >= confidence
    failed = np.flatnonzero(~passed)
    last = (int(failed[0]) if failed.size else len(n)) - 1
    return last if last >= 0 else None


def _upper(errors: float, n: float, max_risk: float, confidence: float) -> float:
    """Return Clopper and Pearson's upper limit, known to be at most max_risk; 33 chances at once are faster than halving."""
    low, high = errors / n, max_risk
    for _ in range(4):
        grid = np.linspace(low, high, 33)
        at = int(np.searchsorted(beta_below(grid[1:-1], errors + 1, n - errors), confidence))
        low, high = float(grid[at]), float(grid[at + 1])
    return high


def _between(ordered: NDArray, answered: int) -> float:
    """Return a threshold halfway to the next uncertainty, so that a difference of rounding on a phone changes nobody."""
    last = float(ordered[answered - 1])
    if answered == len(ordered):
        return last
    middle = last + (float(ordered[answered]) - last) / 2
    return middle if middle < ordered[answered] else last


def _widening(wrong: NDArray, people: NDArray, rungs: NDArray, tail: float) -> NDArray:
    """Return how many clips stand for one independent clip at each rung; at least 1, infinite for one subject."""
    normal, groups = NormalDist().inv_cdf(1 - tail), int(people.max()) + 1
    first = people * len(rungs) + np.searchsorted(
        rungs, np.arange(len(wrong)), side="right"
    )  # the first rung with a clip
    size, errors = (
        np.bincount(first, values, minlength=groups * len(rungs)).reshape(groups, -1).cumsum(axis=1)
        for values in (np.ones(len(wrong)), wrong)
    )
    found, share_wrong = (size > 0).sum(axis=0), errors.sum(axis=0) / rungs
    several = np.maximum(found, 2)
    spread = np.maximum(rungs * share_wrong * (1 - share_wrong), 1e-12)
    seen = several / (several - 1) * ((errors - share_wrong * size) ** 2).sum(axis=0) / spread
    expected = 1 + ((size**2).sum(axis=0) / rungs - 1) * _likeness(wrong, people)
    few = [(student_quantile(tail, int(one) - 1) / normal) ** 2 if normal > 0 else 1.0 for one in several]
    return np.where(found < 2, np.inf, np.maximum(1.0, np.maximum(seen, expected)) * few)


def _likeness(wrong: NDArray, people: NDArray) -> float:
    """Return how alike one person's clips are, 0 to 1: the intraclass correlation of being wrong, from all clips.

    It is at least 1 / people: few people cannot show that people are alike (without it the bound broke too often).
    """
    size, errors = np.bincount(people), np.bincount(people, wrong)
    mean_size, value = (size.astype(float) ** 2).sum() / len(wrong), wrong.mean()
    if mean_size <= 1 or len(size) < 2:
        return 0.0
    effect = effect_of_subjects(errors, size, value, value * (1 - value))
    return float(np.clip((effect - 1) / (mean_size - 1), 1 / len(size), 1))


def _always(n: int, max_risk: float, confidence: float, subjects: int | None, why: str) -> Threshold:
    return Threshold(None, 0, 0, n, metrics.proportion(0, n), None, max_risk, confidence, subjects, why)


def _numbers(values: ArrayLike) -> NDArray[np.float64]:
    values = np.asarray(values, float)
    if values.ndim != 1 or not values.size or not np.isfinite(values).all():
        raise _bad(f"uncertainties of shape {values.shape}, or NaN among them", "(n,) finite numbers, n at least 1")
    return values


def as_bools(values: ArrayLike, shape: tuple[int, ...] | None = None) -> NDArray[np.bool_]:
    """Return values as an array of bool, (n,), or refuse them with the shape that was wanted."""
    values = np.asarray(values)
    if values.ndim != 1 or not values.size or values.dtype.kind != "b" or shape not in (None, values.shape):
        raise _bad(f"{values.dtype} of shape {values.shape}", f"bool of shape {shape or '(n,)'}, n at least 1")
    return values


def same_length(people: NDArray, n: int) -> NDArray:
    """Return subject numbers if there is one for each of n clips, or refuse them."""
    if len(people) != n:
        raise _bad(f"{len(people)} subjects for {n} clips", "one subject for each clip, None where it is not known")
    return people


def _bad(what: str, fix: str) -> InputError:
    return InputError(what, where="deferral", fix=fix)
