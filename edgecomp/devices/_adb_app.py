"""The demo app on a phone: start its benchmark with `am`, follow the report that it writes, and see it crash or stall."""

from __future__ import annotations

import re
import shlex
import time
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from edgecomp.devices._adb_bridge import Bridge, LostError
from edgecomp.devices._adb_report import read_report
from edgecomp.errors import DeviceError
from edgecomp.progress import say

PACKAGE = "edgecomp.demo"
ACTIVITY = f"{PACKAGE}/.BenchActivity"
FLAGS = {"runs": "--ei", "threads": "--ei", "seconds": "--ef"}
"""How `am` is told an extra's type; the others are text. Names and types: android_demo's Wish.kt."""
CLOCK = "System.nanoTime around each run, in the app's process on the phone"
INSTALL = (
    "in a checkout: `edgecomp embed BUNDLE --android android_demo/model`, then `./gradlew installDebug` in android_demo, "
    "with the phone plugged in"
)
NO_CLIPS = "no-clips"
"""A folder that is never pushed: the app runs the golden clips that it holds."""
POLL_S = 2.0
"""Between two looks at the report: reading it wakes the phone's own adbd, and must not slow what is measured."""
WAKE = "input keyevent KEYCODE_WAKEUP >/dev/null 2>&1; wm dismiss-keyguard >/dev/null 2>&1"
TALKS = re.compile(r"AndroidRuntime|FATAL|DEBUG|libc|lowmemorykiller|lmkd|edgecomp")
TOLD = 12
"""Lines of the log that an error shows."""
KEEP_S = 30.0
"""Between two lines of progress."""


