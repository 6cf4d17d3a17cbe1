"""Latency of several models side by side, and every figure as a Measurement: unit, method, device and interval."""

from __future__ import annotations

import gc
import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from edgecomp.devices.host import Footprint
from edgecomp.errors import EdgecompError, nearest
from edgecomp.metrics import Estimate
from edgecomp.spread import median_interval, median_ratio

Session = Callable[[NDArray[np.float32]], NDArray[np.float32]]
IDLE_LOOK_S = 0.2
"""How long to look for the idlest CPU: 20 ticks of /proc/stat."""
MOST_ROUNDS = 100
"""Rounds to plan for: enough for an interval of a median; a fast session repeats itself within its turn instead."""


@dataclass(frozen=True)
class Measurement:
    """One figure and how it was obtained.

    of:     what was measured, such as "int8 onnx"
    low, high: 95 % interval, in the same unit
    n:      examples or runs behind it
    how:    "measured" on the device named, "emulated", or "estimated"
    """

    name: str
    value: float
    unit: str
    method: str
    device: str
    of: str
    artifact_hash: str = ""
    low: float | None = None
    high: float | None = None
    n: int | None = None
    how: Literal["measured", "emulated", "estimated"] = "measured"


@dataclass(frozen=True)
class Latency:
    """How long one clip takes, waveform to answer.

    p50_ms:   median over the rounds of each round's median, with its 95 % interval low_ms to high_ms
    p90_ms, p99_ms: over all runs
    samples_ms: (rounds, runs in a round) float64, in the order they were taken; not writable
    cpu_samples_ms: the same runs by the process's CPU clock, its helper threads included
    """

    p50_ms: float
    p90_ms: float
    p99_ms: float
    low_ms: float
    high_ms: float
    runs: int
    method: str
    samples_ms: NDArray[np.float64] = field(repr=False, compare=False)
    cpu_samples_ms: NDArray[np.float64] = field(repr=False, compare=False)

    @property
    def cpu_ms(self) -> float:
        """Return the median over the rounds of each round's median CPU time."""
        return float(np.median(np.median(self.cpu_samples_ms, axis=1)))

    @property
    def rounds_ms(self) -> NDArray[np.float64]:
        """Return each round's median."""
        return np.median(self.samples_ms, axis=1)


def latency(
    sessions: Mapping[str, Session],
    clips: NDArray[np.float32],
    *,
    min_seconds: float = 2.0,
    min_rounds: int = 10,
    warmup: int = 5,
    seed: int = 0,
    pin: bool = True,
) -> dict[str, Latency]:
    """Time several sessions in interleaved rounds, so that what else the machine does falls on all of them alike.

    In each round every session has one turn, in an order drawn anew; a fast session runs several clips in its turn, so
    that each is timed for min_seconds in all. Every session hears the same clips.
    sessions: one thread each; names in the order of the result
    clips:    (n, samples) float32, real audio
    pin:      hold this thread on one CPU meanwhile, where the system can (threads already started are not moved)
    raises:   EdgecompError without sessions or clips, or where a number is out of range
    """
    if not sessions or clips.ndim != 2 or not len(clips) or min_rounds < 1 or warmup < 1 or min_seconds < 0:
        raise EdgecompError(
            f"{len(sessions)} sessions, clips {clips.shape}, {min_rounds} rounds, {warmup} warm-ups, {min_seconds} s",
            where="latency",
            fix="at least one session, clips (n, samples), one round and one warm-up run",
        )
    with _pinned(pin) as cpu, _no_garbage_collection():
        typical_s = {name: _typical_s(session, clips, warmup) for name, session in sessions.items()}
        rounds = int(np.clip(np.ceil(min_seconds / max(typical_s.values())), min_rounds, max(min_rounds, MOST_ROUNDS)))
        repeats = {name: max(1, round(min_seconds / rounds / one_s)) for name, one_s in typical_s.items()}
        taken = _interleaved(sessions, clips, repeats, min_seconds, rounds, np.random.default_rng(seed))
    return {name: _latency(np.array(taken[name]) * 1e3, min_seconds, cpu, len(sessions), seed) for name in sessions}


def ratios(latencies: Mapping[str, Latency], reference: str) -> dict[str, Estimate]:
    """Return each session's median latency as a share of the reference's, resampling the rounds they had in common.

    raises: EdgecompError for an unknown reference
    """
    if reference not in latencies:
        raise EdgecompError(f"no latency of {reference!r}", where="ratios", fix=nearest(reference, latencies))
    base = latencies[reference].rounds_ms
    return {name: median_ratio(one.rounds_ms, base) for name, one in latencies.items()}


def from_estimate(
    name: str, estimate: Estimate, unit: str, method: str, *, device: str, of: str, artifact_hash: str = ""
) -> Measurement:
    """Turn a figure with its interval into a Measurement."""
    low, high, n = estimate.low, estimate.high, estimate.n
    return Measurement(name, estimate.value, unit, method, device, of, artifact_hash, low, high, n)


def from_latency(latency: Latency, *, device: str, of: str, artifact_hash: str = "") -> tuple[Measurement, ...]:
    """Return p50 with its interval, p90 and p99."""

    def row(name: str, value_ms: float, low: float | None = None, high: float | None = None) -> Measurement:
        return Measurement(name, value_ms, "ms", latency.method, device, of, artifact_hash, low, high, latency.runs)

    return (
        row("latency p50", latency.p50_ms, latency.low_ms, latency.high_ms),
        row("latency p90", latency.p90_ms),
        row("latency p99", latency.p99_ms),
    )


