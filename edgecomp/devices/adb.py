"""An Android phone over adb: drives the benchmark of the demo app there, and fetches its report as it grows.

`adb:SERIAL`, or `adb` where one phone is connected; `adb:SERIAL,low-battery` measures in spite of an empty battery.
A phone has no Python, so the app measures, and writes JSON that is pulled; see android_demo/README.md.
"""

from __future__ import annotations

import random
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock, Timeout

from edgecomp.artifact import content_hash, text_hash
from edgecomp.devices import (
    Answers,
    Effort,
    How,
    ModelFile,
    Start,
    Timing,
    Window,
    gather_starts,
    lines_to_answers,
)
from edgecomp.devices import _adb_report as reports
from edgecomp.devices._adb_app import CLOCK, INSTALL, NO_CLIPS, PACKAGE, App
from edgecomp.devices._adb_bridge import Bridge, choose, find_adb
from edgecomp.devices._adb_care import ALLOW_LOW, Care
from edgecomp.devices._adb_facts import SCRIPT, facts, sections
from edgecomp.errors import DeviceError, nearest
from edgecomp.progress import say

NEEDS = "adb, and a phone with the demo app of android_demo/ and USB debugging on"
TURN_S = 10.0
"""Of a sustained run of several files: how long one runs before the next has its turn."""


class Phone:
    """One phone; other phones are other objects, and any number of them may work at once.

    how: "measured" on a phone; "emulated" where what answers is no Android, as in a test of the way there
    """

    how: How = "measured"

    def __init__(self, bridge: Bridge, lock: FileLock, kept: Path, allow_low: bool = False):
        self._bridge, self._lock, self._where = bridge, lock, f"adb:{bridge.serial}"
        found = self._facts()
        is_android = found["os"] is not None
        said = bridge.shell(f"pm path {PACKAGE}")
        if is_android and "package:" not in said.text:
            raise DeviceError(f"the demo app {PACKAGE} is not on the phone", where=self._where, fix=INSTALL)
        self._care = Care(bridge, found["battery"] or {}, allow_low)
        self._app = App(bridge, kept)
        self._inside = self._app.run({"runs": 1, "threads": 1})
        self.forms = ("onnx",) if self._inside["runtime"].lower().startswith("onnx") else ("tflite",)
        self.name = f"{found['model'] or 'phone'} ({found['soc'] or found['cpu']}, {found['os']}, {self._where})"
        if not is_android:
            model = (self._inside.get("device") or {}).get("model") or "no Android there"
            self.how, self.name = "emulated", f"transport test over adb, no phone ({model})"

    def __enter__(self) -> Phone:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def describe(self) -> dict[str, Any]:
        """Say what the phone is and how it is now, which bundle its app holds, and what the app says of the phone."""
        told = ("bundle", "version", "model_sha256", "runtime", "delegate", "golden")
        app = {name: self._inside.get(name) for name in told}
        return {**self._facts(), "name": self.name, "app": app, "app_says": self._inside.get("device")}

    def answers(self, model: ModelFile, clips: np.ndarray, threads: int = 1, delegate: str = "default") -> Answers:
        """Run every clip, (n, samples) float32, in one start of the app."""
        wanted = {**self._extras(model, clips), "runs": 1, "threads": threads, "delegate": delegate}
        return lines_to_answers(self._answered(model, wanted, _clip_names(clips)), len(clips), self._where)

    def time(self, models: list[ModelFile], clips: np.ndarray, effort: Effort) -> Timing:
        """Time some files: one in one start of the app, several in turns, a fresh start each, in an order drawn anew."""
        before = self._care.ready()
        shared = {"threads": effort.threads, "delegate": effort.delegate}
        extras = {model.name: self._extras(model, clips) | shared for model in models}
        if len(models) == 1:
            windows, runtimes, lost = self._alone(models[0], extras[models[0].name], effort)
        else:
            windows, runtimes, lost = self._in_turns(models, extras, effort)
        status = None
        if not lost:
            with suppress(DeviceError):
                status = self._care.state()[1]
        slowed = reports.throttling(windows, status)
        held = "; ".join(["app in the foreground, not pinned", *before, *([slowed] if slowed else [])])
        return Timing(effort, windows, runtimes, CLOCK, held, lost)

    def starts(self, model: ModelFile, samples: int, threads: int = 1, starts: int = 5) -> tuple[Start, ...]:
        """Start the app afresh; memory is the whole app's, since a phone does not tell more without root."""
        self._care.ready()
        wanted = {**self._extras(model), "runs": 1, "threads": threads}
        made = (reports.to_start(self._run(model, wanted), self._where) for _ in range(starts))
        return gather_starts(made, starts)

    def close(self) -> None:
        """End the app and remove what was put on the phone; a phone that has gone keeps it."""
        with suppress(DeviceError):
            self._app.clear()
        self._lock.release()

    def _answered(self, model: ModelFile, wanted: Mapping[str, Any], names: Sequence[str]) -> Iterator[dict[str, Any]]:
        """Yield the answers as the reports come that hold them, so that a phone that is lost leaves those before."""
        for report in self._app.reports(wanted):
            reports.check_ran(report, content_hash(model.path), wanted["threads"], self._where)
            yield from reports.to_events(report, names)

    def _alone(
        self, model: ModelFile, wanted: Mapping[str, Any], effort: Effort
    ) -> tuple[tuple[Window, ...], dict[str, str], str]:
        """Time one file in one start; what came before the phone was lost, or the app ended, is kept."""
        length_s, report, lost = effort.sustained_s or effort.seconds, None, ""
        try:
            for found in self._app.reports({**wanted, "seconds": length_s}, length_s):
                reports.check_ran(found, content_hash(model.path), effort.threads, self._where)
                report = found
        except DeviceError as why:
            if report is None or not len(reports.samples_ms(report)):
                raise
            lost = str(why)
        return reports.to_windows(report, model.name, effort), {model.name: report["runtime"]}, lost

    def _in_turns(
        self, models: Sequence[ModelFile], extras: Mapping[str, Mapping[str, Any]], effort: Effort
    ) -> tuple[tuple[Window, ...], dict[str, str], str]:
        """Time several files, each in a fresh start a turn; only whole turns count, since the files are compared."""
        turns, turn_s = effort.windows, effort.seconds / effort.windows
        if effort.sustained_s:
            turn_s = min(TURN_S, effort.sustained_s)
            turns = max(1, round(effort.sustained_s / turn_s))
        order, drawn, windows, runtimes = random.Random(effort.seed), list(models), [], {}
        begun = time.monotonic()
        for turn in range(turns):
            order.shuffle(drawn)
            taken: dict[str, dict[str, Any]] = {}
            try:
                for model in drawn:
                    self._care.cool(in_a_run=True)
                    taken[model.name] = self._run(model, {**extras[model.name], "seconds": turn_s}, turn_s)
            except DeviceError as why:
                if not windows:
                    raise
                return tuple(windows), runtimes, str(why)
            runtimes |= {name: report["runtime"] for name, report in taken.items()}
            last = [{**row, "at_ms": 0} for row in (taken[drawn[-1].name].get("battery") or [])[-1:]]
            ms = {model.name: reports.samples_ms(taken[model.name]) for model in models}
            windows.append(reports.one_window(ms, time.monotonic() - begun, last))
            say(f"{self.name}: turn {turn + 1} of {turns}")
        return tuple(windows), runtimes, ""

    def _run(self, model: ModelFile, wanted: Mapping[str, Any], expected_s: float = 0.0) -> dict[str, Any]:
        """Run a benchmark to its end and hold its report to what was wanted."""
        report = self._app.run(wanted, expected_s)
        reports.check_ran(report, content_hash(model.path), wanted["threads"], self._where)
        return report

    def _extras(self, model: ModelFile, clips: np.ndarray | None = None) -> dict[str, Any]:
        """Put the file and the clips on the phone, unless they are there, and return how the app is told of them."""
        extras = {"clips": NO_CLIPS}
        if clips is not None:
            with tempfile.TemporaryDirectory(prefix="edgecomp-") as folder:
                for name, clip in zip(_clip_names(clips), np.ascontiguousarray(clips, "<f4"), strict=True):
                    (Path(folder) / name).write_bytes(clip.tobytes())
                extras["clips"] = self._app.put(Path(folder), f"clips-{content_hash(Path(folder))[:12]}")
        sha256 = content_hash(model.path)
        if sha256 != self._inside["model_sha256"]:
            self._app.put(model.path, f"models/{sha256}.{model.form}")
            extras["model"] = sha256
        return extras

    def _facts(self) -> dict[str, Any]:
        return facts(sections(self._bridge.shell(SCRIPT).text))


