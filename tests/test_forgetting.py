"""forgetting: most frequent answers and distances by their definition, inherited errors by counting."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgecomp.audit.forgetting import by_disagreement, exemplars, inherited_errors
from edgecomp.errors import InputError
from edgecomp.metrics import proportion

steady = settings(deadline=None, max_examples=60, derandomize=True)
"""No deadline: on a busy machine a slow example is no fault."""


@steady
@given(st.integers(2, 6), st.integers(1, 3), st.integers(1, 12), st.integers(0, 10_000))
def test_the_taxicab_distance_is_the_sum_over_classes_of_differences_of_shares(students, teachers, n, seed):
    random = np.random.default_rng(seed)
    ours, theirs = random.integers(0, 4, (students, n)), random.integers(0, 4, (teachers, n))
    found = exemplars(ours, theirs, 4)
    for clip in range(n):
        expected = sum(abs((ours[:, clip] == k).mean() - (theirs[:, clip] == k).mean()) for k in range(4))
        assert found.distance[clip] == pytest.approx(expected, abs=1e-12)
        counts = np.bincount(ours[:, clip], minlength=4)
        assert counts[found.student_answer[clip]] == counts.max()
    assert (np.diff(found.distance[found.order]) <= 1e-9).all() and sorted(found.order) == list(range(n))
    assert (found.is_forgotten == (found.student_answer != found.teacher_answer)).all() and not found.is_weak


def test_a_clip_is_forgotten_where_most_students_leave_the_teacher():
    students = np.array([[0, 1, 2, 2], [0, 1, 2, 0], [0, 0, 2, 1]])
    found = exemplars(students, [0, 0, 0, 2], 3)
    assert found.is_forgotten.tolist() == [
        False,
        True,
        True,
        False,
    ]  # the last is a three-way tie with the teacher in it
    assert found.student_answer.tolist() == [0, 1, 2, 2]
    assert found.distance == pytest.approx([0, 4 / 3, 2, 4 / 3])
    assert found.order.tolist() == [2, 1, 3, 0]  # at equal distance the forgotten clip comes first
    assert "3 students" in found.method


def test_without_replicates_disagreement_ranks_and_says_that_it_is_weaker():
    teacher = np.array([[0.9, 0.1], [0.6, 0.4], [0.2, 0.8]])
    student = np.array([[0.8, 0.2], [0.1, 0.9], [0.2, 0.8]])
    found = by_disagreement(teacher, student)
    assert found.distance == pytest.approx([0.1, 0.5, 0.0])
    assert found.order.tolist() == [1, 0, 2] and found.is_forgotten.tolist() == [False, True, False]
    assert found.is_weak and "weaker" in found.method


def test_models_that_agree_on_everything_have_forgotten_nothing():
    answers = np.full((2, 5), 1)
    assert not exemplars(answers, answers[0], 3).is_forgotten.any()
    probabilities = np.full((5, 3), 1 / 3)
    assert by_disagreement(probabilities, probabilities).order.tolist() == [0, 1, 2, 3, 4]


def test_inherited_errors_are_counted():
    targets = np.zeros(8, int)
    teacher = np.array([0, 0, 0, 0, 1, 1, 2, 2])
    student = np.array([0, 0, 0, 1, 1, 2, 2, 0])
    found = inherited_errors(student, teacher, targets)
    assert (found.teacher_errors, found.student_errors) == (4, 4)
    for ours, wilson in ((found.repeated, proportion(2, 4)), (found.new, proportion(1, 4))):
        assert (ours.value, ours.low, ours.high, ours.n) == pytest.approx((wilson.value, wilson.low, wilson.high, 4))


def test_knowing_subjects_widens_the_interval_of_inherited_errors():
    random = np.random.default_rng(0)
    people = np.repeat(np.arange(10), 20)
    repeats = random.random(10)[people] < 0.5  # some people's errors are all repeated, others' none
    teacher, student = np.ones(200, int), np.where(repeats, 1, 2)
    plain, known = (
        inherited_errors(student, teacher, np.zeros(200, int), names) for names in (None, [f"P{n}" for n in people])
    )
    assert known.repeated.low < plain.repeated.low and plain.repeated.high < known.repeated.high
    assert known.new.value == plain.new.value == 0


def test_without_errors_there_is_nothing_to_share_out():
    right = np.zeros(5, int)
    found = inherited_errors(right, right, right)
    assert (found.repeated, found.new, found.teacher_errors, found.student_errors) == (None, None, 0, 0)
    assert inherited_errors(right + 1, right, right).new.value == 1


@pytest.mark.parametrize(
    "call",
    [
        lambda: exemplars([[0, 1]], [0, 1], 2),
        lambda: exemplars([[0, 1], [1, 1]], [0, 1, 1], 2),
        lambda: exemplars([[0, 5], [1, 1]], [0, 1], 2),
        lambda: by_disagreement([[0.5, 0.5]], [[1.0]]),
        lambda: by_disagreement([[np.nan, 0.5]], [[0.5, 0.5]]),
        lambda: inherited_errors([1], [1, 0], [1, 0]),
    ],
)
def test_answers_that_do_not_fit_are_an_input_error(call):
    with pytest.raises(InputError, match=r"answers of|class numbers|shapes"):
        call()
