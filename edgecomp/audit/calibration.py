"""Calibration: one scale and one shift per class make a model's probabilities mean what they say.

Fit on the validation split, after int8, from the logits of the file that ships; both numbers fold into its last layer.
Calibration never changes the order of a binary score; a temperature never changes which class is the most probable.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from edgecomp import metrics
from edgecomp.audit.intervals import subject_numbers
from edgecomp.audit.quantiles import student_quantile
from edgecomp.errors import InputError
from edgecomp.metrics import Estimate

LOWEST_SCALE, HIGHEST_SCALE = 0.05, 20.0
"""Beyond these a model's logits are noise or a decision, and the data say no more about how sure it may be."""
FEWEST_CLIPS = 50
"""With 30, fitting made a model whose scale is off by a fifth worse on new clips (0.012 nats), with 50 a little better
(0.002); one that was calibrated already loses 0.010 with 50 (benchmarks/deferral_simulations.py, part "temperature")."""
FEWEST_OF_A_CLASS = 5
"""Platt's slope rests on the smaller class."""
DRAWS = 500
GRID = 25


@dataclass(frozen=True)
class Calibration:
    """Probabilities are softmax(scale × logits + shift).

    scale: 1 / temperature
    shift: one number for each class
    note:  why nothing was fitted, or what a reader of the numbers must know; None where all is well
    """

    scale: float
    shift: tuple[float, ...]
    note: str | None = None

    def probabilities(self, logits: ArrayLike) -> NDArray[np.float64]:
        """Return calibrated probabilities, (n, classes) from logits (n, classes)."""
        logits = np.asarray(logits, float)
        if logits.ndim != 2 or logits.shape[1] != len(self.shift):
            raise _bad(f"logits {logits.shape}", f"(n, {len(self.shift)}), as the calibration was fitted")
        return np.exp(_log_softmax(self.scale * logits + np.array(self.shift)))


def identity(classes: int, note: str | None = None) -> Calibration:
    """Return the calibration that changes nothing."""
    return Calibration(1.0, (0.0,) * classes, note)


def fit_temperature(logits: ArrayLike, targets: ArrayLike) -> Calibration:
    """Return the scale that gives the least log loss, between LOWEST_SCALE and HIGHEST_SCALE; all shifts are 0.

    Where no clip is wrong the log loss falls without end as the scale grows. The right class then counts (n + 1) / (n + 2)
    and the others share the rest, as Platt smooths his targets.

    logits:  (n, classes), classes at least 2; targets: (n,) class numbers
    returns: the identity and a note for fewer than FEWEST_CLIPS clips, one class only, or logits without differences
    raises:  InputError for NaN, infinity or arrays that do not fit
    source:  Guo et al. 2017, arXiv:1706.04599, section 4.2
    """
    logits, targets = _checked(logits, targets)
    n, classes = logits.shape
    seen = np.unique(targets).size
    if n < FEWEST_CLIPS:
        return identity(classes, f"not calibrated: {n} clips, and a temperature needs {FEWEST_CLIPS}")
    if seen < 2:
        return identity(classes, "not calibrated: all clips are of one class")
    if np.ptp(logits, axis=1).max() < 1e-9:
        return identity(classes, "not calibrated: the model gives all classes the same logit")
    truth, note = np.eye(classes)[targets], None
    if (logits[np.arange(n), targets] >= logits.max(axis=1)).all():
        truth = truth * (n + 1) / (n + 2) + (1 - truth) / (n + 2) / (classes - 1)
        note = "no clip is wrong, so the right class was counted (n + 1) / (n + 2)"
    elif seen < classes:
        note = f"{classes - seen} of {classes} classes have no clip here"
    wanted = (truth * logits).sum(axis=1).mean()  # the loss falls while the expected logit is below this

    def slope(scale: float) -> float:
        return (np.exp(_log_softmax(scale * logits)) * logits).sum(axis=1).mean() - wanted

    low, high = LOWEST_SCALE, HIGHEST_SCALE
    if slope(low) >= 0:
        return Calibration(low, (0.0,) * classes, f"the logits say little: the scale is held at {low}")
    if slope(high) <= 0:
        return Calibration(high, (0.0,) * classes, f"the logits are tiny: the scale is held at {high}")
    for _ in range(60):  # the slope grows with the scale, so halving the interval (in logs) finds its zero
        middle = float(np.sqrt(low * high))
        low, high = (middle, high) if slope(middle) < 0 else (low, middle)
    return Calibration(float(np.sqrt(low * high)), (0.0,) * classes, note)


