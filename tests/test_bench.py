"""bench.py: what a device gives becomes lines with units, bounds and intervals; what breaks off keeps what it had."""

import json
from dataclasses import replace

import numpy as np
import pytest

from edgecomp import bench
from edgecomp.bundle import FLOAT_ANSWERS, read_bundle
from edgecomp.devices import Answers, BrokenOffError, Effort, Start, Timing, Window, open_device
from edgecomp.errors import BundleError, DeviceError
from tests.small_bundle import write_small_bundle

EFFORT = Effort(seconds=0.05, windows=10, processes=2)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_small_bundle(tmp_path_factory.mktemp("bench") / "sounds")


class Fake:
    """A device that plays back what a test tells it."""

    name, how, forms = "a fake phone", "measured", ("tflite",)

    def __init__(self, answers, windows=12, lost="", starts=()):
        self.said, self.windows, self.lost, self.begun = answers, windows, lost, starts

    def describe(self):
        return {"cpu": "a fake core", "battery": {"percent": 80}}

    def answers(self, model, clips, threads=1, delegate="default"):
        return Answers(self.said(len(clips)), np.zeros(len(clips), np.float32), "a runtime 1")

    def time(self, models, clips, effort):
        windows = [
            Window(
                i,
                {m.name: 2.0 + i % 2 for m in models},
                {m.name: np.array([2.0, 3.0]) for m in models},
                {m.name: 2 for m in models},
                {m.name: 500.0 for m in models},
                40.0 + i,
            )
            for i in range(self.windows)
        ]
        return Timing(
            effort, tuple(windows), {m.name: "a runtime 1" for m in models}, "a clock", "not pinned", self.lost
        )

    def starts(self, model, samples, threads=1, starts=5):
        return self.begun


def _right(folder):
    """Answer what the bundle itself answers."""
    opened = read_bundle(folder)
    _, clips = bench.golden_clips(opened)
    session = opened.session("tflite")
    said = [session(clip) for clip in clips]
    return lambda n: np.stack([one.probabilities for one in said])


def _rows(device, folder, effort=EFFORT, **more):
    return list(bench.bench(bench.subjects([folder], device), device, [effort], **more))


def test_the_host_measures_both_files_of_a_bundle_in_one_run(folder):
    with open_device("host") as host:
        rows = _rows(host, folder, starts=1)
    by_name = {(row.form, row.name): row for row in rows}
    for form in ("onnx", "tflite"):
        time = by_name[form, "latency_p50"]
        assert 0 < time.low <= time.value <= time.high < 50 and time.unit == "ms" and len(time.quantiles) == 101
        assert list(time.quantiles) == sorted(time.quantiles)
        assert by_name[form, "golden_difference"].value == 0 and by_name[form, "agreement_golden"].value == 1
        assert by_name[form, "cold_start"].value > by_name[form, "load"].value > 0
        assert by_name[form, "bytes"].value == (folder / f"model.{form}").stat().st_size
    assert by_name["tflite", "latency_ratio"].value == pytest.approx(
        by_name["tflite", "latency_p50"].value / by_name["onnx", "latency_p50"].value, rel=1e-6
    )
    assert rows[0].name == "device" and rows[0].facts["cores"] >= 1
    assert {row.run for row in rows} == {rows[0].run} and all(row.how == "measured" for row in rows)


def test_two_threads_are_a_run_of_their_own(folder):
    with open_device("host") as host:
        found = bench.subjects([folder], host, "tflite")
        rows = list(bench.bench(found, host, [EFFORT, replace(EFFORT, threads=2)], starts=0))
    assert [row.threads for row in rows if row.name == "latency_p50"] == [1, 2]


def test_a_device_that_answers_every_clip_alike_is_refused(folder):
    device = Fake(lambda n: np.tile(np.float32([0.2, 0.3, 0.5]), (n, 1)))
    with pytest.raises(BundleError, match="answers the same to every clip"):
        _rows(device, folder)


