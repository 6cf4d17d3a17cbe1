"""calibration: the fits against scipy and scikit-learn, their rules for poor data, and the interval against the truth."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize_scalar
from sklearn.calibration import _SigmoidCalibration
from sklearn.linear_model import LogisticRegression

from edgecomp import metrics
from edgecomp.audit.calibration import (
    FEWEST_CLIPS,
    HIGHEST_SCALE,
    LOWEST_SCALE,
    brier_interval,
    calibration_error_interval,
    fit_platt,
    fit_temperature,
    identity,
)
from edgecomp.errors import InputError

steady = settings(deadline=None, max_examples=25, derandomize=True)
fits = [lambda logits, targets: fit_temperature(logits, targets), lambda logits, targets: fit_platt(logits, targets, 1)]


def answers(n=300, classes=4, scale=0.6, seed=0, shift=0.0):
    random = np.random.default_rng(seed)
    logits = 2 * random.standard_normal((n, classes))
    moved = scale * logits + shift * np.eye(classes)[-1]
    chance = np.exp(moved) / np.exp(moved).sum(axis=1, keepdims=True)
    return logits, np.array([random.choice(classes, p=row) for row in chance])


def log_loss(made, logits, targets):
    return -np.log(made.probabilities(logits)[np.arange(len(targets)), targets]).mean()


@steady
@given(st.integers(0, 10_000), st.floats(0.2, 3), st.integers(2, 6))
def test_the_scale_is_the_one_that_scipy_finds(seed, scale, classes):
    logits, targets = answers(classes=classes, scale=scale, seed=seed)
    ours = fit_temperature(logits, targets)

    def loss(at):
        return log_loss(type(ours)(at, ours.shift), logits, targets)

    theirs = minimize_scalar(loss, bounds=(LOWEST_SCALE, HIGHEST_SCALE), method="bounded", options={"xatol": 1e-9})
    assert ours.scale == pytest.approx(theirs.x, rel=1e-4)
    assert ours.shift == (0.0,) * classes


@steady
@given(st.integers(0, 10_000), st.floats(0.2, 5))
def test_logits_that_are_scaled_get_the_scale_back(seed, factor):
    logits, targets = answers(seed=seed)
    assert fit_temperature(factor * logits, targets).scale * factor == pytest.approx(
        fit_temperature(logits, targets).scale, rel=1e-6
    )


def test_a_temperature_never_changes_the_most_probable_class():
    logits, targets = answers()
    made = fit_temperature(logits, targets).probabilities(logits)
    assert (made.argmax(1) == logits.argmax(1)).all()
    assert made.sum(axis=1) == pytest.approx(np.ones(len(logits)))


def test_a_model_that_is_too_sure_is_calibrated_on_new_clips():
    fitted = fit_temperature(*answers(n=500, scale=0.4, seed=1))
    logits, targets = answers(n=4000, scale=0.4, seed=2)
    before = metrics.calibration_error(identity(4).probabilities(logits), targets)
    assert metrics.calibration_error(fitted.probabilities(logits), targets) < before / 4


@steady
@given(st.integers(0, 10_000), st.floats(0.2, 3), st.floats(-1.5, 1.5), st.integers(0, 1))
def test_platts_slope_and_offset_are_sklearns(seed, scale, shift, positive):
    logits, targets = answers(classes=2, scale=scale, shift=shift, seed=seed)
    ours, score = fit_platt(logits, targets, positive), logits[:, positive] - logits[:, 1 - positive]
    theirs = _SigmoidCalibration().fit(score, targets == positive)
    assert ours.probabilities(logits)[:, positive] == pytest.approx(theirs.predict(score), abs=2e-4)
    assert ours.shift[1 - positive] == 0.0


def test_platts_fit_is_a_logistic_regression_on_smoothed_targets():
    logits, targets = answers(classes=2, shift=1.0)
    score, found = logits[:, 1] - logits[:, 0], int(targets.sum())
    wanted = np.where(targets == 1, (found + 1) / (found + 2), 1 / (len(targets) - found + 2))
    model = LogisticRegression(C=np.inf, tol=1e-10, max_iter=1000)
    model.fit(np.r_[score, score][:, None], np.repeat([1, 0], len(score)), sample_weight=np.r_[wanted, 1 - wanted])
    ours = fit_platt(logits, targets, 1)
    assert (ours.scale, ours.shift[1]) == pytest.approx((model.coef_[0, 0], model.intercept_[0]), abs=1e-4)


@pytest.mark.parametrize("factor", [-1.0, 0.0])
def test_platt_never_turns_the_order_round(factor):
    logits, targets = answers(classes=2, scale=2)
    noise = np.random.default_rng(3).standard_normal(len(targets)) * 1e-3
    score = factor * (logits[:, 1] - logits[:, 0]) + (1 if factor else 0) * noise
    made = fit_platt(np.stack([np.zeros_like(score), score], axis=1), targets, 1)
    if factor:
        assert made.scale == LOWEST_SCALE and "point the wrong way" in made.note
    else:
        assert made == identity(2, "not calibrated: the model gives every clip the same score")


def test_platt_stays_finite_where_a_score_separates_the_classes():
    targets = np.repeat([0, 1], 50)
    made = fit_platt(np.stack([np.zeros(100), np.where(targets == 1, 1.0, -1.0)], axis=1), targets, 1)
    assert made.probabilities([[0.0, 1.0]])[0, 1] == pytest.approx(51 / 52)


def test_no_wrong_clip_gives_a_finite_scale_and_says_so():
    targets = np.arange(100) % 2
    made = fit_temperature(np.eye(2)[targets], targets)
    assert made.probabilities([[1.0, 0.0]])[0, 0] == pytest.approx(101 / 102)
    assert "no clip is wrong" in made.note


def test_logits_that_mislead_are_held_at_the_lowest_scale():
    logits, targets = answers(scale=-1.0)
    made = fit_temperature(logits, targets)
    assert made.scale == LOWEST_SCALE and "say little" in made.note


@pytest.mark.parametrize("fit", fits)
def test_few_clips_or_one_class_leave_the_model_alone_with_a_reason(fit):
    logits, targets = answers(n=FEWEST_CLIPS, classes=2)
    assert fit(logits, targets).note is None
    few, single = fit(logits[:-1], targets[:-1]), fit(logits, np.zeros_like(targets))
    for made in (few, single):
        assert (made.scale, made.shift) == (1.0, (0.0, 0.0)) and made.note.startswith("not calibrated")


def test_equal_logits_leave_the_model_alone_with_a_reason():
    assert fit_temperature(np.ones((60, 3)), np.arange(60) % 3).note == (
        "not calibrated: the model gives all classes the same logit"
    )


def test_a_class_without_clips_is_named():
    logits, targets = answers()
    assert fit_temperature(logits[targets < 3], targets[targets < 3]).note == "1 of 4 classes have no clip here"


@pytest.mark.parametrize("fit", fits)
def test_logits_that_cannot_be_used_are_refused(fit):
    logits, targets = answers(classes=2)
    broken = logits.copy()
    broken[3, 1] = np.nan
    for bad_logits, bad_targets, said in (
        (broken, targets, "NaN"),
        (logits[:, 0], targets, "logits"),
        (logits, targets[:-1], "targets"),
        (logits, targets + 1, "outside the classes"),
        (logits, targets.astype(float), "outside the classes"),
        (np.zeros((0, 2)), np.zeros(0, int), "logits"),
    ):
        with pytest.raises(InputError, match=said):
            fit(bad_logits, bad_targets)


def test_a_calibration_refuses_logits_of_another_model():
    with pytest.raises(InputError, match="logits"):
        identity(3).probabilities(np.zeros((4, 2)))


def test_a_calibrated_model_has_an_error_that_may_be_zero():
    logits, targets = answers(scale=1.0, n=400)
    found = calibration_error_interval(identity(4).probabilities(logits), targets)
    assert found.low == 0
    assert found.value < metrics.calibration_error(identity(4).probabilities(logits), targets)


def test_a_model_that_is_too_sure_has_an_error_above_zero_that_is_found():
    logits, targets = answers(n=5000, scale=0.4, seed=5)
    found = calibration_error_interval(identity(4).probabilities(logits), targets)
    plain = metrics.calibration_error(identity(4).probabilities(logits), targets)
    assert 0 < found.low <= plain <= found.high
    assert found.value == pytest.approx(plain, abs=0.01)


def test_the_interval_of_the_error_holds_the_truth():
    held = 0
    for seed in range(20):
        random = np.random.default_rng(seed)
        confidence = random.uniform(0.5, 1, 200)
        right = random.random(200) < confidence - 0.1
        found = calibration_error_interval(np.stack([confidence, 1 - confidence], axis=1), np.where(right, 0, 1))
        held += found.low <= 0.1 <= found.high
    assert held >= 18


def test_subjects_only_widen_the_intervals():
    logits, targets = answers(n=300, scale=0.5)
    made, people = identity(4).probabilities(logits), np.arange(300) % 6
    for interval in (calibration_error_interval, brier_interval):
        alone, together = interval(made, targets), interval(made, targets, subjects=people)
        assert together.value == alone.value
        assert together.low <= alone.low and together.high >= alone.high
    assert calibration_error_interval(made, targets, subjects=np.zeros(300)).high == 1


def test_brier_is_the_metric_with_an_interval_around_it():
    logits, targets = answers()
    made = identity(4).probabilities(logits)
    found = brier_interval(made, targets)
    assert found.value == metrics.brier(made, targets)
    assert 0 < found.low < found.value < found.high < 2
