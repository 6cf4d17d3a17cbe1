"""The report's tables: stages and files against measurements, and how each measurement was taken."""

from __future__ import annotations

from typing import Any

from edgecomp.report import wording as say
from edgecomp.report.reading import tag

QUALITY = ("accuracy", "accuracy_difference", "auroc", "calibration_error", "brier")
COSTS = ("bytes", "latency_p50", "latency_p90", "latency_p99", "latency_ratio")
STARTS = ("cold_start", "load", "peak_memory", "anonymous_memory", "pss")
HEADS = {
    "accuracy": "accuracy",
    "accuracy_difference": "minus the teacher’s",
    "auroc": "AUROC",
    "calibration_error": "calibration error, plain",
    "brier": "Brier score",
    "bytes": "size",
    "latency_p50": "median time",
    "latency_p90": "90th percentile",
    "latency_p99": "99th percentile",
    "latency_ratio": "÷ teacher’s",
    "cold_start": "cold start",
    "load": "load to first answer",
    "peak_memory": "peak memory",
    "anonymous_memory": "anonymous memory",
    "pss": "proportional memory",
}


def table(report: dict[str, Any], columns: tuple[str, ...]) -> dict[str, Any]:
    """Lay out some measurements of every stage and file, leaving out columns and rows that nothing was measured for."""
    used = [
        name
        for name in columns
        if any(name in file["measurements"] for stage in report["stages"] for file in stage["files"])
    ]
    lines = [
        {
            "stage": stage["name"],
            "format": file["format"],
            "tag": tag(report, file),
            "note": file.get("note"),
            "cells": [say.cell(name, file["measurements"].get(name)) for name in used],
        }
        for stage in report["stages"]
        for file in stage["files"]
        if any(name in file["measurements"] for name in used)
    ]
    return {"heads": [HEADS.get(name, say.name_of(name)) for name in used], "lines": lines}


def other(report: dict[str, Any]) -> tuple[str, ...]:
    """Return the names of measurements that no standard table shows."""
    known = {*QUALITY, *COSTS, *STARTS}
    return tuple(
        dict.fromkeys(
            name
            for stage in report["stages"]
            for file in stage["files"]
            for name in file["measurements"]
            if name not in known
        )
    )


def methods(report: dict[str, Any]) -> list[tuple[str, str]]:
    """Return every way of measuring once, with the figures taken that way; where it varies, its common beginning."""
    told: dict[str, list[str]] = {}
    for stage in report["stages"]:
        for file in stage["files"]:
            for name, one in file["measurements"].items():
                method = one.get("method", "not stated").split("; fastest to slowest")[0]
                text = f"{method}; {one.get('how', 'measured')} on {one.get('device', 'an unnamed device')}"
                names = told.setdefault(text, [])
                if say.name_of(name) not in names:
                    names.append(say.name_of(name))
    return [(", ".join(names), text) for text, names in told.items()]
