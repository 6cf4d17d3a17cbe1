"""What all machines with a Python share: copy portable/ and the models there, run a job, read its events line by line."""

from __future__ import annotations

import io
import json
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from edgecomp.artifact import text_hash
from edgecomp.devices import (
    Answers,
    Effort,
    How,
    ModelFile,
    Start,
    Timing,
    gather_starts,
    lines_to_answers,
    lines_to_timing,
)
from edgecomp.errors import DeviceError
from edgecomp.portable import machine
from edgecomp.portable.peaks import Peak

PORTABLE = Path(machine.__file__).parent
SCRIPTS = ("cpuid.py", "machine.py", "peaks.py", "probe.py", "runner.py")
CLOCK = "time.perf_counter around each run, in the runner's process on the device"


class Scripted:
    """A machine where a Python with numpy and a runtime can be started; a kind of device says how.

    A subclass gives name, how and forms, and the three ways there: put, command and close.
    """

    name: str
    how: ClassVar[How] = "measured"
    forms: tuple[str, ...] = ("onnx", "tflite")
    python: str = "python3"
    timeout_s: float = 600.0
    """Longest silence between two events of a job."""

    def put(self, content: bytes | Path, name: str) -> str:
        """Bring a file to the device's folder, unless it is there; returns its path on the device."""
        raise NotImplementedError

    def command(self, arguments: list[str]) -> list[str]:
        """Return the local command that runs something on the device, in its folder."""
        raise NotImplementedError

    def close(self) -> None:
        """Remove what was put there."""
        raise NotImplementedError

    def __enter__(self) -> Scripted:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def describe(self) -> dict[str, Any]:
        """Say what the device is, as it says itself."""
        script = self.put(PORTABLE / "machine.py", "machine.py")
        facts = list(_objects(self._lines([self.python, script], "")))
        if not facts:
            raise DeviceError("the device does not say what it is", where=self.name, fix=f"try {self.python} there")
        return {**facts[-1], "name": self.name}

    def answers(self, model: ModelFile, clips: np.ndarray, threads: int = 1, delegate: str = "default") -> Answers:
        """Run every clip, (n, samples) float32."""
        job = {
            "job": "answers",
            "model": self._put_model(model),
            "format": model.form,
            "clips": self._put_clips(clips),
            "threads": threads,
            "delegate": delegate,
        }
        return lines_to_answers(self._events(job), len(clips), self.name)

    def time(self, models: list[ModelFile], clips: np.ndarray, effort: Effort) -> Timing:
        """Time some files interleaved, in fresh processes one after the other: each has its share of time and windows."""
        processes = max(1, min(effort.processes, effort.windows))
        if effort.sustained_s or self.how == "emulated":  # a start is long there, and times are worth nothing
            processes = 1
        job = {
            "job": "latency",
            "models": {one.name: {"file": self._put_model(one), "format": one.form} for one in models},
            "clips": self._put_clips(clips),
            **{name: getattr(effort, name) for name in ("warmup", "threads", "delegate", "sustained_s", "pin")},
            "seconds": effort.seconds / processes,
            "windows": -(-effort.windows // processes),
        }
        jobs = [job | {"seed": effort.seed + number} for number in range(processes)]
        return lines_to_timing(self._one_by_one(jobs), effort, CLOCK)

    def starts(self, model: ModelFile, samples: int, threads: int = 1, starts: int = 5) -> tuple[Start, ...]:
        """Start fresh processes on the device; the first start after copying may find the file cold."""
        job = {
            "job": "starts",
            "model": self._put_model(model),
            "format": model.form,
            "threads": threads,
            "starts": starts,
            "samples": samples,
        }
        made = (
            Start(event["cold_ms"], event["load_ms"], event["memory"], event["reason"]) for event in self._events(job)
        )
        return gather_starts(made, starts)

    def peaks(self) -> tuple[Peak, ...]:
        """Measure what one core reaches at best: float32 and int8 in multiply-accumulates a second, bandwidth in bytes.

        Of all that tried there, numpy and each runtime, the best counts.
        """
        from edgecomp.lowering.products import MACS, NUMERICS, product

        products = [
            {
                "file": self.put(product(form, numerics), f"product-{numerics}.{form}"),
                "format": form,
                "numerics": numerics,
                "macs": MACS,
            }
            for form in self.forms
            for numerics in NUMERICS
        ]
        best: dict[str, Peak] = {}
        for event in self._events({"job": "peaks", "products": products, "pin": True}):
            held = "not pinned" if event["cpu"] is None else f"pinned to CPU {event['cpu']}"
            found = Peak(event["name"], event["value"], f"{event['by']}; {held}")
            best[found.name] = max(best.get(found.name, found), found, key=lambda one: one.value)
        return tuple(best.values())

    def failure(self, code: int, complaints: list[str]) -> DeviceError:
        """Return the error for a command that ended with a code other than 0, and what it wrote to stderr."""
        last = next((line.strip() for line in reversed(complaints) if line.strip()), f"exit code {code}")
        fix = "run the same command again; if it stays, try the file with --on host"
        if "No module named" in last or "ModuleNotFoundError" in last:
            fix = f"install numpy and one runtime for {self.python} there: ai-edge-litert or onnxruntime"
        return DeviceError(f"the device says: {last}", where=self.name, fix=fix)

    def _one_by_one(self, jobs: list[Mapping[str, Any]]) -> Iterator[dict[str, Any]]:
        """Run latency jobs one after the other; their windows say which it was, and count the seconds from the first on."""
        begun: float | None = None
        for process, job in enumerate(jobs):
            for event in self._events(job):
                if event["event"] == "planned":
                    begun, since = begun or time.monotonic(), time.monotonic()
                elif event["event"] == "window":
                    event |= {"process": process, "at_s": event["at_s"] + since - begun}
                yield event

    def _put_model(self, model: ModelFile) -> str:
        return self.put(model.path, f"{text_hash(str(model.path.resolve()))[:12]}{model.path.suffix}")

    def _put_clips(self, clips: np.ndarray) -> str:
        stream = io.BytesIO()
        np.save(stream, np.ascontiguousarray(clips, np.float32))
        return self.put(stream.getvalue(), "clips.npy")

    def _events(self, job: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
        """Run a job and yield its events as they come.

        raises: DeviceError where it ends without "done"
        """
        for script in SCRIPTS:
            self.put(PORTABLE / script, script)
        for event in _objects(self._lines([self.python, "runner.py"], json.dumps(job))):
            if event["event"] == "done":
                return
            yield event
        raise DeviceError(
            f"the {job['job']} job ended before it was done", where=self.name, fix="run the same command again"
        )

    def _lines(self, arguments: list[str], text: str) -> Iterator[str]:
        """Run a command on the device and yield what it prints, line by line."""
        command = self.command(arguments)
        try:
            child = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
            )
        except OSError as why:
            fix = f"see that {command[0]} runs here by hand; `edgecomp devices list` says what each kind needs"
            raise DeviceError(f"{command[0]} cannot be started: {why.strerror}", where=self.name, fix=fix) from None
        complaints: list[str] = []
        reader = threading.Thread(target=lambda: complaints.extend(child.stderr), daemon=True)
        reader.start()
        watch = _Watch(child, self.timeout_s)
        try:
            with suppress(BrokenPipeError):
                child.stdin.write(text)
                child.stdin.close()
            for line in child.stdout:
                watch.seen()
                yield line
            code = child.wait()
        finally:
            watch.stop()
            child.kill()
            child.wait()
            reader.join(timeout=5)
            child.stdout.close()
            child.stderr.close()
        if watch.fired:
            raise DeviceError(
                f"no sign of life for {self.timeout_s:g} s", where=self.name, fix="see what it is busy with"
            )
        if code:
            raise self.failure(code, complaints)


class Local(Scripted):
    """A machine whose jobs run as processes of this one, in a temporary folder of its own."""

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="edgecomp-")

    def put(self, content: bytes | Path, name: str) -> str:
        """Link or write a file into the folder."""
        place = Path(self._folder.name) / name
        if isinstance(content, bytes):
            place.write_bytes(content)
        elif not place.exists():
            place.symlink_to(content.resolve())
        return str(place)

    def close(self) -> None:
        """Remove the folder."""
        self._folder.cleanup()


class _Watch:
    """Ends a child that has been silent for too long."""

    def __init__(self, child: subprocess.Popen, timeout_s: float):
        self.child, self.timeout_s, self.fired = child, timeout_s, False
        self._ended = threading.Event()
        self.seen()
        threading.Thread(target=self._wait, daemon=True).start()

    def seen(self) -> None:
        """Start waiting anew."""
        self._last = time.monotonic()

    def stop(self) -> None:
        """Wait no more."""
        self._ended.set()

    def _wait(self) -> None:
        while (left := self._last + self.timeout_s - time.monotonic()) > 0:
            if self._ended.wait(left):
                return
        self.fired = True
        self.child.kill()


def _objects(lines: Iterator[str]) -> Iterator[dict[str, Any]]:
    """Read a JSON object of every line that is one; a login shell may greet in between."""
    for line in lines:
        with suppress(ValueError):
            if isinstance(found := json.loads(line), dict):
                yield found
