"""The body that is cut out of an int8 file: int8 from end to end, and together with its front end it answers as the file."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from edgecomp.errors import BundleError
from edgecomp.lowering.feature_body import cut_body, cut_bundle, feature_scale, run_part
from edgecomp.lowering.tflite_file import TYPES, TfliteFile
from edgecomp.runtimes import import_runtime
from edgecomp.students.ending import Ending
from edgecomp.students.families import families
from edgecomp.students.front_end import FrontEnd
from edgecomp.students.student import freeze
from tests.small_mcu import RATE, SAMPLES, fair_student, lower, small_body, write_int8_bundle
from tests.small_students import LABELS, probabilities, scales, sounds

torch.set_num_threads(1)
ENDINGS = {
    "plain": Ending(),
    "temperature": Ending(0.5),
    "two labels": Ending(1.5, (0.0, 0.25), (0.0, -0.75)),
}


@pytest.mark.parametrize("family", families())
def test_the_body_is_int8_from_end_to_end(family):
    body = small_body(fair_student(family))
    file = TfliteFile(body.content)
    kinds = {file.kind(operator) for operator in file.operators}
    assert kinds == set(body.operators) and not kinds & {"QUANTIZE", "DEQUANTIZE", "SOFTMAX"}
    held = {TYPES[tensor.type] for tensor in file.tensors}
    assert held == {"INT8", "INT32"}
    assert file.shape("features") == (1, body.front_end.frames, body.front_end.mels, 1)
    assert [TYPES[file.tensors[at].type] for at in (*file.graph.inputs, *file.graph.outputs)] == ["INT8", "INT8"]


@pytest.mark.parametrize("family", families())
def test_the_parts_are_hardly_further_from_the_float_student_than_the_whole_file(family, tmp_path):
    student, waves = fair_student(family), sounds(40, SAMPLES, rate=RATE, seed=3)
    (tmp_path / "model.tflite").write_bytes(lower("litert", student))
    body = cut_body((tmp_path / "model.tflite").read_bytes(), student.config.front_end)
    found, unsure = body.answers(run_part(body.content, body.quantise(run_part(body.front, waves))))
    ask = import_runtime("litert").open_session(tmp_path / "model.tflite")
    wanted = [ask(wave) for wave in waves]
    whole, exact = np.stack([one.probabilities for one in wanted]), probabilities(student, waves)
    assert np.ptp(exact, axis=0).max() > 0.3
    assert np.abs(found - exact).mean() < 1.5 * np.abs(whole - exact).mean() < 0.06
    assert np.abs(unsure - [one.uncertainty for one in wanted]).mean() < 0.06
    clear = np.sort(whole, axis=1) @ [0, -1, 1] > 0.2
    assert clear.sum() > 10 and (found.argmax(1) == whole.argmax(1))[clear].all()


@pytest.mark.parametrize("family", families())
def test_a_file_with_int8_features_holds_the_very_body_that_is_cut_out(family, tmp_path):
    """As a microcontroller's target asks for: the parts answer as the whole file does, but for rounding to even."""
    student, waves = fair_student(family), sounds(40, SAMPLES, rate=RATE, seed=3)
    held = scales(student, sounds(16, SAMPLES, rate=RATE, seed=7), weight_bits=8, features=True)
    (tmp_path / "model.tflite").write_bytes(import_runtime("litert").lower(freeze(student, held), {}))
    body = cut_body((tmp_path / "model.tflite").read_bytes(), student.config.front_end)
    assert (body.features, body.logits) == (held.activations["features"], held.activations["logits"])
    assert {TYPES[tensor.type] for tensor in TfliteFile(body.content).tensors} == {"INT8", "INT32"}
    found, _ = body.answers(run_part(body.content, body.quantise(run_part(body.front, waves))))
    ask = import_runtime("litert").open_session(tmp_path / "model.tflite")
    wanted = np.stack([ask(wave).probabilities for wave in waves])
    assert np.ptp(wanted, axis=0).max() > 0.3
    assert (np.abs(found - wanted).max(axis=1) < 1e-6).mean() > 0.9 and np.abs(found - wanted).max() < 0.02


