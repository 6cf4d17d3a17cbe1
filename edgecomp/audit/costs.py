"""The money question: what stays local, what it costs, how good it is, and when the compile has paid for itself."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from edgecomp.audit.deferral import with_teacher
from edgecomp.errors import InputError
from edgecomp.metrics import Estimate, proportion

TEACHER, LOCAL, SHIPPED = "everything to the teacher", "everything local", "as shipped"
SHARES = (0.5, 0.8, 0.9, 0.95)


@dataclass(frozen=True)
class Costs:
    """What a call costs, in one currency.

    teacher_call: one answer of the teacher, with its network, server or clinician
    local_call:   one answer on the device; it is paid for every clip, also where the teacher is asked afterwards
    compile:      once, for making and checking the local model
    """

    teacher_call: float
    local_call: float
    compile: float = 0.0
    currency: str = ""

    def __post_init__(self) -> None:
        for name in ("teacher_call", "local_call", "compile"):
            value = getattr(self, name)
            if not isinstance(value, (int, float)) or not math.isfinite(value) or value < 0:
                raise InputError(f"{name} of {value!r}", where="costs", fix="a number that is finite and not negative")


@dataclass(frozen=True)
class CostRow:
    """One way to run.

    local:      share of clips that the device answers
    per_1000:   cost of 1,000 calls, without the compile
    paid_after: calls after which this way, with the compile, costs no more than asking the teacher always; None = never
    """

    name: str
    local: Estimate
    per_1000: float
    accuracy: Estimate
    paid_after: int | None


@dataclass(frozen=True)
class CostTable:
    """The rows, the unit of their costs, and what a reader must know."""

    rows: tuple[CostRow, ...]
    unit: str
    note: str | None


def cost_table(
    asked: ArrayLike,
    student_right: ArrayLike,
    teacher_right: ArrayLike,
    costs: Costs | None = None,
    *,
    others: Mapping[str, ArrayLike] | None = None,
    subjects: ArrayLike | None = None,
) -> CostTable:
    """Compare asking the teacher always, never, and as shipped, on the same clips.

    asked, student_right, teacher_right: (n,) bool, of the test split
    costs:    where None, costs are counted in teacher calls, a local one being free, and nothing is said about paying off
    others:   more ways to ask by name, (n,) bool each, such as asked_at gives; the risk bound is not for them
    subjects: (n,), as in with_teacher
    """
    asked = np.asarray(asked)
    ways = {TEACHER: np.ones(asked.shape, bool), LOCAL: np.zeros(asked.shape, bool), SHIPPED: asked, **(others or {})}
    prices = costs or Costs(teacher_call=1, local_call=0)
    rows = []
    for name, way in ways.items():
        accuracy = with_teacher(way, student_right, teacher_right, subjects)
        share_asked = proportion(int(np.sum(way)), accuracy.n)
        local = Estimate(1 - share_asked.value, 1 - share_asked.high, 1 - share_asked.low, accuracy.n)
        # without the device there is no local call to pay
        each = prices.teacher_call * share_asked.value + (0 if name == TEACHER else prices.local_call)
        paid = None if costs is None or name == TEACHER else _paid_after(costs, each)
        rows.append(CostRow(name, local, 1000 * each, accuracy, paid))
    if costs is None:
        return CostTable(tuple(rows), "teacher calls", "no costs given: a teacher call counts 1, a local one nothing")
    return CostTable(tuple(rows), costs.currency or "currency not stated", None)


def asked_at(uncertainty: ArrayLike, shares: Sequence[float] = SHARES) -> dict[str, NDArray[np.bool_]]:
    """Return which clips would be asked if about these shares stayed local, surest first, by name.

    Equal uncertainties stay together, so a share may be exceeded. It looks at the clips themselves: for reading only.
    """
    uncertainty = np.asarray(uncertainty, float)
    if uncertainty.ndim != 1 or not uncertainty.size or not np.isfinite(uncertainty).all():
        raise InputError(
            f"uncertainties of shape {uncertainty.shape}, or NaN among them", where="costs", fix="(n,) finite numbers"
        )
    if any(not 0 < share <= 1 for share in shares):
        raise InputError(f"shares {tuple(shares)}", where="costs", fix="above 0, up to 1")
    ordered = np.sort(uncertainty)
    cuts = {share: ordered[math.ceil(share * len(ordered) - 1e-9) - 1] for share in shares}
    return {f"{100 * share:g} % local": uncertainty > cut for share, cut in cuts.items()}


def _paid_after(costs: Costs, each: float) -> int | None:
    """Return the calls after which the saving has paid for the compile; 1e-9 of a call is rounding, not a call."""
    saving = costs.teacher_call - each
    return math.ceil(costs.compile / saving - 1e-9) if saving > 1e-12 * costs.teacher_call else None
