"""The field report: many benches' results, devices × bundles, as one page or as Markdown."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from edgecomp.errors import InputError
from edgecomp.report import field_limit, field_parity, field_plots
from edgecomp.report import wording as say
from edgecomp.results import Result, read_results

RUN = ("latency_p50", "latency_p90", "latency_p99", "latency_ratio", "energy", "drift")
"""What comes out of a timed run; of a sustained one they stand by themselves."""
COLUMNS = (
    *("latency_p50", "latency_p90", "latency_p99", "cold_start", "load", "peak_memory", "pss", "energy", "drift"),
    *(
        "app_peak_pss",
        "app_native_heap",
        "page_heap",
        "page_process_proportional",
        "arena",
        "body",
        "front_end_tables",
        "listener",
        "npu_time",
    ),
)
PARITY = (
    *("accuracy", "golden_difference"),
    *("agreement_bundle", "largest_difference_bundle", "features_alike"),
)
HEADS = {
    "latency_p50": "median time",
    "latency_p90": "90th percentile",
    "latency_p99": "99th percentile",
    "cold_start": "cold start",
    "load": "load to first answer",
    "peak_memory": "peak memory",
    "pss": "proportional memory",
    "energy": "energy a clip",
    "drift": "drift of a sustained run",
    "accuracy": "accuracy there",
    "agreement": "same decision as the float student",
    "largest_difference": "largest probability difference",
    "mean_difference": "mean probability difference",
    "golden_difference": "golden clips, largest difference",
    "app_peak_pss": "whole app, peak memory",
    "app_native_heap": "whole app, native heap",
    "page_heap": "page, WebAssembly heap",
    "page_process_proportional": "page's process, proportional memory",
    "arena": "tensor arena",
    "body": "int8 body",
    "front_end_tables": "front end’s tables",
    "listener": "front end’s state",
    "npu_time": "time on the NPU",
    "agreement_bundle": "same decision as the bundle",
    "largest_difference_bundle": "largest difference from the bundle",
    "features_alike": "features alike",
}
LIMIT_HEADS = {
    "share of the limit": "share",
    "time": "time",
    "shortest possible (calculated)": "limit",
    "multiply-accumulates (counted)": "macs",
    "bytes that must move (counted)": "bytes",
}
FACTS = {
    "model": "model",
    "cpu": "processor",
    "core_names": "cores are",
    "cores": "cores",
    "features": "instructions",
    "ram_bytes": "memory",
    "free_bytes": "free memory",
    "governor": "governor",
    "temperature_c": "temperature",
    "battery": "battery",
    "os": "system",
}


def read_all(files: Sequence[Path]) -> list[Result]:
    """Read some results files, oldest first; of a measurement taken twice the newest counts in the tables.

    raises: InputError where one cannot be read, or all are empty
    """
    found = [one for file in files for one in read_results(file)]
    if not found:
        raise InputError("there are no results in it", where=files[0], fix="run `edgecomp bench BUNDLE` first")
    return sorted(found, key=lambda one: one.at)


def html(results: Sequence[Result]) -> str:
    """Lay out a field report."""
    from edgecomp.report.page import _environment

    devices, latest = _devices(results), newest(results)
    limits = field_limit.limits(latest)
    return (
        _environment()
        .get_template("field.html.j2")
        .render(
            w=say,
            devices=devices,
            verdicts=verdicts(results),
            times=table(results, COLUMNS),
            parity=table(results, PARITY, by_threads=False),
            matrix=field_parity.matrix(latest),
            differences=field_parity.differences(latest),
            hows=sorted({one.how for one in results}),
            bundles=sorted({one.bundle for one in results if one.bundle}),
            first=results[0].at,
            last=results[-1].at,
            spread=field_plots.distributions(latest),
            sustained=field_plots.sustained(latest),
            limits=field_limit.lines(limits),
            peaks=field_limit.told_peaks(field_limit.peaks(latest)),
            rooflines=field_plots.rooflines(limits, field_limit.peaks(latest)),
        )
    )


def markdown(results: Sequence[Result]) -> str:
    """Write a field report's tables as Markdown."""
    parts = [f"# Field report: {say.count(len(_devices(results)), 'device')}", ""]
    for made in (table(results, COLUMNS), table(results, PARITY, by_threads=False)):
        if not made["lines"]:
            continue
        parts += [
            f"| device | file | {'threads | ' if made['threads'] else ''}{' | '.join(made['heads'])} |",
            f"|{' --- |' * (2 + made['threads'] + len(made['heads']))}",
        ]
        for line in made["lines"]:
            cells = " | ".join(_words(cell) for cell in line["cells"])
            threads = f"{line['threads']} | " if made["threads"] else ""
            parts.append(f"| {line['device']} ({line['how']}) | {line['file']} | {threads}{cells} |")
        parts.append("")
    parts += _matrix(newest(results))
    if limits := field_limit.lines(field_limit.limits(newest(results))):
        parts += [f"| device | file | part | {' | '.join(LIMIT_HEADS)} |", "|" + " --- |" * (3 + len(LIMIT_HEADS))]
        for line in limits:
            cells = " | ".join(line[name] for name in LIMIT_HEADS.values())
            mark = f" ({line['how']})" if line["how"] else ""
            parts.append(f"| {line['device']}{mark} | {line['file']} | {line['part']} | {cells} |")
        parts += ["", *field_limit.told_peaks(field_limit.peaks(newest(results)))]
    return "\n".join(parts).rstrip()


