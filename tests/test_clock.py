"""The runner's clock against an independent one: ONNX Runtime's own profiler, in the same runs.

LiteRT's Python package offers no profiler to hold the other runtime against.
"""

import json
import sys
from pathlib import Path

import numpy as np

from edgecomp.portable import machine
from tests.small_students import lively_student

RUNS = 300


def test_the_runner_and_onnx_runtimes_profiler_agree_within_five_percent(tmp_path, monkeypatch):
    import onnxruntime

    from edgecomp.runtimes import ort
    from edgecomp.students.student import freeze

    monkeypatch.syspath_prepend(machine.__file__.rpartition("/")[0])
    import probe
    import runner

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
    clips = 0.1 * np.random.default_rng(0).standard_normal((4, 1, 32000)).astype(np.float32)
    ours_ms = np.array(runner._timed(answer, clips, 0, RUNS))
    events = json.loads(Path(opened["session"].end_profiling()).read_text(encoding="utf-8"))
    theirs_ms = np.array([event["dur"] for event in events if event["name"] == "model_run"]) / 1e3
    assert len(theirs_ms) == RUNS and "probe" in sys.modules
    assert (
        1 <= np.quantile(ours_ms / theirs_ms, 0.25) < 1.05
    )  # a busy machine interrupts what lies between the two clocks
