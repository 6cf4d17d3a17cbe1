"""noninferiority: exact tests and Holm against references, the bound against its promise, the verdicts by their rules."""

from itertools import combinations, product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.multitest import multipletests

from edgecomp.audit.intervals import Pairs, pairs
from edgecomp.audit.noninferiority import (
    FEWEST_CLIPS,
    FEWEST_SUBJECTS,
    best_bounds,
    checked_margin,
    exact_p,
    holm,
    lower_bounds,
    smallness,
    verdict,
)
from edgecomp.errors import InputError

steady = settings(deadline=None, max_examples=60, derandomize=True)
"""No deadline: on a busy machine a slow example is no fault."""
counts = st.tuples(*[st.integers(0, 60)] * 4).filter(any)
answers = st.lists(st.tuples(st.booleans(), st.booleans(), st.integers(0, 8)), min_size=1, max_size=90)


def table(both, gained, lost, neither, is_by_subject=False):
    return Pairs(
        *(np.atleast_1d(np.array(kind)) for kind in (both, gained, lost, neither)), is_by_subject=is_by_subject
    )


@steady
@given(counts)
def test_the_exact_test_is_mcnemars(four):
    both, gained, lost, neither = four
    theirs = mcnemar([[both, gained], [lost, neither]], exact=True).pvalue
    assert exact_p(table(*four)) == pytest.approx(theirs, abs=1e-12)


def test_a_thousand_discordant_clips_are_no_trouble():
    assert 0 < exact_p(table(0, 700, 1300, 0)) < 1e-30


@steady
@given(st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6)), min_size=1, max_size=9))
def test_with_subjects_the_test_goes_through_every_sign_of_every_subject(rows):
    gained, lost = np.array(rows).T
    sums = gained - lost
    flipped = [abs(int(np.dot(signs, sums))) for signs in product((-1, 1), repeat=len(sums))]
    theirs = np.mean(np.array(flipped) >= abs(int(sums.sum())))
    assert exact_p(table(gained * 0 + 1, gained, lost, gained * 0, is_by_subject=True)) == pytest.approx(
        theirs, abs=1e-12
    )


@steady
@given(answers)
def test_subjects_of_one_clip_each_give_mcnemars_test(rows):
    student, teacher, _ = np.array(rows, int).T
    apart = pairs(student, teacher, np.arange(student.size))
    assert exact_p(apart) == pytest.approx(exact_p(pairs(student, teacher)), abs=1e-12)


@steady
@given(st.lists(st.floats(0, 1), min_size=1, max_size=200))
def test_holm_is_statsmodels(p_values):
    assert holm(p_values) == pytest.approx(multipletests(p_values, method="holm")[1], abs=1e-12)


@steady
@given(st.lists(st.tuples(st.floats(0, 1), st.floats(0.1, 10)), min_size=1, max_size=6))
def test_weighted_holm_rejects_what_every_set_of_true_hypotheses_allows(family):
    # closed testing: a member falls where every set that holds it is rejected by a weighted Bonferroni test
    p, weights = np.array(family).T
    sets = [np.array(members) for size in range(1, len(p) + 1) for members in combinations(range(len(p)), size)]
    worst = [
        max(min(1.0, (p[one] / weights[one]).min() * weights[one].sum()) for one in sets if member in one)
        for member in range(len(p))
    ]
    assert holm(p, weights) == pytest.approx(worst, abs=1e-12)


def test_holm_of_an_empty_family_is_empty_and_p_values_outside_0_to_1_are_refused():
    assert holm([]).size == 0
    with pytest.raises(InputError, match="outside 0 to 1"):
        holm([0.2, 1.2])
    with pytest.raises(InputError, match="weights of shape"):
        holm([0.2, 0.3], [1.0, 0.0])


@pytest.mark.parametrize("n", [1, 20, 99, 660])
def test_without_a_discordant_clip_the_bound_is_that_of_no_event_in_n(n):
    assert lower_bounds([table(n, 0, 0, 0)])[0] == pytest.approx(-(1 - 0.05 ** (1 / n)), abs=1e-9)


@pytest.mark.parametrize(("n", "margin"), [(40, 0.1), (100, 0.03), (150, 0.02), (200, 0.1), (300, 0.05)])
def test_kept_is_wrong_in_at_most_5_of_100_cases_at_the_margin(n, margin):
    """All outcomes of n independent clips, weighed by their chance: no simulation."""
    lost, gained = (grid.ravel() for grid in np.meshgrid(np.arange(n + 1), np.arange(n + 1)))
    likely = (lost + gained <= n) & (lost + gained <= 0.35 * n + 25)
    lost, gained = lost[likely], gained[likely]
    kept = lower_bounds([table(n - b - c, b, c, 0) for b, c in zip(gained, lost, strict=True)]) > -margin
    for discordance in (margin, 1.1 * margin, 1.5 * margin, 2 * margin, 3 * margin, 0.25):
        if discordance < margin:
            continue
        up, down = (discordance - margin) / 2, (discordance + margin) / 2
        chance = binom.pmf(lost, n, down) * binom.pmf(gained, n - lost, up / (1 - down))
        assert chance[kept].sum() <= 0.05


