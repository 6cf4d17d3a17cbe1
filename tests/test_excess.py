"""excess: what a slice lost beyond the other clips, against statsmodels by subject, and the order that it gives."""

import numpy as np
import pytest
from scipy.stats import t
from statsmodels.api import OLS

from edgecomp.audit.excess import about, area_moved, excess, share_moved
from edgecomp.audit.slice_sets import Slice
from edgecomp.audit.slices import Answers, audit_slices


def two_sides(seed=0, n=600, people=24):
    random = np.random.default_rng(seed)
    asked, subjects = random.random(n) < 0.3, random.integers(0, people, n)
    gained = random.choice([-1.0, 0.0, 1.0], n, p=[0.1, 0.85, 0.05])
    return gained, asked, subjects


@pytest.mark.parametrize("seed", range(5))
def test_the_excess_and_its_error_are_those_of_a_regression_clustered_by_subject(seed):
    gained, asked, subjects = two_sides(seed)
    found = excess(share_moved(gained, asked), share_moved(gained, ~asked), asked, ~asked, subjects)
    fitted = OLS(gained, np.stack([np.ones(len(gained)), asked], 1)).fit(
        cov_type="cluster", cov_kwds={"groups": subjects, "use_correction": False}
    )
    assert found.value == pytest.approx(fitted.params[1])
    by_clip = gained[asked].var(ddof=1) / asked.sum() + gained[~asked].var(ddof=1) / (~asked).sum()
    expected = max(fitted.bse[1] ** 2 * 24 / 23, by_clip)
    assert found.high - found.value == pytest.approx(t.ppf(0.975, 23) * np.sqrt(expected), rel=5e-3)


def test_without_subjects_the_error_is_that_of_two_independent_means():
    gained, asked, _ = two_sides(7)
    found = excess(share_moved(gained, asked), share_moved(gained, ~asked), asked, ~asked, None)
    error = np.sqrt(gained[asked].var(ddof=1) / asked.sum() + gained[~asked].var(ddof=1) / (~asked).sum())
    assert (found.high - found.low) / 2 == pytest.approx(1.97 * error, rel=0.01)


def test_one_subject_inside_says_nothing_about_others():
    gained, asked, subjects = two_sides(3)
    subjects = np.where(asked, 99, subjects)
    found = excess(share_moved(gained, asked), share_moved(gained, ~asked), asked, ~asked, subjects)
    assert (found.low, found.high) == (-2, 2)


def test_an_area_without_both_classes_is_held_against_nothing():
    scores, positive = np.random.default_rng(0).random((2, 40)), np.arange(40) < 20
    assert area_moved(*scores, positive, positive) is None
    value, pull = area_moved(*scores, positive, np.arange(40) % 2 == 0)
    assert np.isfinite(value) and (pull[1::2] == 0).all()


def test_a_slice_that_was_harmed_stands_before_one_that_is_hard_for_any_student():
    random, n = np.random.default_rng(5), 3000
    noisy, accent = random.random(n) < 0.5, random.random(n) < 0.15
    targets = np.zeros(n, int)
    lost = random.random(n) < np.where(noisy, 0.1, 0.02) + 0.12 * accent
    answers = Answers({"teacher": targets, "int8": lost.astype(int)}, targets, [f"P{at % 40}" for at in range(n)])
    slices = [
        Slice("all clips", "all", np.ones(n, bool)),
        Slice("noise: much", "group", noisy),
        Slice("accent: scotland", "group", accent),
        Slice("the teacher is unsure", "teacher unsure", lost | (random.random(n) < 0.1)),
    ]
    rows = audit_slices(answers, slices, shipped="int8", margin=0.03).rows
    assert [row.verdict for row in rows] == ["lost"] * 4
    assert [row.slice for row in rows[1:]] == ["accent: scotland", "noise: much", "the teacher is unsure"]
    assert rows[0].beyond is None and rows[1].beyond.value == pytest.approx(-0.12, abs=0.04)


def test_probabilities_tell_a_harm_that_decisions_hardly_show():
    random, n = np.random.default_rng(6), 1200
    harmed, targets = np.arange(n) < 200, np.zeros(n, int)
    sure = {"teacher": np.full(n, 0.95), "int8": 0.9 - 0.15 * harmed + 0.05 * random.standard_normal(n)}
    decided = {name: (given < 0.6).astype(int) for name, given in sure.items()}  # nearly all of them right
    slices = [Slice("all clips", "all", np.ones(n, bool)), Slice("accent: gb", "group", harmed)]
    plain, told = (
        audit_slices(Answers(decided, targets, sureness=given), slices, shipped="int8", margin=0.03).rows[1].beyond
        for given in (None, sure)
    )
    assert told.high < -0.13 < plain.value <= 0
    assert told.value == pytest.approx(-0.15, abs=0.01)


def test_slices_say_whom_or_what_or_which_part_or_only_which_clips():
    assert [about(kind) for kind in ("all", "group", "class", "rare classes")] == ["whom"] * 2 + ["what"] * 2
    assert [about(kind) for kind in ("class × group", "subject")] == ["parts"] * 2
    assert [about(kind) for kind in ("teacher unsure", "length", "loudness")] == ["clips"] * 3
