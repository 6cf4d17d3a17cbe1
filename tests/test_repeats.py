"""benchmarks/repeats.py and operators.py: repeats are counted as they are defined, and a file's operators are all there."""

import sys
from pathlib import Path

import numpy as np
import pytest

from benchmarks import repeats
from edgecomp.metrics import Estimate
from tests.small_bundle import SAMPLES, small_models
from tests.small_students import sounds


def test_a_repeat_holds_where_two_benches_in_a_row_differ_by_less_than_the_firsts_interval():
    one, near, far = Estimate(1.0, 0.9, 1.1, 9), Estimate(1.15, 1.1, 1.2, 9), Estimate(2.0, 1.9, 2.1, 9)
    found = repeats.counted([one, near, far])
    assert (found["repeats"], found["differ_by_less"], found["second_within_first"]) == (2, 1, 0)
    assert found["aim_is_met"] is False and found["share_of_all_pairs"] == pytest.approx(1 / 6)
    assert repeats.counted([one] * 20)["aim_is_met"] is True


@pytest.fixture
def operators(monkeypatch):
    monkeypatch.syspath_prepend(str(Path(__file__).parents[1] / "benchmarks"))
    import operators as found

    yield found
    for name in ("operators", "litert_profiler"):
        sys.modules.pop(name, None)


@pytest.mark.parametrize(("form", "named"), [("onnx", "Log log"), ("tflite", "Log (NC)")])
def test_a_files_operators_are_all_there_and_take_less_than_the_whole(operators, tmp_path, form, named):
    artifact = small_models(tmp_path)[form]
    runs = {"onnx": operators.onnx_runs, "tflite": operators.tflite_runs}[form]
    *each, whole = operators.rows(runs(artifact.path, sounds(2, SAMPLES)[:, None], 20))
    assert named in [row["operator"] for row in each] and len(each) == whole["operators"] > 20
    assert [row["place"] for row in each] == list(range(len(each)))
    assert 0 < whole["operators_us"] < 1.05 * whole["whole_us"], "LiteRT counts whole microseconds"


def test_what_interrupts_the_slower_half_of_the_runs_does_not_count(operators):
    assert operators.lower_mean(np.array([1.0, 2.0, 1.0, 90.0, 80.0])) == pytest.approx(4 / 3)
