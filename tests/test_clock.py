"""The runner's clock against independent ones: the profilers of ONNX Runtime and of LiteRT, in the same runs.

LiteRT's profiler belongs to its compiled model, which runs the same kernels as the interpreter that a bench opens; see
benchmarks/litert_profiler.py.
"""

import json
import sys
from pathlib import Path

import numpy as np
import pytest

from benchmarks.litert_profiler import Profiled
from edgecomp.portable import machine
from tests.small_students import lively_student

pytestmark = pytest.mark.system  # one after the other: they watch clocks
RUNS = 300
TURN = 10
"""Runs in a row where two copies of a file are timed in turn; the first finds the other's data in the caches."""
WIDE = (64, 128, 128, 256, 256)
"""About a millisecond: what LiteRT does before its first event and after its last one takes 0.02 ms of every run."""


@pytest.fixture
def scripts(monkeypatch):
    """Return what a bench times with: probe and runner, as they lie on a device."""
    monkeypatch.syspath_prepend(machine.__file__.rpartition("/")[0])
    import probe
    import runner

    return probe, runner


@pytest.fixture(scope="module")
def clips():
    return 0.1 * np.random.default_rng(0).standard_normal((4, 1, 32000)).astype(np.float32)


@pytest.fixture(scope="module")
def wide(tmp_path_factory):
    from edgecomp.runtimes import litert
    from edgecomp.students.student import freeze

    file = tmp_path_factory.mktemp("clock") / "wide.tflite"
    file.write_bytes(litert.lower(freeze(lively_student("ds_cnn", rate=16000, samples=32000, widths=WIDE), None), {}))
    return file


def test_the_runner_and_onnx_runtimes_profiler_agree_within_five_percent(tmp_path, monkeypatch, scripts, clips):
    import onnxruntime

    from edgecomp.runtimes import ort
    from edgecomp.students.student import freeze

    probe, runner = scripts
    file = tmp_path / "model.onnx"
    student = lively_student("ds_cnn", rate=16000, samples=32000, widths=(32, 64, 64, 96, 96))
    file.write_bytes(ort.lower(freeze(student, None), {}))
    opened = {}

    def profiled(path, options, **more):
        options.enable_profiling, options.profile_file_prefix = True, str(tmp_path / "profile")
        opened["session"] = session(path, options, **more)
        return opened["session"]

    session = onnxruntime.InferenceSession
    monkeypatch.setattr(onnxruntime, "InferenceSession", profiled)
    _, load = probe.open_onnx(str(file), 1, None)
    _, answer = load()
    ours_ms = np.array(runner._timed(answer, clips, 0, RUNS))
    events = json.loads(Path(opened["session"].end_profiling()).read_text(encoding="utf-8"))
    theirs_ms = np.array([event["dur"] for event in events if event["name"] == "model_run"]) / 1e3
    assert len(theirs_ms) == RUNS and "probe" in sys.modules
    assert (
        1 <= np.quantile(ours_ms / theirs_ms, 0.25) < 1.05
    )  # a busy machine interrupts what lies between the two clocks


def test_the_runner_and_litert_s_profiler_agree_within_five_percent(wide, scripts, clips):
    _, runner = scripts
    model = Profiled(wide)
    model.hear(clips[0])
    model.run()
    model.start()
    ours_ms = np.array(runner._timed(model.run, clips, 0, RUNS))
    theirs_ms = np.array([run.span_ms for run in model.runs()])
    assert len(theirs_ms) == RUNS and theirs_ms.min() > 0.1
    assert 0.999 <= np.quantile(ours_ms / theirs_ms, 0.25) < 1.05  # LiteRT counts whole microseconds


def test_a_bench_takes_as_long_as_litert_says_that_its_interpreter_does(wide, scripts, clips):
    """The file as a bench opens it, and the same file under LiteRT's profiler, in turns."""
    probe, runner = scripts
    _, load = probe.open_tflite(str(wide), 1, None)
    _, answer = load()
    model = Profiled(wide)
    model.hear(clips[0])
    model.run()
    assert np.abs(answer(clips[0])["probabilities"][0] - model.answer(0, 3)).max() < 1e-6, "the same kernels"

    def share() -> float:
        ours_ms, theirs_ms = [], []
        for _ in range(RUNS // TURN):
            ours_ms += runner._timed(answer, clips[:1], 0, TURN)[1:]
            model.start()
            for _ in range(TURN):
                model.run()
            theirs_ms += [run.invoke_ms for run in model.runs()[1:]]
        return np.quantile(ours_ms, 0.1) / np.quantile(theirs_ms, 0.1)

    tries = [share() for _ in range(3)]  # a busy core is faster in one moment than in another, and these are two runs
    assert min(abs(one - 1) for one in tries) < 0.05, tries
