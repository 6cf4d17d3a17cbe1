"""What a slice lost beyond the other clips: how the slice that was specially harmed is told from the hard ones.

Any small student loses a little everywhere, and more where it is noisy. So the difference to the teacher inside a slice is
held against the same difference on all clips outside of it; what is left is the slice's own. Where probabilities are known
that difference is one of the right label's probability: a decision is the same number cut to 0 or 1, and of students harmed
on one accent it told half as much (six students each, benchmarks/planted_loss.py: 1.0 to 3.2 standard errors against 1.1 to
4.1 for a harm by leaving the accent out, 1.3 to 5.4 against 5.3 to 7.9 for one by noise).
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from edgecomp.audit.areas import influence
from edgecomp.audit.intervals import TAIL
from edgecomp.audit.quantiles import student_quantile
from edgecomp.metrics import Estimate

About = Literal["whom", "what", "parts", "clips"]
"""What a slice answers: for whom (groups), what they say (labels), which part of these, or only on which clips."""
Moved = tuple[float, NDArray]
"""The student's figure minus the teacher's on some clips, and how far each of all clips moves it: (n,), 0 for the others."""


def about(kind: str) -> About:
    """Say what kind of answer a kind of slice gives."""
    if kind in ("all", "group"):
        return "whom"
    if kind in ("class", "rare classes"):
        return "what"
    return "parts" if kind in ("class × group", "subject") else "clips"


def excess(
    inside: Moved, outside: Moved, asked: NDArray[np.bool_], others: NDArray[np.bool_], people: NDArray | None
) -> Estimate:
    """Estimate the difference inside a slice minus the difference outside of it.

    asked, others: (n,) bool, the slice's clips and those that it is held against
    people: (n,) subject numbers, None where clips count as independent; someone may have clips on both sides, and only what
            differs between the two then counts
    source: linearised variance by subject, Kish 1965, never below the one by clip; Student's t for the fewer subjects of
            the two sides
    """
    value, pull = inside[0] - outside[0], inside[1] - outside[1]
    variance, groups = float((pull**2).sum()), min(int(asked.sum()), int(others.sum()))
    if people is not None:
        every = np.unique(people[asked | others]).size
        variance = max(variance, float((np.bincount(people, pull) ** 2).sum()) * every / max(every - 1, 1))
        groups = min(np.unique(people[asked]).size, np.unique(people[others]).size)
    if groups < 2:
        return Estimate(value, -2.0, 2.0, len(pull))
    half = student_quantile(TAIL, groups - 1) * float(np.sqrt(variance))
    return Estimate(value, max(-2.0, value - half), min(2.0, value + half), len(pull))


def share_moved(gained: NDArray, asked: NDArray[np.bool_]) -> Moved:
    """Return the mean difference between student and teacher on some clips.

    gained: (n,) -1 to 1: the right label's probability, minus the teacher's; of decisions 1 where only the student is right,
            -1 where only the teacher is, else 0
    """
    n = int(asked.sum())
    mean = float(gained[asked].mean())
    return mean, np.where(asked, gained - mean, 0.0) / np.sqrt(n * max(n - 1, 1))


def area_moved(
    student: NDArray, teacher: NDArray, positive: NDArray[np.bool_], asked: NDArray[np.bool_]
) -> Moved | None:
    """Return the difference of two areas on some clips; None where they lack a class."""
    if positive[asked].all() or not positive[asked].any():
        return None
    (ours, our_pull), (theirs, their_pull) = (influence(one[asked], positive[asked]) for one in (student, teacher))
    pull = np.zeros(len(asked))
    pull[asked] = our_pull - their_pull
    return ours - theirs, pull
