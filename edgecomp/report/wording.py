"""How figures read: every number with its unit, every measurement with its interval, every name in plain words."""

from __future__ import annotations

import json
from typing import Any

MISSING = "–"
NAMES = {
    "loss": "loss against the teacher",
    "accuracy": "accuracy",
    "accuracy_difference": "accuracy minus the teacher’s",
    "auroc": "AUROC",
    "calibration_error": "calibration error",
    "brier": "Brier score (0 best, 2 worst)",
    "bytes": "size of the file",
    "latency_p50": "latency, median",
    "latency_p90": "latency, 90th percentile",
    "latency_p99": "latency, 99th percentile",
    "latency_ratio": "median latency as a share of the teacher’s",
    "cold_start": "cold start",
    "load": "load to first answer",
    "peak_memory": "peak memory above the empty process",
    "pss": "proportional memory above the empty process",
    "anonymous_memory": "anonymous memory above the empty process",
    "empty_process_resident": "empty process, resident",
    "empty_process_proportional": "empty process, proportional",
}
SHARES = {"accuracy", "calibration_error"}


def name_of(measurement: str) -> str:
    """Return what a measurement is called in a report."""
    return NAMES.get(measurement, measurement.replace("_", " "))


def percent(share: float | None) -> str:
    """Write a share as percent with one decimal; 100 only where it is all of it."""
    if share is None:
        return MISSING
    text = f"{share * 100:.1f}"
    if (text == "100.0" and share < 1) or (text == "0.0" and share > 0):
        text = f"{share * 100:.2f}" if 5e-5 <= share <= 1 - 5e-5 else f"{share * 100:.4f}"
    return f"{_minus(text)} %"


def points(share: float | None, digits: int = 1) -> str:
    """Write a difference of shares in percentage points, with its sign; without the word."""
    if share is None:
        return MISSING
    text = f"{share * 100:+.{digits}f}"
    if share and not float(text):  # a sign must not be rounded away
        text = f"{share * 100:+.{digits + 1}f}" if abs(share) >= 5e-5 else f"{share * 100:+.0e}"
    return _minus(text if float(text) else text[1:])


def size(number: float | None) -> str:
    """Write bytes in decimal units: 1 kB is 1,000 bytes."""
    if number is None:
        return MISSING
    for unit, scale in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if abs(number) >= scale:
            return f"{_minus(plain(number / scale))} {unit}"
    return f"{number:.0f} bytes"


def plain(number: float | None) -> str:
    """Write a number with three significant digits, and thousands in full."""
    if number is None:
        return MISSING
    if number and not 1e-3 <= abs(number) < 1e15:
        return f"{number:.2e}"
    if abs(number) >= 100 or float(number).is_integer():
        return _minus(f"{number:,.0f}")
    return _minus(
        f"{number:.{2 if abs(number) >= 1 else 4 if abs(number) < 0.1 else 3}f}"
        if abs(number) < 10
        else f"{number:.1f}"
    )


def value(name: str, number: float | None, unit: str = "") -> str:
    """Write one figure in the way that suits its name and unit."""
    if number is None:
        return MISSING
    if name == "accuracy_difference":
        return f"{points(number)} points"
    if name == "auroc":
        return f"{number:.3f}"
    if name in SHARES or unit in ("share", "%"):
        return percent(number)
    if unit == "bytes":
        return size(number)
    return f"{plain(number)} {unit}".strip() if unit in ("ms", "s", "MB") else plain(number)


def interval(name: str, measurement: dict[str, Any]) -> str:
    """Write a measurement's 95 % interval without its unit, or nothing where there is none."""
    low, high, unit = measurement.get("low"), measurement.get("high"), measurement.get("unit", "")
    if low is None or high is None:
        return ""
    if name == "accuracy_difference":
        return f"{points(low)} to {points(high)}"
    if name == "auroc":
        return f"{low:.3f} to {high:.3f}"
    if name in SHARES or unit == "share":
        return f"{low * 100:.1f} to {high * 100:.1f}"
    return f"{plain(low)} to {plain(high)}"


def cell(name: str, measurement: dict[str, Any] | None) -> dict[str, str]:
    """Return a table's cell: the figure, its interval, and a mark where it was not measured on the host."""
    if measurement is None:
        return {"value": MISSING, "interval": "", "mark": ""}
    how = measurement.get("how", "measured")
    if name == "bytes" and measurement["value"] is not None:
        return {"value": size(measurement["value"]), "interval": f"{measurement['value']:,} bytes", "mark": ""}
    return {
        "value": value(name, measurement["value"], measurement.get("unit", "")),
        "interval": interval(name, measurement),
        "mark": "" if how == "measured" else how,
    }


def share_cell(one: dict[str, Any] | None) -> dict[str, str]:
    """Return a table's cell for an estimate of a share, which carries no unit of its own."""
    return cell("share", None if one is None else {**one, "unit": "share"})


def estimate(one: dict[str, Any] | None) -> str:
    """Write an estimate of a share into a sentence: 94.1 % (95 % interval 92.0 to 95.8)."""
    told = share_cell(one)
    return told["value"] + (f" (95 % interval {told['interval']})" if told["interval"] else "")


def p_value(p: float | None) -> str:
    """Write a p-value with three decimals."""
    if p is None:
        return MISSING
    return "below 0.001" if p < 0.001 else f"{p:.3f}"


def inline(cell: dict[str, str]) -> str:
    """Write a table's cell on one line: the figure, (its interval), [its mark]."""
    interval_, mark = cell["interval"], cell["mark"]
    return cell["value"] + (f" ({interval_})" if interval_ else "") + (f" [{mark}]" if mark else "")


def times(ratio: float | None) -> str:
    """Say how a latency compares with the teacher's."""
    if not ratio:
        return "not compared with the teacher’s"
    if ratio > 1:
        return f"{plain(ratio)} times the teacher’s"
    return f"1/{1 / ratio:.0f} of the teacher’s" if ratio <= 0.5 else f"{ratio * 100:.0f} % of the teacher’s"


def count(number: int, thing: str) -> str:
    """Write how many of a thing there are: 1 check, 2 checks."""
    return f"{number} {thing}{'' if number == 1 else 's'}"


def clips(number: int, of: str = "") -> str:
    """Write a number of clips, with thousands in full: 1 clip, 1,320 test clips."""
    return f"{plain(number)} {of + ' ' if of else ''}{'clip' if number == 1 else 'clips'}"


def compact(content: Any) -> str:
    """Write settings or facts on one line: a = 1, b = [2, 3]."""
    if isinstance(content, dict):
        return ", ".join(f"{key} = {_json(one)}" for key, one in content.items()) or MISSING
    return _json(content)


def _json(content: Any) -> str:
    return json.dumps(content, ensure_ascii=False) if not isinstance(content, str) else content


def _minus(text: str) -> str:
    return text.replace("-", "−")