def _matrix(latest: Sequence[Result]) -> list[str]:
    """Write the parity matrix and its explanations as Markdown."""
    made = field_parity.matrix(latest)
    if not made["lines"]:
        return []
    parts = [f"| on | file | {' | '.join(made['heads'])} | kept |", "|" + " --- |" * (3 + len(made["heads"]))]
    for line in made["lines"]:
        cells = [line["why"]] if line["why"] else [field_parity.words(cell) for cell in line["cells"]]
        cells += [""] * (len(made["heads"]) - len(cells))
        kept = {None: "", True: "yes", False: "NO"}[line["within"]]
        how = f" ({line['how']})" if line["how"] != "measured" and line["how"] not in line["device"] else ""
        runtime = f", {line['runtime']}" if line["runtime"] else ""
        parts.append(f"| {line['device']}{how}{runtime} | {line['file']} | {' | '.join(cells)} | {kept} |")
    told = [f"- {why}. {'; '.join(where)}." for why, where in field_parity.differences(latest)]
    return [*parts, "", *told, ""]


def newest(results: Sequence[Result]) -> list[Result]:
    """Keep the newest of each measurement: same device, file, threads, delegate and name; sustained runs by themselves.

    Of a bundle that was compiled again only its newest version on a device counts: figures of two do not stand in one line.
    """
    version = {(one.device, one.bundle, one.form): (one.bundle_hash, one.model_sha256) for one in results}
    long, kept = _sustained(results), dict[tuple[Any, ...], Result]()
    for one in results:  # oldest first
        is_current = (one.bundle_hash, one.model_sha256) == version[one.device, one.bundle, one.form]
        if is_current or not one.bundle:  # what is told of a device is of no version
            key = (one.device, one.bundle, one.form, one.threads, one.delegate, one.name, _is_long(one, long))
            kept.pop(key, None)
            kept[key] = one
    return list(kept.values())