def test_the_front_end_that_is_cut_off_is_the_students_own():
    student, waves = fair_student(), sounds(8, SAMPLES, rate=RATE)
    with torch.inference_mode():
        wanted = student.front_end(torch.from_numpy(waves)).numpy()
    assert np.abs(run_part(small_body(student).front, waves)[..., 0] - wanted).max() < 1e-3


@pytest.mark.parametrize("name", ENDINGS)
def test_the_ending_is_read_back(name):
    ending = ENDINGS[name]
    body = small_body(fair_student(classes=2 if name == "two labels" else 3), ending)
    assert body.ending == ending  # the numbers here are exact in float32
    assert body.classes == (2 if name == "two labels" else 3)


def test_silence_is_the_lowest_value_and_a_full_scale_sine_is_not_cut_off():
    student = fair_student()
    body, time = small_body(student), np.arange(SAMPLES) / RATE
    silence = body.quantise(run_part(body.front, np.zeros((1, SAMPLES), np.float32)))
    assert silence.min() == -128
    loud = np.float32([np.sin(2 * np.pi * hz * time) for hz in range(100, 3800, 61)])
    stored = body.quantise(run_part(body.front, loud))
    exact = run_part(body.front, loud) / body.features.scale + body.features.zero
    assert stored.max() >= 120 and exact.max() <= 127.5 + 0.01 / body.features.scale  # float16 mel table


def test_the_range_follows_the_normalisation():
    front_end = FrontEnd.preset(RATE, SAMPLES)
    ones = np.ones(front_end.mels)
    narrow, wide = (feature_scale(front_end, ones * scale, ones * 3.0) for scale in (0.25, 0.5))
    assert wide.scale == pytest.approx(2 * narrow.scale, rel=0.35) and -128 <= narrow.zero < 0


def test_cutting_twice_gives_equal_bytes():
    student = fair_student()
    first, second = small_body(student), small_body(student)
    assert first.content == second.content and first.front == second.front


def test_a_float_model_is_refused():
    student = fair_student()
    content = import_runtime("litert").lower(freeze(student, None), {})
    with pytest.raises(BundleError) as caught:
        cut_body(content, student.config.front_end)
    assert caught.value.what == "the model of this bundle is float32, and a microcontroller's body must be int8"
    assert "microcontroller" in caught.value.fix and caught.value.exit_code == 2


@pytest.mark.parametrize("changed", [{"low_hz": 80.0}, {"high_hz": 3000.0}, {"hop": 161}, {"samples": SAMPLES + 1}])
def test_settings_that_are_not_the_files_are_refused(changed):
    student = fair_student()
    with pytest.raises(BundleError, match=r"no body can be cut out of this file: its (table|features|waveform)"):
        cut_body(lower("litert", student), replace(student.config.front_end, **changed))


@pytest.mark.parametrize("content", [b"", b"TFL3", b"\x1c\0\0\0TFL3" + bytes(40), b"no model at all" * 9])
def test_what_is_no_tflite_file_is_refused(content):
    with pytest.raises(BundleError, match="no body can be cut out of this file"):
        cut_body(content, FrontEnd.preset(RATE, SAMPLES))


def test_a_bundle_is_cut_by_the_settings_in_its_trail(tmp_path):
    folder = write_int8_bundle(tmp_path / "sounds")
    facts = json.loads((folder / "bundle.json").read_text())
    body = cut_bundle(folder, facts)
    assert body.front_end == FrontEnd.preset(RATE, SAMPLES) and body.classes == len(LABELS)
    without = {form: [step for step in trail if step["name"] != "build"] for form, trail in facts["trail"].items()}
    with pytest.raises(BundleError, match="does not say how its front end was built"):
        cut_bundle(folder, facts | {"trail": without})
    with pytest.raises(BundleError, match="has no TFLite file"):
        cut_bundle(folder, facts | {"models": {"onnx": facts["models"]["onnx"]}})
    with pytest.raises(BundleError, match="is float32, and a microcontroller's body must be int8"):
        cut_bundle(folder, facts | {"models": {"tflite": {"file": "model.tflite", "numerics": "float32"}}})
