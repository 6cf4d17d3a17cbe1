"""devices/x86: an emulated older x86-64 says what it is, and where its byte products saturate the harm is shown and avoided."""

import json
import os
import platform
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from edgecomp.devices import Device, ModelFile, _emulated, _qemu, open_device, x86
from edgecomp.errors import DeviceError
from edgecomp.metrics import is_constant
from edgecomp.portable import cpuid
from edgecomp.runtimes import import_runtime
from edgecomp.students.quantisation import simulate
from edgecomp.students.student import freeze
from tests.small_students import lively_student, probabilities, scales, sounds

CACHE = Path(os.environ.get("EDGECOMP_X86", Path(__file__).parents[1] / "build"))
"""The build folder in which `edgecomp devices prepare x86` has put it."""
CLIPS = sounds(8, 4000, seed=5)
ALIKE = 1e-3
"""Largest difference from the simulation of int8 where nothing saturates: a sum between two steps may tip."""
HARM = 0.05
PLAIN = """
import sys
import numpy as np
import onnxruntime

options = onnxruntime.SessionOptions()
options.log_severity_level = 3
session = onnxruntime.InferenceSession(sys.argv[1], options, providers=["CPUExecutionProvider"])
clips = np.load(sys.argv[2])
np.save(sys.argv[3], np.stack([session.run(["probabilities"], {"waveform": clip[None]})[0][0] for clip in clips]))
"""
"""An app as most are written: ONNX Runtime with its defaults."""


@pytest.fixture(scope="module")
def prepared() -> Path:
    if missing := x86.missing(CACHE):
        pytest.skip(f"{missing}: edgecomp devices prepare x86, or EDGECOMP_X86=folder")
    return CACHE


@pytest.fixture(scope="module")
def student():
    return lively_student("inverted_residual", seed=3)


@pytest.fixture(scope="module")
def files(student, tmp_path_factory):
    """An int8 body with weights of 7 and of 8 bits: both formats, and what its simulation answers."""
    folder, made = tmp_path_factory.mktemp("int8"), {}
    for bits in (7, 8):
        held = scales(student, sounds(16, 4000, seed=7), weight_bits=bits)
        with torch.inference_mode():
            features = student.front_end(torch.from_numpy(CLIPS))
            logits = simulate(student.config.layers, student.body.folded(), held, features)
        made[bits, "simulated"] = torch.softmax(logits, 1).numpy()
        for name in ("ort", "litert"):
            runtime = import_runtime(name)
            path = folder / f"bits-{bits}{runtime.SUFFIX}"
            path.write_bytes(runtime.lower(freeze(student, held), {}))
            made[bits, runtime.FORM] = ModelFile(f"bits {bits}", path, runtime.FORM)
    return made


@pytest.fixture
def folder(tmp_path) -> Path:
    """A prepared folder as far as its files go; nothing in it runs."""
    place = tmp_path / "devices" / "x86"
    place.mkdir(parents=True)
    (place / x86.PROGRAM).touch(mode=0o755)
    (place / x86.SEAL).write_text('{"versions": {"qemu": "10.0.2"}}')
    return place


def _apart(found, wanted) -> float:
    return float(np.abs(found - wanted).max())


def _plain(device: x86.X86, model: ModelFile, folder: Path) -> np.ndarray:
    """Answer on an emulated core with ONNX Runtime's defaults, as an app does that knows nothing of edgecomp."""
    (folder / "plain.py").write_text(PLAIN)
    np.save(folder / "clips.npy", CLIPS)
    given = [str(folder / "plain.py"), str(model.path), str(folder / "clips.npy"), str(folder / "said.npy")]
    command = [str(device.qemu), "-cpu", device.core.qemu, sys.executable, *given]
    subprocess.run(command, check=True, capture_output=True, timeout=300)
    return np.load(folder / "said.npy")


