"""Reading report.json: whether it is whole, its rows, and which of its files ships."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from edgecomp.artifact import to_json
from edgecomp.errors import BundleError
from edgecomp.report.checks import check_audit

SCHEMA = 1
NEEDED = {
    "name": str,
    "labels": list,
    "target": dict,
    "device": str,
    "teacher": dict,
    "student": dict,
    "data": dict,
    "stages": list,
    "parity": list,
    "gates": list,
    "warnings": list,
    "trail": list,
}
"""Keys without which a report says nothing; the others may be missing."""
ITEMS = {
    "gates": {"name", "text", "passed"},
    "parity": {"a", "b", "agreement", "mean_difference", "largest_difference", "n", "passed"},
    "trail": {"name", "settings", "facts", "input_hash", "output_hash", "seed"},
    "stages": {"name", "files"},
}
"""Keys that every item of these lists has."""
FILE_NAME = "report.json"
ALSO = "also in the bundle"


def read_report(path: Path) -> dict[str, Any]:
    """Read a report.json, or the one in a bundle's folder.

    raises: BundleError where it is missing, damaged, or of another schema version
    """
    file = path / FILE_NAME if path.is_dir() else path
    try:
        report = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise BundleError(
            f"there is no {file.name}", where=path, fix="give the folder of a bundle, or its report.json"
        ) from None
    except OSError as why:
        raise BundleError(
            f"cannot read: {why.strerror}", where=file, fix="check the path and its permissions"
        ) from None
    except ValueError as why:
        raise _damaged(f"not valid JSON ({why})", file) from None
    if not isinstance(report, dict):
        raise _damaged(f"a {type(report).__name__} where a table should be", file)
    if report.get("schema") != SCHEMA:
        raise BundleError(
            f"report of schema {report.get('schema')!r}",
            where=file,
            fix=f"this edgecomp reads schema {SCHEMA}; compile again, or use the edgecomp that wrote it",
        )
    for key, kind in NEEDED.items():
        if not isinstance(report.get(key), kind):
            raise _damaged(f"{key!r} is missing or not a {kind.__name__}", file)
    try:
        _check(report)
    except (AttributeError, KeyError, TypeError, ValueError) as why:
        raise _damaged(f"it cannot be read ({type(why).__name__}: {why})", file) from None
    return report


def rows(report: dict[str, Any]) -> list[dict[str, Any]]:
    """Return a flat row for each stage, file and measurement, in the report's order.

    keys: stage, format, shipped, hash, name, value, low, high, n, unit, method, device, how
    """
    return [
        {
            "stage": stage["name"],
            "format": file["format"],
            "shipped": bool(file.get("shipped")),
            "hash": file.get("hash") or "",
            "name": name,
            "value": one["value"],
            "low": one.get("low"),
            "high": one.get("high"),
            "n": one.get("n"),
            "unit": one.get("unit", ""),
            "method": one.get("method", ""),
            "device": one.get("device", ""),
            "how": one.get("how", "measured"),
        }
        for stage, file in files(report)
        for name, one in file["measurements"].items()
    ]


def files(report: dict[str, Any]) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    """Go through every stage's files: (stage, file)."""
    for stage in report["stages"]:
        for file in stage["files"]:
            yield stage, file


def shipped(report: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]] | None:
    """Return the stage and file that the target's app runs; a bundle holds one file for every format."""
    found = [pair for pair in files(report) if pair[1].get("shipped")]
    form = report["target"].get("format")
    return next((pair for pair in found if pair[1]["format"] == form), found[-1] if found else None)


def is_run(report: dict[str, Any], file: dict[str, Any]) -> bool:
    """Say whether a file is the one that the target's app runs."""
    pair = shipped(report)
    return pair is not None and pair[1] is file


def tag(report: dict[str, Any], file: dict[str, Any]) -> str:
    """Return a word for a file that is in the bundle: "ships" for the one that the target's app runs."""
    if is_run(report, file):
        return "ships"
    return ALSO if file.get("shipped") else ""


def as_read(report: Mapping[str, Any]) -> dict[str, Any]:
    """Return a report as it will be read: arrays as lists, dataclasses as tables, NaN as None."""
    return json.loads(to_json(report))


def teacher(report: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]] | None:
    """Return the teacher's stage and file."""
    return next((pair for pair in files(report) if pair[0]["name"] == "teacher"), None)


def figure(file: dict[str, Any] | None, name: str) -> float | None:
    """Return the value of one measurement of a file, or None where it was not measured."""
    one = (file or {}).get("measurements", {}).get(name)
    return None if one is None else one["value"]


def _check(report: dict[str, Any]) -> None:
    """Raise a ValueError, or stumble as any reader would, where something that is printed is missing or no number."""
    for key, needed in ITEMS.items():
        for item in report[key]:
            if missing := needed - item.keys():
                raise ValueError(f"an item of {key} has no {', '.join(sorted(missing))}")
    if not isinstance(report["target"]["name"], str) or not isinstance(report["target"].get("budget") or {}, dict):
        raise ValueError("target")
    for row in rows(report):
        for end in ("value", "low", "high", "n"):
            if row[end] is not None and (isinstance(row[end], bool) or not isinstance(row[end], int | float)):
                raise ValueError(f"{end} of {row['stage']} {row['name']} is {row[end]!r}")
    for stage in report["stages"]:
        counts, size = stage.get("confusion") or [], len(report["labels"])
        if counts and (len(counts) != size or any(len(row) != size or min(row) < 0 for row in counts)):
            raise ValueError(f"confusion of {stage['name']} is not {size} × {size} counts")
        if any(not 0 <= one[key] <= 1 for one in stage.get("reliability") or [] for key in ("confidence", "accuracy")):
            raise ValueError(f"reliability of {stage['name']}")
    check_audit(report)


def _damaged(what: str, file: Path) -> BundleError:
    return BundleError(f"damaged report: {what}", where=file, fix="compile again; the steps that are done are kept")
