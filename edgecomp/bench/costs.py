"""What files cost on a device, as lines: time, energy and drift of an interleaved run, start and memory of fresh processes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, replace

import numpy as np

from edgecomp.bench.subject import Subject
from edgecomp.devices import Start, Timing
from edgecomp.results import Result
from edgecomp.spread import FEWEST_PROCESSES, mean_interval, median_ratio, repeated

MEMORY = {
    "peak_bytes": "peak_memory",
    "pss_bytes": "pss",
    "anonymous_bytes": "anonymous_memory",
    "empty_rss_bytes": "empty_process_resident",
    "empty_pss_bytes": "empty_process_proportional",
}
APP_MEMORY = {
    "app_peak_pss_bytes": "app_peak_pss",
    "app_native_heap_bytes": "app_native_heap",
    "page_heap_bytes": "page_heap",
    "page_process_bytes": "page_process_proportional",
}
"""Of a phone's whole app or of a whole page, which have no empty process to be held against."""
FEWEST_FOR_P99 = 100
OTHERS_LOAD = 0.5
"""Load average above a bench's own threads from which others were at work beside it."""
FEWEST_WINDOWS = 5
"""In a tenth of a sustained run, for an interval of its drift."""


def timed(one: Subject, timing: Timing, first: str, line: Result) -> Iterator[Result]:
    """Turn an interleaved run into latency, ratio, energy and drift of one file."""
    name, effort = one.file.name, timing.effort
    line = replace(line, threads=effort.threads, delegate=effort.delegate, runtime=timing.runtimes.get(name, ""))
    medians = np.array([window.median_ms[name] for window in timing.windows])
    runs_ms = np.concatenate([window.ms[name] for window in timing.windows])
    runs = sum(window.runs[name] for window in timing.windows)
    processes = np.array([window.process for window in timing.windows])
    held = _held(timing, processes)
    quantiles = np.quantile(runs_ms, np.linspace(0, 1, 101))
    latency = replace(line, unit="ms", n=runs, method=held)
    yield replace(
        latency,
        **{**asdict(repeated(medians, processes)), "n": runs},
        name="latency_p50",
        bound=one.budget.get("latency_ms"),
        quantiles=[round(float(q), 5) for q in quantiles],
        method=f"{held}; {_interval(processes)}; at least the middle 80 % of the windows",
        series=_series(timing, name) if effort.sustained_s else (),
    )
    yield replace(latency, name="latency_p90", value=float(quantiles[90]))
    if runs >= FEWEST_FOR_P99:
        yield replace(latency, name="latency_p99", value=float(quantiles[99]))
    if name != first:
        base = np.array([window.median_ms[first] for window in timing.windows])
        yield replace(
            line,
            **asdict(repeated(medians, processes, base)),
            name="latency_ratio",
            unit="ratio of medians",
            method=f"to {first}; {held}; {_interval(processes)}",
        )
    energy = [window.energy_uj[name] for window in timing.windows if name in window.energy_uj]
    if any(energy):  # a counter that never moved says nothing
        told = (
            "processor's energy counter around each window, divided by its runs; mean of all windows, those within one "
        )
        told += "tick of the counter too; all of the processor, not this process alone"
        yield replace(line, **asdict(mean_interval(np.array(energy) / 1e3)), name="energy", unit="mJ", method=told)
    if effort.sustained_s:
        yield _drift(medians, timing, line)


def started(one: Subject, taken: tuple[Start, ...], line: Result) -> Iterator[Result]:
    """Turn fresh processes into cold start and memory; medians, with the fastest and the slowest as the range."""
    if not taken:
        return
    line = replace(line, n=len(taken))
    for name, values in (("cold_start", [s.cold_ms for s in taken]), ("load", [s.load_ms for s in taken])):
        method = "process start to first answer" if name == "cold_start" else "load to first answer"
        yield replace(
            line,
            name=name,
            value=float(np.median(values)),
            low=min(values),
            high=max(values),
            unit="ms",
            method=f"{method}, fresh processes; median, fastest and slowest",
        )
    for key, name in {**MEMORY, **APP_MEMORY}.items():
        values = [start.memory[key] for start in taken if key in start.memory]
        if values:
            allowed = one.budget.get("peak_memory_mb") if name == "peak_memory" else None
            yield replace(
                line,
                name=name,
                value=float(np.median(values)),
                low=min(values),
                high=max(values),
                unit="bytes",
                bound=None if allowed is None else allowed * 1e6,
                method=taken[0].reason
                if key in APP_MEMORY
                else f"VmHWM and smaps_rollup {'of' if name.startswith('empty') else 'above'} the process with only the "
                "runtime imported; median, least and most",
            )


def _held(timing: Timing, processes: np.ndarray) -> str:
    """Say how the time was taken."""
    count, others = len(set(processes)), len(timing.windows[0].median_ms) - 1
    held = f"{timing.clock}; {timing.held}; {len(timing.windows)} windows"
    held += f" in {count} fresh processes" if count > 1 else ""
    held += f", interleaved with {others} others"
    loads = [window.load for window in timing.windows if window.load is not None]
    if loads and max(loads) >= timing.effort.threads + OTHERS_LOAD:
        held += f"; the machine was busy, load average up to {max(loads):.1f}"
    return held + ("; the run broke off" if timing.lost else "")


def _interval(processes: np.ndarray) -> str:
    """Say what the value and its interval are."""
    if len(set(processes)) < FEWEST_PROCESSES:
        return "median of the windows' medians, 95 % by block bootstrap over windows"
    return "median of the processes' medians, 95 % by Student's t over processes, or by block bootstrap over windows where wider"


def _drift(medians: np.ndarray, timing: Timing, line: Result) -> Result:
    """Say how much slower the last tenth of a sustained run is than the first: heat, or other work."""
    tenth = max(1, len(medians) // 10)
    heat = [w.temperature_c for w in timing.windows if w.temperature_c is not None]
    warm = f"; {heat[0]:.0f} °C at first, {max(heat):.0f} °C at most" if heat else "; no temperature can be read"
    drift = median_ratio(medians[-tenth:], medians[:tenth])
    told = asdict(drift) if tenth >= FEWEST_WINDOWS else {"value": drift.value, "n": tenth}
    return replace(
        line,
        **told,
        name="drift",
        unit="ratio of medians",
        method=f"last tenth of {timing.windows[-1].at_s:.0f} s to the first{warm}",
    )


def _series(timing: Timing, name: str) -> list[list[float | None]]:
    return [[round(w.at_s, 2), round(w.median_ms[name], 5), w.temperature_c] for w in timing.windows]
