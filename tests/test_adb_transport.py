"""devices/adb against a real adbd, with a stand-in for `am` that runs the model here: the way to a phone, never a phone.

The numbers say so themselves: the device is called a transport test, and its latencies are "emulated".
"""

import os
import threading
import time

import numpy as np
import pytest

from edgecomp.devices import Effort, ModelFile, open_device
from edgecomp.devices._adb_app import PACKAGE, App
from edgecomp.devices._adb_bridge import Bridge, LostError
from edgecomp.devices.host import Host
from edgecomp.errors import DeviceError
from tests.adb_tools import Phones
from tests.small_bundle import SAMPLES, write_small_bundle


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    return write_small_bundle(tmp_path_factory.mktemp("bundles") / "sounds")


@pytest.fixture(scope="module")
def phones(tmp_path_factory, bundle):
    made = Phones(tmp_path_factory.mktemp("adb"), bundle)
    yield made
    made.close()


@pytest.fixture(autouse=True)
def on_path(phones, monkeypatch):
    monkeypatch.setenv("PATH", f"{phones.bin}:{os.environ['PATH']}")
    monkeypatch.setattr(App, "poll_s", 0.2)


@pytest.fixture
def bridge(phones) -> Bridge:
    return Bridge(str(phones.bin / "adb"), phones.serials[0])


@pytest.fixture
def model(bundle) -> ModelFile:
    return ModelFile("sounds tflite", bundle / "model.tflite", "tflite")


CLIPS = np.random.default_rng(0).normal(0, 0.1, (5, SAMPLES)).astype(np.float32)


def test_a_shells_exit_code_and_both_its_streams_come_through(bridge):
    said = bridge.shell("echo out; echo complaint >&2; exit 7")
    assert (said.code, said.text, said.complaint) == (7, "out\n", "complaint\n")


def test_a_folder_and_a_file_go_there_and_back_whole(bridge, phones, tmp_path):
    content = np.random.default_rng(0).bytes(300_000)
    (tmp_path / "one").mkdir()
    (tmp_path / "one" / "x y.bin").write_bytes(content)
    there = f"{phones.storage(1)}/new folder"
    bridge.push(tmp_path / "one", there)
    assert bridge.pull(f"{there}/x y.bin") == content
    assert bridge.pull(f"{there}/none") is None


def test_a_full_storage_and_a_denied_folder_are_told_apart(bridge, tmp_path):
    (tmp_path / "file").write_bytes(bytes(100_000))
    with pytest.raises(DeviceError, match=r"storage is full; \d+ kB are free"):
        bridge.push(tmp_path / "file", "/dev/full")
    with pytest.raises(DeviceError, match="cannot be put on the phone"):
        bridge.push(tmp_path / "file", "/proc/none/there")


def test_what_is_no_phone_says_so_and_what_it_says_is_the_models_own_answer(phones, model, tmp_path):
    with open_device(f"adb:{phones.serials[0]}", tmp_path) as phone, Host() as host:
        assert phone.name == "transport test over adb, no phone (stand-in for am, transport test)"
        assert phone.how == "emulated" and phone.forms == ("tflite",)
        told = phone.describe()
        assert told["os"] is None and told["battery"] is None and told["cores"] == os.cpu_count()
        assert told["app"]["bundle"] == "sounds" and told["app"]["golden"]["passed"]
        here, there = host.answers(model, CLIPS), phone.answers(model, CLIPS)
        assert np.array_equal(there.probabilities, here.probabilities)
        assert np.array_equal(there.uncertainty, here.uncertainty) and there.runtime == here.runtime
        folder = phones.storage(1) / "Android" / "data" / PACKAGE / "files"
        assert list(folder.glob("clips-*"))
    assert list(folder.rglob("*")) == [folder / "models"] or list(folder.rglob("*")) == []


def test_a_run_has_windows_and_starts_are_fresh_processes(phones, model, tmp_path):
    with open_device(f"adb:{phones.serials[0]}", tmp_path) as phone:
        timing = phone.time([model], CLIPS, Effort(seconds=1))
        (start,) = phone.starts(model, SAMPLES, starts=1)
    total_s = sum(window.ms["sounds tflite"].sum() for window in timing.windows) / 1e3
    assert timing.lost == "" and len(timing.windows) == 100 and 0 < total_s < 20
    assert "System.nanoTime" in timing.clock and timing.held == "app in the foreground, not pinned"
    assert 0 < start.load_ms < start.cold_ms and start.memory["app_peak_pss_bytes"] > 1e6


