"""devices/adb with a pretended adb: the states of a phone, its refusals, its heat, and the reports of the demo app."""

import json
import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgecomp.artifact import content_hash
from edgecomp.devices import BrokenOffError, Effort, ModelFile, Window, open_device
from edgecomp.devices import _adb_report as reports
from edgecomp.devices._adb_app import App
from edgecomp.devices._adb_bridge import Bridge, LostError, parse_devices
from edgecomp.devices._adb_care import Care
from edgecomp.devices._adb_facts import MARK, facts, parse_battery, sections
from edgecomp.errors import DeviceError

SERIAL = "R9CT1"
ONE = f"List of devices attached\n{SERIAL}   device usb:1-2 product:pine model:Redmi_7A device:pine transport_id:3\n\n"
PROPERTIES = """[ro.build.version.release]: [10]
[ro.build.version.sdk]: [29]
[ro.product.manufacturer]: [Xiaomi]
[ro.product.model]: [Redmi 7A]
[ro.product.cpu.abilist]: [arm64-v8a,armeabi-v7a,armeabi]
[ro.board.platform]: [msm8937]"""
BATTERY = """Current Battery Service state:
  AC powered: false
  USB powered: {usb}
  Wireless powered: false
  status: {status}
  present: true
  level: {level}
  scale: 100
  voltage: 4123
  temperature: {tenths}
  technology: Li-poly
  Charge counter: 2713000"""
THERMAL = """Thermal Status: {status}
Cached temperatures:
\tTemperature{{mValue=41.5, mType=0, mName=CPU0, mStatus=0}}
\tTemperature{{mValue=44.1, mType=0, mName=CPU4, mStatus=0}}
\tTemperature{{mValue=30.2, mType=2, mName=BAT, mStatus=0}}"""
CPUINFO = "Processor\t: AArch64 Processor rev 4 (aarch64)\n" + "".join(
    f"processor\t: {n}\nFeatures\t: fp asimd aes crc32\nCPU implementer\t: 0x41\nCPU architecture: 8\n"
    "CPU variant\t: 0x0\nCPU part\t: 0xd03\nCPU revision\t: 4\n"
    for n in range(8)
)
MEMORY = "MemTotal:        1904360 kB\nMemFree:           61000 kB\nMemAvailable:     812000 kB\n"


def said(battery: str, thermal: str, **more: str) -> str:
    return "".join(f"{MARK}{name}\n{text}\n" for name, text in {**more, "battery": battery, "thermal": thermal}.items())


def battery(level: int = 80, tenths: int = 302, usb: str = "true", status: int = 2) -> str:
    return BATTERY.format(level=level, tenths=tenths, usb=usb, status=status)


def whole(state: str) -> str:
    return state + "".join(
        f"{MARK}{name}\n{text}\n"
        for name, text in {
            "properties": PROPERTIES,
            "cpuinfo": CPUINFO,
            "midr": "0x00000000410fd034\n" * 8,
            "possible": "0-7",
            "governors": "schedutil\n" * 8,
            "clocks": "960000\n" * 8,
            "memory": MEMORY,
            "kernel": "Linux 4.9.112",
            "isa": "aarch64",
            "load": "3.1 2.2 1.0 2/900 1234",
            "saver": "0",
        }.items()
    )


COOL = said(battery(), THERMAL.format(status=0))


