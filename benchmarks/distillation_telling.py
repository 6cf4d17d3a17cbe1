"""What the rows of distillation.py say: the difference with its interval, and a card's paragraph on it."""

from __future__ import annotations

import json
import math
import statistics
from pathlib import Path

T_95 = {
    2: 12.706,
    3: 4.303,
    4: 3.182,
    5: 2.776,
    6: 2.571,
    7: 2.447,
    8: 2.365,
    9: 2.306,
    10: 2.262,
    11: 2.228,
    12: 2.201,
    13: 2.179,
    14: 2.16,
    15: 2.145,
    16: 2.131,
    17: 2.12,
    18: 2.11,
    19: 2.101,
    20: 2.093,
}
"""Student's t, two-sided 95 %, by the number of seeds (degrees of freedom + 1)."""
METHOD = "teacher minus labels, test split, equal CPU time, Student's t over seeds"


def difference(rows: list[dict], key: str = "test_accuracy") -> dict:
    """Return the mean over seeds of the teacher's arm minus the labels' arm, with its 95 % interval."""
    gains = [row["teacher"][key] - row["labels"][key] for row in rows]
    mean, margin = statistics.mean(gains), T_95[len(gains)] * statistics.stdev(gains) / math.sqrt(len(gains))
    return {"difference": mean, "low": mean - margin, "high": mean + margin}


def summary(rows: list[dict]) -> dict:
    """Return the last row of a run: what both arms differ by, in accuracy and in log loss."""
    first = rows[0]
    told = {"recipe": first["recipe"], "labelled": first["labelled"], "seeds": len(rows), **difference(rows)}
    return told | {"log_loss": difference(rows, "test_log_loss"), "method": METHOD}


def seeds_of(file: Path) -> list[dict]:
    """Return the rows of a run that hold one seed each; those of the first runs do not say that every clip had a label."""
    rows = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines() if line]
    return [{"labelled": 1.0} | row for row in rows if "seed" in row]


def earned(task: str, results: Path) -> str:
    """Return the paragraph of a card that says what the teacher's answers were worth in equal time, or nothing."""
    files = sorted(results.glob(f"distillation-{task}*.jsonl"))
    runs = [rows for rows in map(seeds_of, files) if len(rows) > 1]
    if not runs:
        return ""
    lines = "\n".join(f"- {_told(rows)}" for rows in sorted(runs, key=lambda rows: -rows[0]["labelled"]))
    return (
        "\n\n**What the teacher's answers are worth**: the same student for the same CPU time, asking included, "
        f"against labels alone (`benchmarks/distillation.py`, test split):\n\n{lines}"
    )


def _told(rows: list[dict]) -> str:
    first = rows[0]
    labelled = "all training clips" if first["labelled"] == 1 else f"{first['labelled']:.0%} of the training clips"
    widths = f", widths {', '.join(map(str, first['widths']))}" if first.get("widths") else ""
    if "widths" not in first:  # the first runs did not write them
        widths = ", the former front end"
    windows = ", the teacher heard window by window" if first.get("moments") else ""
    arms = [statistics.mean(row[arm]["test_accuracy"] for row in rows) for arm in ("teacher", "labels")]
    found = difference(rows)
    said = f"labels on {labelled}{widths}{windows}, {len(rows)} seeds: "
    said += f"accuracy {arms[0]:.3f} with the teacher, {arms[1]:.3f} without; "
    said += f"difference {_points(found, 100)} points, {_verdict(found)}"
    if all("test_log_loss" in row["teacher"] for row in rows):
        loss = difference(rows, "test_log_loss")
        gain = {"low": -loss["high"], "high": -loss["low"]}  # less is better
        said += f"; calibrated log loss {_points(loss, 1)} nats, {_verdict(gain)}"
    return said


def _points(found: dict, scale: float) -> str:
    digits = 1 if scale == 100 else 3
    mean, low, high = (f"{found[name] * scale:+.{digits}f}" for name in ("difference", "low", "high"))
    return f"{mean} ({low} to {high})"


def _verdict(gain: dict) -> str:
    if gain["low"] > 0:
        return "**the teacher wins**"
    return "**labels alone win**" if gain["high"] < 0 else "no difference shown"