def verdicts(results: Sequence[Result]) -> list[dict[str, Any]]:
    """Say of every bundle on every device whether it kept its target's bounds: devices × bundles, worst news first."""
    told, kept = [], newest(results)
    for device, file in _pairs(results):
        judged = [one for one in kept if (one.device, _file(one)) == (device, file) and one.within() is not None]
        broken = [one for one in judged if not one.within()]
        told.append(
            {
                "device": device,
                "file": file,
                "judged": len(judged),
                "broken": [
                    f"{HEADS.get(one.name, say.name_of(one.name))}: {say.value(one.name, one.value, one.unit)}, "
                    f"{'at least' if one.name.startswith('agreement') else 'at most'} "
                    f"{say.value(one.name, one.bound, one.unit)}" + (f" ({one.how})" if one.how != "measured" else "")
                    for one in broken
                ],
            }
        )
    return sorted(told, key=lambda one: (-len(one["broken"]), one["device"], one["file"]))


def table(results: Sequence[Result], columns: Sequence[str], by_threads: bool = True) -> dict[str, Any]:
    """Lay out some measurements, a line for each device, file, number of threads and sustained run; no empty columns."""
    kept, long = [one for one in newest(results) if one.bundle], _sustained(results)
    used = [name for name in columns if any(one.name == name and one.value is not None for one in kept)]

    def line_of(one: Result) -> tuple[str, str, int, str, bool]:
        return one.device, _file(one), one.threads if by_threads else 0, one.delegate, _is_long(one, long)

    lines = []
    for key in sorted({line_of(one) for one in kept}):
        device, file, threads, delegate, is_long = key
        ours = {one.name: one for one in kept if line_of(one) == key}
        if not any(name in ours for name in used):
            continue
        any_one = next(ours[name] for name in used if name in ours)
        lines.append(
            {
                "device": device,
                "file": file
                + ("" if delegate == "default" else f", delegate {delegate}")
                + (", sustained" if is_long else ""),
                "threads": threads,
                "how": any_one.how,
                "runtime": any_one.runtime,
                "cells": [_cell(ours.get(name)) for name in used],
            }
        )
    return {"heads": [HEADS[name] for name in used], "lines": lines, "threads": by_threads}


def _cell(one: Result | None) -> dict[str, Any]:
    if one is None:
        return {"value": say.MISSING, "interval": "", "within": None, "how": ""}
    told = {"low": one.low, "high": one.high, "unit": one.unit}
    inner = "" if one.low is None else say.interval(one.name, told)
    if one.unit == "bytes" and one.low is not None:
        inner = f"{say.size(one.low)} to {say.size(one.high)}" if one.low != one.high else ""
    value = say.percent(one.value) if one.unit == "share" else say.value(one.name, one.value, one.unit)
    return {"value": value, "interval": inner, "within": one.within(), "how": "" if one.how == "measured" else one.how}


def _words(cell: dict[str, Any]) -> str:
    return f"{cell['value']} ({cell['interval']})" if cell["interval"] else cell["value"]


def _devices(results: Sequence[Result]) -> list[dict[str, Any]]:
    """Return each device once, with its newest description of itself."""
    told: dict[str, dict[str, Any]] = {}
    for one in results:
        told.setdefault(one.device, {"name": one.device, "how": one.how, "facts": []})
        if one.facts:
            told[one.device]["facts"] = [
                (head, _fact(name, one.facts[name])) for name, head in FACTS.items() if one.facts.get(name)
            ]
    return list(told.values())


def _fact(name: str, value: Any) -> str:
    if name.endswith("_bytes"):
        return say.size(value)
    if name == "temperature_c":
        return f"{value:.0f} °C"
    if isinstance(value, dict):
        return ", ".join(f"{key.replace('_', ' ')} {inner}" for key, inner in value.items() if inner is not None)
    return ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)


def _sustained(results: Sequence[Result]) -> set[str]:
    """Return the benches whose runs were sustained."""
    return {one.run for one in results if one.series}


def _is_long(one: Result, long: set[str]) -> bool:
    return one.run in long and one.name in RUN


def _pairs(results: Sequence[Result]) -> list[tuple[str, str]]:
    return list(dict.fromkeys((one.device, _file(one)) for one in results if one.bundle))


def _file(one: Result) -> str:
    return f"{one.bundle} {one.form}"
