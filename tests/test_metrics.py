"""metrics: each figure against a reference, and each interval against what it promises."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import expit, logit
from scipy.stats import binomtest, norm, t
from sklearn.metrics import brier_score_loss, confusion_matrix, roc_auc_score

from edgecomp import metrics
from edgecomp.errors import GateError, InputError

steady = settings(deadline=None, max_examples=40, derandomize=True)
"""No deadline: on a busy machine a slow example is no fault."""
scores_and_labels = st.lists(
    st.tuples(st.integers(0, 12).map(lambda n: n / 12), st.integers(0, 1)), min_size=4, max_size=60
).filter(lambda rows: {0, 1} == {label for _, label in rows})


def random_answers(n=400, classes=4, seed=0):
    random = np.random.default_rng(seed)
    logits = 2 * random.standard_normal((n, classes))
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    return probabilities, np.array([random.choice(classes, p=row) for row in probabilities])


@steady
@given(st.integers(1, 3000), st.data())
def test_the_interval_of_a_share_is_scipys_wilson_interval(n, data):
    k = data.draw(st.integers(0, n))
    ours, theirs = metrics.proportion(k, n), binomtest(k, n).proportion_ci(method="wilson")
    assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high), abs=1e-9)
    assert ours.low <= ours.value <= ours.high


@pytest.mark.parametrize(("k", "n"), [(0, 0), (3, 2), (-1, 4)])
def test_an_impossible_share_is_refused(k, n):
    with pytest.raises(InputError, match="is not a share"):
        metrics.proportion(k, n)


def test_wilson_covers_the_truth_about_95_times_of_100():
    share, n = 0.93, 150
    drawn = np.random.default_rng(0).binomial(n, share, size=3000)
    held = [(e := metrics.proportion(int(k), n)).low <= share <= e.high for k in drawn]
    assert 0.93 <= np.mean(held) <= 0.975


@steady
@given(scores_and_labels)
def test_auroc_is_sklearns_also_with_ties(rows):
    scores, labels = np.array(rows).T
    ours = metrics.auroc(scores, labels)
    assert ours.value == pytest.approx(roc_auc_score(labels, scores))
    assert 0 <= ours.low <= ours.value <= ours.high <= 1


@steady
@given(scores_and_labels)
def test_auroc_of_turned_scores_is_mirrored_with_its_interval(rows):
    scores, labels = np.array(rows).T
    one, other = metrics.auroc(scores, labels), metrics.auroc(-scores, labels)
    assert (one.value, one.low, one.high) == pytest.approx((1 - other.value, 1 - other.high, 1 - other.low))


@steady
@given(scores_and_labels)
def test_delongs_variance_is_that_of_the_pairwise_definition(rows):
    scores, labels = np.array(rows).T
    positive, negative = scores[labels == 1], scores[labels == 0]
    wins = (positive[:, None] > negative) + 0.5 * (positive[:, None] == negative)
    ours = metrics.auroc(scores, labels)
    if min(wins.shape) < 2 or not 0 < ours.value < 1:
        return
    variance = wins.mean(1).var(ddof=1) / positive.size + wins.mean(0).var(ddof=1) / negative.size
    if variance <= 1e-12:
        return
    twice = 2 * min(wins.shape)  # one comparison more is half won: the mean of `twice` and of that one
    centre = (twice * ours.value + 0.5) / (twice + 1)
    error = np.sqrt(variance + (0.5 / (twice + 1)) ** 2) / (centre * (1 - centre))
    ends = expit(logit(centre) + norm.ppf([0.025, 0.975]) * error)
    assert (ours.low, ours.high) == pytest.approx((min(ends[0], ours.value), max(ends[1], ours.value)), rel=1e-6)


def test_an_area_near_1_of_few_clips_is_covered_too():
    random, truth = np.random.default_rng(2), 0.95
    labels = np.repeat([0, 1], [200, 20])
    held = []
    for _ in range(800):
        estimate = metrics.auroc(random.standard_normal(220) + labels * np.sqrt(2) * norm.ppf(truth), labels)
        held.append(estimate.low <= truth <= estimate.high)
    assert 0.93 <= np.mean(held) <= 0.975  # with the plain logit interval 0.90


def test_delong_covers_the_truth_about_95_times_of_100():
    random, truth = np.random.default_rng(1), 0.8413447  # normals one standard deviation × sqrt(2) apart
    labels = np.repeat([0, 1], [60, 40])
    held = []
    for _ in range(1000):
        estimate = metrics.auroc(random.standard_normal(100) + labels * np.sqrt(2), labels)
        held.append(estimate.low <= truth <= estimate.high)
    assert 0.93 <= np.mean(held) <= 0.975


def test_a_perfect_auroc_on_few_clips_is_not_certain():
    estimate = metrics.auroc([0.1, 0.2, 0.3, 0.7, 0.8, 0.9], [0, 0, 0, 1, 1, 1])
    assert estimate.value == 1 and estimate.high == 1 and estimate.low < 0.6


@pytest.mark.parametrize("labels", [[0, 0, 0], [1, 1, 1], [0, 1, 2]])
def test_auroc_without_two_classes_is_refused(labels):
    with pytest.raises(InputError, match="AUROC of"):
        metrics.auroc([0.1, 0.2, 0.3], labels)


@pytest.mark.parametrize("freedom", [1, 2, 5, 30, 500])
def test_students_t_is_scipys(freedom):
    assert metrics._student_t(freedom) == pytest.approx(t.ppf(0.975, freedom), rel=1e-4)


def test_brier_is_twice_sklearns_for_two_classes():
    probabilities, labels = random_answers(classes=2)
    assert metrics.brier(probabilities, labels) == pytest.approx(2 * brier_score_loss(labels, probabilities[:, 1]))


def test_confusion_is_sklearns():
    probabilities, labels = random_answers()
    answers = probabilities.argmax(axis=1)
    assert (metrics.confusion(answers, labels, 4) == confusion_matrix(labels, answers)).all()


def test_confusion_refuses_a_class_it_was_not_told_of():
    with pytest.raises(InputError, match="outside 0 to 1"):
        metrics.confusion([0, 2], [0, 1], 2)


def test_calibrated_answers_have_a_small_error_and_overconfident_ones_their_excess():
    probabilities, labels = random_answers(n=8000)
    assert metrics.calibration_error(probabilities, labels) < 0.02
    sure = np.eye(4)[probabilities.argmax(axis=1)]
    wrong = (probabilities.argmax(axis=1) != labels).mean()
    assert metrics.calibration_error(sure, labels) == pytest.approx(wrong)


def test_reliability_bins_hold_every_clip_once_in_about_equal_counts():
    probabilities, labels = random_answers(n=400)
    rows = metrics.reliability(probabilities, labels, bins=10)
    assert [row.accuracy.n for row in rows] == [40] * 10
    assert [row.confidence for row in rows] == sorted(row.confidence for row in rows)


@steady
@given(st.lists(st.tuples(st.sampled_from([0.5, 0.6, 0.6, 0.9, 1.0]), st.integers(0, 1)), min_size=1, max_size=50))
def test_calibration_error_does_not_depend_on_the_order_of_clips(rows):
    confidence, labels = np.array([row[0] for row in rows]), np.array([row[1] for row in rows])
    probabilities = np.stack([1 - confidence, confidence], axis=1)
    error = metrics.calibration_error(probabilities, labels, 5)
    assert error == pytest.approx(metrics.calibration_error(probabilities[::-1], labels[::-1], 5))
    assert 0 <= error <= 1


@steady
@given(scores_and_labels, st.sampled_from([0.1, 0.5, 0.9, 0.95, 1.0]))
def test_the_threshold_finds_enough_positives_and_a_higher_one_would_not(rows, minimum):
    scores, labels = np.array(rows).T
    threshold = metrics.threshold_for_sensitivity(scores, labels, minimum)
    found, _ = metrics.sensitivity_and_specificity(scores, labels, threshold)
    assert found.value >= minimum - 1e-9
    above = scores[scores >= threshold].min()
    fewer, _ = metrics.sensitivity_and_specificity(scores, labels, np.nextafter(above, 2))
    assert fewer.value < minimum


def test_the_threshold_leaves_room_for_rounding():
    scores = np.array([0.9, 0.8, 0.3, 0.1], np.float32)
    threshold = metrics.threshold_for_sensitivity(scores, [1, 1, 0, 0], 1.0)
    found, left = metrics.sensitivity_and_specificity(scores - np.float32(1e-3), [1, 1, 0, 0], threshold)
    assert (found.value, left.value, threshold) == (1, 1, pytest.approx(0.55))


def test_a_threshold_without_positives_is_refused():
    with pytest.raises(InputError, match="of 0 positives"):
        metrics.threshold_for_sensitivity([0.1, 0.2], [0, 0])


def test_agreement_reports_decisions_mean_and_largest_difference():
    reference = np.array([[0.9, 0.1], [0.2, 0.8], [0.55, 0.45], [0.3, 0.7]])
    other = reference + np.array([[0, 0], [0.1, -0.1], [-0.1, 0.1], [0, 0]])
    found = metrics.agreement(reference, other)
    assert found.decisions.value == 0.75 and found.decisions.n == 4
    assert (found.mean_difference, found.largest_difference) == pytest.approx((0.05, 0.1))


@pytest.mark.parametrize("which", [0, 1])
def test_a_constant_model_agrees_with_nothing(which):
    pair = [random_answers()[0], random_answers()[0]]
    pair[which] = np.tile([0.4, 0.3, 0.2, 0.1], (400, 1)) + 1e-4 * np.random.default_rng(0).random((400, 4))
    with pytest.raises(GateError, match="gives every clip the same answer") as caught:
        metrics.agreement(*pair, of="int8 against float")
    assert "where: int8 against float" in str(caught.value)


def test_agreement_refuses_answers_that_are_not_finite():
    broken = random_answers()[0]
    broken[3, 1] = np.nan
    with pytest.raises(GateError, match="second model answers with NaN"):
        metrics.agreement(random_answers()[0], broken)


@pytest.mark.parametrize(
    "call",
    [
        lambda: metrics.auroc([np.nan, 0.2], [0, 1]),
        lambda: metrics.brier([[0.5, 0.5]], [0, 1]),
        lambda: metrics.brier([[np.nan, 0.5]], [0]),
        lambda: metrics.agreement([[0.5, 0.5]], [[0.5, 0.3, 0.2]]),
    ],
)
def test_arrays_that_do_not_fit_are_an_input_error(call):
    with pytest.raises(InputError, match=r"shapes|NaN|for labels"):
        call()
