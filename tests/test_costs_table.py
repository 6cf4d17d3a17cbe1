"""costs: the sums of the money question, and when the compile has paid for itself."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgecomp.audit.costs import LOCAL, SHIPPED, TEACHER, Costs, asked_at, cost_table
from edgecomp.errors import InputError

steady = settings(deadline=None, max_examples=50, derandomize=True)
asked = np.arange(10) < 2
student, teacher = np.arange(10) >= 3, np.arange(10) >= 1
money = st.floats(0, 100)


def rows(costs=None, **more):
    return {row.name: row for row in cost_table(asked, student, teacher, costs, **more).rows}


def test_a_table_by_hand():
    found = rows(Costs(teacher_call=0.5, local_call=0.01, compile=20))
    assert {name: row.per_1000 for name, row in found.items()} == pytest.approx({TEACHER: 500, LOCAL: 10, SHIPPED: 110})
    assert {name: row.accuracy.value for name, row in found.items()} == pytest.approx(
        {TEACHER: 0.9, LOCAL: 0.7, SHIPPED: 0.8}
    )
    assert {name: row.local.value for name, row in found.items()} == pytest.approx({TEACHER: 0, LOCAL: 1, SHIPPED: 0.8})
    assert {name: row.paid_after for name, row in found.items()} == {TEACHER: None, LOCAL: 41, SHIPPED: 52}


@steady
@given(money, money, money)
def test_the_compile_is_paid_for_at_the_call_that_is_named_and_not_before(teacher_call, local_call, compiling):
    for row in rows(Costs(teacher_call, local_call, compiling)).values():
        saving = teacher_call - row.per_1000 / 1000
        if row.paid_after is None:
            assert row.name == TEACHER or saving <= 1e-9 * teacher_call
        else:
            assert row.paid_after * saving >= compiling - 1e-6 * (1 + saving)
            assert (row.paid_after - 1) * saving < compiling + 1e-6 or row.paid_after == 0


def test_a_local_call_that_costs_as_much_never_pays():
    assert rows(Costs(1, 1, 5))[LOCAL].paid_after is None
    assert rows(Costs(1, 0.9, 5))[SHIPPED].paid_after is None
    assert rows(Costs(0, 0, 0))[LOCAL].paid_after is None


def test_a_free_compile_has_paid_at_once():
    assert rows(Costs(1, 0.1))[LOCAL].paid_after == 0


def test_without_costs_the_table_counts_teacher_calls_and_says_so():
    table = cost_table(asked, student, teacher)
    assert [row.per_1000 for row in table.rows] == pytest.approx([1000, 0, 200])
    assert all(row.paid_after is None for row in table.rows)
    assert table.unit == "teacher calls" and "no costs given" in table.note


def test_the_unit_is_the_currency_or_says_that_it_is_not_stated():
    assert cost_table(asked, student, teacher, Costs(1, 0, currency="EUR")).unit == "EUR"
    assert cost_table(asked, student, teacher, Costs(1, 0)).unit == "currency not stated"


@steady
@given(st.lists(st.integers(0, 5), min_size=1, max_size=60), st.sampled_from([0.2, 0.5, 0.9, 1.0]))
def test_at_least_the_share_stays_local_and_the_surest_first(levels, share):
    uncertainty = np.array(levels, float)
    (way,) = asked_at(uncertainty, (share,)).values()
    assert (~way).mean() >= share - 1e-9
    assert not way.any() or uncertainty[~way].max() < uncertainty[way].min()


def test_other_thresholds_become_rows_under_their_share():
    uncertainty = np.arange(10) / 10
    found = rows(others=asked_at(uncertainty, (0.5, 0.95)))
    assert list(found) == [TEACHER, LOCAL, SHIPPED, "50 % local", "95 % local"]
    assert found["50 % local"].local.value == 0.5


def test_subjects_widen_the_interval_of_accuracy():
    alone, known = rows()[SHIPPED].accuracy, rows(subjects=["a", "b"] * 5)[SHIPPED].accuracy
    assert known.value == alone.value and known.high - known.low > alone.high - alone.low


@pytest.mark.parametrize("cost", [-1, float("nan"), float("inf"), "free"])
def test_costs_that_are_no_amount_are_refused(cost):
    with pytest.raises(InputError, match=r"local_call of .*"):
        Costs(1, cost)


@pytest.mark.parametrize("share", [0, 1.2])
def test_an_impossible_share_is_refused(share):
    with pytest.raises(InputError, match="shares"):
        asked_at([0.1, 0.2], (share,))


def test_arrays_that_do_not_fit_are_refused():
    with pytest.raises(InputError, match="bool of shape"):
        cost_table(asked, student[:-1], teacher)