def test_two_files_take_turns_and_the_other_one_is_pushed(phones, model, tmp_path):
    other = write_small_bundle(tmp_path / "other", seed=1) / "model.tflite"
    models = [model, ModelFile("other tflite", other, "tflite")]
    with open_device(f"adb:{phones.serials[0]}", tmp_path) as phone, Host() as host:
        timing = phone.time(models, CLIPS, Effort(seconds=0.1, windows=2))
        there, here = phone.answers(models[1], CLIPS), host.answers(models[1], CLIPS)
    assert [sorted(window.median_ms) for window in timing.windows] == [["other tflite", "sounds tflite"]] * 2
    assert np.array_equal(there.probabilities, here.probabilities)


def test_two_phones_work_at_once(phones, model, tmp_path):
    found, faults = {}, []

    def work(serial: str) -> None:
        try:
            with open_device(f"adb:{serial}", tmp_path) as phone:
                found[serial] = phone.answers(model, CLIPS).probabilities
        except DeviceError as why:
            faults.append(why)

    both = [threading.Thread(target=work, args=[serial]) for serial in phones.serials]
    for one in both:
        one.start()
    for one in both:
        one.join()
    assert faults == [] and np.array_equal(*found.values())
    with pytest.raises(DeviceError, match=r"2 phones are connected: adb:127\.0\.0\.1:701, adb:127\.0\.0\.1:702"):
        open_device("adb", tmp_path)


def test_an_app_that_ends_in_mid_run_leaves_its_windows(phones, model, tmp_path):
    mark = phones.storage(1) / "crash"
    with open_device(f"adb:{phones.serials[0]}", tmp_path) as phone:
        mark.touch()
        try:
            timing = phone.time([model], CLIPS, Effort(seconds=2))
        finally:
            mark.unlink()
    assert timing.windows and "ended before its benchmark did" in timing.lost


def _unplug_in_mid_run(phones, cache, number: int, after_s: float, back_s: float | None):
    """Kill an adbd once windows have come, and start it again after a while."""

    def unplug() -> None:
        until = time.monotonic() + 20
        while not any('"finished": false' in f.read_text() for f in cache.rglob("bench-*.json")):
            if time.monotonic() > until:
                return
            time.sleep(0.05)
        time.sleep(after_s)
        phones.stop(number)
        if back_s is not None:
            time.sleep(back_s)
            _plug_in(phones, number)

    thread = threading.Thread(target=unplug)
    thread.start()
    return thread


def _plug_in(phones, number: int) -> None:
    """Start an adbd again, and wait until adb has it."""
    phones.start(number)
    until = time.monotonic() + 20
    phones.adb("disconnect", phones.serials[number - 1])  # adb itself tries again only after ten seconds
    while f"{phones.serials[number - 1]}\tdevice" not in phones.adb("devices") and time.monotonic() < until:
        phones.adb("connect", phones.serials[number - 1])
        time.sleep(0.2)


def test_an_adbd_that_is_killed_in_mid_run_leaves_the_windows_that_came(phones, model, tmp_path, monkeypatch):
    monkeypatch.setattr(App, "return_s", 0.5)
    with open_device(f"adb:{phones.serials[1]}", tmp_path) as phone:
        killer = _unplug_in_mid_run(phones, tmp_path, 2, after_s=0.3, back_s=None)
        timing = phone.time([model], CLIPS, Effort(seconds=20))
        killer.join()
        try:
            assert timing.windows and "unplugged and did not come back" in timing.lost
            with pytest.raises(LostError):
                phone.describe()
            with pytest.raises(
                DeviceError, match=r"no phone '127\.0\.0\.1:702'; connected: adb:127\.0\.0\.1:701|offline"
            ):
                open_device(f"adb:{phones.serials[1]}", tmp_path / "other")
        finally:
            _plug_in(phones, 2)


def test_a_phone_that_comes_back_in_time_finishes_its_run(phones, model, tmp_path, monkeypatch):
    monkeypatch.setattr(App, "return_s", 30.0)
    with open_device(f"adb:{phones.serials[1]}", tmp_path) as phone:
        killer = _unplug_in_mid_run(phones, tmp_path, 2, after_s=0.2, back_s=0.5)
        timing = phone.time([model], CLIPS, Effort(seconds=4))
        killer.join()
    assert timing.lost == "" and len(timing.windows) == 100


def test_a_linux_machine_without_am_is_no_phone(phones, tmp_path):
    am = phones.folder / "phone-bin" / "am"
    am.rename(am.with_name("hidden"))
    try:
        with pytest.raises(DeviceError, match="no Android phone, it has no `am`") as caught:
            open_device(f"adb:{phones.serials[0]}", tmp_path)
        assert "ssh:" in caught.value.fix
    finally:
        am.with_name("hidden").rename(am)
