"""How good answers are, and how sure that is: plain functions on numpy arrays, each with a 95 % interval.

Nothing here reads a file or knows a model. Labels and predictions are class numbers (n,); probabilities are
(n, classes); a binary score is (n,), larger means more positive; a subject names who a clip is from.
"""

from __future__ import annotations

from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import ArrayLike, NDArray

from edgecomp.errors import GateError, InputError

Z = NormalDist().inv_cdf(0.975)
RESAMPLES = 2000
"""Bootstrap resamples: beyond each end of a 95 % interval then lie 50 of them."""
SMALLEST_SPREAD = 0.01
"""Half the mean difference that int8 may have (0.02): outputs that move less agree with anything."""


@dataclass(frozen=True)
class Estimate:
    """A figure and its 95 % interval. n: the clips, pairs or rounds behind it."""

    value: float
    low: float
    high: float
    n: int


@dataclass(frozen=True)
class ReliabilityBin:
    """Clips of about equal confidence: how sure the model was on average, and how often it was right."""

    confidence: float
    accuracy: Estimate


@dataclass(frozen=True)
class Agreement:
    """How alike two models answer the same clips.

    decisions:       share of clips with the same most probable class
    mean_difference: mean absolute difference of probabilities, over all clips and classes
    largest_difference: the largest such difference
    """

    decisions: Estimate
    mean_difference: float
    largest_difference: float


def proportion(successes: int, n: int) -> Estimate:
    """Estimate a share, with Wilson's score interval.

    source: Wilson 1927, doi:10.1080/01621459.1927.10502953
    raises: InputError if n is 0
    """
    if not 0 <= successes <= n or n == 0:
        raise InputError(f"{successes} of {n} is not a share", where="proportion", fix="at least one clip")
    return Estimate(successes / n, *_wilson(successes / n, n), n)


def auroc(scores: ArrayLike, labels: ArrayLike) -> Estimate:
    """Estimate the chance that a positive clip scores above a negative one; ties count half.

    labels: (n,) 0 or 1
    The interval is DeLong's variance on the logit scale, see area_interval. Where that is zero (perfect order) it would be
    empty, and Wilson's interval with the smaller class as n stands in.
    raises: InputError unless both classes are there
    source: DeLong et al. 1988, doi:10.2307/2531595; logit scale: Pepe 2003
    """
    scores, labels = _pair(scores, labels)
    positive, negative = scores[labels == 1], scores[labels == 0]
    m, n = positive.size, negative.size
    if not m or not n or m + n != labels.size:
        raise InputError(
            f"AUROC of {m} positive and {n} negative clips of {labels.size}",
            where="auroc",
            fix="labels are 0 and 1, and both must be there",
        )
    ranks = _midranks(scores)
    above_negative = (ranks[labels == 1] - _midranks(positive)) / n  # per positive: share of negatives below it
    below_positive = 1 - (ranks[labels == 0] - _midranks(negative)) / m  # per negative: share of positives above it
    area = float(above_negative.mean())
    variance = sum(part.var(ddof=1) / part.size for part in (above_negative, below_positive) if part.size > 1)
    if variance <= 1e-15 or min(m, n) < 2 or not 0 < area < 1:
        return Estimate(area, *_wilson(area, min(m, n)), m + n)
    return Estimate(area, *area_interval(area, variance, min(m, n)), m + n)


def area_interval(area: float, variance: float, smaller: int, quantile: float = Z) -> tuple[float, float]:
    """Return the interval of an area on the logit scale, one comparison more being half won.

    Near 1 and with few clips the plain interval is too short: it held an area of 0.95 in 90 % of cases with 20 positives
    among 220 clips, and holds it in 95 % so (benchmarks/audit_simulations.py). The one more counts against twice the
    smaller class, as Agresti and Coull 1998, doi:10.1080/00031305.1998.10480550, add to a share.
    smaller: clips of the smaller class; quantile: Student's or the normal one
    """
    more = 1 / (2 * smaller + 1)
    centre = area + (0.5 - area) * more
    spread = float(np.sqrt(variance + more**2 / 4))
    logit, half = np.log(centre / (1 - centre)), quantile * spread / (centre * (1 - centre))
    low, high = (float(1 / (1 + np.exp(-np.clip(end, -700, 700)))) for end in (logit - half, logit + half))
    return min(low, area), max(high, area)


