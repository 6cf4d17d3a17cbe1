"""Which clips make which slice: classes, groups, rare and unsure ones, lengths, loudness, subjects. No model is judged here."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from edgecomp.audit.noninferiority import FEWEST_CLIPS
from edgecomp.errors import InputError

Kind = Literal[
    "all", "class", "group", "class × group", "rare classes", "teacher unsure", "length", "loudness", "subject"
]
"""In this order; where two slices hold the same clips, the earlier kind is kept. A subject's slice is always kept: it asks
about this one person, where clips count as independent, and every other kind asks about people like those in it."""

NOT_STATED = "not stated"
"""The value of a group for clips whose own is missing: they are a slice, not left out."""
RARE = 0.5
"""A class is rare with less than half the training clips of the median class."""
UNSURE = 0.25
"""The share of clips on which the teacher is least sure; left out where ties would make it more than half of them."""
LENGTHS = ("shortest third", "third of middle length", "longest third")
LOUDNESSES = ("quietest third", "third of middle loudness", "loudest third")


@dataclass(frozen=True)
class Slice:
    """A named subset of the test clips; members: (n,) bool, at least one of them true."""

    name: str
    kind: Kind
    members: NDArray[np.bool_]

    def question(self, asked: NDArray[np.bool_]) -> object:
        """Return what is equal for two slices that ask the same of these clips."""
        return self.kind == "subject", np.packbits(asked).tobytes()


@dataclass(frozen=True)
class Clips:
    """What is known of the clips whose slices are wanted; None where it is not known.

    targets:      (n,) class numbers
    labels:       the classes' names
    groups:       group column → (n,) values; None or "" where a clip's value is missing
    subjects:     (n,) names; None or "" where a clip's subject is missing
    teacher_answers: (n, classes) probabilities
    length_s:     (n,) above 0
    loudness_db:  (n,); minus infinity for digital silence is allowed
    train_counts: (classes,) training clips of each class
    """

    targets: ArrayLike
    labels: Sequence[str]
    groups: Mapping[str, Sequence[str | None]]
    subjects: Sequence[str | None] | None = None
    teacher_answers: ArrayLike | None = None
    length_s: ArrayLike | None = None
    loudness_db: ArrayLike | None = None
    train_counts: ArrayLike | None = None


def slices_of(clips: Clips) -> tuple[Slice, ...]:
    """List the slices of a test set, by kind; two with the same clips are listed once, under the earlier kind.

    Class × group and single subjects are listed where they hold FEWEST_CLIPS, because smaller ones can have no verdict.
    raises: InputError for arrays that do not fit, class numbers without a label, and lengths or loudness that are NaN
    """
    targets = _checked(clips)
    if not targets.size:
        raise InputError("no clips to slice", where="audit", fix="a test split with at least one clip")
    found: dict[object, Slice] = {}
    for one in _all_slices(clips, targets):
        if one.members.any():
            found.setdefault(one.question(one.members), one)
    return tuple(found.values())


def _all_slices(clips: Clips, targets: NDArray[np.int64]) -> Iterator[Slice]:
    yield Slice("all clips", "all", np.ones(targets.size, bool))
    classes = [Slice(f"label: {label}", "class", targets == number) for number, label in enumerate(clips.labels)]
    groups = [one for column, values in clips.groups.items() for one in _group(column, values)]
    yield from classes
    yield from groups
    for one in classes:
        for other in groups:
            both = one.members & other.members
            if both.sum() >= FEWEST_CLIPS:
                yield Slice(f"{one.name}, {other.name}", "class × group", both)
    if clips.train_counts is not None:
        counts = np.asarray(clips.train_counts)
        rare = np.flatnonzero(counts < RARE * np.median(counts))
        names = ", ".join(clips.labels[number] for number in rare)
        yield Slice(f"rare labels: {names}", "rare classes", np.isin(targets, rare))
    if clips.teacher_answers is not None:
        sureness = np.asarray(clips.teacher_answers, float).max(axis=1)
        unsure = sureness <= np.quantile(sureness, UNSURE, method="lower")
        if unsure.mean() <= 0.5:
            yield Slice("the teacher is unsure", "teacher unsure", unsure)
    yield from _thirds(clips.length_s, LENGTHS, "length")
    yield from _thirds(clips.loudness_db, LOUDNESSES, "loudness")
    yield from _single_subjects(clips.subjects)


def _group(column: str, values: Sequence[str | None]) -> list[Slice]:
    stated = np.array([NOT_STATED if value is None or value == "" else str(value) for value in values])
    return [Slice(f"{column}: {value}", "group", stated == value) for value in sorted(set(stated.tolist()))]


def _thirds(values: ArrayLike | None, names: tuple[str, str, str], kind: Kind) -> Iterator[Slice]:
    """Cut at the values a third and two thirds up; equal values stay together, and a third they empty is left out."""
    if values is None:
        return
    values = np.asarray(values, float)
    lower, upper = (np.quantile(values, at, method="lower") for at in (1 / 3, 2 / 3))
    for name, members in zip(
        names, (values <= lower, (values > lower) & (values <= upper), values > upper), strict=True
    ):
        if not members.all():
            yield Slice(name, kind, members)


def _single_subjects(subjects: Sequence[str | None] | None) -> Iterator[Slice]:
    stated = np.array(["" if name is None else str(name) for name in subjects or ()])
    for name in sorted(set(stated.tolist()) - {""}):
        members = stated == name
        if members.sum() >= FEWEST_CLIPS:
            yield Slice(f"subject: {name}", "subject", members)


def _checked(clips: Clips) -> NDArray[np.int64]:
    targets = np.asarray(clips.targets)
    n, classes = targets.size, len(clips.labels)
    sizes = {f"group {column}": len(values) for column, values in clips.groups.items()}
    sizes |= {
        name: len(values)
        for name in ("subjects", "teacher_answers", "length_s", "loudness_db")
        if (values := getattr(clips, name)) is not None
    }
    wrong = {name: size for name, size in sizes.items() if size != n}
    if targets.ndim != 1 or wrong:
        raise InputError(f"{n} clips, but {wrong or targets.shape}", where="audit", fix="one value for each clip")
    if n and (targets.min() < 0 or targets.max() >= classes):
        raise InputError(
            f"class numbers {targets.min()} to {targets.max()} for {classes} labels",
            where="audit",
            fix="0 to labels − 1",
        )
    if clips.train_counts is not None and len(clips.train_counts) != classes:
        raise InputError(
            f"{len(clips.train_counts)} training counts for {classes} labels", where="audit", fix="one for each label"
        )
    for name in ("length_s", "loudness_db", "teacher_answers"):
        if (values := getattr(clips, name)) is not None and np.isnan(np.asarray(values, float)).any():
            raise InputError(f"NaN in {name}", where="audit", fix="look at the clip or the model that gave it")
    return targets.astype(np.int64)
