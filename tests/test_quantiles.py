"""quantiles: the tails of beta and Student's t against SciPy."""

import numpy as np
import pytest
from scipy import stats

from edgecomp.audit.quantiles import beta_below, beta_quantile, clopper_pearson, student_above, student_quantile


def test_the_beta_distribution_is_scipys():
    random = np.random.default_rng(0)
    a, b = 10 ** random.uniform(-0.5, 3.5, (2, 500))
    share = random.random(500)
    x = stats.beta.ppf(share, a, b)
    assert beta_below(x, a, b) == pytest.approx(stats.beta.cdf(x, a, b), abs=1e-9)
    assert beta_quantile(share, a, b) == pytest.approx(x, abs=1e-9)


def test_clopper_pearson_is_scipys():
    n = np.repeat([1, 7, 60, 900], 3)
    events = np.ravel([[0, 1, 1], [0, 3, 7], [0, 2, 60], [0, 450, 899]])
    low, high = clopper_pearson(events, n, 0.05)
    for k, of, below, above in zip(events, n, low, high, strict=True):
        theirs = stats.binomtest(int(k), int(of)).proportion_ci(confidence_level=0.9, method="exact")
        assert (below, above) == pytest.approx((theirs.low, theirs.high), abs=1e-9)


def test_clopper_pearson_takes_fractions_and_keeps_its_order():
    low, high = clopper_pearson([0.4, 1.2, 2.5], [3.1, 3.1, 3.1], 0.05)
    assert (np.diff(low) > 0).all() and (np.diff(high) > 0).all() and (low < high).all()


@pytest.mark.parametrize("freedom", [1, 2, 5, 18, 300, 5000])
def test_students_t_is_scipys(freedom):
    for tail in (0.025, 0.05):
        assert student_quantile(tail, freedom) == pytest.approx(stats.t.isf(tail, freedom), rel=1e-4)
    for value in (-2.0, 0.0, 0.3, 4.0):
        assert student_above(value, freedom) == pytest.approx(stats.t.sf(value, freedom), abs=1e-10)


def test_infinite_freedom_is_the_normal_distribution():
    assert student_above(1.5, float("inf")) == pytest.approx(stats.norm.sf(1.5))
