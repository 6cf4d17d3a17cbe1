"""This machine as a device: what it is, how to run jobs on it, and what one model costs alone in a fresh process."""

from __future__ import annotations

import json
import os
import platform
import signal
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from edgecomp.devices._scripted import Local
from edgecomp.errors import DeviceError, EdgecompError, nearest
from edgecomp.portable import machine

PROBE = Path(machine.__file__).with_name("probe.py")
FORMATS = ("onnx", "tflite")
PACKAGES = ("torch", "onnxruntime", "ai-edge-litert", "numpy")


class Host(Local):
    """This machine; a job runs in a fresh process, in a temporary folder."""

    python = sys.executable

    def __init__(self) -> None:
        super().__init__()
        self.name = device_name()

    def describe(self) -> dict[str, object]:
        """Say what this machine is."""
        return describe() | {"name": self.name}

    def command(self, arguments: list[str]) -> list[str]:
        """Return the command; -P keeps what lies beside a script from shadowing modules."""
        python, script, *rest = arguments
        return [python, "-P", str(Path(self._folder.name) / script), *rest]


def open_device(argument: str, cache: Path) -> Host:
    """Open this machine; it takes no argument and prepares nothing."""
    if argument:
        raise DeviceError(f"host takes nothing after the colon, and got {argument!r}", where="--on", fix="--on host")
    return Host()


@dataclass(frozen=True)
class Footprint:
    """What one model costs in a process of its own; medians over the starts.

    cold_start_ms:   process start to first answer: the interpreter, its imports, load, one run
    load_ms:         the part of it from loading the file to the first answer: what an app adds to its own start
    *_low_ms, *_high_ms: the fastest and the slowest start
    peak_bytes:      most memory held (VmHWM) above the process with only the runtime imported
    pss_bytes:       proportional set size added, after the runs
    anonymous_bytes: the part that no file backs, which a phone cannot drop
    empty_*_bytes:   the process with only the runtime imported
    missing:         why a figure is None; empty where none is
    """

    format: str
    threads: int
    starts: int
    cold_start_ms: float
    cold_start_low_ms: float
    cold_start_high_ms: float
    load_ms: float
    load_low_ms: float
    load_high_ms: float
    peak_bytes: int | None
    pss_bytes: int | None
    anonymous_bytes: int | None
    empty_rss_bytes: int | None
    empty_pss_bytes: int | None
    missing: str
    method: str


def footprint(
    model: Path, format: str, *, threads: int = 1, starts: int = 5, samples: int | None = None, timeout_s: float = 120.0
) -> Footprint:
    """Start a fresh process several times that runs one model on seeded noise, and report memory and cold start.

    model:   a file with one float32 input
    format:  "onnx" or "tflite"
    samples: length of the waveform, where the model leaves it open
    raises:  EdgecompError with the child's last line where the model cannot be loaded or run
    """
    if format not in FORMATS:
        raise EdgecompError(f"no probe for format {format!r}", where=model, fix=nearest(format, FORMATS))
    if starts < 1:
        raise EdgecompError(f"starts is {starts}", where="footprint", fix="at least 1")
    command = [sys.executable, "-P", str(PROBE), str(model), format, "--threads", str(threads)]
    if samples is not None:
        command += ["--samples", str(samples)]
    probes = [_start(command, model, timeout_s) for _ in range(starts)]
    cold, load = [p["cold_ms"] for p in probes], [p["load_ms"] for p in probes]

    def middle(figure: str) -> int | None:
        values = [p["memory"][figure] for p in probes if figure in p["memory"]]
        return int(statistics.median(values)) if values else None

    return Footprint(
        format=format,
        threads=threads,
        starts=starts,
        cold_start_ms=statistics.median(cold),
        cold_start_low_ms=min(cold),
        cold_start_high_ms=max(cold),
        load_ms=statistics.median(load),
        load_low_ms=min(load),
        load_high_ms=max(load),
        peak_bytes=middle("peak_bytes"),
        pss_bytes=middle("pss_bytes"),
        anonymous_bytes=middle("anonymous_bytes"),
        empty_rss_bytes=middle("empty_rss_bytes"),
        empty_pss_bytes=middle("empty_pss_bytes"),
        missing=next((p["reason"] for p in probes if p["reason"]), ""),
        method=f"median of {starts} fresh processes, {_count(threads, 'thread')}, file in the page cache; runtime "
        "imported first, peak reset (clear_refs 5), then load and run; VmHWM, PSS, anonymous memory above that",
    )


def describe() -> dict[str, object]:
    """Return what this machine is and how it is now, and the versions of the libraries that answer here.

    Figures that cannot be read are None.
    """
    facts = machine.describe()
    named = device_name(facts["cpu"], facts["cores"])
    return {**facts, "versions": {name: _version(name) for name in PACKAGES}, "device": named}


def device_name(cpu: str | None = None, cores: int | None = None) -> str:
    """Return the device of everything measured here: "host (CPU model, n cores)", never a phone's name."""
    cpu = (
        cpu
        or machine.cpu_facts(machine.read("/proc/cpuinfo") or "")["cpu"]
        or platform.processor()
        or platform.machine()
    )
    return f"host ({cpu}, {_count(cores or os.cpu_count() or 1, 'core')})"


def _start(command: list[str], model: Path, timeout_s: float) -> dict:
    begun_ns = time.monotonic_ns()  # one clock for all processes of a machine
    try:
        child = subprocess.run(command, capture_output=True, text=True, timeout=timeout_s, check=False)
    except subprocess.TimeoutExpired:
        raise EdgecompError(
            f"no answer within {timeout_s:g} s", where=model, fix="a larger timeout_s, or a smaller model"
        ) from None
    except OSError as why:
        raise EdgecompError(f"cannot start a process to measure in: {why.strerror}", where=command[0]) from None
    if child.returncode < 0:
        raise EdgecompError(
            f"the process that ran the model was ended by {signal.Signals(-child.returncode).name}",
            where=model,
            fix="check that the file is whole and that memory is left",
        )
    if child.returncode:
        last = (child.stderr.strip().splitlines() or ["no reason given"])[-1]
        raise EdgecompError(
            f"the model cannot be run: {last}", where=model, fix="export it again; it must take one float32 waveform"
        )
    probe = json.loads(child.stdout.strip().splitlines()[-1])
    return probe | {"cold_ms": (probe["first_answer_ns"] - begun_ns) / 1e6}


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