def missing(cache: Path) -> str:
    """Say what is not ready here; empty where nothing is."""
    try:
        find_adb()
    except DeviceError as why:
        return why.what
    return ""


def open_device(argument: str, cache: Path) -> Phone:
    """Open a phone by its serial, or without one the only phone that is connected.

    argument: SERIAL, and after a comma "low-battery"
    raises:   DeviceError where it is absent, in no usable state, in use, without the app, or its battery nearly empty
    """
    serial, _, option = argument.partition(",")
    if option not in ("", ALLOW_LOW):
        raise DeviceError(f"unknown word {option!r} after the serial", where="--on", fix=nearest(option, [ALLOW_LOW]))
    adb = find_adb()
    serial = choose(adb, serial).serial
    kept = cache / "devices" / "adb" / text_hash(serial)[:12]
    kept.mkdir(parents=True, exist_ok=True)
    lock = FileLock(kept.with_suffix(".lock"))
    try:  # two benchmarks at once would slow each other
        lock.acquire(timeout=0)
    except Timeout:
        fix = "wait until it has ended"
        raise DeviceError("another edgecomp is using this phone", where=f"adb:{serial}", fix=fix) from None
    try:
        return Phone(Bridge(adb, serial), lock, kept, option == ALLOW_LOW)
    except BaseException:
        lock.release()
        raise


def _clip_names(clips: np.ndarray) -> list[str]:
    return [f"{row:05d}.f32" for row in range(len(clips))]
