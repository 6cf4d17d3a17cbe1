"""The demo app's report, "edgecomp-phone-bench/1": read it, and turn it into windows, answers and starts.

The app writes it anew after each of its rounds, and renames it into place, so any moment's file is whole.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from edgecomp.devices import Effort, Start, Window
from edgecomp.devices._adb_facts import thermal_name
from edgecomp.errors import DeviceError

SCHEMA = "edgecomp-phone-bench/1"
NEEDED = ("model_sha256", "runtime", "threads", "samples_ms", "finished")
MOST_WINDOWS = 100
"""Windows to cut a run into, as runner.py does: enough for an interval of their median."""
SUSTAINED_WINDOW_S = 1.0
MODERATE = 2
"""Thermal status from which Android slows what runs (PowerManager.THERMAL_STATUS_MODERATE)."""
SLOWER, WARMER_C = 1.1, 1.0
"""A run whose last fifth is a tenth slower than its first while the battery warmed by a degree was slowed by heat."""
MEMORY_REASON = "PSS and native heap of the whole app, its window included; no empty process is taken off"


def read_report(content: bytes, where: str) -> dict[str, Any] | None:
    """Read a report; None where it is cut off, as by a storage that does not rename atomically.

    raises: DeviceError where it is of another schema, lacks a field, or says that the app could not go on
    """
    try:
        report = json.loads(content)
    except ValueError:
        return None
    schema = report.get("schema") if isinstance(report, dict) else None
    missing = [name for name in NEEDED if name not in report] if schema == SCHEMA else []
    if schema == SCHEMA and report.get("error"):
        fix = "where another bundle is meant: embed it with `edgecomp embed`, then build and install the app again"
        raise DeviceError(f"the demo app, with {inside(report)} in it, says: {report['error']}", where=where, fix=fix)
    if schema != SCHEMA or missing:
        what = f"lacks {missing[0]!r}" if missing else f"has schema {schema!r}, and this edgecomp reads {SCHEMA!r}"
        raise DeviceError(
            f"the demo app's report {what}", where=where, fix="build and install the android_demo of this edgecomp"
        )
    return report


def check_ran(report: Mapping[str, Any], sha256: str, threads: int, where: str) -> None:
    """Hold a report to what was asked for: its numbers must be of that file, and with so many threads.

    raises: DeviceError naming the bundle and the version that are in the app
    """
    if report["model_sha256"] != sha256:
        raise DeviceError(
            f"the app ran another model: {report['model_sha256'][:12]} of {inside(report)}, and {sha256[:12]} was wanted",
            where=where,
            fix="embed the wanted bundle (`edgecomp embed BUNDLE --android …`), then build and install the app again",
        )
    if report["threads"] != threads:
        raise DeviceError(
            f"the app ran with {report['threads']} threads, and {threads} were wanted",
            where=where,
            fix="build and install the android_demo of this edgecomp",
        )


def inside(report: Mapping[str, Any]) -> str:
    """Return which bundle the app holds, in words."""
    return f"bundle {report.get('bundle', '?')!r} version {report.get('version', '?')}"


def to_windows(report: Mapping[str, Any], name: str, effort: Effort) -> tuple[Window, ...]:
    """Cut a report's runs into windows: one a second of a sustained run, else up to a hundred of equal length."""
    runs = samples_ms(report)
    if not len(runs):
        return ()
    passed_s = np.cumsum(runs) / 1e3
    if effort.sustained_s:
        edges = np.searchsorted(passed_s, np.arange(SUSTAINED_WINDOW_S, passed_s[-1], SUSTAINED_WINDOW_S))
        parts = [part for part in np.split(np.arange(len(runs)), np.unique(edges[edges > 0])) if len(part)]
    else:
        parts = np.array_split(np.arange(len(runs)), min(len(runs), max(effort.windows, MOST_WINDOWS)))
    states = report.get("battery") or []
    return tuple(one_window({name: runs[part]}, float(passed_s[part[-1]]), states) for part in parts)


def one_window(ms: Mapping[str, np.ndarray], at_s: float, states: Sequence[Mapping[str, Any]]) -> Window:
    """Return a window of each file's runs, with the battery as it was then.

    states: the report's battery rows, ascending; at_ms counts from any moment
    """
    first = states[0]["at_ms"] if states else 0
    battery = next((row for row in reversed(states) if row["at_ms"] - first <= at_s * 1e3), None)
    return Window(
        at_s=at_s,
        median_ms={name: float(np.median(runs)) for name, runs in ms.items()},
        ms=ms,
        runs={name: len(runs) for name, runs in ms.items()},
        temperature_c=(battery or {}).get("temperature_c"),
        battery=battery,
    )


def samples_ms(report: Mapping[str, Any]) -> np.ndarray:
    """Return all runs of a report in their order, milliseconds."""
    return np.array([ms for part in report["samples_ms"] for ms in part], float)


def to_events(report: Mapping[str, Any], names: Sequence[str]) -> Iterator[dict[str, Any]]:
    """Yield a report's answers as the events of an answers job, each with the row of its clip; what is no number is none."""
    yield {"event": "loaded", "runtime": report["runtime"]}
    rows = {name: row for row, name in enumerate(names)}
    for told in report.get("answers") or []:
        if told["clip"] in rows and None not in told["probabilities"]:
            yield {**told, "event": "answer", "row": rows[told["clip"]]}


def to_start(report: Mapping[str, Any], where: str) -> Start:
    """Return what one start of the app took; memory is the whole app's.

    raises: DeviceError where the process was no fresh one
    """
    if report.get("cold_start_ms") is None or report.get("load_ms") is None:
        fix = "keep others from opening the app meanwhile, and run the same command again"
        raise DeviceError("the app was running already: this is no cold start", where=where, fix=fix)
    named = {"app_peak_pss_bytes": "peak_pss_bytes", "app_native_heap_bytes": "native_heap_bytes"}
    memory = {name: report[key] for name, key in named.items() if report.get(key) is not None}
    return Start(report["cold_start_ms"], report["load_ms"], memory, MEMORY_REASON)


def throttling(windows: Sequence[Window], status: int | None) -> str:
    """Say in words whether heat slowed a run; empty where nothing points to it.

    status: Android's thermal status right after the run; None before Android 10
    """
    said = []
    if status is not None and status >= MODERATE:
        said.append(f"throttled: thermal status {thermal_name(status)}")
    fifth = len(windows) // 5
    heat = [window.temperature_c for window in windows if window.temperature_c is not None]
    if fifth and heat and heat[-1] - heat[0] >= WARMER_C:
        for name in windows[0].median_ms:
            early, late = (
                float(np.median([window.median_ms[name] for window in part]))
                for part in (windows[:fifth], windows[-fifth:])
            )
            if late > SLOWER * early:
                said.append(
                    f"throttled: {name} {late / early - 1:.0%} slower in the last fifth, "
                    f"the battery warmed from {heat[0]:.0f} to {heat[-1]:.0f} °C"
                )
    return "; ".join(said)