@pytest.mark.slow
@pytest.mark.parametrize("core", x86.CORES)
def test_an_emulated_core_says_itself_what_it_has(prepared, core):
    with open_device(f"x86:{core}", prepared) as device:
        assert isinstance(device, Device) and device.how == "emulated"
        facts = device.describe()
    assert set(facts["features"]) == set(x86.CORES[core].has) and facts["dot_product"] is False
    assert facts["name"] == f"x86 {x86.CORES[core].name} (qemu-x86_64 {_version(prepared)}, emulated)"
    assert facts["cpu"] and facts["isa"] == "x86_64"
    assert all(facts[name] is None for name in _emulated.OF_THE_HOST), "these are of the machine that emulates"


@pytest.mark.slow
def test_avx2_without_vnni_saturates_eight_bits_of_weight_and_not_seven(prepared, files, tmp_path):
    with open_device("x86:haswell", prepared) as device:
        said = {bits: _plain(device, files[bits, "onnx"], tmp_path) for bits in (7, 8)}
    assert _apart(said[8], files[8, "simulated"]) > HARM, "the emulator shows no saturation: this test says nothing"
    assert _apart(said[7], files[7, "simulated"]) < ALIKE


@pytest.mark.slow
def test_the_older_kernels_for_sse_do_not_saturate(prepared, files, tmp_path):
    with open_device("x86:nehalem", prepared) as device:
        assert _apart(_plain(device, files[8, "onnx"], tmp_path), files[8, "simulated"]) < ALIKE


@pytest.mark.slow
@pytest.mark.parametrize(("core", "form"), [("nehalem", "onnx"), ("haswell", "onnx"), ("haswell", "tflite")])
def test_what_edgecomp_runs_there_answers_as_its_simulation_with_eight_bits(prepared, files, student, core, form):
    with open_device(f"x86:{core}", prepared) as device:
        said = device.answers(files[8, form], CLIPS)
    assert not is_constant(said.probabilities)
    assert _apart(said.probabilities, files[8, "simulated"]) < ALIKE
    assert ("wide byte products" in said.runtime) == (core == "haswell" and form == "onnx")
    assert (said.probabilities.argmax(1) == probabilities(student, CLIPS).argmax(1)).mean() >= 0.8


def _version(cache: Path) -> str:
    return json.loads((cache / "devices" / "x86" / x86.SEAL).read_text())["versions"]["qemu"]


@pytest.mark.parametrize(
    ("has", "so"),
    [
        (["sse4_2"], False),
        (["sse4_2", "avx"], False),
        (["sse4_2", "avx", "avx2"], True),
        (["avx2", "avx512f", "avx512bw"], True),
        (["avx2", "avx512f", "avx512_vnni"], False),
        (["avx2", "avx_vnni"], False),
    ],
)
def test_bytes_saturate_where_there_is_avx2_and_no_vnni(monkeypatch, has, so):
    monkeypatch.setattr(cpuid, "describe", lambda: {"features": has})
    monkeypatch.setattr(platform, "machine", lambda: "x86_64")
    assert cpuid.saturates() is so
    monkeypatch.setattr(platform, "machine", lambda: "aarch64")
    assert cpuid.saturates() is False


def test_a_system_that_forbids_to_ask_the_processor_is_taken_as_safe(monkeypatch):
    def forbidden():
        raise OSError("no code from files")

    monkeypatch.setattr(cpuid, "describe", forbidden)
    monkeypatch.setattr(platform, "machine", lambda: "x86_64")
    assert cpuid.saturates() is False


@pytest.mark.skipif(platform.machine() != "x86_64", reason="CPUID is an instruction of x86")
def test_this_processor_says_the_same_as_the_kernel_says_of_it():
    flags = next(line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("flags"))
    told = {name for name in cpuid.FEATURES if name in flags.split()}
    assert set(cpuid.describe()["features"]) == told and cpuid.describe()["cpu"]


def test_another_core_than_was_asked_for_is_refused(folder, monkeypatch):
    said = json.dumps({"cpu": "a Haswell", "features": ["sse4_2", "avx"]})
    monkeypatch.setattr(x86.X86, "_lines", lambda self, arguments, text: iter([said]))
    with (
        open_device("x86:haswell", folder.parents[1]) as device,
        pytest.raises(DeviceError, match="says that it has sse4_2, avx") as caught,
    ):
        device.describe()
    assert "a Haswell has sse4_2, avx, f16c, fma, avx2" in caught.value.fix


