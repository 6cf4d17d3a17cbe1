"""The slice table: for whom does the shipped model do what the teacher did, and for whom not.

One row for each slice and metric, the worst first. A loss is tested exactly and corrected over all rows that are large
enough to be judged (Holm); "not worse" is shown by a bound, not by a missing p-value.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from edgecomp.audit import areas
from edgecomp.audit.intervals import Pairs, difference, pairs, share, subject_numbers
from edgecomp.audit.noninferiority import (
    FEWEST_CLIPS,
    VERDICTS,
    Verdict,
    best_bounds,
    checked_margin,
    exact_p,
    holm,
    lower_bounds,
    smallness,
    verdict,
)
from edgecomp.audit.slice_sets import Kind, Slice
from edgecomp.errors import InputError, nearest
from edgecomp.metrics import Estimate

Metric = Literal["accuracy", "sensitivity", "specificity", "AUROC"]


@dataclass(frozen=True)
class Answers:
    """What every model answered to the test clips; the first one is the teacher.

    decided:  model → (n,) class numbers, thresholds applied
    targets:  (n,) class numbers
    subjects: (n,) names, None or "" for one that is not stated; None where clips count as independent
    positive: the positive class of a binary task; None for more classes
    scores:   model → (n,) scores of the positive class, of a binary task; a model without scores has no AUROC
    """

    decided: Mapping[str, ArrayLike]
    targets: ArrayLike
    subjects: Sequence[str | None] | None = None
    positive: int | None = None
    scores: Mapping[str, ArrayLike] | None = None


PARTS = ("class × group", "subject")
"""Kinds of slices that are parts of others."""


@dataclass(frozen=True)
class Row:
    """One slice, judged by one metric.

    n, subjects: clips that the metric looks at, and how many people they are from (None: not known)
    values:     model → its figure
    difference: shipped minus teacher, on the same clips
    bound:      one-sided 95 % lower bound of the difference, which decides `kept`
    p, holm_p:  exact two-sided test of "no difference" (for AUROC: DeLong's), alone and adjusted over the family;
                holm_p is None for a row that was too small to enter the family
    why:        the reason of the verdict, to read on after it
    """

    slice: str
    kind: Kind
    metric: Metric
    n: int
    subjects: int | None
    values: Mapping[str, Estimate]
    difference: Estimate
    bound: float
    p: float
    holm_p: float | None
    verdict: Verdict
    why: str


@dataclass(frozen=True)
class SliceTable:
    """The rows, the worst first under the row(s) of all clips; counts: how many rows each verdict has."""

    rows: tuple[Row, ...]
    counts: Mapping[Verdict, int]
    margin: float


@dataclass(frozen=True)
class _Case:
    """A row before it is judged; smallness: why it cannot be, or None."""

    slice: Slice
    metric: Metric
    n: int
    subjects: int | None
    values: Mapping[str, Estimate]
    difference: Estimate
    p: float
    smallness: str | None
    counted: Pairs | None
    area: areas.AreaDifference | None


def audit_slices(answers: Answers, slices: Sequence[Slice], *, shipped: str, margin: float) -> SliceTable:
    """Compare the shipped model with the teacher on every slice.

    A metric that has no clips in a slice has no row; nor has one whose clips and question are those of an earlier row.
    shipped: the name of the model to judge; margin: the largest loss that is accepted, such as 0.03
    raises:  InputError for arrays that do not fit, an unknown model and a margin outside 0 to 1
    """
    margin = checked_margin(margin)
    decided, targets, subjects = _checked(answers, slices, shipped)
    cases = list(_cases(answers, decided, targets, subjects, slices, shipped))
    bounds, bests = _bounds(cases)
    family = [at for at, case in enumerate(cases) if case.smallness is None]
    adjusted = dict(zip(family, holm([cases[at].p for at in family]).tolist(), strict=True))
    rows = [
        _row(case, float(bound), float(best), adjusted.get(at), margin)
        for at, (case, bound, best) in enumerate(zip(cases, bounds, bests, strict=True))
    ]
    counts = {word: sum(row.verdict == word for row in rows) for word in VERDICTS}
    return SliceTable(tuple(sorted(rows, key=_urgency)), counts, margin)


def lost_slices(rows: Sequence[Row], allow_unclear: int | None) -> list[tuple[str, str]]:
    """Name the slices that fail the gate, with reasons: every lost one, and the unclear ones if they are too many.

    allow_unclear: how many rows may be unclear; None: any number
    returns: (name, reason), none where the gate passes
    """
    found = [(_name(row), f"lost: {row.why}") for row in rows if row.verdict == "lost"]
    unclear = [row for row in rows if row.verdict == "unclear"]
    if allow_unclear is not None and len(unclear) > allow_unclear:
        found += [(_name(row), f"unclear, {len(unclear)} where {allow_unclear} may be: {row.why}") for row in unclear]
    return found


def _name(row: Row) -> str:
    return row.slice if row.metric == "accuracy" else f"{row.slice}, {row.metric}"


def _urgency(row: Row) -> tuple:
    """Put the slice first that surely lost most, and its parts after it.

    By p-value a large slice would stand before a small one that lost more; and of many parts of a lost slice one has lost
    more than the whole by chance.
    """
    sure = (row.kind in PARTS, row.difference.high) if row.verdict == "lost" else (False, 0.0)
    return row.kind != "all", VERDICTS.index(row.verdict), *sure, row.difference.value, row.bound, row.slice, row.metric


def _row(case: _Case, bound: float, best: float, holm_p: float | None, margin: float) -> Row:
    word, why = (
        ("too small", case.smallness)
        if case.smallness is not None
        else verdict(
            case.difference.value, bound=bound, best=best, holm_p=1.0 if holm_p is None else holm_p, margin=margin
        )
    )
    return Row(
        slice=case.slice.name,
        kind=case.slice.kind,
        metric=case.metric,
        n=case.n,
        subjects=case.subjects,
        values=case.values,
        difference=case.difference,
        bound=bound,
        p=case.p,
        holm_p=holm_p,
        verdict=word,
        why=why,
    )


def _bounds(cases: Sequence[_Case]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return every case's bound and the best it could have, all shares at once, which is fast."""
    bounds, bests = (np.array([getattr(case.area, end, 0.0) for case in cases]) for end in ("bound", "best"))
    shares = [at for at, case in enumerate(cases) if case.counted is not None]
    counted = [case.counted for case in cases if case.counted is not None]
    bounds[shares], bests[shares] = lower_bounds(counted), best_bounds(counted)
    return bounds, bests


def _cases(
    answers: Answers,
    decided: Mapping[str, NDArray],
    targets: NDArray,
    subjects: NDArray | None,
    slices: Sequence[Slice],
    shipped: str,
) -> Iterator[_Case]:
    seen = set()
    for one in slices:
        people = None if one.kind == "subject" else subjects
        for metric, asked in _metrics(answers, targets, one.members):
            question = metric, one.question(asked)
            if not asked.any() or question in seen:
                continue
            seen.add(question)
            if metric != "AUROC":
                yield _share_case(one, metric, asked, decided, targets, people, shipped)
            elif (case := _area_case(one, asked, answers, targets, people, shipped)) is not None:
                yield case


def _metrics(answers: Answers, targets: NDArray, members: NDArray) -> Iterator[tuple[Metric, NDArray]]:
    """Name the metrics of a task and the clips of a slice that each looks at."""
    if answers.positive is None:
        yield "accuracy", members
        return
    yield "sensitivity", members & (targets == answers.positive)
    yield "specificity", members & (targets != answers.positive)
    if answers.scores:
        yield "AUROC", members


def _share_case(
    one: Slice,
    metric: Metric,
    asked: NDArray,
    decided: Mapping[str, NDArray],
    targets: NDArray,
    people: NDArray | None,
    shipped: str,
) -> _Case:
    whose = None if people is None else people[asked]
    right = {name: given[asked] == targets[asked] for name, given in decided.items()}
    counted = pairs(right[shipped], right[next(iter(right))], whose)
    subjects = 1 if one.kind == "subject" else counted.subjects
    return _Case(
        slice=one,
        metric=metric,
        n=counted.n,
        subjects=subjects,
        values={name: share(each, whose) for name, each in right.items()},
        difference=difference(counted),
        p=exact_p(counted),
        smallness=smallness(counted.n, counted.subjects),
        counted=counted,
        area=None,
    )


def _area_case(
    one: Slice, asked: NDArray, answers: Answers, targets: NDArray, people: NDArray | None, shipped: str
) -> _Case | None:
    positive = targets[asked] == answers.positive
    teacher = next(iter(answers.decided))
    scores = {name: np.asarray(given, float)[asked] for name, given in (answers.scores or {}).items()}
    if positive.all() or not positive.any() or not {teacher, shipped} <= set(scores):
        return None
    whose = None if people is None else people[asked]
    found = areas.area_difference(scores[shipped], scores[teacher], positive, whose)
    people_in = None if whose is None else len(np.unique(whose))
    fewer = int(min(positive.sum(), (~positive).sum()))
    why = smallness(fewer, people_in)
    return _Case(
        slice=one,
        metric="AUROC",
        n=int(asked.sum()),
        subjects=1 if one.kind == "subject" else people_in,
        values={name: areas.area(scores[name], positive, whose) for name in answers.decided if name in scores},
        difference=found.difference,
        p=found.p,
        smallness=f"the smaller class has {why}" if why and fewer < FEWEST_CLIPS else why,
        counted=None,
        area=found,
    )


def _checked(
    answers: Answers, slices: Sequence[Slice], shipped: str
) -> tuple[dict[str, NDArray], NDArray, NDArray | None]:
    targets = np.asarray(answers.targets)
    decided = {name: np.asarray(given) for name, given in answers.decided.items()}
    if shipped not in decided:
        raise InputError(f"no answers of {shipped!r}", where="audit", fix=nearest(shipped, decided))
    if targets.ndim != 1 or not targets.size:
        raise InputError(f"targets of shape {targets.shape}", where="audit", fix="(n,), n at least 1")
    sizes = {f"answers of {name}": given.shape for name, given in decided.items()}
    sizes |= {f"scores of {name}": np.shape(given) for name, given in (answers.scores or {}).items()}
    sizes |= {one.name: one.members.shape for one in slices}
    if answers.subjects is not None:
        sizes["subjects"] = (len(answers.subjects),)
    wrong = {name: shape for name, shape in sizes.items() if shape != targets.shape}
    if wrong:
        raise InputError(
            f"{targets.size} targets, but {', '.join(f'{name} {shape}' for name, shape in wrong.items())}",
            where="audit",
            fix="one value for each clip",
        )
    return decided, targets, subject_numbers(answers.subjects)
