"""Devices: one file for each kind of place where a bundle runs; all of them answer the same few calls.

A device is named on the command line by its file and, after a colon, by what that file wants to know: `host`,
`arm64:cortex-a53`, `ssh:pi@board`, `adb:SERIAL`, `browser`. It is opened, used in a `with` block, and closed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any, Literal, Protocol, runtime_checkable

import numpy as np

from edgecomp.errors import DeviceError, nearest

How = Literal["measured", "emulated", "estimated"]


@dataclass(frozen=True)
class ModelFile:
    """A bundle's model file as a device is given it.

    name: how the results call it, such as "keywords-redmi-7a tflite"
    form: "onnx" or "tflite"
    """

    name: str
    path: Path
    form: str


@dataclass(frozen=True)
class Effort:
    """How long and how to time.

    seconds:     least time of each file; MLPerf Tiny's rule is 10 s and 10 runs
    windows:     least number of windows, whose medians are compared
    processes:   fresh processes that share them, where the device can start some; one where the run is sustained
    threads:     of the runtime
    delegate:    "default" is XNNPACK in LiteRT and the CPU provider in ONNX Runtime; "none" is LiteRT's own kernels;
                 phones also have "nnapi", and "xnnpack" in ONNX Runtime
    sustained_s: instead of seconds: run one window a second for so long, to see drift and throttling
    """

    seconds: float = 10.0
    windows: int = 10
    processes: int = 5
    warmup: int = 5
    threads: int = 1
    delegate: str = "default"
    sustained_s: float = 0.0
    seed: int = 0
    pin: bool = True


@dataclass(frozen=True)
class Window:
    """One window of an interleaved run: every file had one turn, in an order drawn anew.

    at_s:      seconds since the run began
    median_ms: by file, over all of its runs in the window
    ms:        by file, its runs (thinned where there are very many)
    runs:      by file, how many they were
    process:   which fresh process it ran in, from 0
    load:      the system's load average then: 1 is this run itself; None where the device does not say
    energy_uj: by file, for one run; 0 where its counter did not tick meanwhile, empty where the device cannot tell
    """

    at_s: float
    median_ms: Mapping[str, float]
    ms: Mapping[str, np.ndarray]
    runs: Mapping[str, int]
    energy_uj: Mapping[str, float] = field(default_factory=dict)
    temperature_c: float | None = None
    clock_khz: tuple[int, ...] = ()
    battery: Mapping[str, Any] | None = None
    process: int = 0
    load: float | None = None


@dataclass(frozen=True)
class Timing:
    """What an interleaved run gave; incomplete with a reason where the device was lost on the way.

    runtimes: by file, such as "LiteRT 2.3.0"
    clock:    who measured: "time.perf_counter around each run", "performance.now …"
    """

    effort: Effort
    windows: tuple[Window, ...]
    runtimes: Mapping[str, str]
    clock: str
    held: str = "not pinned"
    lost: str = ""


@dataclass(frozen=True)
class Start:
    """One fresh process: from its start to the first answer, and what it held.

    memory: bytes by name: peak_bytes, pss_bytes, anonymous_bytes above the empty process; empty_rss_bytes, empty_pss_bytes
    """

    cold_ms: float
    load_ms: float
    memory: Mapping[str, int]
    reason: str = ""


@dataclass(frozen=True)
class Answers:
    """What a file said of some clips on a device.

    probabilities: (n, classes) float32
    uncertainty:   (n,) float32
    """

    probabilities: np.ndarray
    uncertainty: np.ndarray
    runtime: str


class BrokenOffError(DeviceError):
    """A device that was lost in the middle of a job.

    kept: what it had given by then: the answers to the first clips, or the starts that were done
    """

    def __init__(self, why: DeviceError, kept: Answers | tuple[Start, ...], told: str):
        super().__init__(f"{why.what}; {told}", where=why.where, fix=why.fix)
        self.kept = kept


@runtime_checkable
class Device(Protocol):
    """A place to run a bundle.

    name:  what stands beside every number from here: "host (AMD EPYC, 2 cores)"
    how:   what its latencies are worth
    forms: the formats that it can run
    """

    name: str
    how: How
    forms: tuple[str, ...]

    def describe(self) -> dict[str, Any]:
        """Say what this is: model, soc, cores, features, governor, temperature, battery, free memory, os; None: unknown."""

    def answers(self, model: ModelFile, clips: np.ndarray, threads: int = 1, delegate: str = "default") -> Answers:
        """Run every clip, (n, samples) float32.

        raises: BrokenOffError where the device was lost among them, DeviceError where it gave nothing
        """

    def time(self, models: list[ModelFile], clips: np.ndarray, effort: Effort) -> Timing:
        """Time some files in one interleaved run on real clips."""

    def starts(self, model: ModelFile, samples: int, threads: int = 1, starts: int = 5) -> tuple[Start, ...]:
        """Start fresh processes that load the file and answer once; empty where the device cannot tell.

        raises: BrokenOffError where the device was lost among them, DeviceError where it gave nothing
        """

    def close(self) -> None:
        """Remove what was put there, and let go."""

    def __enter__(self) -> Device: ...

    def __exit__(self, *_: object) -> None: ...


def devices() -> list[str]:
    """Return the kinds of devices: the files of this folder; those that begin with _ are what several share."""
    return sorted(p.stem for p in Path(__file__).parent.glob("*.py") if not p.stem.startswith("_"))


def open_device(text: str, cache: Path = Path("build")) -> Device:
    """Open a device by its name on the command line.

    cache:  the build folder, where a device may keep what it prepared
    raises: DeviceError for an unknown kind, or where the device is absent, refuses or is not prepared
    """
    kind, _, argument = text.partition(":")
    if kind not in devices():
        raise DeviceError(f"unknown device {text!r}", where="--on", fix=nearest(kind, devices()))
    return import_module(f"edgecomp.devices.{kind}").open_device(argument, cache)


def lines_to_answers(events: Iterable[Mapping[str, Any]], clips: int, where: str) -> Answers:
    """Turn the events of an answers job into Answers, in the order of the clips.

    clips:  how many there are
    where:  for the error: the device
    raises: BrokenOffError with the answers to the first clips where the device was lost after some, else its DeviceError;
            DeviceError where it came to its end and left a clip out
    """
    runtime, rows, why = "", dict[int, Mapping[str, Any]](), None
    try:
        for event in events:
            runtime = event.get("runtime", runtime)
            if event["event"] == "answer":
                rows[int(event["row"])] = event
    except DeviceError as error:
        why = error
    first = next((row for row in range(clips) if row not in rows), clips)
    if why is None and first < clips:
        fix = "run the same command again; if it stays, try the file with --on host"
        what = f"it gave no answer to {clips - len(rows)} of {clips} clips, the first is clip {first + 1}"
        raise DeviceError(what, where=where, fix=fix)
    if why is not None and not first:
        raise why
    found = Answers(
        np.array([[float(p) for p in rows[row]["probabilities"]] for row in range(first)], np.float32),
        np.array([float(rows[row]["uncertainty"]) for row in range(first)], np.float32),
        runtime,
    )
    if why is not None:
        raise BrokenOffError(why, found, f"the first {first} of {clips} clips had been answered") from None
    return found


def gather_starts(made: Iterable[Start], wanted: int) -> tuple[Start, ...]:
    """Gather starts as they come.

    raises: BrokenOffError with the starts that were done where the device was lost after some, else its DeviceError
    """
    done: list[Start] = []
    try:
        done.extend(made)
    except DeviceError as why:
        if not done:
            raise
        raise BrokenOffError(why, tuple(done), f"{len(done)} of {wanted} starts had been done") from None
    return tuple(done)


def lines_to_timing(
    events: Iterator[Mapping[str, Any]], effort: Effort, clock: str, lost: type[Exception] = DeviceError
) -> Timing:
    """Turn the events of a runner's latency job into a Timing; windows that came before the device was lost are kept."""
    runtimes: dict[str, str] = {}
    windows: list[Window] = []
    cpus: set[int | None] = set()
    why = ""
    try:
        for event in events:
            if event["event"] == "loaded":
                runtimes[event["name"]] = event["runtime"]
            elif event["event"] == "planned":
                cpus.add(event.get("cpu"))
            elif event["event"] == "window":
                windows.append(_window(event))
    except lost as error:
        if not windows:
            raise
        why = str(error)
    return Timing(effort, tuple(windows), runtimes, clock, _held(cpus), why)


def _held(cpus: set[int | None]) -> str:
    """Say which CPUs the processes of a run were pinned to, one each."""
    if None in cpus or not cpus:
        return "not pinned"
    return f"pinned to CPU {' or '.join(map(str, sorted(cpus)))}"


def _window(event: Mapping[str, Any]) -> Window:
    taken = event["taken"]
    return Window(
        at_s=event["at_s"],
        median_ms={name: one["median_ms"] for name, one in taken.items()},
        ms={name: np.array(one["ms"]) for name, one in taken.items()},
        runs={name: one["runs"] for name, one in taken.items()},
        energy_uj=event.get("energy_uj") or {},
        temperature_c=event.get("temperature_c"),
        clock_khz=tuple(event.get("clock_khz") or ()),
        battery=event.get("battery"),
        process=event.get("process", 0),
        load=event.get("load"),
    )
