"""Lowering: both formats answer as torch does, in float and in int8, at even and odd sizes; and the files are sound."""

from functools import cache
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import soundfile
import torch
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter

from edgecomp.lowering import onnx as onnx_lowering
from edgecomp.lowering import tflite as tflite_lowering
from edgecomp.lowering.analysis import analysis_of
from edgecomp.lowering.flatbuffer import ALIGNMENT, TfliteGraph, metadata_of
from edgecomp.runtimes import import_runtime, runtimes
from edgecomp.students.ending import Ending
from edgecomp.students.families import families, import_family
from edgecomp.students.front_end import FLOOR, FrontEnd, hann, mel_filters, residues_of
from edgecomp.students.log_mel import LogMel
from edgecomp.students.quantisation import simulate
from edgecomp.students.student import Student, freeze
from tests.shared_data import shared_data
from tests.small_students import lively_student, probabilities, scales, sounds

torch.set_num_threads(1)
FLOAT = 1e-5
"""Largest probability difference of a float file from torch."""
EQUAL, TIPPED = 1e-3, 0.2
"""Probability difference up to which a 7-bit file equals its simulation, and the share of clips that may differ more:
float sums tip a value that lies just between two bytes, and such narrow nets carry that on to the answer."""
SIZES = {
    "8 kHz": {"rate": 8000, "samples": 4000},
    "16 kHz": {"rate": 16_000, "samples": 8000},
    "a sample too many": {"rate": 16_000, "samples": 8001},
    "a prime hop": {"rate": 8000, "samples": 3001, "hop": 101},
    "windows apart": {"rate": 8000, "samples": 4000, "hop": 400, "window": 128, "mels": 17},
    "one frame": {"rate": 8000, "samples": 2000, "hop": 1999},
}
FRONT_ENDS = {
    **SIZES,
    "2 s": {"rate": 16_000, "samples": 32_000},
    "a teacher's": {"rate": 16_000, "samples": 16_000, "hop": 160, "mels": 64},
    "hops without a common step": {"rate": 16_000, "samples": 9001, "hop": 37},
    "a window that hardly divides": {"rate": 8000, "samples": 4000, "window": 236},
    "window and hop alike": {"rate": 8000, "samples": 4001, "hop": 240},
}
CLOSE = 1e-3
"""Largest difference of a lowered log-mel value, natural logarithm, from the front end in float64."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("lowered")


@cache
def _student(family: str, seed: int, size: str) -> Student:
    return lively_student(family, seed=seed, **SIZES[size])


def _answers(runtime: str, content: bytes, waves: np.ndarray, folder: Path) -> np.ndarray:
    return _both(runtime, content, waves, folder)[0]


def _both(runtime: str, content: bytes, waves: np.ndarray, folder: Path) -> tuple[np.ndarray, np.ndarray]:
    """Return a file's probabilities (n, classes) and uncertainties (n,)."""
    module = import_runtime(runtime)
    path = folder / f"model{module.SUFFIX}"
    path.write_bytes(content)
    ask = module.open_session(path)
    given = [ask(wave) for wave in waves]
    return np.stack([one.probabilities for one in given]), np.array([one.uncertainty for one in given])


def _simulated(student: Student, waves: np.ndarray, quantisation) -> np.ndarray:
    with torch.inference_mode():
        logits = simulate(
            student.config.layers, student.body.folded(), quantisation, student.front_end(torch.from_numpy(waves))
        )
        return torch.softmax(logits, 1).numpy()


def _share_apart(a: np.ndarray, b: np.ndarray) -> float:
    return float((np.abs(a - b).max(axis=1) > EQUAL).mean())


@pytest.mark.parametrize("runtime", runtimes())
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("family", families())
def test_a_float_file_answers_as_torch_does(family, seed, size, runtime, folder):
    student = _student(family, seed, size)
    waves = np.vstack(
        [
            sounds(10, SIZES[size]["samples"], rate=SIZES[size]["rate"], seed=seed + 7),
            np.zeros((1, SIZES[size]["samples"]), np.float32),
        ]
    )
    wanted = probabilities(student, waves)
    assert np.ptp(wanted, axis=0).max() > 0.05  # answers that do not move would agree with anything
    found = _answers(runtime, import_runtime(runtime).lower(freeze(student), {}), waves, folder)
    assert found.shape == wanted.shape and found.dtype == np.float32
    assert np.abs(found - wanted).max() < FLOAT


