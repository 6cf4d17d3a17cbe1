"""The microcontroller's path answers as its bundle or is refused, and every figure says that it is emulated or estimated."""

import json
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from edgecomp.bundle import read_bundle
from edgecomp.devices import Device, Effort, ModelFile, _mcu_tools, mcu, open_device
from edgecomp.devices.mcu import ACCELERATORS, measure
from edgecomp.errors import BundleError, DeviceError, GateError
from edgecomp.lowering.feature_body import cut_bundle, run_part
from edgecomp.runtimes import Answer
from edgecomp.students.families import families
from tests.small_bundle import write_small_bundle
from tests.small_mcu import RATE, SAMPLES, compiler, fair_student, small_body, write_int8_bundle
from tests.small_students import sounds

pytest.importorskip("tflite_micro", reason="TensorFlow Lite Micro is not installed (edgecomp[mcu])")
torch.set_num_threads(1)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    return read_bundle(write_int8_bundle(tmp_path_factory.mktemp("mcu") / "sounds-stm32h747"))


@pytest.fixture(scope="module")
def result(bundle):
    compiler()
    pytest.importorskip("ethosu", reason="Vela is not installed (edgecomp[mcu])")
    return measure(bundle)


def _answering(bundle, answer) -> SimpleNamespace:
    """Return a bundle whose TFLite file answers otherwise than its body does."""
    ask = bundle.session("tflite")

    def session(form: str) -> object:
        return lambda wave: Answer(np.float32(answer(ask(wave).probabilities)), 0.0)

    return SimpleNamespace(folder=bundle.folder, facts=bundle.facts, label=bundle.label, session=session)


def test_the_path_answers_as_the_bundle_does(result):
    assert result.clips == 8 and "generated C" in result.front_end and result.skipped == ()
    assert result.value("agreement_bundle") == 1
    assert 0 < result.value("mean_difference_bundle") <= mcu.LARGEST_MEAN
    assert result.value("features_alike") > 0.98 and result.value("largest_feature_difference") <= 1


def test_every_figure_is_emulated_or_estimated_and_says_by_what(result):
    emulated = {
        "agreement_bundle",
        "mean_difference_bundle",
        "largest_difference_bundle",
        "features_alike",
        "largest_feature_difference",
    }
    for figure in result.figures:
        assert figure.how == ("emulated" if figure.name in emulated else "estimated")
        assert figure.unit and len(figure.method) > 15
    assert "TensorFlow Lite Micro" in result.device and "host" not in result.device
    assert len({figure.name for figure in result.figures}) == len(result.figures)


def test_the_arena_holds_the_largest_pair_of_tensors_and_little_more(bundle, result):
    body = cut_bundle(bundle.folder, bundle.facts)
    features = body.front_end.frames * body.front_end.mels
    assert features < result.value("arena") < 20 * features
    assert result.value("body") == len(body.content)
    (arena,) = [figure for figure in result.figures if figure.name == "arena"]
    budget = json.loads((bundle.folder / "report.json").read_text())["target"]["budget"]
    assert arena.bound == budget["peak_memory_mb"] * 1e6


def test_the_arena_has_no_bound_where_the_report_tells_none(bundle, tmp_path):
    assert mcu._arena_budget_bytes(tmp_path) is None
    (tmp_path / "report.json").write_text('{"target": {"name": "x"}}')
    assert mcu._arena_budget_bytes(tmp_path) is None


@pytest.mark.parametrize("family", families())
def test_tensorflow_lite_micro_is_within_one_step_of_litert_with_reference_kernels(family):
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    body = small_body(fair_student(family))
    stored = body.quantise(run_part(body.front, sounds(12, SAMPLES, rate=RATE, seed=2)))
    reference = Interpreter(model_content=body.content, experimental_op_resolver_type=OpResolverType.BUILTIN_REF)
    reference.allocate_tensors()
    for row, found in zip(stored, _mcu_tools.run_body(body, stored), strict=True):
        reference.set_tensor(reference.get_input_details()[0]["index"], row[None])
        reference.invoke()
        told = reference.get_tensor(reference.get_output_details()[0]["index"])[0]
        assert np.abs(told.astype(int) - found).max() <= 1