def test_answers_that_are_no_numbers_are_refused(folder):
    right = _right(folder)
    for broken in (lambda n: right(n) * np.nan, lambda n: np.where(np.arange(3) == 1, np.inf, right(n))):
        with pytest.raises(BundleError, match="answers with what is no number"):
            _rows(Fake(broken), folder)


def test_each_bundle_is_held_to_its_own_golden_clips(folder, tmp_path):
    other = write_small_bundle(tmp_path / "others", seed=5)
    with open_device("host") as host:
        rows = list(bench.bench(bench.subjects([folder, other], host), host, [EFFORT], starts=0))
    told = [(row.bundle, row.form) for row in rows if row.name == "golden_difference" and row.within()]
    assert told == [(name, form) for name in ("sounds", "others") for form in ("onnx", "tflite")]
    assert {(row.threads, row.runtime != "") for row in rows if row.name == "golden_difference"} == {(1, True)}


def test_the_same_bundle_twice_and_another_rate_are_refused(folder, tmp_path):
    told = {"sample_rate": 16000, "samples": 4000, "channels": 1, "fit": "loudest"}
    faster = write_small_bundle(tmp_path / "faster", preprocessing=told)
    with open_device("host") as host:
        with pytest.raises(BundleError, match="the same bundle is given twice"):
            bench.subjects([folder, folder], host)
        with pytest.raises(BundleError, match=r"different rates: \[8000, 16000\] Hz"):
            bench.subjects([folder, faster], host)


def test_a_device_that_answers_otherwise_breaks_the_bound(folder):
    right = _right(folder)
    device = Fake(lambda n: np.roll(right(n), 1, axis=1))
    golden = next(row for row in _rows(device, folder, starts=0) if row.name == "golden_difference")
    assert golden.value > golden.bound and golden.within() is False


def test_what_was_measured_before_a_device_was_lost_is_kept(folder):
    device, kept = Fake(_right(folder), windows=3, lost="the cable is out"), []
    with pytest.raises(DeviceError, match="lost after 3 windows: the cable is out"):
        for row in bench.bench(bench.subjects([folder], device), device, [EFFORT]):
            kept.append(row)
    time = next(row for row in kept if row.name == "latency_p50")
    assert time.value == 2.0 and "broke off" in time.method


def test_answers_that_came_before_a_device_was_lost_are_kept(folder):
    right, kept = _right(folder), []
    _, golden = bench.golden_clips(read_bundle(folder))
    (folder / FLOAT_ANSWERS).write_text(json.dumps({"probabilities": right(0).astype(float).tolist()}))
    given = bench.WholeSplit(golden, right(0).argmax(1))
    device = Fake(right)

    def cut(model, clips, threads=1, delegate="default"):
        device.answers = lambda *given: _lost(Answers(right(0)[:3], np.zeros(3, np.float32), "a runtime 1"))
        return Answers(right(0), np.zeros(len(clips), np.float32), "a runtime 1")

    device.answers = cut
    with pytest.raises(BrokenOffError, match="the cable is out; so much came"):
        for row in bench.bench(bench.subjects([folder], device), device, [EFFORT], given=given):
            kept.append(row)
    by_name = {row.name: row for row in kept}
    assert by_name["agreement"].n == 3 and by_name["agreement"].value == 1 and by_name["agreement"].bound is None
    assert by_name["accuracy"].method.startswith(f"the first 3 of {len(golden)} clips, then the device was lost")
    assert "golden_difference" in by_name and "latency_p50" not in by_name


def test_starts_that_were_done_before_a_device_was_lost_are_kept(folder):
    device, kept = Fake(_right(folder)), []
    device.starts = lambda *given: _lost((Start(30.0, 15.0, {}), Start(20.0, 10.0, {})))
    with pytest.raises(BrokenOffError):
        for row in bench.bench(bench.subjects([folder], device), device, [EFFORT]):
            kept.append(row)
    cold = next(row for row in kept if row.name == "cold_start")
    assert (cold.low, cold.value, cold.high, cold.n) == (20, 25, 30, 2)


def _lost(kept):
    raise BrokenOffError(DeviceError("the cable is out"), kept, "so much came")