def confusion(predicted: ArrayLike, labels: ArrayLike, classes: int) -> NDArray[np.int64]:
    """Count answers: (classes, classes) int64, a row for each true class, a column for each answer."""
    predicted, labels = _pair(predicted, labels)
    if min(predicted.min(), labels.min()) < 0 or max(predicted.max(), labels.max()) >= classes:
        raise InputError(f"class numbers outside 0 to {classes - 1}", where="confusion", fix="classes is too small")
    flat = np.bincount(labels.astype(int) * classes + predicted.astype(int), minlength=classes * classes)
    return flat.reshape(classes, classes)


def sensitivity_and_specificity(scores: ArrayLike, labels: ArrayLike, threshold: float) -> tuple[Estimate, Estimate]:
    """Estimate the shares of positives found and of negatives left alone, when score >= threshold means positive."""
    scores, labels = _pair(scores, labels)
    found = scores >= threshold
    positive, negative = labels == 1, labels == 0
    return (
        proportion(int((found & positive).sum()), int(positive.sum())),
        proportion(int((~found & negative).sum()), int(negative.sum())),
    )


def threshold_for_sensitivity(scores: ArrayLike, labels: ArrayLike, minimum: float = 0.9) -> float:
    """Return the highest threshold that still finds this share of the positives; fit it on the validation split.

    It lies halfway to the next lower score, so that a difference of rounding on a phone loses nobody.
    raises: InputError without positives, or where minimum is outside 0 to 1
    """
    scores, labels = _pair(scores, labels)
    positive = np.sort(scores[labels == 1])[::-1]
    if not positive.size or not 0 < minimum <= 1:
        raise InputError(
            f"no threshold finds {minimum} of {positive.size} positives",
            where="threshold_for_sensitivity",
            fix="a split with positives; a minimum above 0, up to 1",
        )
    needed = int(np.ceil(minimum * positive.size - 1e-9))
    reached = positive[needed - 1]
    lower = scores[scores < reached]
    return float((reached + lower.max()) / 2) if lower.size else float(min(reached, reached / 2))


def brier(probabilities: ArrayLike, labels: ArrayLike) -> float:
    """Return Brier's score: mean squared distance to the truth, summed over classes; 0 is best, 2 is worst.

    For two classes it is twice the score that counts one class only.
    source: Brier 1950, doi:10.1175/1520-0493(1950)078<0001:VOFEIT>2.0.CO;2
    """
    probabilities, labels = _answers(probabilities, labels)
    truth = np.eye(probabilities.shape[1])[labels]
    return float(((probabilities - truth) ** 2).sum(axis=1).mean())


