"""cases: what a compile's answers become before they are audited."""

from types import SimpleNamespace

import numpy as np
import pytest

from edgecomp.cases import teacher_threshold
from edgecomp.metrics import gives_labels_only, threshold_for_sensitivity

TARGETS = np.array([1, 1, 1, 1, 0, 0, 0, 0])
SCORES = np.array([0.9, 0.8, 0.7, 0.2, 0.6, 0.3, 0.1, 0.05])


def task_of(scores: np.ndarray) -> SimpleNamespace:
    """Stand in for a task of two labels whose teacher gave these scores on the validation split."""
    return SimpleNamespace(
        dataset=SimpleNamespace(labels=("no", "yes")),
        recipe=SimpleNamespace(data=SimpleNamespace(positive="yes"), gates=SimpleNamespace(sensitivity=0.75)),
        answers=lambda split: np.stack([1 - scores, scores], 1),
        targets=lambda split: TARGETS,
    )


def test_the_teachers_threshold_is_fitted_on_the_validation_split_like_the_students():
    assert teacher_threshold(task_of(SCORES)) == threshold_for_sensitivity(SCORES, TARGETS == 1, 0.75)


def test_a_teacher_that_gives_labels_only_keeps_its_labels_whatever_sensitivity_is_wanted():
    labels = (SCORES >= 0.75).astype(float)  # it finds half of the positives, and 0.75 are wanted
    assert threshold_for_sensitivity(labels, TARGETS == 1, 0.75) == 0, (
        "fitted to its labels, it would call everything positive"
    )
    assert teacher_threshold(task_of(labels)) == 0.5


@pytest.mark.parametrize(
    ("answers", "is_so"), [([[0, 1], [1, 0]], True), ([[0.0, 1.0], [0.2, 0.8]], False), (np.zeros((0, 2)), False)]
)
def test_labels_only_are_answers_with_all_of_the_probability_on_one_class(answers, is_so):
    assert gives_labels_only(answers) == is_so
