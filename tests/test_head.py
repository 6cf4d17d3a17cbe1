"""Tests of edgecomp/teachers/head.py."""

from __future__ import annotations

import numpy as np
import pytest

from edgecomp.errors import TeacherError
from edgecomp.teachers.head import (
    STRENGTHS,
    cross_entropy,
    fit_head,
    formed,
    logistic_regression,
    read_head,
    write_head,
)


def _scores(n: int, seed: int, classes: int = 3, outputs: int = 12) -> tuple[np.ndarray, np.ndarray]:
    """Return scores between 0 and 1 whose log-odds are linear in the class, and the targets."""
    rng = np.random.default_rng(seed)
    directions = np.random.default_rng(99).standard_normal((classes, outputs)) * 2
    targets = np.arange(n) % classes
    odds = directions[targets] - 6 + 1.5 * rng.standard_normal((n, outputs))
    return (1 / (1 + np.exp(-odds))).astype(np.float32), targets


@pytest.fixture(scope="module")
def head():
    (train, train_targets), (validation, validation_targets) = _scores(90, 1), _scores(60, 2)
    return fit_head(train, train_targets, validation, validation_targets, 3)


@pytest.mark.parametrize("strength", [1e-3, 1e-1])
def test_the_regression_is_scikit_learns(strength):
    linear_model = pytest.importorskip("sklearn.linear_model")
    x, y = _scores(80, 3)
    x = x.astype(np.float64)
    weight, bias = logistic_regression(x, y, strength, np.zeros((12, 3)), np.zeros(3))
    reference = linear_model.LogisticRegression(C=1 / (strength * len(x)), tol=1e-10, max_iter=10_000).fit(x, y)
    ours = np.exp(x @ weight + bias)
    assert np.abs(ours / ours.sum(axis=1, keepdims=True) - reference.predict_proba(x)).max() < 1e-4


def test_the_head_does_not_read_scores_raw_where_their_log_odds_are_linear(head):
    test, targets = _scores(300, 4)
    assert head.form != "raw" and head.strength in STRENGTHS
    assert (head(test).argmax(axis=1) == targets).mean() > 0.9


def test_the_head_is_the_one_with_the_lowest_validation_loss(head):
    (train, targets), (validation, wanted) = _scores(90, 1), _scores(60, 2)
    worst = fit_head(train, targets, validation, (wanted + 1) % 3, 3)  # shuffled labels: best is to say the least
    assert cross_entropy(head.logits(validation), wanted) < cross_entropy(worst.logits(validation), wanted)
    assert worst.strength == max(STRENGTHS)


def test_heads_answer_with_probabilities_for_scores_of_0_and_1(head):
    answers = head(np.array([[0.0] * 12, [1.0] * 12], np.float32))
    assert np.isfinite(answers).all() and np.allclose(answers.sum(axis=1), 1)
    assert np.isfinite(formed(np.array([0.0, 1.0]), "logit")).all()


def test_scores_outside_0_and_1_are_read_as_they_are():
    (train, targets), (validation, wanted) = _scores(90, 1), _scores(60, 2)
    assert fit_head(train * 9 - 4, targets, validation * 9 - 4, wanted, 3).form == "raw"


def test_an_output_that_never_moves_does_no_harm():
    (train, targets), (validation, wanted) = _scores(90, 1), _scores(60, 2)
    train[:, 0] = validation[:, 0] = 0.25
    assert np.isfinite(fit_head(train, targets, validation, wanted, 3)(validation)).all()


def test_a_head_comes_back_from_its_file_as_it_was(head, tmp_path):
    write_head(head, tmp_path / "head.safetensors")
    back = read_head(tmp_path / "head.safetensors")
    scores, _ = _scores(5, 5)
    assert (back(scores) == head(scores)).all() and (back.form, back.strength) == (head.form, head.strength)


@pytest.mark.parametrize(
    "spoil, said",
    [
        (lambda train, targets: (np.full_like(train, np.nan), targets), "not all finite"),
        (lambda train, targets: (train[targets != 1], targets[targets != 1]), "no training clip of class number 1"),
    ],
)
def test_a_head_that_cannot_be_fitted_says_why(spoil, said):
    with pytest.raises(TeacherError, match=said):
        fit_head(*spoil(*_scores(30, 1)), *_scores(30, 2), 3)
