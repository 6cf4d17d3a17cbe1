"""What the slice table is made of: for each slice and metric the counts, figures and tests, before anything is judged."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from edgecomp.audit import areas
from edgecomp.audit.excess import Moved, area_moved, excess, share_moved
from edgecomp.audit.intervals import Pairs, difference, pairs, share, subject_numbers
from edgecomp.audit.noninferiority import FEWEST_CLIPS, exact_p, smallness
from edgecomp.audit.slice_sets import Slice
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
    sureness: model → (n,) probability of the right label; None where decisions are all that is known
    """

    decided: Mapping[str, ArrayLike]
    targets: ArrayLike
    subjects: Sequence[str | None] | None = None
    positive: int | None = None
    scores: Mapping[str, ArrayLike] | None = None
    sureness: Mapping[str, ArrayLike] | None = None


@dataclass(frozen=True)
class Case:
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
    beyond: Estimate | None = None


def cases_of(
    answers: Answers,
    decided: Mapping[str, NDArray],
    targets: NDArray,
    subjects: NDArray | None,
    slices: Sequence[Slice],
    shipped: str,
) -> Iterator[Case]:
    """Give every slice's case for every metric that it has clips for; a question that was asked already is left out."""
    seen = set()
    whole = dict(_metrics(answers, targets, np.ones(targets.size, bool)))
    for one in slices:
        people = None if one.kind == "subject" else subjects
        for metric, asked in _metrics(answers, targets, one.members):
            question = metric, one.question(asked)
            if not asked.any() or question in seen:
                continue
            seen.add(question)
            if metric != "AUROC":
                case = _share_case(one, metric, asked, decided, targets, people, shipped)
            else:
                case = _area_case(one, asked, answers, targets, people, shipped)
            if case is not None:
                others = whole[metric] & ~asked
                inside, outside = (_moved(metric, part, answers, decided, targets, shipped) for part in (asked, others))
                is_alone = inside is None or outside is None
                yield case if is_alone else replace(case, beyond=excess(inside, outside, asked, others, people))


def _moved(
    metric: Metric,
    part: NDArray[np.bool_],
    answers: Answers,
    decided: Mapping[str, NDArray],
    targets: NDArray,
    shipped: str,
) -> Moved | None:
    """Return how far the student is from the teacher on some clips, and what each of them does to that."""
    if not part.any():
        return None
    teacher = next(iter(decided))
    if metric == "AUROC":
        scores = (np.asarray((answers.scores or {})[name], float) for name in (shipped, teacher))
        return area_moved(*scores, targets == answers.positive, part)
    sure = answers.sureness or {name: decided[name] == targets for name in (shipped, teacher)}
    return share_moved(np.asarray(sure[shipped], float) - np.asarray(sure[teacher], float), part)


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
) -> Case:
    whose = None if people is None else people[asked]
    right = {name: given[asked] == targets[asked] for name, given in decided.items()}
    counted = pairs(right[shipped], right[next(iter(right))], whose)
    subjects = 1 if one.kind == "subject" else counted.subjects
    return Case(
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
) -> Case | None:
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
    return Case(
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


def checked(
    answers: Answers, slices: Sequence[Slice], shipped: str
) -> tuple[dict[str, NDArray], NDArray, NDArray | None]:
    """Return the decisions, the targets and the subjects' numbers.

    raises: InputError for arrays that do not fit and a model without answers
    """
    targets = np.asarray(answers.targets)
    decided = {name: np.asarray(given) for name, given in answers.decided.items()}
    if shipped not in decided:
        raise InputError(f"no answers of {shipped!r}", where="audit", fix=nearest(shipped, decided))
    if targets.ndim != 1 or not targets.size:
        raise InputError(f"targets of shape {targets.shape}", where="audit", fix="(n,), n at least 1")
    sizes = {f"answers of {name}": given.shape for name, given in decided.items()}
    sizes |= {f"scores of {name}": np.shape(given) for name, given in (answers.scores or {}).items()}
    sizes |= {f"sureness of {name}": np.shape(given) for name, given in (answers.sureness or {}).items()}
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