class Pretended:
    """A pretended adb beside its state; every test changes what it needs."""

    def __init__(self, folder: Path, monkeypatch):
        self.folder = folder / "bin"
        self.folder.mkdir()
        program = Path(__file__).with_name("fake_adb.py").read_text(encoding="utf-8")
        (self.folder / "adb").write_text(f"#!{sys.executable} -IS\n{program}", encoding="utf-8")
        (self.folder / "adb").chmod(0o755)
        monkeypatch.setenv("PATH", f"{self.folder}:/usr/bin:/bin")
        for place, name, value in (
            (App, "poll_s", 0.01),
            (App, "return_s", 0.05),
            (App, "silence_s", 1.0),
            (Care, "cool_step_s", 0.01),
            (Care, "cool_limit_s", 0.3),
        ):
            monkeypatch.setattr(place, name, value)
        model = folder / "model.tflite"
        model.write_bytes(b"a model")
        self.model = ModelFile("keywords tflite", model, "tflite")
        self.cache = folder / "cache"
        self.state = {
            "devices": ONE,
            "shell": {
                "getprop": [[0, whole(COOL), ""]],
                "^echo '@@edgecomp battery": [[0, COOL, ""]],
                "pm path": [[0, "package:/data/app/edgecomp.demo/base.apk\n", ""]],
                "EXTERNAL_STORAGE": [[0, "/sdcard\n", ""]],
                "pidof": [[0, "4711\n", ""]],
            },
            "reports": [self.report()],
        }

    def report(self, **changed) -> dict:
        return {
            "schema": reports.SCHEMA,
            "bundle": "keywords",
            "version": "aa50d6abb80f",
            "model_sha256": content_hash(self.model.path),
            "runtime": "LiteRT 2.3.0",
            "threads": 1,
            "delegate": "xnnpack",
            "samples_ms": [[3.0, 3.2], [3.1]],
            "cold_start_ms": 410.0,
            "load_ms": 35.0,
            "peak_pss_bytes": 61_000_000,
            "native_heap_bytes": 21_000_000,
            "answers": [{"clip": "00000.f32", "probabilities": [0.25, 0.75], "uncertainty": 0.5}],
            "device": {"model": "Redmi 7A", "thermal_status": 0},
            "battery": [{"at_ms": 0, "charge_uah": 1, "current_ua": 2, "temperature_c": 30.2}],
            "finished": True,
        } | changed

    def open(self, name: str = f"adb:{SERIAL}"):
        (self.folder / "state.json").write_text(json.dumps(self.state))
        return open_device(name, self.cache)

    def later(self, **changed) -> None:
        """Change the state of an open phone; the lists begin anew."""
        (self.folder / "turns.json").unlink(missing_ok=True)
        (self.folder / "state.json").write_text(json.dumps(self.state | changed))

    def calls(self) -> str:
        return (self.folder / "calls").read_text()


@pytest.fixture
def adb(tmp_path, monkeypatch) -> Pretended:
    return Pretended(tmp_path, monkeypatch)


CLIPS = np.zeros((1, 8), np.float32)


def test_a_phone_says_what_it_is(adb):
    with adb.open() as phone:
        told = phone.describe()
    assert phone.name == f"Xiaomi Redmi 7A (msm8937, Android 10, adb:{SERIAL})"
    assert phone.how == "measured" and phone.forms == ("tflite",)
    assert told["core_names"] == ["Cortex-A53"] and told["midr"] == ["0x41:0xd03:r0"] and told["dot_product"] is False
    assert told["cores"] == 8 and told["governor"] == "schedutil" and told["clock_khz"] == [960_000] * 8
    assert told["ram_bytes"] == 1_904_360 * 1024 and told["free_bytes"] == 812_000 * 1024
    assert told["thermal_status"] == 0 and told["temperature_c"] == 44.1 and told["api"] == 29
    assert told["battery"]["percent"] == 80 and told["battery"]["temperature_c"] == 30.2 and told["battery"]["charging"]
    assert told["app"]["bundle"] == "keywords" and told["app"]["version"] == "aa50d6abb80f"


def test_every_missing_tool_is_tolerated():
    assert facts(sections("/bin/sh: 1: getprop: not found\n"))["os"] is None
    empty = facts(sections("".join(f"{MARK}{name}\n" for name in ("properties", "cpuinfo", "battery", "thermal"))))
    assert {value for value in empty.values() if not isinstance(value, list)} == {None}