def test_a_sustained_run_says_how_it_drifted_and_how_warm_it_was(folder):
    rows = _rows(Fake(_right(folder), windows=60), folder, replace(EFFORT, sustained_s=60), starts=0)
    drift = next(row for row in rows if row.name == "drift")
    assert drift.value == pytest.approx(1, abs=0.3) and "40 °C at first, 99 °C at most" in drift.method
    assert len(next(row for row in rows if row.series).series) == 60


def test_energy_is_in_millijoules_a_clip(folder):
    energy = next(row for row in _rows(Fake(_right(folder)), folder, starts=0) if row.name == "energy")
    assert energy.value == 0.5 and energy.unit == "mJ"


def test_energy_is_the_mean_of_windows_in_which_the_counter_may_not_have_ticked(folder):
    device = Fake(_right(folder), windows=20)
    told = device.time

    def ticking(models, clips, effort):
        timing = told(models, clips, effort)
        tick = [
            replace(one, energy_uj=dict.fromkeys(one.energy_uj, 2000.0 * (place % 4 == 0)))
            for place, one in enumerate(timing.windows)
        ]
        return replace(timing, windows=tuple(tick))

    device.time = ticking
    energy = next(row for row in _rows(device, folder, starts=0) if row.name == "energy")
    assert energy.value == 0.5 and energy.low <= 0.5 <= energy.high


def test_processes_that_differ_widen_the_interval_and_the_method_says_so(folder):
    device = Fake(_right(folder), windows=20)
    told = device.time

    def apart(models, clips, effort):
        timing = told(models, clips, effort)
        moved = [
            replace(
                one,
                process=place // 4,
                load=11.5,
                median_ms={name: ms * (1 + 0.2 * (place // 4)) for name, ms in one.median_ms.items()},
            )
            for place, one in enumerate(timing.windows)
        ]
        return replace(timing, windows=tuple(moved))

    device.time = apart
    time = next(row for row in _rows(device, folder, starts=0) if row.name == "latency_p50")
    assert time.value == pytest.approx(2.5 * 1.4) and time.high - time.low > 1
    assert "in 5 fresh processes" in time.method and "Student's t over processes" in time.method
    assert "busy, load average up to 11.5" in time.method


def test_the_host_shares_a_run_among_fresh_processes(folder):
    with open_device("host") as host:
        found = bench.subjects([folder], host, "tflite")
        _, clips = bench.golden_clips(found[0].bundle)
        timing = host.time([one.file for one in found], clips, Effort(seconds=0.05, windows=6, processes=3))
        once = host.time([one.file for one in found], clips, Effort(windows=2, processes=3, sustained_s=0.1))
    assert {window.process for window in timing.windows} == {0, 1, 2}
    assert [w.at_s for w in timing.windows] == sorted(w.at_s for w in timing.windows)
    assert {window.process for window in once.windows} == {0}, "drift is that of one process"


def test_starts_give_medians_and_the_range(folder):
    begun = tuple(Start(float(ms), ms / 2, {"peak_bytes": ms * 100}) for ms in (30, 10, 20))
    rows = {row.name: row for row in _rows(Fake(_right(folder), starts=begun), folder)}
    assert (rows["cold_start"].low, rows["cold_start"].value, rows["cold_start"].high) == (10, 20, 30)
    assert rows["peak_memory"].value == 2000 and "pss" not in rows


def test_a_bundle_without_a_file_for_the_device_is_refused(folder):
    device = Fake(_right(folder))
    with pytest.raises(BundleError, match="none of its files runs on a fake phone"):
        bench.subjects([folder], device, "onnx")


def test_an_unknown_device_is_told_the_kinds():
    with pytest.raises(DeviceError, match="unknown device 'hots'") as caught:
        open_device("hots")
    assert "did you mean 'host'" in caught.value.fix


def test_the_host_takes_no_argument(tmp_path):
    with pytest.raises(DeviceError, match="takes nothing after the colon"):
        open_device("host:x", tmp_path)