def test_with_few_subjects_who_are_alike_kept_is_still_wrong_in_at_most_5_of_100_cases():
    random, margin = np.random.default_rng(5), 0.05
    for subjects, each in ((6, 100), (19, 35)):
        losses = random.beta(margin * 9, (1 - margin) * 9, (1000, subjects))  # intraclass correlation 0.1
        lost = random.binomial(each, losses)
        family = [table(each - row, 0 * row, row, 0 * row, is_by_subject=True) for row in lost]
        by_clip = [table(*(kind.sum() for kind in (one.both, one.gained, one.lost, one.neither))) for one in family]
        assert np.mean(lower_bounds(family) > -margin) <= 0.05 < 0.1 < np.mean(lower_bounds(by_clip) > -margin)


@steady
@given(answers)
def test_knowing_subjects_never_raises_the_bound(rows):
    student, teacher, subjects = np.array(rows, int).T
    plain, grouped = lower_bounds([pairs(student, teacher), pairs(student, teacher, subjects)])
    assert -1 <= grouped <= plain + 1e-9
    assert plain <= student.mean() - teacher.mean() + 1e-9


@steady
@given(st.integers(0, 40), st.integers(0, 40), st.integers(1, 200))
def test_one_more_loss_lowers_the_bound_and_one_more_gain_does_not(gained, lost, both):
    before, loss, gain = lower_bounds(
        [table(both, gained, lost, 9), table(both - 1, gained, lost + 1, 9), table(both, gained + 1, lost, 8)]
    )
    assert loss < before <= gain + 1e-9


@steady
@given(answers)
def test_the_best_bound_is_that_of_a_student_that_answers_like_the_teacher(rows):
    _, teacher, subjects = np.array(rows, int).T
    for whose in (None, subjects):
        ours = best_bounds([pairs(np.array(rows, int)[:, 0], teacher, whose)])
        assert ours == pytest.approx(lower_bounds([pairs(teacher, teacher, whose)]), abs=1e-9)


def test_one_subject_can_never_be_kept():
    one = pairs(np.ones(500), np.ones(500), np.zeros(500))
    assert lower_bounds([one])[0] == -1 and lower_bounds([]).size == 0


def test_the_bounds_of_a_family_are_those_of_its_members():
    family = [table(50, 2, 4, 3), pairs([1, 0, 1, 1] * 9, [1, 1, 0, 1] * 9, list(range(12)) * 3), table(1, 0, 0, 0)]
    assert lower_bounds(family) == pytest.approx([lower_bounds([one])[0] for one in family], abs=1e-9)


@pytest.mark.parametrize(
    ("value", "bound", "best", "holm_p", "word"),
    [
        (-0.20, -0.30, -0.05, 0.001, "lost"),
        (-0.20, -0.30, -0.05, 0.06, "too small"),  # not shown by the test, and 3 points could never be ruled out
        (-0.20, -0.30, -0.02, 0.06, "unclear"),
        (-0.02, -0.04, -0.01, 0.001, "unclear"),  # certainly worse, but perhaps not by more than the margin
        (-0.02, -0.029, -0.01, 0.001, "kept"),  # certainly worse, and not by more than the margin
        (0.20, 0.10, -0.05, 0.001, "kept"),  # certainly better, even if few
        (0.00, -0.03, -0.01, 1.0, "unclear"),  # the bound must lie above the margin, not on it
        (0.00, -0.05, -0.05, 1.0, "too small"),
    ],
)
def test_the_verdict_follows_its_rule(value, bound, best, holm_p, word):
    said, why = verdict(value, bound=bound, best=best, holm_p=holm_p, margin=0.03)
    assert said == word and why


def test_a_slice_is_too_small_below_the_stated_numbers_of_clips_and_subjects():
    assert smallness(FEWEST_CLIPS, None) is None and smallness(FEWEST_CLIPS, FEWEST_SUBJECTS) is None
    assert smallness(1, None) == "1 clip, fewer than 20" and smallness(19, 19) == "19 clips, fewer than 20"
    assert smallness(200, 1) == "1 subject, fewer than 6"


def test_with_fewer_subjects_than_stated_even_a_total_loss_is_not_significant():
    def total_loss(people):
        return exact_p(
            table(np.zeros(people, int), np.zeros(people, int), np.full(people, 9), np.zeros(people, int), True)
        )

    assert total_loss(FEWEST_SUBJECTS - 1) > 0.05 >= total_loss(FEWEST_SUBJECTS)


@pytest.mark.parametrize("margin", [0, -0.1, 1, float("nan")])
def test_a_margin_outside_0_to_1_is_refused(margin):
    with pytest.raises(InputError, match="a margin of"):
        checked_margin(margin)
