"""On whom the asking falls: how often each slice is deferred, and whether that is more than chance would give it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from edgecomp.audit.deferral import as_bools, same_length
from edgecomp.audit.intervals import share, subject_numbers
from edgecomp.audit.noninferiority import holm
from edgecomp.audit.quantiles import student_above
from edgecomp.metrics import Estimate


@dataclass(frozen=True)
class SliceRate:
    """How often a slice is deferred. is_above: more often than the other clips, beyond chance (Holm's p below 0.05)."""

    name: str
    rate: Estimate
    holm_p: float
    is_above: bool


def deferral_rates(
    asked: ArrayLike, slices: Mapping[str, ArrayLike], subjects: ArrayLike | None = None
) -> tuple[SliceRate, ...]:
    """Return how often each slice is deferred, and whether the asking falls on it beyond chance; empty ones are left out.

    The test is one-sided and exact (hypergeometric) against the other clips, corrected over slices (Holm). Where subjects
    are given a score test by subject must agree, so the larger p counts; one subject alone shows nothing about a group.

    asked: (n,) bool; slices: (n,) bool by name
    """
    asked = as_bools(asked)
    people = None if subjects is None else same_length(subject_numbers(subjects), len(asked))
    inside = {name: as_bools(slice_, asked.shape) for name, slice_ in slices.items()}
    inside = {name: slice_ for name, slice_ in inside.items() if slice_.any()}
    p_values = [
        max(_fisher_above(asked, slice_), 0.0 if people is None else _score_above(asked, slice_, people))
        for slice_ in inside.values()
    ]
    corrected = holm(p_values) if p_values else []
    return tuple(
        SliceRate(name, share(asked[slice_], None if people is None else people[slice_]), float(p), bool(p < 0.05))
        for (name, slice_), p in zip(inside.items(), corrected, strict=True)
    )


def _fisher_above(asked: NDArray, inside: NDArray) -> float:
    """Return the chance that as many or more of the asked would fall into the slice, all splits being alike."""
    n, drawn, marked = len(asked), int(inside.sum()), int(asked.sum())
    logs = np.r_[0.0, np.cumsum(np.log(np.arange(1, n + 1)))]

    def ways(of: int | NDArray, chosen: int | NDArray) -> NDArray:
        return logs[of] - logs[chosen] - logs[of - chosen]

    hits = np.arange(max(int((asked & inside).sum()), drawn + marked - n), min(drawn, marked) + 1)
    return float(min(1.0, np.exp(ways(marked, hits) + ways(n - marked, drawn - hits) - ways(n, drawn)).sum()))


def _score_above(asked: NDArray, inside: NDArray, people: NDArray) -> float:
    """Return the one-sided p of the difference in rates, its variance by subject and as if there were none."""
    groups = min(np.unique(people[inside]).size, np.unique(people[~inside]).size)
    if groups < 2:
        return 1.0
    pull = (asked - asked.mean()) * np.where(inside, 1 / inside.sum(), -1 / (~inside).sum())
    each = np.bincount(people, pull)
    spread = float(np.sqrt((each**2).sum() * groups / (groups - 1)))
    return student_above(float(pull.sum()) / spread, groups - 1) if spread > 0 else 1.0
