"""The field report's parity matrix: how every place answered the whole test split, beside the float student and this host."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from edgecomp.report import wording as say
from edgecomp.results import Result

HEADS = (
    "clips",
    "same decision as the float student",
    "largest difference",
    "mean difference",
    "largest from the host’s",
    "clips as on the host",
)
JUDGED = ("agreement", "largest_difference", "mean_difference")
"""What a bound may be kept or broken by."""
NAMES = (*JUDGED, "largest_difference_host", "same_as_host")
KINDS = ("host", "x86", "arm64", "ssh", "adb", "browser", "mcu")
"""The order of the places; what is none of these comes last."""
Key = tuple[str, str, str, str]
"""Bundle, device, form, delegate."""
ROUNDING = 1e-5
"""Differences up to here are float32 sums in another order, see bench/places.py."""
TIPPED = "a sum that lies between two int8 steps is then rounded the other way, and the step travels through the layers"
CAUSES = {
    "mcu": "On a microcontroller the first layer runs in int8 too, on features in int8, which the bundle’s file keeps in "
    "float, and reference kernels round as LiteRT’s own do: most clips differ by some steps",
    "none": "LiteRT’s own kernels round every rescaled sum by another rule than XNNPACK’s: " + TIPPED,
    "": "The float parts before the first int8 tensor differ by float32 rounding: " + TIPPED,
    "float": "A float file differs by more than float32 rounding, and nothing here explains it: look at that runtime",
}
"""Why a file may answer otherwise than on the host, by the kind of place, or the delegate."""


def matrix(results: Sequence[Result]) -> dict[str, Any]:
    """Lay the matrix out, a line for each place and file; empty where no whole split was answered.

    results: of a measurement taken twice only the newest, see field.newest
    """
    told: dict[Key, dict[str, Result]] = {}
    for one in results:
        if one.bundle and one.name in (*NAMES, "skipped"):
            told.setdefault((one.bundle, one.device, one.form, one.delegate), {})[one.name] = one
    asked = {key: found for key, found in told.items() if "skipped" not in found}
    skipped = {key: found for key, found in told.items() if "skipped" in found and not _asked_later(key, found, asked)}
    lines = [_line(key, found) for key, found in (asked | skipped).items()]
    return {"heads": HEADS, "lines": sorted(lines, key=_order)}


def differences(results: Sequence[Result]) -> list[tuple[str, list[str]]]:
    """Say where a file answers otherwise than on the host beyond rounding: each cause, and by how much on which places."""
    said: dict[str, list[str]] = {}
    for line in matrix(results)["lines"]:
        found = line["found"]
        worst, same = found.get("largest_difference_host"), found.get("same_as_host")
        if worst is None or same is None or worst.value is None or worst.value <= ROUNDING:
            continue
        apart = same.n - round(same.value * same.n)
        kind = next((one for one in (_kind(line["device"]), line["delegate"]) if one in CAUSES), "")
        why = CAUSES[kind if line["is_int8"] else "float"]
        where, clips = f"{line['file']} on {line['device']}", f"{same.n:,} clips"
        said.setdefault(why, []).append(f"{where}: {apart:,} of {clips}, by {say.plain(worst.value)} at most")
    return list(said.items())


def words(cell: Mapping[str, Any]) -> str:
    """Return a cell as text."""
    return f"{cell['value']} ({cell['interval']})" if cell["interval"] else cell["value"]


def _line(key: Key, found: Mapping[str, Result]) -> dict[str, Any]:
    bundle, device, form, delegate = key
    any_one = next(iter(found.values()))
    mean = found.get("mean_difference")
    is_int8 = mean is not None and mean.bound is not None
    told = f"{'float student' if form == 'torch' else form}{', int8' if is_int8 else ''}"
    told += {"default": "", "none": ", without XNNPACK"}.get(delegate, f", {delegate}")
    verdicts = [found[name].within() for name in JUDGED if name in found and found[name].within() is not None]
    return {
        "device": device,
        "bundle": bundle,
        "file": f"{bundle} {told}",
        "format": told,
        "delegate": delegate,
        "form": form,
        "is_int8": is_int8,
        "runtime": any_one.runtime,
        "how": any_one.how,
        "why": f"not run: {any_one.method}" if "skipped" in found else "",
        "cells": [] if "skipped" in found else _cells(found),
        "within": all(verdicts) if verdicts else None,
        "found": found,
    }


def _cells(found: Mapping[str, Result]) -> list[dict[str, str]]:
    n = next(one.n for one in found.values())
    cells = [{"value": say.MISSING if n is None else f"{n:,}", "interval": ""}]
    for name in NAMES:
        one = found.get(name)
        if one is None or one.value is None:
            cells.append({"value": say.MISSING, "interval": ""})
        elif one.unit == "share":
            inner = "" if one.low is None else say.interval(name, {"low": one.low, "high": one.high, "unit": "share"})
            cells.append({"value": say.percent(one.value), "interval": inner})
        else:
            cells.append({"value": say.plain(one.value), "interval": ""})
    return cells


def _asked_later(key: Key, found: Mapping[str, Result], asked: Mapping[Key, Mapping[str, Result]]) -> bool:
    """Say whether the same kind of place was asked about the bundle after it was skipped."""
    kind, at = _kind(key[1]), found["skipped"].at
    return any(
        other[0] == key[0] and _kind(other[1]) == kind and next(iter(rows.values())).at > at
        for other, rows in asked.items()
    )


def _kind(device: str) -> str:
    return device.partition(" ")[0].partition(":")[0]


def _order(line: Mapping[str, Any]) -> tuple[Any, ...]:
    kind = _kind(line["device"])
    place = KINDS.index(kind) if kind in KINDS else len(KINDS)
    return line["bundle"], line["form"] != "torch", place, line["device"], line["form"], line["delegate"]