def test_a_battery_that_is_not_there_is_no_battery():
    assert parse_battery("  present: false\n  level: 0\n") == {}
    assert parse_battery("Can't find service: battery") == {}
    assert parse_battery(battery(usb="false", status=3))["charging"] is False
    assert parse_battery(battery(usb="false", status=5))["charging"] is True


STATES = {
    "unauthorized": ("R1 unauthorized usb:1-2 transport_id:1", "allow USB debugging"),
    "offline": ("R1\toffline transport_id:1", "reconnect offline"),
    "no permissions": (
        "R1  no permissions (missing udev rules? user is in the plugdev group); see [http://x] usb:1",
        "udev",
    ),
    "recovery": ("R1 recovery usb:1-2", "adb reboot"),
}


@pytest.mark.parametrize("state", STATES)
def test_each_state_of_a_phone_comes_with_its_fix(adb, state):
    line, fix = STATES[state]
    adb.state["devices"] = f"List of devices attached\n{line}\n"
    for name in ("adb:R1", "adb"):
        with pytest.raises(DeviceError, match=state) as caught:
            adb.open(name)
        assert fix in caught.value.fix


def test_no_phone_and_an_unknown_serial_are_told_apart(adb):
    adb.state["devices"] = "* daemon started successfully\nList of devices attached\n\n"
    with pytest.raises(DeviceError, match="no phone is connected"):
        adb.open("adb")
    adb.state["devices"] = ONE
    with pytest.raises(DeviceError, match=r"no phone 'R7'; connected: adb:R9CT1 \(Redmi_7A\)"):
        adb.open("adb:R7")


def test_of_several_phones_one_must_be_named_and_they_are_listed(adb):
    adb.state["devices"] = ONE.rstrip() + "\nemulator-5554  device model:sdk_gphone64 transport_id:4\n"
    with pytest.raises(
        DeviceError, match=r"2 phones are connected: .*Redmi_7A.*emulator-5554 \(sdk_gphone64\)"
    ) as caught:
        adb.open("adb")
    assert f"--on adb:{SERIAL} --on adb:emulator-5554" in caught.value.fix


def test_a_phone_that_cannot_be_used_does_not_hide_the_one_that_can(adb):
    adb.state["devices"] = ONE.rstrip() + "\nR1  unauthorized transport_id:9\n"
    with adb.open("adb") as phone:
        assert SERIAL in phone.name


def test_the_lines_of_adb_devices_are_read():
    found = parse_devices(f"* daemon not running; starting now at tcp:5037\n{ONE}R1 no permissions; see [x]\n")
    assert [(one.serial, one.state, one.model) for one in found] == [
        (SERIAL, "device", "Redmi_7A"),
        ("R1", "no permissions", ""),
    ]


def test_an_adb_whose_server_does_not_start_is_not_taken_for_no_phone(adb):
    (adb.folder / "adb").write_text("#!/bin/sh\necho 'error: cannot bind: Address already in use' >&2; exit 1\n")
    with pytest.raises(DeviceError, match="cannot list the phones: error: cannot bind"):
        adb.open()


