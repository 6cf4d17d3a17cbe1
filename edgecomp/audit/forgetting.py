"""Forgotten examples and inherited errors: on which clips the students leave their teacher, and whose mistakes they make."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from edgecomp.audit.intervals import share, subject_numbers
from edgecomp.errors import InputError
from edgecomp.metrics import Estimate

WITH_REPLICATES = (
    "{students} students from different seeds: a clip is forgotten where their most frequent answer is not the teacher's; "
    "clips are ranked by the taxicab distance between the two sides' shares of answers"
)
WITHOUT_REPLICATES = (
    "one student: a clip is listed where its answer is not the teacher's, and clips are ranked by the total variation "
    "distance of their probabilities; this is weaker than replicates, because another seed would have left others"
)


@dataclass(frozen=True)
class Forgotten:
    """Clips on which students leave their teacher.

    is_forgotten:  (n,) bool
    distance:      (n,) 0 to 2 with replicates (taxicab), 0 to 1 without (total variation); larger means further apart
    order:         (n,) clip numbers, the furthest first; no label was used
    student_answer, teacher_answer: (n,) class numbers; with replicates each side's most frequent one
    is_weak:       whether it rests on one student only
    method:        how it was found, for the report
    """

    is_forgotten: NDArray[np.bool_]
    distance: NDArray[np.float64]
    order: NDArray[np.int64]
    student_answer: NDArray[np.int64]
    teacher_answer: NDArray[np.int64]
    is_weak: bool
    method: str


@dataclass(frozen=True)
class Inherited:
    """Whose mistakes the student makes; an estimate is None where there is no error to share out.

    repeated: of the teacher's errors, the share that the student repeats with the same wrong class
    new:      of the student's errors, the share of clips on which the teacher was right
    """

    repeated: Estimate | None
    new: Estimate | None
    teacher_errors: int
    student_errors: int


def exemplars(students: ArrayLike, teachers: ArrayLike, classes: int) -> Forgotten:
    """Find the compression-identified exemplars among clips that K students answered.

    The distance is the sum over classes of |share of students that answer it - share of teachers that answer it|: 0 if
    all agree, 2 if no student gives a teacher's answer. Where answers are equally frequent, a side's answer is the one
    that the other side gives too, else the lowest class number: a tie with the teacher is not forgotten.
    students: (K, n) class numbers, K at least 2; teachers: (n,), or (T, n) for several teachers
    source:   Hooker et al. 2019, arXiv:1911.05248 (most frequent answers); 2020, arXiv:2010.03058 (taxicab distance)
    raises:   InputError for shapes that do not fit, one student, and class numbers outside 0 to classes - 1
    """
    students, teachers = np.asarray(students), np.atleast_2d(np.asarray(teachers))
    if students.ndim != 2 or len(students) < 2 or teachers.ndim != 2 or students.shape[1] != teachers.shape[1]:
        raise InputError(
            f"answers of students {students.shape} and teachers {teachers.shape}",
            where="exemplars",
            fix="(K, n) with K at least 2, and (n,) or (T, n); one student is ranked by disagreement",
        )
    ours, theirs = _shares(students, classes), _shares(teachers, classes)
    most = theirs.max(axis=1, keepdims=True)
    teacher_answer = np.where(theirs == most, 1 + ours, 0).argmax(axis=1)
    is_most = ours == ours.max(axis=1, keepdims=True)
    student_answer = np.where(is_most, 1 + theirs, 0).argmax(axis=1)
    return _found(
        np.abs(ours - theirs).sum(axis=1),
        student_answer,
        teacher_answer,
        is_weak=False,
        method=WITH_REPLICATES.format(students=len(students)),
    )


def by_disagreement(teacher: ArrayLike, student: ArrayLike) -> Forgotten:
    """Rank clips by how far one student's probabilities are from the teacher's, where there are no replicates.

    teacher, student: (n, classes) probabilities; the distance is half the sum of absolute differences
    raises: InputError for shapes that differ and for values that are not finite
    """
    teacher, student = np.asarray(teacher, float), np.asarray(student, float)
    if teacher.ndim != 2 or teacher.shape != student.shape or not np.isfinite([teacher.sum(), student.sum()]).all():
        raise InputError(
            f"probabilities of shapes {teacher.shape} and {student.shape}",
            where="by_disagreement",
            fix="finite, both (n, classes)",
        )
    distance = np.abs(teacher - student).sum(axis=1) / 2
    return _found(distance, student.argmax(axis=1), teacher.argmax(axis=1), is_weak=True, method=WITHOUT_REPLICATES)


def inherited_errors(
    student: ArrayLike, teacher: ArrayLike, targets: ArrayLike, subjects: Sequence[str | None] | None = None
) -> Inherited:
    """Share out the errors of the teacher and of the student.

    student, teacher, targets: (n,) class numbers; subjects: (n,) names, by which the intervals are then widened
    raises: InputError for arrays that do not fit
    """
    student, teacher, targets = np.asarray(student), np.asarray(teacher), np.asarray(targets)
    people = subject_numbers(subjects)
    if not student.shape == teacher.shape == targets.shape == (targets.size,) or (
        people is not None and people.shape != targets.shape
    ):
        raise InputError(
            f"answers of shapes {student.shape} and {teacher.shape} to targets {targets.shape}",
            where="inherited_errors",
            fix="all of them (n,)",
        )
    theirs, ours = teacher != targets, student != targets

    def part(of: NDArray[np.bool_], among: NDArray[np.bool_]) -> Estimate | None:
        return share(of[among], None if people is None else people[among]) if among.any() else None

    return Inherited(part(student == teacher, theirs), part(~theirs, ours), int(theirs.sum()), int(ours.sum()))


def _shares(answers: NDArray, classes: int) -> NDArray[np.float64]:
    """Return the share of models that give each class: (n, classes)."""
    if answers.size and (answers.min() < 0 or answers.max() >= classes):
        raise InputError(
            f"class numbers {answers.min()} to {answers.max()}", where="exemplars", fix=f"0 to {classes - 1}"
        )
    return np.stack([(answers == number).mean(axis=0) for number in range(classes)], axis=1)


def _found(
    distance: NDArray, student_answer: NDArray, teacher_answer: NDArray, *, is_weak: bool, method: str
) -> Forgotten:
    left = student_answer != teacher_answer
    order = np.lexsort((np.arange(left.size), ~left, -distance.round(12)))
    return Forgotten(left, distance, order, student_answer, teacher_answer, is_weak, method)
