"""intervals: shares and paired differences against references, and what knowing subjects does to them."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest
from statsmodels.stats.proportion import proportion_confint

from edgecomp.audit.intervals import difference, pairs, share, subject_numbers
from edgecomp.errors import InputError

steady = settings(deadline=None, max_examples=60, derandomize=True)
"""No deadline: on a busy machine a slow example is no fault."""
answers = st.lists(st.tuples(st.booleans(), st.booleans(), st.integers(0, 6)), min_size=1, max_size=90)


@steady
@given(answers)
def test_a_share_of_independent_clips_has_wilsons_interval(rows):
    right = np.array([row[0] for row in rows])
    low, high = proportion_confint(right.sum(), right.size, method="wilson")
    ours = share(right)
    assert (ours.value, ours.n) == (right.mean(), right.size)
    assert (ours.low, ours.high) == pytest.approx((low, high), abs=1e-9)


def test_a_weak_positive_correlation_is_not_used_to_narrow_the_paired_difference():
    # Newcombe 1998: between 0 and n/2, ad - bc counts as no correlation; here 20 × 2 - 5 × 5 = 15 <= 16
    first, second = np.repeat([1, 1, 0, 0], [20, 5, 5, 2]), np.repeat([1, 0, 1, 0], [20, 5, 5, 2])
    one = binomtest(25, 32).proportion_ci(method="wilson")
    half = np.hypot(25 / 32 - one.low, one.high - 25 / 32)
    estimate = difference(pairs(first, second))
    assert (estimate.low, estimate.high) == pytest.approx((-half, half))


def test_the_paired_difference_covers_the_truth_about_95_times_of_100():
    random, held = np.random.default_rng(2), []
    for _ in range(1000):
        kind = random.choice(4, p=[0.85, 0.07, 0.03, 0.05], size=120)  # both right, first only, second only, neither
        estimate = difference(pairs(np.isin(kind, (0, 1)), np.isin(kind, (0, 2))))
        held.append(estimate.low <= 0.04 <= estimate.high)
    assert 0.925 <= np.mean(held) <= 0.98


def test_the_difference_is_newcombes_published_example():
    # Newcombe 1998: both right, first only, second only, neither = 36, 12, 2, 0; method 10 gives 0.0569 to 0.3404
    found = difference(pairs(np.repeat([1, 1, 0, 0], [36, 12, 2, 0]), np.repeat([1, 0, 1, 0], [36, 12, 2, 0])))
    assert (found.value, found.low, found.high) == pytest.approx((0.20, 0.0569, 0.3404), abs=5e-5)


@steady
@given(answers)
def test_knowing_subjects_never_narrows_an_interval(rows):
    student, teacher, subjects = np.array(rows, int).T
    for plain, grouped in (
        (share(student), share(student, subjects)),
        (difference(pairs(student, teacher)), difference(pairs(student, teacher, subjects))),
    ):
        assert -1 <= grouped.low <= plain.low <= plain.value <= plain.high <= grouped.high <= 1
        assert grouped.value == plain.value


@steady
@given(answers)
def test_swapping_the_models_turns_the_difference_round(rows):
    student, teacher, subjects = np.array(rows, int).T
    one, other = difference(pairs(student, teacher, subjects)), difference(pairs(teacher, student, subjects))
    assert (one.value, one.low, one.high) == pytest.approx((-other.value, -other.high, -other.low))


def test_one_subject_says_nothing_about_others():
    one = np.zeros(30, int)
    assert (share(one == 0, one).low, share(one == 0, one).high) == (0, 1)
    found = difference(pairs(one == 0, one == 0, one))
    assert (found.value, found.low, found.high) == (0, -1, 1)


def test_the_interval_by_subject_holds_where_the_one_by_clip_does_not():
    random, by_clip, by_subject = np.random.default_rng(3), [], []
    people = np.repeat(np.arange(12), 30)
    for _ in range(300):
        right = random.random(360) < random.beta(6, 2, size=12)[people]
        for held, known in ((by_clip, None), (by_subject, people)):
            found = share(right, known)
            held.append(found.low <= 0.75 <= found.high)
    assert np.mean(by_clip) < 0.75 < 0.92 < np.mean(by_subject)


def test_a_clip_whose_subject_is_not_stated_is_its_own_subject():
    numbers = subject_numbers(["ann", None, "", "ann", None])
    assert numbers[0] == numbers[3] and len(set(numbers.tolist())) == 4
    assert subject_numbers(None) is None


def test_subjects_are_counted_apart_and_add_up():
    counted = pairs([1, 0, 0, 1], [1, 1, 0, 0], [5, 5, 9, 9])
    assert [array.tolist() for array in (counted.both, counted.gained, counted.lost, counted.neither)] == [
        [1, 0],
        [0, 1],
        [1, 0],
        [0, 1],
    ]
    assert (counted.n, counted.subjects, counted.value) == (4, 2, 0)


@pytest.mark.parametrize(
    "call",
    [
        lambda: pairs([], []),
        lambda: pairs([1, 0], [1]),
        lambda: pairs([1, 0], [1, 0], [3]),
        lambda: pairs([[1, 0]], [[1, 0]]),
    ],
)
def test_arrays_that_do_not_fit_are_an_input_error(call):
    with pytest.raises(InputError, match="answers of shapes"):
        call()