def reliability(probabilities: ArrayLike, labels: ArrayLike, bins: int = 15) -> tuple[ReliabilityBin, ...]:
    """Group clips by confidence into bins of about equal count, lowest first; equal confidences stay together."""
    probabilities, labels = _answers(probabilities, labels)
    confidence, right = probabilities.max(axis=1), probabilities.argmax(axis=1) == labels
    ordered = np.sort(confidence)
    edges = np.unique(ordered[np.arange(1, bins) * confidence.size // bins])
    place = np.searchsorted(edges, confidence, side="right")
    members = [place == number for number in np.unique(place)]
    return tuple(
        ReliabilityBin(float(confidence[one].mean()), proportion(int(right[one].sum()), int(one.sum())))
        for one in members
    )


def calibration_error(probabilities: ArrayLike, labels: ArrayLike, bins: int = 15) -> float:
    """Return the expected calibration error over bins of equal count.

    source: Nixon et al. 2019, arXiv:1904.01685 (equal mass); biased upward where a bin has few clips
    """
    rows = reliability(probabilities, labels, bins)
    total = sum(row.accuracy.n for row in rows)
    return sum(row.accuracy.n * abs(row.accuracy.value - row.confidence) for row in rows) / total


def agreement(reference: ArrayLike, other: ArrayLike, *, of: str = "two models") -> Agreement:
    """Compare the probabilities (n, classes) that two models gave the same clips.

    of:     what is compared, for the message
    raises: GateError where either has outputs that are not finite or hardly move: those agree with anything
    """
    reference, other = np.asarray(reference, float), np.asarray(other, float)
    if reference.shape != other.shape or reference.ndim != 2:
        raise InputError(
            f"probabilities of shapes {reference.shape} and {other.shape}", where=of, fix="both (n, classes)"
        )
    for name, answers in (("first", reference), ("second", other)):
        if not np.isfinite(answers).all():
            raise GateError(f"the {name} model answers with NaN or infinity", where=of, fix="look at the step before")
        if is_constant(answers):
            raise GateError(
                f"the {name} model gives every clip the same answer, which agrees with anything",
                where=of,
                fix="look at its training or its quantisation scales; compare two clips or more",
            )
    same = reference.argmax(axis=1) == other.argmax(axis=1)
    difference = np.abs(reference - other)
    return Agreement(proportion(int(same.sum()), same.size), float(difference.mean()), float(difference.max()))


def is_constant(probabilities: ArrayLike, smallest_spread: float = SMALLEST_SPREAD) -> bool:
    """Say whether no class's probability moves by more than smallest_spread over the clips."""
    probabilities = np.asarray(probabilities, float)
    return bool(np.ptp(probabilities, axis=0).max() <= smallest_spread)


def gives_labels_only(probabilities: ArrayLike) -> bool:
    """Say whether every answer is a bare label: all of the probability on one class."""
    probabilities = np.asarray(probabilities)
    return bool(probabilities.size) and bool(((probabilities == 0) | (probabilities == 1)).all())


def subject_bootstrap(values: ArrayLike, subjects: ArrayLike, seed: int = 0) -> tuple[float, float]:
    """Return the 95 % interval of a mean over clips, drawing whole subjects instead of clips.

    The percentiles are widened for few subjects, with Student's t; one subject gives an infinite interval.
    source: Hesterberg 2015, arXiv:1411.5279, "expanded percentile interval"
    """
    values, subjects = _pair(values, subjects)
    _, place = np.unique(subjects, return_inverse=True)
    sums = np.stack([np.bincount(place, values), np.bincount(place)], axis=1)
    groups = len(sums)
    if groups == 1:
        return -np.inf, np.inf
    draws = np.random.default_rng(seed).multinomial(groups, np.full(groups, 1 / groups), size=RESAMPLES) @ sums
    tail = NormalDist().cdf(-np.sqrt(groups / (groups - 1)) * student_t(groups - 1))
    low, high = np.quantile(draws[:, 0] / draws[:, 1], [tail, 1 - tail])
    return float(low), float(high)


def _wilson(share: float, n: int) -> tuple[float, float]:
    spread = Z * Z / n
    centre = (share + spread / 2) / (1 + spread)
    half = Z * np.sqrt(share * (1 - share) / n + spread / (4 * n)) / (1 + spread)
    return min(share, max(0.0, float(centre - half))), max(share, min(1.0, float(centre + half)))


def student_t(freedom: int) -> float:
    """Return the 97.5 % quantile of Student's t, by summing its density (in angle, where it has no long tail)."""
    angle = np.linspace(0, np.pi / 2, 20_001)  # t = sqrt(freedom) tan(angle): the density becomes cos^(freedom - 1)
    density = np.cos(angle) ** (freedom - 1)
    mass = np.concatenate([[0.0], np.cumsum((density[1:] + density[:-1]) / 2)])
    return float(np.sqrt(freedom) * np.tan(np.interp(0.95, mass / mass[-1], angle)))


def _midranks(values: NDArray) -> NDArray:
    """Return ranks from 1, equal values sharing the mean of theirs."""
    _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
    return (np.cumsum(counts) - (counts - 1) / 2)[place]


def _pair(first: ArrayLike, second: ArrayLike) -> tuple[NDArray, NDArray]:
    first, second = np.asarray(first), np.asarray(second)
    if first.shape != second.shape or first.ndim != 1 or not first.size:
        raise InputError(
            f"arrays of shapes {first.shape} and {second.shape}", where="metrics", fix="two of (n,), n at least 1"
        )
    if any(a.dtype.kind == "f" and not np.isfinite(a).all() for a in (first, second)):
        raise InputError("NaN or infinity among the values", where="metrics", fix="look at the model that gave them")
    return tuple(a.astype(float) if a.dtype.kind == "f" else a for a in (first, second))


def _answers(probabilities: ArrayLike, labels: ArrayLike) -> tuple[NDArray, NDArray]:
    probabilities, labels = np.asarray(probabilities, float), np.asarray(labels)
    if probabilities.ndim != 2 or labels.shape != probabilities.shape[:1] or not labels.size:
        raise InputError(
            f"probabilities {probabilities.shape} for labels {labels.shape}",
            where="metrics",
            fix="(n, classes) and (n,), n at least 1",
        )
    if not np.isfinite(probabilities).all():
        raise InputError(
            "NaN or infinity among the probabilities", where="metrics", fix="look at the model that gave them"
        )
    return probabilities, labels