@pytest.mark.parametrize("features", [False, True], ids=["float features", "int8 features"])
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("family", families())
def test_both_int8_files_answer_as_their_simulation_does(family, seed, size, features, folder):
    """With 7-bit weights, which no processor saturates."""
    student = _student(family, seed, size)
    waves = sounds(32, SIZES[size]["samples"], rate=SIZES[size]["rate"], seed=seed + 7)
    quantisation = scales(student, waves, features=features)
    wanted = _simulated(student, waves, quantisation)
    model = freeze(student, quantisation)
    found = {name: _answers(name, import_runtime(name).lower(model, {}), waves, folder) for name in runtimes()}
    assert np.ptp(wanted, axis=0).max() > 0.05
    for name, answers in found.items():
        assert _share_apart(answers, wanted) <= TIPPED, name
    first, second = found.values()
    assert _share_apart(first, second) <= TIPPED


@pytest.mark.parametrize("family", families())
def test_files_agree_on_real_speech_at_a_familys_own_widths(family, folder):
    files = sorted((shared_data("fsdd") / "audio").rglob("*.*"))[::83]
    waves = np.stack([np.resize(soundfile.read(file, dtype="float32")[0], 8000) for file in files])
    student = lively_student(family, samples=8000, widths=import_family(family).WIDTHS)
    quantisation = scales(student, waves)
    wanted, simulated = probabilities(student, waves), _simulated(student, waves, quantisation)
    for name in runtimes():
        lower = import_runtime(name).lower
        assert np.abs(_answers(name, lower(freeze(student), {}), waves, folder) - wanted).max() < FLOAT
        assert (
            _share_apart(_answers(name, lower(freeze(student, quantisation), {}), waves, folder), simulated) <= TIPPED
        )


def _front_end(name: str) -> FrontEnd:
    given = dict(FRONT_ENDS[name])
    return FrontEnd.preset(given.pop("rate"), given.pop("samples"), **given)


def _lowered_front_ends(front_end: FrontEnd, waves: np.ndarray) -> dict[str, np.ndarray]:
    """Return log-mel frames (n, frames, mels) by runtime."""
    session = onnxruntime.InferenceSession(onnx_lowering.lower_front_end(front_end))
    interpreter = Interpreter(model_content=tflite_lowering.lower_front_end(front_end))
    run = interpreter.get_signature_runner()
    return {
        "ort": np.stack([session.run(["log_mel"], {"waveform": wave[None]})[0] for wave in waves]),
        "litert": np.stack([run(waveform=wave[None])["log_mel"] for wave in waves]),
    }


def _exact(front_end: FrontEnd, waves: np.ndarray) -> np.ndarray:
    frames = np.lib.stride_tricks.sliding_window_view(waves, front_end.window, axis=1)[:, :: front_end.hop]
    spectrum = np.fft.rfft(frames.astype(np.float64) * hann(front_end.window))
    return np.log(np.abs(spectrum) ** 2 @ mel_filters(front_end) + FLOOR)


@pytest.mark.parametrize("name", FRONT_ENDS)
def test_every_lowered_front_end_is_the_exact_one(name):
    front_end = _front_end(name)
    rate, samples = front_end.sample_rate, front_end.samples
    rng, time = np.random.default_rng(0), np.arange(samples) / rate
    waves = np.vstack(
        [
            sounds(6, samples, rate=rate, seed=5),
            np.zeros(samples),
            [np.sin(2 * np.pi * hz * time) for hz in (50, 440, rate / 16, 0.45 * rate)],
            np.sign(np.sin(2 * np.pi * 440 * time)),
            np.clip(rng.normal(0, 3, samples), -1, 1),
            rng.normal(0, 1e-3, samples),
        ]
    ).astype(np.float32)
    wanted = _exact(front_end, waves)
    with torch.inference_mode():
        plain = LogMel(front_end)(torch.from_numpy(waves)).numpy()
    for runtime, found in {"torch": plain, **_lowered_front_ends(front_end, waves)}.items():
        assert found.shape == wanted.shape, runtime
        assert np.abs(found - wanted).max() < CLOSE, runtime


