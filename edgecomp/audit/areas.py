"""Areas under the ROC curve of two models on the same clips: DeLong's paired difference, by subject where known."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from edgecomp import metrics
from edgecomp.audit.intervals import TAIL
from edgecomp.audit.quantiles import student_above, student_quantile
from edgecomp.errors import InputError
from edgecomp.metrics import Estimate


@dataclass(frozen=True)
class AreaDifference:
    """The student's area minus the teacher's.

    bound: one-sided 95 % lower bound
    best:  the bound that a student would reach who ranks every clip like the teacher
    p:     two-sided p-value of "no difference"; 1 where no clip's rank differs
    """

    difference: Estimate
    bound: float
    best: float
    p: float


def area(scores: ArrayLike, is_positive: ArrayLike, subjects: ArrayLike | None = None) -> Estimate:
    """Estimate one model's area; with subjects, the interval is widened to the variance by subject.

    scores:      (n,), larger means more positive
    is_positive: (n,) bool; subjects: (n,) subject numbers
    source:      metrics.auroc; by subject: Obuchowski 1997, doi:10.2307/2533958, on the logit scale, Student's t
    """
    by_clip = metrics.auroc(scores, np.asarray(is_positive, int))
    if subjects is None:
        return by_clip
    value, influence = _influence(scores, is_positive)
    variance, freedom = _variance(influence, is_positive, subjects, imaginary=None)
    if not np.isfinite(variance):
        return Estimate(by_clip.value, 0.0, 1.0, by_clip.n)
    if variance <= 1e-15 or freedom < 1 or not 0 < value < 1:
        return by_clip
    logit, half = (
        np.log(value / (1 - value)),
        student_quantile(TAIL, freedom) * np.sqrt(variance) / (value * (1 - value)),
    )
    low, high = (float(1 / (1 + np.exp(-np.clip(end, -700, 700)))) for end in (logit - half, logit + half))
    return Estimate(value, min(low, by_clip.low), max(high, by_clip.high), by_clip.n)


def area_difference(
    student: ArrayLike, teacher: ArrayLike, is_positive: ArrayLike, subjects: ArrayLike | None = None
) -> AreaDifference:
    """Compare the areas of two models that scored the same clips.

    DeLong's variance alone is too small where the student lost a few clips of many: the ones it did not happen to lose
    in this sample are missing from it. So it counts imaginary clips, one of each class: for the interval as discordant
    as the worst real one, for the bound turned from best to worst. benchmarks/audit_simulations.py
    measures the bound at the margin; with DeLong's variance alone up to 36 % were wrong (20 positives, 3 points).
    student, teacher: (n,) scores; is_positive, subjects: as in area
    raises: InputError unless both classes are there
    source: DeLong et al. 1988, doi:10.2307/2531595; by subject: Obuchowski 1997, doi:10.2307/2533958
    """
    ours, our_influence = _influence(student, is_positive)
    theirs, their_influence = _influence(teacher, is_positive)
    value, influence = ours - theirs, our_influence - their_influence
    n = len(influence)
    careful, freedom = _variance(influence, is_positive, subjects, imaginary=1.0)
    if not np.isfinite(careful) or freedom < 1:
        return AreaDifference(Estimate(value, -1.0, 1.0, n), -1.0, -1.0, 1.0)
    best = -student_quantile(0.05, freedom) * np.sqrt(_variance(0 * influence, is_positive, subjects, imaginary=1.0)[0])
    moves = bool(np.abs(influence).max() > 1e-12)
    variance = _variance(influence, is_positive, subjects, imaginary=0.0)[0] if moves else careful
    error = float(np.sqrt(variance))
    half = student_quantile(TAIL, freedom) * error
    return AreaDifference(
        difference=Estimate(value, max(-1.0, value - half), min(1.0, value + half), n),
        bound=max(-1.0, value - student_quantile(0.05, freedom) * float(np.sqrt(careful))),
        best=max(-1.0, float(best)),
        p=min(1.0, 2 * student_above(abs(value) / error, freedom)) if moves else 1.0,
    )


def _influence(scores: ArrayLike, is_positive: ArrayLike) -> tuple[float, NDArray]:
    """Return an area and how far each clip moves it: (n,), in sum 0; the squares' sum is about its variance."""
    scores, positive = np.asarray(scores, float), np.asarray(is_positive, bool)
    m, n = int(positive.sum()), int((~positive).sum())
    if scores.shape != positive.shape or scores.ndim != 1 or not m or not n or not np.isfinite(scores).all():
        raise InputError(
            f"AUROC of {m} positive and {n} negative clips, scores {scores.shape}",
            where="audit",
            fix="finite scores (n,), and both classes",
        )
    above, below = scores[positive], scores[~positive]
    ranked_above, ranked_below = np.sort(above), np.sort(below)
    influence = np.empty(scores.size)
    wins = (np.searchsorted(ranked_below, above, "left") + np.searchsorted(ranked_below, above, "right")) / (2 * n)
    beaten = 1 - (np.searchsorted(ranked_above, below, "left") + np.searchsorted(ranked_above, below, "right")) / (
        2 * m
    )
    value = float(wins.mean())
    influence[positive], influence[~positive] = (wins - value) / m, (beaten - value) / n
    return value, influence


def _variance(
    influence: NDArray, is_positive: ArrayLike, subjects: ArrayLike | None, imaginary: float | None
) -> tuple[float, int]:
    """Return a variance and its degrees of freedom: DeLong's by clip, or by subject if that is larger.

    imaginary: how far one more clip of each class is moved, 0 to 1, or as far as the worst real one; None: no such clip
    """
    positive, by_clip, added = np.asarray(is_positive, bool), 0.0, 0.0
    for part in (influence[positive], influence[~positive]):
        ddof = part.size / max(part.size - 1, 1)
        by_clip += float((part**2).sum()) * ddof
        if imaginary is not None:
            added += max(float((part**2).max()), (imaginary / part.size) ** 2) * ddof
    freedom = min(int(positive.sum()), int((~positive).sum())) - 1
    if subjects is None:
        return by_clip + added, freedom
    place = np.unique(np.asarray(subjects), return_inverse=True)[1]
    groups = int(place.max()) + 1
    if groups < 2:
        return float("inf"), 0
    by_subject = groups / (groups - 1) * float((np.bincount(place, influence) ** 2).sum())
    return max(by_clip, by_subject) + added, min(freedom, groups - 1)
