"""The slice table: for whom does the shipped model do what the teacher did, and for whom not.

One row for each slice and metric. A loss is tested exactly and corrected over all rows that are large enough to be judged
(Holm, labels and groups weighing as much as all finer slices together); "not worse" is shown by a bound, not by a missing
p-value. What was lost comes first, and with it what surely lost more than all other clips (see excess.py) though its own
verdict is unclear: groups, which say whom, then labels, then their parts, then kinds of clips, which say nothing of whom;
and among them the slice first whose excess is the surest.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgecomp.audit.excess import about
from edgecomp.audit.noninferiority import (
    VERDICTS,
    Verdict,
    best_bounds,
    checked_margin,
    holm,
    lower_bounds,
    verdict,
)
from edgecomp.audit.slice_cases import Answers, Case, Metric, cases_of, checked
from edgecomp.audit.slice_sets import Kind, Slice
from edgecomp.metrics import Estimate

__all__ = ["Answers", "Row", "SliceTable", "audit_slices", "lost_slices"]

ORDER = ("whom", "what", "parts", "clips")
"""In which a reader meets what was lost."""


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
    beyond:     how much surer of the right label than the teacher it is here (for AUROC: the difference), minus the same on
                all other clips; None where there are none to hold it against
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
    beyond: Estimate | None = None


@dataclass(frozen=True)
class SliceTable:
    """The rows, in their order under the row(s) of all clips; counts: how many rows each verdict has."""

    rows: tuple[Row, ...]
    counts: Mapping[Verdict, int]
    margin: float


def audit_slices(answers: Answers, slices: Sequence[Slice], *, shipped: str, margin: float) -> SliceTable:
    """Compare the shipped model with the teacher on every slice.

    A metric that has no clips in a slice has no row; nor has one whose clips and question are those of an earlier row.
    shipped: the name of the model to judge; margin: the largest loss that is accepted, such as 0.03
    raises:  InputError for arrays that do not fit, an unknown model and a margin outside 0 to 1
    """
    margin = checked_margin(margin)
    decided, targets, subjects = checked(answers, slices, shipped)
    cases = list(cases_of(answers, decided, targets, subjects, slices, shipped))
    bounds, bests = _bounds(cases)
    family = [at for at, case in enumerate(cases) if case.smallness is None]
    adjusted = dict(zip(family, holm([cases[at].p for at in family], _weights(cases, family)).tolist(), strict=True))
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
    """Put what was lost first, and there the slice that surely lost most beyond the other clips.

    A slice that surely lost more than the others stands among the lost ones even where too few clips say by how much: an
    accent that was left out of the distillation loses about as much as the margin, and a condition that is hard for every
    small student, such as noise, loses more, on more clips.
    By p-value a large slice would stand before a small one that lost more; by its own loss a slice that is hard for any
    student would stand before the one that this student was harmed on; and of many parts of a slice one has lost more than
    the whole by chance. Students of `keywords` are worse on one label, `unknown`, whoever speaks: that must be read, but it
    says nothing of whom.
    """
    beyond = row.beyond.high if row.beyond is not None else 0.0
    stands_out = row.verdict == "unclear" and beyond < 0
    return (
        row.kind != "all",
        VERDICTS.index("lost" if stands_out else row.verdict),
        ORDER.index(about(row.kind)),
        beyond,
        row.difference.value,
        row.slice,
        row.metric,
    )


def _weights(cases: Sequence[Case], family: Sequence[int]) -> list[float]:
    """Return the weights of a family's members in Holm's method.

    There are far more parts (two hundred, of `keywords`) than labels and groups (two dozen). All alike, the parts would take
    nearly all of the 5 % for themselves, and a group would have to lose twice as much to be found; so the labels and groups
    together get half of it, or more where they are more.
    """
    whom = [about(cases[at].slice.kind) in ("whom", "what") for at in family]
    heavy = max(1.0, (len(whom) - sum(whom)) / max(sum(whom), 1))
    return [heavy if one else 1.0 for one in whom]


def _row(case: Case, bound: float, best: float, holm_p: float | None, margin: float) -> Row:
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
        beyond=case.beyond,
    )


def _bounds(cases: Sequence[Case]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return every case's bound and the best it could have, all shares at once, which is fast."""
    bounds, bests = (np.array([getattr(case.area, end, 0.0) for case in cases]) for end in ("bound", "best"))
    shares = [at for at, case in enumerate(cases) if case.counted is not None]
    counted = [case.counted for case in cases if case.counted is not None]
    bounds[shares], bests[shares] = lower_bounds(counted), best_bounds(counted)
    return bounds, bests
