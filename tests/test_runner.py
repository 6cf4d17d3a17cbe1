"""portable/runner: jobs in on stdin, events out a line at a time, on this machine and without anything of edgecomp."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from edgecomp.portable import machine
from edgecomp.runtimes import runtime_for
from tests.small_bundle import RATE, SAMPLES, small_models
from tests.small_students import sounds

SCRIPTS = ("cpuid.py", "machine.py", "probe.py", "runner.py")
CLIPS = sounds(3, SAMPLES, rate=RATE)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder as a device has it: the scripts, both files of a small student, and clips."""
    folder = tmp_path_factory.mktemp("device")
    for script in SCRIPTS:
        shutil.copy(Path(machine.__file__).with_name(script), folder)
    for form, artifact in small_models(folder / "made").items():
        shutil.copy(artifact.path, folder / f"model.{form}")
    np.save(folder / "clips.npy", CLIPS)
    return folder


def run(place: Path, job: dict, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a job in a process that sees nothing but the folder."""
    return subprocess.run(
        [sys.executable, "-P", "runner.py"],
        input=json.dumps(job),
        cwd=place,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )


def events(place: Path, job: dict, **environment: str) -> list[dict]:
    done = run(place, job, **environment)
    assert done.returncode == 0, done.stderr
    found = [json.loads(line) for line in done.stdout.splitlines()]
    assert found.pop() == {"event": "done"}
    return found


def answering(form: str, **changed: object) -> dict:
    job = {"job": "answers", "model": f"model.{form}", "format": form, "clips": "clips.npy"}
    return job | {"threads": 1, "delegate": "default"} | changed


def timing(**changed: object) -> dict:
    models = {form: {"file": f"model.{form}", "format": form} for form in ("onnx", "tflite")}
    job = {"job": "latency", "models": models, "clips": "clips.npy", "threads": 1, "delegate": "default", "seed": 0}
    return job | {"seconds": 0.05, "windows": 5, "warmup": 4, "pin": True, "sustained_s": 0} | changed


def test_without_a_warm_up_one_run_still_says_how_long_a_run_takes(place):
    found = events(place, timing(warmup=0, seconds=0))
    (planned,) = [event for event in found if event["event"] == "planned"]
    assert all(count >= 1 for count in planned["repeats"].values()) and found[-1]["window"] == planned["windows"] - 1


@pytest.mark.parametrize("form", ["onnx", "tflite"])
def test_answers_are_the_runtimes_own_to_the_last_bit(place, form):
    loaded, *rows = events(place, answering(form))
    answer = runtime_for(form).open_session(place / f"model.{form}")
    for number, (row, clip) in enumerate(zip(rows, CLIPS, strict=True)):
        expected = answer(clip)
        assert row["row"] == number and loaded["runtime"].split()[-1][0].isdigit()
        assert np.array_equal(np.array(row["probabilities"], np.float32), expected.probabilities)
        assert np.float32(row["uncertainty"]) == np.float32(expected.uncertainty)


def test_kernels_without_the_delegate_answer_nearly_alike(place):
    with_it, without = (events(place, answering("tflite", delegate=one))[1:] for one in ("default", "none"))
    apart = [
        np.abs(np.subtract(a["probabilities"], b["probabilities"])).max() for a, b in zip(with_it, without, strict=True)
    ]
    assert max(apart) < 0.05


def test_a_latency_job_interleaves_its_files_in_windows(place):
    *_, last = found = events(place, timing())
    assert [one["event"] for one in found[:3]] == ["loaded", "loaded", "planned"]
    windows = [one for one in found if one["event"] == "window"]
    assert (
        len(windows) >= 5
        and found[2]["windows"] <= len(windows)
        and [w["window"] for w in windows] == list(range(len(windows)))
    )
    for window in windows:
        assert set(window["taken"]) == {"onnx", "tflite"}
        for one in window["taken"].values():
            assert one["median_ms"] == pytest.approx(np.median(one["ms"]), rel=1e-3, abs=1e-4)
            assert one["runs"] == len(one["ms"]) <= 400
    total_ms = sum(w["taken"]["onnx"]["median_ms"] * w["taken"]["onnx"]["runs"] for w in windows)
    assert last["at_s"] > 0.05 and total_ms > 0.3 * 50, "each file has its least time"


def test_a_sustained_run_lasts_as_long_as_was_asked(place):
    *_, last = events(
        place, timing(models={"a": {"file": "model.tflite", "format": "tflite"}}, sustained_s=2, windows=1)
    )
    assert last["at_s"] >= 2 and 2 <= last["window"] + 1 <= 40


def test_starts_are_fresh_processes(place):
    job = {"job": "starts", "model": "model.onnx", "format": "onnx", "threads": 1, "starts": 2, "samples": SAMPLES}
    found = events(place, job)
    assert len(found) == 2 and all(one["cold_ms"] > one["load_ms"] > 0 for one in found)


def test_packages_that_cannot_be_imported_are_named_with_the_reason(place):
    (place / "crashes.py").write_text("import os; os.kill(os.getpid(), 4)")
    found = events(place, {"job": "packages", "names": ["json", "no_such_package", "crashes"]})
    assert [one["reason"] for one in found] == [
        "",
        "ModuleNotFoundError: No module named 'no_such_package'",
        "the process ended with -4",
    ]


def test_a_runtime_leaves_nothing_and_reports_nothing(place, tmp_path):
    home, temporary = tmp_path / "home", tmp_path / "tmp"
    home.mkdir(), temporary.mkdir()
    clean = dict(HOME=str(home), XDG_CACHE_HOME=str(home), TMPDIR=str(temporary))
    events(place, answering("onnx"), **clean)
    events(place, {"job": "packages", "names": ["onnxruntime"]}, **clean)
    assert list(home.rglob("*")) == [] and list(temporary.rglob("*")) == []


@pytest.mark.parametrize(
    ("job", "last"),
    [
        (answering("onnx", model="absent.onnx"), "absent.onnx"),
        (answering("tflite", model="clips.npy"), "flatbuffer"),
        (answering("onnx", clips="short.npy"), f"the model takes {SAMPLES} samples and the clips have 100"),
    ],
    ids=["no file", "no model", "clips of another length"],
)
def test_a_job_that_cannot_be_done_ends_without_done_and_with_its_reason_last(place, job, last):
    np.save(place / "short.npy", CLIPS[:, :100])
    done = run(place, job)
    assert done.returncode != 0 and '"done"' not in done.stdout
    assert last in done.stderr.strip().splitlines()[-1].lower()


def test_nothing_beside_the_runner_shadows_a_module(place):
    (place / "random.py").write_text("raise SystemExit('shadowed')")
    try:
        assert len(events(place, answering("onnx"))) == 1 + len(CLIPS)
    finally:
        (place / "random.py").unlink()
