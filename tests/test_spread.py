"""spread.py: an interval says how far a time would be off if it were measured again."""

import numpy as np
import pytest

from edgecomp import spread
from edgecomp.errors import EdgecompError

PROCESSES = np.repeat(np.arange(5), 20)


@pytest.fixture
def quick(monkeypatch):
    """Fewer draws for each interval, where many intervals are looked at."""
    monkeypatch.setattr(spread, "RESAMPLES", 200)


def test_interleaving_takes_the_machines_mood_out_of_a_ratio(quick):
    random = np.random.default_rng(0)
    covered = []
    for _ in range(100):  # the machine slows down threefold at some moment; the true ratio is 0.5
        mood = np.where(np.arange(60) < random.integers(10, 50), 1.0, 3.0)
        one, two = (scale * mood * random.lognormal(0, 0.05, 60) for scale in (1.0, 2.0))
        ratio = spread.median_ratio(one, two)
        covered.append(ratio.low <= 0.5 <= ratio.high)
        assert ratio.high - ratio.low < 0.2
    assert np.mean(covered) >= 0.88


def test_the_interval_of_a_median_covers_it_about_95_times_of_100(quick):
    random = np.random.default_rng(1)
    held = []
    for _ in range(200):
        estimate = spread.median_interval(random.lognormal(0, 0.3, 60))
        held.append(estimate.low <= 1.0 <= estimate.high)
    assert np.mean(held) >= 0.88


def test_neighbours_that_resemble_each_other_widen_the_interval():
    random, wider = np.random.default_rng(2), []
    for _ in range(20):
        drift = np.repeat(random.standard_normal(25), 4)
        alone, mixed = spread.median_interval(drift), spread.median_interval(random.permutation(drift))
        wider.append((alone.high - alone.low) / (mixed.high - mixed.low))
    assert np.median(wider) > 1.2


def test_rounds_of_two_different_runs_have_no_ratio():
    with pytest.raises(EdgecompError, match="10 rounds against 12"):
        spread.median_ratio(np.ones(10), np.ones(12))


def _measured(random: np.random.Generator, between: float) -> np.ndarray:
    """Return the windows of five processes that differ by more than their windows do; the true median is 1."""
    return np.exp(between * random.standard_normal(5)[PROCESSES] + 0.01 * random.standard_normal(100))


def test_the_same_thing_measured_twice_differs_by_less_than_its_interval(quick):
    random = np.random.default_rng(3)
    for between in (0.0, 0.05):
        found = [spread.repeated(_measured(random, between), PROCESSES) for _ in range(200)]
        pairs = list(zip(found[::2], found[1::2], strict=True))
        less = np.mean([abs(one.value - two.value) < one.high - one.low for one, two in pairs])
        assert less >= 0.95 and np.mean([one.low <= 1 <= one.high for one in found]) >= 0.93


def test_windows_alone_do_not_say_how_processes_differ(quick):
    random = np.random.default_rng(4)
    alone = [spread.median_interval(_measured(random, 0.1)) for _ in range(100)]
    assert np.mean([one.low <= 1 <= one.high for one in alone]) < 0.7


def test_a_ratio_in_the_same_windows_is_as_sure_as_ever():
    random = np.random.default_rng(5)
    base = _measured(random, 0.3)
    ratio = spread.repeated(2 * base * np.exp(0.01 * random.standard_normal(100)), PROCESSES, base)
    assert 1.98 < ratio.low <= ratio.value <= ratio.high < 2.02 and ratio.n == 100


def test_two_processes_are_too_few_for_an_interval_of_their_own():
    values, processes = np.r_[np.full(10, 1.0), np.full(10, 2.0)], np.repeat([0, 1], 10)
    found, ratio = spread.repeated(values, processes), spread.repeated(values, processes, np.ones(20))
    assert ratio == spread.median_interval(values) and (found.low, found.value, found.high) == (1.0, 1.5, 2.0)


def test_on_a_busy_machine_the_interval_holds_both_kinds_of_windows():
    random = np.random.default_rng(7)
    slow = np.where(random.random(100) < 0.2, 1.2, 1.0)
    found = spread.repeated(slow * np.exp(0.01 * random.standard_normal(100)), PROCESSES)
    assert found.value < 1.05 and found.high > 1.15, "the next minute may be the slow one"


def test_a_difference_may_lie_around_nothing():
    values = np.random.default_rng(6).standard_normal(100) + PROCESSES - 2
    found = spread.repeated(values, PROCESSES)
    assert found.low < 0 < found.high


def test_a_mean_counts_the_windows_in_which_a_counter_did_not_tick():
    ticks = np.tile([0.0, 0.0, 3.0], 40)
    found = spread.mean_interval(ticks)
    assert found.value == 1 and found.low < 1 < found.high < 2