def fit_platt(logits: ArrayLike, targets: ArrayLike, positive: int) -> Calibration:
    """Return Platt's slope and offset for a binary model: the scale is the slope, the offset the positive's shift.

    The slope stays between LOWEST_SCALE and HIGHEST_SCALE, so the order of the scores is never turned round. A threshold
    on the probability moves with it: choose it again afterwards.

    logits:   (n, 2); targets: (n,) 0 or 1; positive: 0 or 1, the class that the shift belongs to
    returns:  the identity and a note for fewer than FEWEST_CLIPS clips, fewer than FEWEST_OF_A_CLASS of either class, or
              equal scores
    raises:   InputError for NaN, infinity or arrays that do not fit
    source:   Platt 1999 (smoothed targets); Newton iteration: Lin, Lin and Weng 2007, doi:10.1007/s10994-007-5018-6
    """
    logits, targets = _checked(logits, targets)
    if logits.shape[1] != 2 or positive not in (0, 1):
        raise _bad(f"logits {logits.shape}, positive {positive!r}", "two classes, and positive is 0 or 1")
    score, is_positive = logits[:, positive] - logits[:, 1 - positive], targets == positive
    n, found = len(score), int(is_positive.sum())
    if n < FEWEST_CLIPS or min(found, n - found) < FEWEST_OF_A_CLASS:
        needs = f"Platt's method needs {FEWEST_CLIPS}, {FEWEST_OF_A_CLASS} of each class"
        return identity(2, f"not calibrated: {found} positive and {n - found} negative clips; {needs}")
    if np.ptp(score) < 1e-9:
        return identity(2, "not calibrated: the model gives every clip the same score")
    wanted = np.where(is_positive, (found + 1) / (found + 2), 1 / (n - found + 2))
    slope, offset, note = *_newton(score, wanted, None), None
    if not LOWEST_SCALE <= slope <= HIGHEST_SCALE:
        why = "say little or point the wrong way" if slope < LOWEST_SCALE else "lie very close together"
        slope = float(np.clip(slope, LOWEST_SCALE, HIGHEST_SCALE))
        slope, offset = _newton(score, wanted, slope)
        note = f"the scores {why}: the slope is held at {slope}"
    return Calibration(slope, tuple(offset if number == positive else 0.0 for number in (0, 1)), note)