def from_footprint(footprint: Footprint, *, device: str, of: str, artifact_hash: str = "") -> tuple[Measurement, ...]:
    """Return cold start and memory; a figure that could not be read is left out (footprint.missing says why)."""
    spread = f"{footprint.method}; fastest to slowest start {{:.0f}} to {{:.0f}} ms"
    rows = (
        (
            "cold start",
            footprint.cold_start_ms,
            "ms",
            spread.format(footprint.cold_start_low_ms, footprint.cold_start_high_ms),
        ),
        ("load to first answer", footprint.load_ms, "ms", spread.format(footprint.load_low_ms, footprint.load_high_ms)),
        ("peak memory above the empty process", footprint.peak_bytes, "bytes", footprint.method),
        ("proportional memory above the empty process", footprint.pss_bytes, "bytes", footprint.method),
        ("anonymous memory above the empty process", footprint.anonymous_bytes, "bytes", footprint.method),
        ("empty process, resident", footprint.empty_rss_bytes, "bytes", footprint.method),
        ("empty process, proportional", footprint.empty_pss_bytes, "bytes", footprint.method),
    )
    return tuple(
        Measurement(name, value, unit, method, device, of, artifact_hash, n=footprint.starts)
        for name, value, unit, method in rows
        if value is not None
    )


def _typical_s(session: Session, clips: NDArray, warmup: int) -> float:
    """Warm a session up, and return the median seconds of the later half of those runs."""
    taken = []
    for run in range(warmup):
        start = time.perf_counter()
        session(clips[run % len(clips)])
        taken.append(time.perf_counter() - start)
    return max(float(np.median(taken[warmup // 2 :])), 1e-6)


def _interleaved(
    sessions: Mapping[str, Session],
    clips: NDArray,
    repeats: Mapping[str, int],
    min_seconds: float,
    rounds: int,
    random: np.random.Generator,
) -> dict[str, list[list[tuple[float, float]]]]:
    """Return each session's seconds by both clocks, a row a round, until every session has had its rounds and its time."""
    names = list(sessions)
    taken: dict[str, list[list[tuple[float, float]]]] = {name: [] for name in names}
    total = dict.fromkeys(names, 0.0)
    done = 0
    while done < rounds or min(total.values()) < min_seconds:
        for position in random.permutation(len(names)):
            name = names[position]
            turn = _turn(sessions[name], clips, done, repeats[name])
            taken[name].append(turn)
            total[name] += sum(wall for wall, _ in turn)
        done += 1
    return taken


def _turn(session: Session, clips: NDArray, first: int, repeats: int) -> list[tuple[float, float]]:
    """Return each run's seconds on the wall's clock and on the process's CPU clock, which counts helper threads too."""
    taken = []
    for run in range(first, first + repeats):
        clip = clips[run % len(clips)]
        cpu, start = time.process_time(), time.perf_counter()
        session(clip)
        end = time.perf_counter()
        taken.append((end - start, time.process_time() - cpu))
    return taken


def _latency(taken_ms: NDArray[np.float64], min_seconds: float, cpu: int | None, sessions: int, seed: int) -> Latency:
    taken_ms.flags.writeable = False
    samples_ms, cpu_samples_ms = taken_ms[:, :, 0], taken_ms[:, :, 1]
    middle = median_interval(np.median(samples_ms, axis=1), seed)
    p90, p99 = np.quantile(samples_ms, [0.9, 0.99])
    rounds, repeats = samples_ms.shape
    held = "not pinned" if cpu is None else f"pinned to CPU {cpu}"
    return Latency(
        p50_ms=middle.value,
        p90_ms=float(p90),
        p99_ms=float(p99),
        low_ms=middle.low,
        high_ms=middle.high,
        runs=samples_ms.size,
        samples_ms=samples_ms,
        cpu_samples_ms=cpu_samples_ms,
        method=f"one clip a run, one thread, {held}; {rounds} rounds × {repeats} runs, interleaved with "
        f"{sessions - 1} other models, at least {min_seconds:g} s; median of the rounds' medians, "
        "95 % by block bootstrap over rounds",
    )


@contextmanager
def _pinned(pin: bool) -> Iterator[int | None]:
    """Hold this thread on the idlest of the fastest CPUs it may use, and give it back its freedom afterwards."""
    if not pin or not hasattr(os, "sched_setaffinity"):
        yield None
        return
    allowed = os.sched_getaffinity(0)
    before = _idle_ticks()
    time.sleep(IDLE_LOOK_S)
    after = _idle_ticks()
    idle = {one: after.get(one, 0) - before.get(one, 0) for one in allowed}
    cpu = max(allowed, key=lambda one: (_highest_khz(one), idle[one], one))
    try:
        os.sched_setaffinity(0, {cpu})
    except OSError:  # some containers forbid it; the method then says "not pinned"
        yield None
        return
    try:
        yield cpu
    finally:
        os.sched_setaffinity(0, allowed)


def _highest_khz(cpu: int) -> int:
    """Return a CPU's highest clock, which tells big cores from little ones; 0 where the system does not say."""
    try:
        return int(Path(f"/sys/devices/system/cpu/cpu{cpu}/cpufreq/cpuinfo_max_freq").read_text(encoding="ascii"))
    except (OSError, ValueError):
        return 0


def _idle_ticks() -> dict[int, int]:
    """Return how long each CPU has been idle since the system's start, in hundredths of a second."""
    try:
        rows = [line.split() for line in Path("/proc/stat").read_text(encoding="ascii").splitlines()]
    except OSError:
        return {}
    return {int(row[0][3:]): int(row[4]) for row in rows if row[0].startswith("cpu") and row[0] != "cpu"}


@contextmanager
def _no_garbage_collection() -> Iterator[None]:
    was_on = gc.isenabled()
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()
