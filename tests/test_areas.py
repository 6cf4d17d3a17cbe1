"""areas: DeLong's paired difference against the pairwise definition, by subject, and where nothing differs."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from sklearn.metrics import roc_auc_score

from edgecomp import metrics
from edgecomp.audit.areas import area, area_difference
from edgecomp.errors import InputError

steady = settings(deadline=None, max_examples=40, derandomize=True)
"""No deadline: on a busy machine a slow example is no fault."""
level = st.integers(0, 9).map(lambda n: n / 9)
rows = st.lists(st.tuples(level, level, st.booleans(), st.integers(0, 5)), min_size=6, max_size=60).filter(
    lambda found: 3 <= sum(row[2] for row in found) <= len(found) - 3
)


def wins(scores, positive):
    above, below = scores[positive][:, None], scores[~positive][None, :]
    return (above > below) + 0.5 * (above == below)


@steady
@given(rows)
def test_the_p_value_is_that_of_delongs_covariances(found):
    student, teacher, positive, _ = (np.array(column) for column in zip(*found, strict=True))
    ours, theirs = wins(student, positive), wins(teacher, positive)
    m, n = ours.shape
    variance = 0.0
    for axis, size in ((1, m), (0, n)):  # the covariance matrix of the two models' components, as DeLong has it
        matrix = np.cov(ours.mean(axis), theirs.mean(axis))
        variance += (matrix[0, 0] + matrix[1, 1] - 2 * matrix[0, 1]) / size
    value = roc_auc_score(positive, student) - roc_auc_score(positive, teacher)
    seen = area_difference(student, teacher, positive)
    assert seen.difference.value == pytest.approx(value, abs=1e-12)
    if variance > 1e-10 and np.abs(ours.mean(1) - theirs.mean(1)).max() > 1e-9:
        worst = sum(
            np.abs(part - part.mean()).max() ** 2 / (size * (size - 1))
            for part, size in (((ours - theirs).mean(1), m), ((ours - theirs).mean(0), n))
        )
        expected = 2 * stats.t.sf(abs(value) / np.sqrt(variance + worst), min(m, n) - 1)
        assert seen.p == pytest.approx(expected, rel=1e-6, abs=1e-12)


@steady
@given(rows)
def test_the_bound_lies_below_the_interval_of_equal_confidence_and_subjects_never_raise_it(found):
    student, teacher, positive, people = (np.array(column) for column in zip(*found, strict=True))
    plain, grouped = area_difference(student, teacher, positive), area_difference(student, teacher, positive, people)
    for one in (plain, grouped):
        assert -1 <= one.difference.low <= one.difference.value <= one.difference.high <= 1
        assert one.bound <= one.difference.value and one.best < 0 <= one.p <= 1
    assert grouped.bound <= plain.bound and grouped.best <= plain.best and grouped.p >= plain.p - 1e-12


@steady
@given(rows)
def test_an_area_is_that_of_metrics_and_subjects_never_narrow_it(found):
    scores, _, positive, people = (np.array(column) for column in zip(*found, strict=True))
    theirs, plain, grouped = (
        metrics.auroc(scores, positive.astype(int)),
        area(scores, positive),
        area(scores, positive, people),
    )
    assert plain == theirs
    assert 0 <= grouped.low <= plain.low <= grouped.value == plain.value <= plain.high <= grouped.high <= 1


def test_where_no_rank_differs_the_bound_is_the_best_there_can_be():
    random = np.random.default_rng(0)
    positive, teacher = np.repeat([True, False], 60), random.random(120)
    found = area_difference(teacher**3, teacher, positive)
    assert (found.difference.value, found.p, found.bound) == (0, 1, pytest.approx(found.best))
    assert found.difference.low < found.bound < 0 < found.difference.high


def test_kept_is_rarely_wrong_where_a_few_positives_are_forgotten():
    random, margin, kept = np.random.default_rng(1), 0.05, 0
    positive = np.repeat([True, False], 100)
    for _ in range(400):
        teacher = random.standard_normal(200) + 1.4658 * positive  # an area of 0.85
        forgotten = positive & (random.random(200) < margin / 0.35)
        student = np.where(forgotten, random.standard_normal(200), teacher)
        kept += area_difference(student, teacher, positive).bound > -margin
    assert kept / 400 <= 0.05


def test_one_subject_or_one_clip_of_a_class_gives_no_certainty():
    random = np.random.default_rng(2)
    scores, positive = random.random((2, 40)), np.arange(40) < 20
    assert area_difference(*scores, positive, np.zeros(40)).bound == -1
    lonely = area_difference(*scores, np.arange(40) < 1)
    assert (lonely.bound, lonely.best, lonely.p) == (-1, -1, 1)
    assert (area(scores[0], positive, np.zeros(40)).low, area(scores[0], positive, np.zeros(40)).high) == (0, 1)


@pytest.mark.parametrize("positive", [np.zeros(4, bool), np.ones(4, bool)])
def test_one_class_alone_has_no_area(positive):
    with pytest.raises(InputError, match="AUROC of"):
        area_difference([0.1, 0.2, 0.3, 0.4], [0.1, 0.2, 0.3, 0.4], positive)