def calibration_error_interval(
    probabilities: ArrayLike, targets: ArrayLike, bins: int = 15, subjects: ArrayLike | None = None, seed: int = 0
) -> Estimate:
    """Estimate the expected calibration error over bins of equal count, without its upward bias.

    The plain error (metrics.calibration_error) is above 0 by chance even for a perfect model. So answers are drawn from
    models whose error is known, from 0 upwards, and lies over the bins in three ways (see _shapes); the interval holds
    the errors that would give the plain error seen here or more, and that or less, in at least 2.5 % of draws each, for
    any of the three; the value gives it in the median. The plain error may therefore lie above the interval. It is
    widened to drawing whole subjects where they are given.

    probabilities: (n, classes); targets: (n,); subjects: (n,) names or numbers, None for a clip of its own
    source: drawing from calibrated models: Bröcker and Smith 2007, doi:10.1175/WAF993.1; the bias: Kumar et al. 2019,
            arXiv:1909.10155; coverage: benchmarks/deferral_simulations.py, part "calibration error"
    """
    plain = metrics.calibration_error(probabilities, targets, bins)  # it checks the arrays too
    probabilities, targets = np.asarray(probabilities, float), np.asarray(targets)
    confidence, right = probabilities.max(axis=1), probabilities.argmax(axis=1) == targets
    edges = np.unique(np.sort(confidence)[np.arange(1, bins) * confidence.size // bins])
    _, place = np.unique(np.searchsorted(edges, confidence, side="right"), return_inverse=True)
    count = np.bincount(place)
    mean, gap = np.bincount(place, confidence) / count, np.bincount(place, right - confidence) / count
    weight, chance = count / count.sum(), mean * (1 - mean) / count
    reach = np.linspace(0, min(1.0, 2 * plain + 5 * float(np.sqrt(weight**2 @ chance)) + 0.01), GRID)
    random = np.random.default_rng(seed)
    noise = None
    if subjects is not None:
        noise = _noise_by_subject(right - confidence, place, subject_numbers(subjects), np.random.default_rng(seed + 1))
    found = []
    for shape in _shapes(gap, chance, mean, weight):
        truths = np.clip(mean + reach[:, None] * shape, 0, 1)
        errors = np.abs(truths - mean) @ weight
        drawn = random.binomial(count, truths, size=(DRAWS, *truths.shape)) / count
        found.append(_errors_that_give(plain, errors, np.abs(drawn - mean) @ weight))
        if noise is not None:
            wide = _errors_that_give(plain, errors, np.abs((truths - mean)[None] + noise[:, None]) @ weight)
            found.append((found[-1][0], *wide[1:]))
    middle, lows, highs = zip(*found, strict=True)
    if subjects is not None and noise is None:  # one subject says nothing about others
        lows, highs = (0.0,), (1.0,)
    return Estimate(float(np.median(middle)), min(*lows, *middle), max(*highs, *middle), len(targets))


def brier_interval(probabilities: ArrayLike, targets: ArrayLike, subjects: ArrayLike | None = None) -> Estimate:
    """Estimate Brier's score, 0 to 2, as metrics.brier counts it, with a normal interval.

    subjects: where given, the interval covers a bootstrap by subject too
    """
    value = metrics.brier(probabilities, targets)
    probabilities = np.asarray(probabilities, float)
    each = ((probabilities - np.eye(probabilities.shape[1])[np.asarray(targets)]) ** 2).sum(axis=1)
    half = metrics.Z * float(each.std(ddof=1)) / np.sqrt(len(each)) if len(each) > 1 else 2.0
    low, high = value - half, value + half
    if subjects is not None:
        by_subject = metrics.subject_bootstrap(each, subject_numbers(subjects))
        low, high = min(low, by_subject[0]), max(high, by_subject[1])
    return Estimate(value, max(0.0, float(low)), min(2.0, float(high)), len(each))


def _shapes(gap: NDArray, chance: NDArray, mean: NDArray, weight: NDArray) -> list[NDArray]:
    """Return three ways in which the gaps may truly lie over the bins, each of mean absolute gap 1.

    What is left of the gaps when their noise is taken off, the straight line through them, and equal gaps.
    """
    side = np.where(gap > 0, 1.0, -1.0)
    left = side * np.sqrt(np.maximum(gap**2 - chance, 0)) + 1e-6 * side
    root = np.sqrt(weight)
    line = np.stack([np.ones_like(mean), mean], axis=1)
    straight = line @ np.linalg.lstsq(line * root[:, None], gap * root, rcond=None)[0] + 1e-6
    even = np.full_like(gap, np.sign(weight @ gap) or 1.0)
    return [shape / (weight @ np.abs(shape)) for shape in (left, straight, even)]


def _errors_that_give(plain: float, errors: NDArray, drawn: NDArray) -> tuple[float, float, float]:
    """Return the true error (median, low, high) that explains a plain one; drawn: (draws, grid) plain errors."""
    curves = np.maximum.accumulate(np.quantile(drawn, [0.5, 0.975, 0.025], axis=0), axis=1)
    return tuple(float(np.interp(plain, curve, errors)) if plain > curve[0] else 0.0 for curve in curves)


def _noise_by_subject(miss: NDArray, place: NDArray, subjects: NDArray, random: np.random.Generator) -> NDArray | None:
    """Draw how much the gap of every bin varies by subject, (draws, bins); None for one subject."""
    groups, bins = subjects.max() + 1, place.max() + 1
    if groups < 2:
        return None
    count = np.bincount(place)
    centred = miss - (np.bincount(place, miss) / count)[place]
    table = np.bincount(subjects * bins + place, centred, minlength=groups * bins).reshape(groups, bins) / count
    wider = np.sqrt(groups / (groups - 1)) * student_quantile(0.025, int(groups) - 1) / metrics.Z
    return wider * (random.multinomial(groups, np.full(groups, 1 / groups), size=DRAWS) - 1) @ table


def _newton(score: NDArray, wanted: NDArray, slope: float | None) -> tuple[float, float]:
    """Return the slope and offset of least log loss; a slope that is given stays as it is."""
    is_free = slope is None
    spread = float(score.std())
    columns = np.stack([score / spread if is_free else np.zeros_like(score), np.ones_like(score)], axis=1)
    fixed = 0.0 if is_free else slope * score
    share = wanted.mean()
    at = np.array([0.0, np.log(share / (1 - share))])

    def loss(point: NDArray) -> float:
        logit = fixed + columns @ point
        return float((np.logaddexp(0, logit) - wanted * logit).sum())

    for _ in range(100):
        p = 1 / (1 + np.exp(-np.clip(fixed + columns @ at, -500, 500)))
        gradient = columns.T @ (p - wanted)
        if np.abs(gradient).max() < 1e-9 * len(score):
            break
        step = np.linalg.solve(columns.T * (p * (1 - p)) @ columns + 1e-10 * np.eye(2), -gradient)
        size = 1.0
        while size > 1e-10 and loss(at + size * step) > loss(at) + 1e-4 * size * float(gradient @ step):
            size /= 2
        if size <= 1e-10:
            break
        at = at + size * step
    return (float(at[0]) / spread if is_free else slope), float(at[1])


def _log_softmax(logits: NDArray) -> NDArray:
    centred = logits - logits.max(axis=1, keepdims=True)
    return centred - np.log(np.exp(centred).sum(axis=1, keepdims=True))


def _checked(logits: ArrayLike, targets: ArrayLike) -> tuple[NDArray, NDArray]:
    logits, targets = np.asarray(logits, float), np.asarray(targets)
    if logits.ndim != 2 or logits.shape[1] < 2 or targets.shape != logits.shape[:1] or not targets.size:
        raise _bad(f"logits {logits.shape} for targets {targets.shape}", "(n, classes) and (n,), two classes or more")
    if not np.isfinite(logits).all():
        raise _bad("NaN or infinity among the logits", "look at the model that gave them")
    if targets.dtype.kind not in "iu" or targets.min() < 0 or targets.max() >= logits.shape[1]:
        raise _bad(f"targets {targets.dtype} outside the classes", f"class numbers from 0 to {logits.shape[1] - 1}")
    return logits, targets


def _bad(what: str, fix: str) -> InputError:
    return InputError(what, where="calibration", fix=fix)