def test_no_adb_says_what_to_install(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    for name in ("ANDROID_HOME", "ANDROID_SDK_ROOT"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(DeviceError, match="adb is not installed") as caught:
        open_device("adb", tmp_path)
    assert "platform-tools" in caught.value.fix


def test_an_app_that_is_not_installed_is_said_before_anything_is_pushed(adb):
    adb.state["shell"]["pm path"] = [[1, "", ""]]
    with pytest.raises(DeviceError, match=r"edgecomp\.demo is not on the phone") as caught:
        adb.open()
    assert "embed" in caught.value.fix and "installDebug" in caught.value.fix
    assert "push" not in adb.calls() and "am start" not in adb.calls()


def test_a_start_that_android_refuses_is_an_error(adb):
    adb.state["shell"]["am start"] = [
        [1, "Starting: Intent\nError type 3\nError: Activity class does not exist.\n", ""]
    ]
    with pytest.raises(DeviceError, match="not on the phone"):
        adb.open()
    adb.later()
    adb.state["shell"]["am start"] = [
        [0, "11-22 03:00:00.000\n", "Error: java.lang.SecurityException: Permission Denial\n"]
    ]
    with pytest.raises(DeviceError, match=r"cannot be started: .*Permission Denial"):
        adb.open()


def test_a_low_battery_is_refused_unless_it_is_allowed(adb):
    low = said(battery(level=12, usb="false", status=3), THERMAL.format(status=0))
    adb.state["shell"]["getprop"], adb.state["shell"]["^echo '@@edgecomp battery"] = (
        [[0, whole(low), ""]],
        [[0, low, ""]],
    )
    with pytest.raises(DeviceError, match="12 % and does not charge") as caught:
        adb.open()
    assert f"--on adb:{SERIAL},low-battery" in caught.value.fix
    with adb.open(f"adb:{SERIAL},low-battery") as phone:
        assert "battery at 12 %" in phone.time([adb.model], CLIPS, Effort(seconds=0.01)).held
    with pytest.raises(DeviceError, match="unknown word 'low'"):
        adb.open(f"adb:{SERIAL},low")


def test_a_low_battery_that_charges_is_measured(adb):
    adb.state["shell"]["getprop"] = [[0, whole(said(battery(level=12), THERMAL.format(status=0))), ""]]
    with adb.open() as phone:
        assert phone.forms


def test_a_hot_phone_is_cooled_down_before_a_run_and_says_so(adb, capfd):
    warm = said(battery(tenths=345), THERMAL.format(status=0))
    hot = said(battery(tenths=345), THERMAL.format(status=3))
    with adb.open() as phone:
        adb.later(
            shell={**adb.state["shell"], "^echo '@@edgecomp battery": [[0, one, ""] for one in (hot, hot, warm, COOL)]}
        )
        timing = phone.time([adb.model], CLIPS, Effort(seconds=0.01))
    told = capfd.readouterr().err
    assert "thermal status 3 (severe); cooling down" in told and "battery at 34.5 °C, 30.2 °C at first" in told
    assert timing.held == "app in the foreground, not pinned"


def test_a_phone_that_stays_hot_is_measured_and_the_timing_says_so(adb):
    hot = said(battery(tenths=410), THERMAL.format(status=2))
    with adb.open() as phone:
        adb.later(shell={**adb.state["shell"], "^echo '@@edgecomp battery": [[0, hot, ""]]})
        held = phone.time([adb.model], CLIPS, Effort(seconds=0.01)).held
    assert (
        "still warm after 0 s: thermal status 2 (moderate)" in held and "throttled: thermal status 2 (moderate)" in held
    )


def windows(medians, heat):
    return [
        Window(float(at), {"a": ms}, {"a": np.array([ms])}, {"a": 1}, temperature_c=c)
        for at, (ms, c) in enumerate(zip(medians, heat, strict=True))
    ]


def test_slower_runs_on_a_warmer_phone_are_throttling_and_on_a_cool_one_are_not():
    slower = [3.0] * 10 + [3.6] * 10
    found = reports.throttling(windows(slower, np.linspace(30, 36, 20)), 0)
    assert found == "throttled: a 20% slower in the last fifth, the battery warmed from 30 to 36 °C"
    assert reports.throttling(windows(slower, [30.0] * 20), 0) == ""
    assert reports.throttling(windows([3.0] * 20, np.linspace(30, 36, 20)), 1) == ""
    assert reports.throttling([], None) == ""


@given(
    rounds=st.lists(st.lists(st.floats(0.01, 5000), min_size=1, max_size=20), min_size=1, max_size=30),
    sustained=st.sampled_from([0.0, 600.0]),
)
def test_windows_keep_every_run_in_its_order(rounds, sustained):
    report = {"samples_ms": rounds, "battery": []}
    found = reports.to_windows(report, "a", Effort(windows=10, sustained_s=sustained))
    runs = [ms for part in rounds for ms in part]
    assert np.concatenate([window.ms["a"] for window in found]).tolist() == runs
    assert all(window.runs["a"] == len(window.ms["a"]) > 0 for window in found)
    assert all(early.at_s < late.at_s for early, late in pairwise(found))
    assert found[-1].at_s == pytest.approx(sum(runs) / 1e3)


def test_a_sustained_run_has_a_window_a_second_with_the_heat_of_its_time():
    rounds = [[10.0] * 10] * 50
    heat = [{"at_ms": 1000 + 100 * n, "temperature_c": 30 + 0.1 * n} for n in range(50)]
    found = reports.to_windows({"samples_ms": rounds, "battery": heat}, "a", Effort(sustained_s=5))
    assert len(found) == 5 and {window.runs["a"] for window in found[1:-1]} == {100}
    assert found[0].temperature_c == pytest.approx(31.0, abs=0.11) and found[-1].temperature_c == pytest.approx(34.9)


def test_no_run_yet_is_no_window():
    assert reports.to_windows({"samples_ms": []}, "a", Effort()) == ()


REFUSED = {
    "of another schema": ({"schema": "edgecomp-phone-bench/2"}, "has schema 'edgecomp-phone-bench/2'"),
    "that lacks a field": ({"runtime": ...}, "lacks 'runtime'"),
    "of another model": ({"model_sha256": "0" * 64}, "another model: 000000000000 of bundle 'keywords' version aa50"),
    "with other threads": ({"threads": 4}, "ran with 4 threads, and 1 were wanted"),
    "with an error": ({"error": "this app holds keywords"}, "with bundle 'keywords' .* says: this app holds keywords"),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_a_report_is_refused(adb, kind):
    changed, message = REFUSED[kind]
    with adb.open() as phone:
        wrong = {key: value for key, value in adb.report(**changed).items() if value is not ...}
        adb.later(reports=[wrong])
        with pytest.raises(DeviceError, match=message) as caught:
            phone.answers(adb.model, CLIPS)
    assert caught.value.fix


def test_a_report_that_is_cut_off_is_read_again():
    assert reports.read_report(b'{"schema": "edgecomp-pho', "here") is None


def test_answers_come_in_the_clips_order_and_none_may_be_missing(adb):
    rows = [{"clip": f"0000{n}.f32", "probabilities": [n / 4, 1 - n / 4], "uncertainty": n / 8} for n in (2, 0, 1)]
    with adb.open() as phone:
        adb.later(reports=[adb.report(answers=rows)])
        found = phone.answers(adb.model, np.zeros((3, 8), np.float32))
        assert found.probabilities[:, 0].tolist() == [0, 0.25, 0.5] and found.uncertainty.tolist() == [0, 0.125, 0.25]
        assert found.runtime == "LiteRT 2.3.0"
        adb.later(reports=[adb.report(answers=rows)])
        with pytest.raises(DeviceError, match="no answer to 1 of 4 clips, the first is clip 4"):
            phone.answers(adb.model, np.zeros((4, 8), np.float32))


def test_the_embedded_model_is_not_pushed_and_another_one_is_named_by_its_hash(adb, tmp_path):
    with adb.open() as phone:
        phone.answers(adb.model, CLIPS)
        assert "models/" not in adb.calls() and "--es model" not in adb.calls()
        other = tmp_path / "other.tflite"
        other.write_bytes(b"another model")
        adb.later(reports=[adb.report(model_sha256=content_hash(other))])
        phone.answers(ModelFile("other", other, "tflite"), CLIPS)
    assert f"/models/{content_hash(other)}.tflite" in adb.calls() and f"--es model {content_hash(other)}" in adb.calls()
    assert adb.calls().count("push") == 2, "the clips once and the file once"


def test_a_crash_shows_the_end_of_the_phones_log(adb):
    log = "W/Other: noise\nE/AndroidRuntime(4711): FATAL EXCEPTION: bench\nE/AndroidRuntime(4711): OutOfMemoryError\n"
    with adb.open() as phone:
        adb.later(reports=[None], shell={**adb.state["shell"], "pidof": [[1, "", ""]], "logcat": [[0, log, ""]]})
        with pytest.raises(DeviceError, match="ended before its benchmark did") as caught:
            phone.answers(adb.model, CLIPS)
    assert "OutOfMemoryError" in str(caught.value) and "noise" not in str(caught.value)


def test_a_crash_in_mid_run_keeps_the_windows_before_it(adb):
    with adb.open() as phone:
        adb.later(
            reports=[adb.report(finished=False)], shell={**adb.state["shell"], "pidof": [[0, "", ""], [1, "", ""]]}
        )
        timing = phone.time([adb.model], CLIPS, Effort(seconds=0.01))
    assert sum(window.runs["keywords tflite"] for window in timing.windows) == 3
    assert "ended before" in timing.lost and "its log says nothing" in timing.lost


def test_an_app_that_stalls_is_given_up(adb, monkeypatch):
    monkeypatch.setattr(App, "silence_s", 0.2)
    with adb.open() as phone:
        adb.later(reports=[None])
        with pytest.raises(DeviceError, match="reported nothing") as caught:
            phone.answers(adb.model, CLIPS)
    assert "unlock" in caught.value.fix


GONE = [1, "", f"adb: error: device '{SERIAL}' not found\n"]


def test_an_unplugged_phone_leaves_what_was_pulled(adb):
    with adb.open() as phone:
        adb.later(reports=[adb.report(finished=False), GONE], state=["unknown"])
        timing = phone.time([adb.model], CLIPS, Effort(seconds=0.01))
    assert sum(window.runs["keywords tflite"] for window in timing.windows) == 3
    assert "unplugged" in timing.lost and "reports that came are in" in timing.lost
    kept = [json.loads(file.read_text()) for file in adb.cache.rglob("bench-*.json")]
    assert [1 for report in kept if not report["finished"]] == [1]


def test_an_unplugged_phone_leaves_the_answers_that_were_pulled(adb):
    rows = [{"clip": f"0000{n}.f32", "probabilities": [n / 4, 1 - n / 4], "uncertainty": n / 8} for n in (0, 1)]
    with adb.open() as phone:
        adb.later(reports=[adb.report(answers=rows, finished=False), GONE], state=["unknown"])
        with pytest.raises(BrokenOffError, match=r"unplugged.*the first 2 of 3 clips had been answered") as caught:
            phone.answers(adb.model, np.zeros((3, 8), np.float32))
    assert caught.value.kept.probabilities.tolist() == [[0, 1], [0.25, 0.75]]
    assert caught.value.kept.runtime == "LiteRT 2.3.0" and "plug it in" in caught.value.fix


def test_an_unplugged_phone_leaves_the_starts_that_were_done(adb):
    with adb.open() as phone:
        adb.later(reports=[adb.report(), adb.report(cold_start_ms=420.0), GONE], state=["unknown"])
        with pytest.raises(BrokenOffError, match=r"unplugged.*2 of 5 starts had been done") as caught:
            phone.starts(adb.model, 8)
    assert [start.cold_ms for start in caught.value.kept] == [410.0, 420.0]


def test_a_phone_that_is_plugged_in_again_goes_on(adb, capfd, monkeypatch):
    monkeypatch.setattr(App, "return_s", 20.0)
    with adb.open() as phone:
        adb.later(reports=[adb.report(finished=False), GONE, adb.report()], state=["unknown", "device"])
        timing = phone.time([adb.model], CLIPS, Effort(seconds=0.01))
    assert timing.lost == "" and "waiting" in capfd.readouterr().err


def test_a_phone_that_is_lost_before_its_first_window_is_an_error(adb):
    with adb.open() as phone:
        adb.later(reports=[GONE], state=["unknown"])
        with pytest.raises(LostError, match="did not come back"):
            phone.time([adb.model], CLIPS, Effort(seconds=0.01))


def test_files_that_are_compared_take_turns_and_only_whole_turns_count(adb, tmp_path):
    other = tmp_path / "other.tflite"
    other.write_bytes(b"another model")
    models = [adb.model, ModelFile("other", other, "tflite")]
    with adb.open() as phone:
        asked, embedded = adb.report(model_sha256="as asked"), content_hash(adb.model.path)
        adb.later(reports=[asked] * 7 + [GONE], embedded=embedded, state=["unknown"])
        timing = phone.time(models, CLIPS, Effort(seconds=0.04, windows=4))
    assert [sorted(window.ms) for window in timing.windows] == [["keywords tflite", "other"]] * 3
    assert "unplugged" in timing.lost
    begun = ["other" if "--es model" in call else "own" for call in adb.calls().splitlines() if "am start" in call][1:]
    turns = [begun[at : at + 2] for at in (0, 2, 4, 6)]
    assert all(sorted(turn) == ["other", "own"] for turn in turns) and len({tuple(turn) for turn in turns}) == 2


def test_a_full_phone_says_how_much_is_free(adb):
    full = [1, "", "adb: error: failed to copy 'x' to '/sdcard/y': remote write failed: No space left on device\n"]
    with adb.open() as phone:
        space = [[0, "Filesystem 1K-blocks Used Available Use% Mounted\n/dev/fuse 100 99 17 99% /storage\n", ""]]
        adb.later(push=[full], shell={**adb.state["shell"], "^df": space})
        with pytest.raises(DeviceError, match="storage is full; 17 kB are free"):
            phone.answers(adb.model, CLIPS)


def test_a_folder_that_android_denies_says_to_open_the_app(adb):
    with adb.open() as phone:
        adb.later(push=[[1, "", "adb: error: failed to copy: remote couldn't create file: Permission denied\n"]])
        with pytest.raises(DeviceError, match="Permission denied") as caught:
            phone.answers(adb.model, CLIPS)
    assert "open the demo app once" in caught.value.fix


def test_a_start_that_is_not_fresh_is_no_cold_start(adb):
    with adb.open() as phone:
        assert [start.cold_ms for start in phone.starts(adb.model, 8, starts=2)] == [410.0, 410.0]
        assert phone.starts(adb.model, 8, starts=1)[0].memory == {
            "app_peak_pss_bytes": 61_000_000,
            "app_native_heap_bytes": 21_000_000,
        }
        adb.later(reports=[adb.report(cold_start_ms=None)])
        with pytest.raises(DeviceError, match="no cold start"):
            phone.starts(adb.model, 8, starts=1)


def test_one_phone_is_used_by_one_bench_at_a_time(adb):
    with adb.open(), pytest.raises(DeviceError, match="another edgecomp is using this phone"):
        adb.open()
    adb.open().close()


def test_an_adb_that_hangs_is_given_up(tmp_path):
    (tmp_path / "adb").write_text("#!/bin/sh\nexec sleep 60\n")
    (tmp_path / "adb").chmod(0o755)
    with pytest.raises(LostError, match=r"no answer within 0\.2 s"):
        Bridge(str(tmp_path / "adb"), SERIAL).shell("true", timeout_s=0.2)


def test_what_was_put_on_the_phone_is_removed(adb):
    with adb.open() as phone:
        phone.answers(adb.model, CLIPS)
    last = adb.calls().splitlines()[-1]
    assert "am force-stop edgecomp.demo" in last and "rm -rf" in last and "/clips-" in last and "/bench-" in last
    assert " /sdcard/Android/data/edgecomp.demo/files*" not in last, "nothing of the app's own"