def test_more_macs_take_fewer_cycles_and_all_operators_run_on_the_npu(bundle):
    pytest.importorskip("ethosu", reason="Vela is not installed (edgecomp[mcu])")
    body = cut_bundle(bundle.folder, bundle.facts)
    told = [_mcu_tools.vela(body.content, accelerator) for accelerator in (ACCELERATORS[0], ACCELERATORS[-1])]
    assert told[0]["cycles_total"] > told[1]["cycles_total"] > 0
    assert all(one["cpu_operators"] == 0 for one in told)
    assert 0 < told[1]["sram_memory_used"] < 500


def test_a_path_that_decides_otherwise_is_refused(bundle):
    with pytest.raises(GateError) as caught:
        measure(_answering(bundle, lambda p: p[::-1]))
    assert "decides alike on" in caught.value.what and "do not ship it" in caught.value.fix
    assert caught.value.exit_code == 3


def test_constant_answers_agree_with_anything_and_are_refused(bundle):
    with pytest.raises(GateError, match="gives every clip the same answer"):
        measure(_answering(bundle, lambda p: np.array([0.2, 0.5, 0.3])))


def test_a_float_bundle_is_refused(tmp_path):
    with pytest.raises(BundleError, match="is float32, and a microcontroller's body must be int8"):
        measure(read_bundle(write_small_bundle(tmp_path / "sounds")))


def test_given_clips_are_measured(bundle):
    found = measure(bundle, mcu._golden_clips(bundle.folder)[:3])
    assert found.clips == 3


def test_without_a_compiler_the_bundles_own_front_end_makes_the_features(bundle, monkeypatch):
    monkeypatch.setattr(_mcu_tools.shutil, "which", lambda name: None)
    monkeypatch.setattr(mcu, "version", lambda package: None)
    found = measure(bundle)
    assert "no C compiler here" in found.front_end and found.value("features_alike") == 1
    assert found.skipped == ("cycles on ethos-u55-128: Vela is not installed (pip install 'edgecomp[mcu]')",)


def test_without_tensorflow_lite_micro_the_error_says_what_to_install(bundle, monkeypatch):
    monkeypatch.setattr(_mcu_tools, "version", lambda package: None)
    with pytest.raises(DeviceError) as caught:
        measure(bundle)
    assert caught.value.what == "TensorFlow Lite Micro is not installed"
    assert caught.value.fix == "pip install 'edgecomp[mcu]'" and caught.value.exit_code == 2


def test_it_is_a_device_like_the_others(bundle):
    with open_device("mcu") as device:
        assert isinstance(device, Device) and device.how == "emulated" and device.forms == ("tflite",)
        assert device.describe()["accelerator"] == "ethos-u55-128"
        clips = sounds(3, SAMPLES, rate=RATE, seed=50)
        said = device.answers(ModelFile("sounds tflite", bundle.folder / "model.tflite", "tflite"), clips)
        assert said.probabilities.shape == (3, 3) and said.probabilities.sum(1) == pytest.approx(1, abs=1e-5)
        assert said.uncertainty == pytest.approx(1 - said.probabilities.max(1), abs=1e-5)
        assert device.starts(None, SAMPLES) == ()
        with pytest.raises(DeviceError, match="no latency of a microcontroller can be told from here"):
            device.time([], clips, Effort())


def test_an_unknown_accelerator_is_answered_with_the_nearest_one():
    with pytest.raises(DeviceError) as caught:
        open_device("mcu:ethos-u55-182")
    assert caught.value.what == "unknown accelerator 'ethos-u55-182'"
    assert caught.value.fix.startswith("did you mean 'ethos-u55-128'?")


def test_a_file_outside_of_a_bundle_is_refused(tmp_path):
    (tmp_path / "model.tflite").write_bytes(b"")
    with open_device("mcu") as device, pytest.raises(DeviceError, match="there is none here"):
        device.answers(ModelFile("x tflite", tmp_path / "model.tflite", "tflite"), sounds(1, SAMPLES))


def test_a_body_that_the_runtime_cannot_load_is_a_clear_error(bundle):
    body = cut_bundle(bundle.folder, bundle.facts)
    with pytest.raises(DeviceError, match="TensorFlow Lite Micro cannot load this body"):
        _mcu_tools.arena_bytes(replace(body, content=body.front))
