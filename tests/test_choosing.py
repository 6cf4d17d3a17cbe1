"""What ships: one student in every format, chosen by the format that the target runs; and a threshold told of these clips."""

from types import SimpleNamespace

import numpy as np
import pytest

from edgecomp.appraisal import Case
from edgecomp.data.rows import Clip
from edgecomp.proof import choose
from edgecomp.site import _decision
from edgecomp.students.ending import PLAIN

FORMS = ("onnx", "tflite")


def _proof(int8_ms: dict[str, float], form: str, is_microcontroller: bool = False) -> SimpleNamespace:
    """Return what choose looks at: a float model of 1 ms in both formats, int8 as given, intervals of 0.1 ms."""

    def value(name: str, of: str) -> SimpleNamespace | None:
        stage, _, file = of.rpartition(" ")
        if name != "latency_p50" or stage not in ("finetuned", "int8"):
            return None
        ms = int8_ms[file] if stage == "int8" else 1.0
        return SimpleNamespace(value=ms, low=ms - 0.1, high=ms + 0.1)

    stages = {name: SimpleNamespace(files={form: f"{name} {form}" for form in FORMS}) for name in ("finetuned", "int8")}
    task = SimpleNamespace(recipe=SimpleNamespace(teacher=SimpleNamespace(outputs_may_train="yes")))
    target = SimpleNamespace(hardware=SimpleNamespace(is_microcontroller=is_microcontroller))
    return SimpleNamespace(value=value, format=form, stages=stages, task=task, target=target)


@pytest.mark.parametrize(
    ("onnx_ms", "tflite_ms", "form", "ships"),
    [
        (0.5, 2.0, "onnx", "int8"),
        (0.5, 2.0, "tflite", "finetuned"),
        (2.0, 0.5, "tflite", "int8"),
        (1.15, 1.15, "tflite", "int8"),
    ],
)
def test_every_format_ships_the_student_that_the_targets_own_format_runs_faster(onnx_ms, tflite_ms, form, ships):
    chosen = SimpleNamespace(float_stage="finetuned", stages=[SimpleNamespace(name=n) for n in ("finetuned", "int8")])
    shipped, warnings = choose(_proof({"onnx": onnx_ms, "tflite": tflite_ms}, form), chosen)
    assert shipped == {one: f"{ships} {one}" for one in FORMS}
    assert bool(warnings) == (ships == "finetuned") and all(said.startswith(f"{form}: int8 takes") for said in warnings)


@pytest.mark.parametrize("targets", [[1, 1, 0, 0, 0], [0, 0, 0, 0, 0]], ids=["both labels", "one label"])
def test_another_sites_report_tells_what_the_threshold_finds_there(targets):
    scores = np.array([0.9, 0.1, 0.8, 0.2, 0.1])
    case = Case(
        labels=("no", "yes"),
        clips=[Clip(f"{row}.wav", "no", "test", None, {}) for row in range(5)],
        targets=np.array(targets),
        waves=np.zeros((5, 10), np.float32),
        length_s=np.ones(5),
        sample_rate=8000,
        answers={"ships": np.stack([1 - scores, scores], 1)},
        shipped="ships",
        uncertainty=np.zeros(5),
        ending=PLAIN,
        positive=1,
        thresholds={"ships": 0.5},
    )
    home = {"rule": "threshold", "positive": "yes", "threshold": 0.5, "test_sensitivity": {"value": 0.99}}
    rule = _decision(SimpleNamespace(facts={"decision": home}), case)
    if any(targets):
        assert (rule["test_sensitivity"]["value"], rule["test_sensitivity"]["n"]) == (0.5, 2)
        assert rule["test_specificity"]["value"] == pytest.approx(2 / 3)
    else:
        assert rule["test_sensitivity"] is None and rule["test_specificity"]["n"] == 5


def test_a_microcontroller_gets_int8_however_fast_float_is_here():
    chosen = SimpleNamespace(float_stage="finetuned", stages=[SimpleNamespace(name=n) for n in ("finetuned", "int8")])
    shipped, warnings = choose(_proof({"onnx": 2.0, "tflite": 2.0}, "tflite", is_microcontroller=True), chosen)
    assert set(shipped.values()) == {"int8 onnx", "int8 tflite"} and warnings == []
