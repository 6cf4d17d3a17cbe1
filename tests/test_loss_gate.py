"""The gate on what was lost against the teacher: by AUROC where both have one, else by accuracy."""

from types import SimpleNamespace

import numpy as np
import pytest

from edgecomp.evaluate import quality
from edgecomp.proof import Proof

LABELS = ("healthy", "TB")
TARGETS = np.arange(40) % 2


def task(positive="TB"):
    clips = [SimpleNamespace(subject=None) for _ in TARGETS]
    test = SimpleNamespace(clips=clips, targets=TARGETS, labels=LABELS)
    return SimpleNamespace(
        dataset=SimpleNamespace(of=lambda _split: test),
        recipe=SimpleNamespace(data=SimpleNamespace(positive=positive), gates=SimpleNamespace(max_loss=0.03)),
    )


def answers(wrong, *, sure):
    """Answer every clip right but the first ones; sure: bare labels."""
    decided = np.where(np.arange(len(TARGETS)) < wrong, 1 - TARGETS, TARGETS)
    return np.eye(2)[decided] * (1.0 if sure else 0.8) + (0.0 if sure else 0.1)


def loss_gate(teacher, student, positive="TB"):
    asked = task(positive)
    found = {
        name: quality(given, asked, of=name, against=None, artifact_hash="")
        for name, given in (("teacher", teacher), ("int8 tflite", student))
    }
    target = SimpleNamespace(budget=SimpleNamespace(max_loss=0.1))
    return Proof(asked, target, {}, found, SimpleNamespace(rows={}), ())._loss("int8 tflite")


@pytest.mark.parametrize(("wrong", "passed"), [(1, True), (3, False)])
def test_a_teacher_of_two_labels_that_gives_labels_only_is_held_by_accuracy(wrong, passed):
    gate = loss_gate(answers(0, sure=True), answers(wrong, sure=False))
    assert gate.passed == passed and gate.value == pytest.approx(wrong / 40)
    assert gate.text.startswith("accuracy on the test split is")


def test_two_labels_with_probabilities_are_held_by_auroc_and_more_labels_by_accuracy():
    teacher, student = answers(0, sure=False), answers(4, sure=False)
    gate = loss_gate(teacher, student)
    assert gate.text.startswith("auroc on the test split is") and not gate.passed
    assert loss_gate(teacher, student, positive=None).text.startswith("accuracy on")


def test_bare_labels_have_no_auroc():
    rows = quality(answers(2, sure=True), task(), of="teacher", against=None, artifact_hash="")
    assert [row.name for row in rows] == ["accuracy", "calibration_error", "brier"]