@pytest.mark.parametrize("data, rate", [("wakewords", 16_000), ("esc10", 16_000), ("fsdd", 8000)])
def test_lowered_front_ends_are_exact_on_real_audio(data, rate):
    files = sorted((shared_data(data) / "audio").rglob("*.*"))
    waves = np.stack(
        [np.resize(soundfile.read(file, dtype="float32")[0], rate) for file in files[:: len(files) // 12][:12]]
    )
    front_end = FrontEnd.preset(rate, rate)
    wanted = _exact(front_end, waves)
    for runtime, found in _lowered_front_ends(front_end, waves).items():
        assert np.abs(found - wanted).max() < CLOSE, runtime


def test_lowered_front_ends_of_both_kinds_are_tried():
    """LiteRT cuts frames out first where hops do not begin at one residue."""
    cut = {name for name in FRONT_ENDS if _front_end(name).hop % residues_of(_front_end(name))}
    assert cut and set(FRONT_ENDS) - cut


def test_litert_gives_a_front_end_to_its_delegate_whole():
    content = tflite_lowering.lower_front_end(FrontEnd.preset(16_000, 16_000))
    interpreter = Interpreter(model_content=content)
    interpreter.allocate_tensors()
    kinds = [one["op_name"] for one in interpreter._get_ops_details()]
    assert kinds.count("DELEGATE") == 1 and not {"GATHER", "REVERSE_V2"} & set(kinds)


ENDINGS = {
    "plain": Ending(),
    "temperature": Ending(scale=0.37),
    "Platt and a threshold": Ending(0.6, (0.0, -0.7, 0.2), (0.0, 0.9, 0.0)),
}


@pytest.mark.parametrize("runtime", runtimes())
@pytest.mark.parametrize("is_int8", [False, True])
@pytest.mark.parametrize("ending", ENDINGS)
def test_calibration_and_uncertainty_stand_in_the_file(ending, is_int8, runtime, folder):
    student, waves = _student("ds_cnn", 0, "8 kHz"), sounds(24, SIZES["8 kHz"]["samples"], seed=3)
    held = scales(student, waves) if is_int8 else None
    with torch.inference_mode():
        frames = student.front_end(torch.from_numpy(waves))
        layers, weights = student.config.layers, student.body.folded()
        logits = (simulate(layers, weights, held, frames) if is_int8 else student.body(frames)).numpy()
    wanted, unsure = ENDINGS[ending](logits)
    lowered = import_runtime(runtime).lower(freeze(student, held, ENDINGS[ending]), {})
    found, found_unsure = _both(runtime, lowered, waves, folder)
    assert np.ptp(unsure) > 0.02
    near = {"rtol": 0, "atol": EQUAL if is_int8 else FLOAT}
    tipped = ~(np.isclose(found, wanted, **near).all(1) & np.isclose(found_unsure, unsure, **near))
    assert tipped.mean() <= (TIPPED if is_int8 else 0)


def test_the_uncertainty_of_two_labels_is_largest_at_the_threshold():
    logits = np.stack([np.zeros(401), np.linspace(-8, 8, 401)], 1)
    threshold = 0.12
    ending = Ending(0.7, (0.0, 0.4), (0.0, -float(np.log(threshold / (1 - threshold)))))
    probabilities, unsure = ending(logits)
    assert abs(probabilities[unsure.argmax(), 1] - threshold) < 0.01 and unsure.max() <= 0.5
    top = unsure.argmax()
    assert (np.diff(unsure[: top + 1]) >= 0).all() and (
        np.diff(unsure[top:]) <= 0
    ).all()  # rises to it, and falls behind


@pytest.mark.parametrize("runtime", runtimes())
@pytest.mark.parametrize("is_int8", [False, True])
def test_lowering_twice_gives_equal_bytes(runtime, is_int8):
    student = _student("ds_cnn", 0, "8 kHz")
    held = scales(student, sounds(4, 4000)) if is_int8 else None
    lower = import_runtime(runtime).lower
    assert lower(freeze(student, held), {"a": "1", "b": "2"}) == lower(freeze(student, held), {"a": "1", "b": "2"})


@pytest.mark.parametrize("runtime", runtimes())
@pytest.mark.parametrize("family", families())
def test_an_int8_file_saves_more_than_a_byte_a_weight(family, runtime):
    student = lively_student(family, widths=import_family(family).WIDTHS)
    lower, held = import_runtime(runtime).lower, scales(student, sounds(4, 4000))
    saved = len(lower(freeze(student), {})) - len(lower(freeze(student, held), {}))
    assert saved > sum(w.weight.numel() for w in student.body.folded().values())


@pytest.mark.parametrize("family", families())
@pytest.mark.parametrize("is_int8", [False, True])
def test_an_onnx_file_passes_the_checker_and_names_its_ends(family, is_int8):
    student = _student(family, 0, "8 kHz")
    content = import_runtime("ort").lower(
        freeze(student, scales(student, sounds(4, 4000)) if is_int8 else None), {"a": "ä"}
    )
    model = onnx.load_from_string(content)
    onnx.checker.check_model(model, full_check=True)
    assert [
        (v.name, [d.dim_value for d in v.type.tensor_type.shape.dim]) for v in (*model.graph.input, *model.graph.output)
    ] == [("waveform", [1, 4000]), ("probabilities", [1, 3]), ("uncertainty", [1, 1])]
    assert {p.key: p.value for p in model.metadata_props} == {"a": "ä"}
    assert len({node.name for node in model.graph.node}) == len(model.graph.node)


@pytest.mark.parametrize("family", families())
@pytest.mark.parametrize("is_int8", [False, True])
def test_every_tflite_buffer_is_aligned_and_the_signature_names_its_ends(family, is_int8):
    student = _student(family, 0, "16 kHz")
    held = scales(student, sounds(4, 8000, rate=16_000)) if is_int8 else None
    content = import_runtime("litert").lower(freeze(student, held), {"a": "ä" * 5})
    assert (
        content[4:8] == b"TFL3" and metadata_of(content, "a").decode() == "ä" * 5 and metadata_of(content, "b") is None
    )
    base = np.frombuffer(content, np.uint8)
    model = schema.Model.GetRootAs(content, 0)
    filled = [model.Buffers(i).DataAsNumpy() for i in range(model.BuffersLength()) if model.Buffers(i).DataLength()]
    assert len(filled) > 10
    assert {(data.ctypes.data - base.ctypes.data) % ALIGNMENT for data in filled} == {0}
    signature = Interpreter(model_content=content).get_signature_list()["serving_default"]
    assert signature == {"inputs": ["waveform"], "outputs": ["probabilities", "uncertainty"]}


@pytest.mark.parametrize("is_int8", [False, True])
def test_the_front_end_and_the_softmax_stay_float_and_the_body_does_not(is_int8):
    student = _student("ds_cnn", 0, "8 kHz")
    held = scales(student, sounds(4, 4000)) if is_int8 else None
    interpreter = Interpreter(
        model_content=import_runtime("litert").lower(freeze(student, held), {}),
        experimental_default_delegate_latest_features=False,
    )
    kinds = {t["name"]: t["dtype"] for t in interpreter.get_tensor_details()}
    assert all(
        kinds[name] == np.float32 for name in kinds if name in ("waveform", "front/normal", "features", "probabilities")
    )
    ours = [kind for name, kind in kinds.items() if name.startswith(("pointwise_2", "depthwise_2", "logits"))]
    assert (np.int8 in ours) == is_int8 and (np.int8 in kinds.values()) == is_int8


def test_the_versions_written_are_those_that_the_operators_ask_for():
    """A dense operator without a bias and a convolution in groups ask for 6 (lite/tools/versioning/op_version.cc)."""
    content = import_runtime("litert").lower(freeze(_student("ds_cnn", 0, "8 kHz")), {})
    model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(content, 0))
    versions = {code.builtinCode: code.version for code in model.operatorCodes}
    assert len(versions) == len(model.operatorCodes)
    for operator in model.subgraphs[0].operators:
        kind = model.operatorCodes[operator.opcodeIndex].builtinCode
        if kind == schema.BuiltinOperator.FULLY_CONNECTED and len(operator.inputs) == 2:
            assert versions[kind] >= 6
    assert versions[schema.BuiltinOperator.CONV_2D] == 6


def test_a_tflite_file_holds_its_front_ends_tables_under_their_names():
    front_end = FrontEnd.preset(8000, 4000)
    model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(tflite_lowering.lower_front_end(front_end), 0))
    buffers = {tensor.name.decode(): model.buffers[tensor.buffer] for tensor in model.subgraphs[0].tensors}
    for name, values in tflite_lowering.front_end_tables(analysis_of(front_end)).items():
        assert bytes(bytearray(buffers[name].data)) == values.tobytes(), name


def test_an_operator_has_the_highest_version_that_a_use_of_it_asks_for():
    graph = TfliteGraph("test")
    for version in (1, 6, 2):
        graph.op("CONV_2D", [], graph.tensor("a", (1,)), version=version)
    assert [code.version for code in graph.codes] == [6]


def test_equal_constants_are_stored_once():
    graph = TfliteGraph("test")
    first, second, third = (
        graph.constant(name, np.full(4, value, np.float32)) for name, value in (("a", 1), ("b", 1), ("c", 2))
    )
    assert graph.tensors[first.index].buffer == graph.tensors[second.index].buffer != graph.tensors[third.index].buffer


def test_an_option_that_the_schema_does_not_have_is_refused():
    graph = TfliteGraph("test")
    with pytest.raises(TypeError, match="AddOptions has no field 'fused'"):
        graph.op("ADD", [graph.tensor("a", (1,))], graph.tensor("b", (1,)), "AddOptions", fused=True)