class App:
    """The demo app on one phone; its folder there, and a folder here where every report that was fetched is kept."""

    poll_s: float = POLL_S
    return_s: float = 30.0
    """How long an unplugged phone may take to come back: the app runs on meanwhile."""
    silence_s: float = 120.0
    """Longest time without a new report, beside what was asked for."""

    def __init__(self, bridge: Bridge, kept: Path):
        self._bridge, self._kept, self._where = bridge, kept, f"adb:{bridge.serial}"
        self._session, self._count, self._there = uuid.uuid4().hex[:8], 0, set()
        storage = bridge.shell("echo ${EXTERNAL_STORAGE:-/sdcard}").text.strip() or "/sdcard"
        self.folder = f"{storage}/Android/data/{PACKAGE}/files"

    def put(self, local: Path, name: str) -> str:
        """Put a file or a folder's files into the app's folder, whole or not at all; returns its name there.

        raises: DeviceError where the phone is full or Android denies the folder
        """
        if name not in self._there:
            place, new = f"{self.folder}/{name}", f"{self.folder}/{name}.new"
            made = self._bridge.shell(f"mkdir -p {shlex.quote(place.rpartition('/')[0])}; rm -rf {shlex.quote(new)}")
            if made.code:
                raise self._bridge.refusal("the app's folder cannot be written", made.complaint, place)
            self._bridge.push(local, new)
            moved = self._bridge.shell(f"rm -rf {shlex.quote(place)} && mv {shlex.quote(new)} {shlex.quote(place)}")
            if moved.code:
                raise self._bridge.refusal(f"{local.name} cannot be put on the phone", moved.complaint, place)
            self._there.add(name)
        return name

    def run(self, extras: Mapping[str, Any], expected_s: float = 0.0) -> dict[str, Any]:
        """Run a benchmark to its end and return its report."""
        *_, last = self.reports(extras, expected_s)
        return last

    def reports(self, extras: Mapping[str, Any], expected_s: float = 0.0) -> Iterator[dict[str, Any]]:
        """Start the app afresh and yield its report whenever it has grown; the last one is finished.

        raises: LostError where the phone goes and does not come back, DeviceError where the app refuses, crashes or stalls
        """
        self._count += 1
        name = f"bench-{self._session}-{self._count}.json"
        since = self._start({"clips": NO_CLIPS, **extras, "out": name})
        seen, news, told, gone = b"", time.monotonic(), time.monotonic(), 0
        while True:
            time.sleep(self.poll_s if expected_s > 2 * self.poll_s else self.poll_s / 4)
            try:
                content = self._bridge.pull(f"{self.folder}/{name}")
                report = read_report(content, self._where) if content and content != seen else None
                runs = report is not None or self._is_running()
            except LostError:
                self._wait_for_return()
                continue
            if report is not None:
                seen, news, gone = content, time.monotonic(), 0
                self._keep(name, content)
                yield report
                if report["finished"]:
                    return
            elif runs is False:
                gone += 1
                if gone > 1:  # its last report may have come between the two questions
                    raise self._crashed(since)
            if time.monotonic() - told > KEEP_S:
                told = time.monotonic()
                say(f"{self._where}: the app runs, {told - news:.0f} s since its last report")
            if time.monotonic() - news > self.silence_s + expected_s:
                raise DeviceError(
                    f"the app has reported nothing for {time.monotonic() - news:.0f} s",
                    where=self._where,
                    fix="unlock the phone and leave the app in front; a locked phone lets it sleep",
                )

    def clear(self) -> None:
        """End the app and remove what was put into its folder, and this session's reports."""
        names = [*sorted(self._there), f"bench-{self._session}-"]
        mine = " ".join(f"{shlex.quote(f'{self.folder}/{name}')}*" for name in names)
        self._bridge.shell(f"am force-stop {PACKAGE} 2>/dev/null; rm -rf {mine}")
        self._there.clear()

    def _start(self, extras: Mapping[str, Any]) -> str:
        """Wake the phone and start the activity in a fresh process; returns when, as its log counts time."""
        words = " ".join(
            f"{FLAGS.get(name, '--es')} {name} {shlex.quote(str(value))}" for name, value in extras.items()
        )
        done = self._bridge.shell(f"{WAKE}; date '+%m-%d %H:%M:%S.000'; am start -S -n {ACTIVITY} {words}")
        since, _, told = f"{done.text}\n{done.complaint}".partition("\n")
        if done.code or re.search(r"^Error", told, re.MULTILINE):
            last = next((line for line in reversed(told.splitlines()) if line.strip()), "no reason given").strip()
            if "does not exist" in told or "Error type 3" in told:
                raise DeviceError(f"the demo app {PACKAGE} is not on the phone", where=self._where, fix=INSTALL)
            if "not found" in told or "inaccessible" in told:
                raise DeviceError(
                    f"this is no Android phone, it has no `am`: {last}",
                    where=self._where,
                    fix="a Linux board is --on ssh:",
                )
            raise DeviceError(f"the app cannot be started: {last}", where=self._where, fix=INSTALL)
        return since.strip()

    def _is_running(self) -> bool | None:
        """Say whether the app has a process; None where the phone cannot tell."""
        code = self._bridge.shell(f"pidof {PACKAGE}").code
        return None if code > 1 else code == 0

    def _wait_for_return(self) -> None:
        """Wait for an unplugged phone.

        raises: LostError where it does not come back
        """
        say(f"{self._where}: the phone is gone; waiting {self.return_s:.0f} s for it to come back")
        until = time.monotonic() + self.return_s
        while not self._bridge.is_there():
            if time.monotonic() > until:
                raise LostError(
                    f"the phone was unplugged and did not come back within {self.return_s:.0f} s",
                    where=self._where,
                    fix=f"plug it in and run the same command again; the reports that came are in {self._kept}",
                )
            time.sleep(min(1.0, self.poll_s))

    def _crashed(self, since: str) -> DeviceError:
        """Return the error for an app that ended, with the last lines of the phone's log that may say why."""
        log = self._bridge.shell(f"logcat -d -v brief -T {shlex.quote(since)} '*:W' 2>/dev/null").text.splitlines()
        lines = [line for line in log if TALKS.search(line)][-TOLD:]
        shown = "".join(f"\n    {line}" for line in lines) or " its log says nothing"
        return DeviceError(
            f"the demo app ended before its benchmark did; the phone's log:{shown}",
            where=self._where,
            fix="free memory on the phone and leave the app in front; if it stays, report the lines above",
        )

    def _keep(self, name: str, content: bytes) -> None:
        """Keep a report here, so that a phone that is lost leaves what it had measured."""
        self._kept.mkdir(parents=True, exist_ok=True)
        (self._kept / name).write_bytes(content)