def test_a_core_is_haswell_where_none_is_named_and_an_unknown_one_is_refused(folder):
    with open_device("x86", folder.parents[1]) as device:
        assert device.name == "x86 Haswell (qemu-x86_64 10.0.2, emulated)"
    with pytest.raises(DeviceError, match="unknown core 'core2'") as caught:
        open_device("x86:core2", folder.parents[1])
    assert "allowed: goldmont, haswell, nehalem" in caught.value.fix


@pytest.mark.parametrize("harm", ["unsealed", "damaged", "no qemu"])
def test_what_is_not_wholly_prepared_names_the_command(folder, harm):
    if harm == "no qemu":
        (folder / x86.PROGRAM).unlink()
    elif harm == "damaged":
        (folder / x86.SEAL).write_text('{"versions": ')
    else:
        (folder / x86.SEAL).unlink()
    with pytest.raises(DeviceError, match="is not prepared") as caught:
        open_device("x86", folder.parents[1])
    assert caught.value.fix == "edgecomp devices prepare x86"
    assert x86.missing(folder.parents[1]) == "the x86 emulation is not prepared"


@pytest.mark.parametrize("call", [x86.prepare, lambda cache: open_device("x86", cache)])
def test_another_host_is_refused_with_what_it_is(tmp_path, monkeypatch, call):
    monkeypatch.setattr(platform, "machine", lambda: "aarch64")
    with pytest.raises(DeviceError, match="this is aarch64 Linux") as caught:
        call(tmp_path)
    assert "ssh:USER@HOST" in caught.value.fix


def _program(folder: Path, version: str) -> Path:
    """Write a stand-in for qemu that tells a version, and otherwise runs what it is given after -cpu CORE."""
    folder.mkdir(exist_ok=True)
    tool = folder / x86.PROGRAM
    told = f'[ "$1" = --version ] && {{ echo "qemu-x86_64 version {version} (any)"; exit; }}'
    tool.write_text(f'#!/bin/sh\n{told}\nshift 2\nexec "$@"\n')
    tool.chmod(0o755)
    return tool


def test_a_new_enough_qemu_on_the_path_is_taken_and_nothing_is_fetched(tmp_path, monkeypatch):
    own = _program(tmp_path / "bin", "11.2.0")
    monkeypatch.setenv("PATH", f"{own.parent}:{os.environ['PATH']}")
    monkeypatch.setattr(x86, "Apt", lambda *given: pytest.fail("it was fetched"))
    monkeypatch.setattr(x86, "CHECK", "print('fine')")
    made = x86.prepare(tmp_path)
    assert (made / x86.PROGRAM).resolve() == own
    with open_device("x86:nehalem", tmp_path) as device:
        assert "qemu-x86_64 11.2.0" in device.name
    assert sorted(one.name for one in made.parent.iterdir()) == ["x86", "x86.lock"]


def test_an_old_qemu_on_the_path_is_not_enough(tmp_path, monkeypatch):
    own = _program(tmp_path / "bin", "7.2.0")
    monkeypatch.setenv("PATH", f"{own.parent}:{os.environ['PATH']}")

    def none(*given):
        raise DeviceError("there is no apt-get here", fix=given[-1])

    monkeypatch.setattr(x86, "Apt", none)
    with pytest.raises(DeviceError, match="no apt-get") as caught:
        x86.prepare(tmp_path)
    assert caught.value.fix == f"put a qemu-x86_64 {_qemu.LEAST_QEMU} or newer on the PATH"


def test_what_qemu_cannot_emulate_of_a_core_is_no_reason_for_a_failure(folder):
    with open_device("x86:zen2", folder.parents[1]) as device:
        told = device.failure(1, ["the real reason\n", "qemu-x86_64: warning: TCG doesn't support a feature\n"])
    assert "the real reason" in told.what
