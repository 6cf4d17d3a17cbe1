"""Rows of benchmarks/results/peers-*.jsonl as a Markdown table, the versions behind them, and the aims that they meet or miss."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

Row = Mapping[str, object]
KINDS = {
    "teacher": "the teacher",
    "student": "edgecomp's float student",
    "edgecomp": "edgecomp",
    "yardstick": "yardstick",
}
HEADS = (
    "what a user does",
    "format",
    "accuracy (95 % interval)",
    "bytes",
    "ms a clip",
    "ms a second of audio",
    "times ours (95 % interval)",
    "peak memory",
    "lines",
    "install",
    "minutes",
)
LONGEST_ERROR = 160
ACCURACY_MARGIN = 0.01
MOST_BYTES = 150_000
BUSY_LOAD = 1.5
"""Load average from which others were running beside this benchmark, which itself is one."""


@dataclass(frozen=True)
class Aim:
    """One aim and how it went; latency has to meet it on the clock and in CPU time, in the same runs.

    met: None where a row that it needs is missing
    """

    text: str
    found: str
    met: bool | None


def table(rows: Sequence[Row]) -> str:
    """Return all rows as a Markdown table, grouped by what they start from."""
    lines = [_line(HEADS), "|" + " --- |" * len(HEADS)]
    for kind in KINDS:
        lines += [_line(_cells(row)) for row in rows if row["of"] == kind]
    return "\n".join(lines)


def told(rows: Sequence[Row]) -> str:
    """Return what one has to know to read the table."""
    first = next((row for row in rows if row.get("method")), None)
    if first is None:
        return "Nothing was measured."
    seconds = first["clip_seconds"]
    busy = (
        f"**The machine was busy (load {first['load_average']:.1f}): runs of more than a few ms were interrupted and look slower "
        "than they are; measure again with --as-is on an idle one.** "
        if first["load_average"] > BUSY_LOAD
        else ""
    )
    return (
        f"{busy}Measured on {first['device']}, {first['taken']}: one thread, waveform to probabilities, all models in turn in "
        f"one process. A clip has {seconds:g} s, a yardstick's its own length. *Times ours*: latency for a second of audio as a "
        f"multiple of {first['reference']}'s. Accuracy on {first['n']} test clips; yardsticks have another task. *Lines*: user "
        "code from the trained teacher on (edgecomp: its recipe and commands). *Install*: what pip puts into an empty "
        "environment (torch without CUDA). *Minutes*: from an empty environment to the model file, nothing cached."
    )


def versions(rows: Sequence[Row]) -> str:
    """Return every row's pinned packages, and those that all models were timed with."""
    here = next((row["timed_with"] for row in rows if row.get("timed_with")), {})
    lines = ["Timed with " + _versions(here) + "."]
    lines += [f"- {_name(row)}: {_versions(row['versions'])}" for row in rows if row.get("versions")]
    return "\n".join(lines)


def aims(rows: Sequence[Row], form: str) -> list[Aim]:
    """Hold edgecomp's int8 file of one format against the aims of this benchmark."""
    by_name = {str(row["name"]): row for row in rows if not row["error"]}
    ours, teacher = by_name.get(f"edgecomp-int8-{form}"), _best_teacher(rows)
    yardsticks = (
        ("yamnet", "at most 1/6 of YAMNet's latency for a second of audio", 1 / 6),
        ("kwt-1", "at most 1/20 of KWT-1's", 1 / 20),
        ("mlperf-tiny-network", "at most 3 times MLPerf Tiny's keyword network alone", 3.0),
    )
    found = [_latency(text, ours, by_name.get(name), bound) for name, text, bound in yardsticks]
    found.append(_latency("at most 1/20 of our teacher's by its best peer path", ours, teacher, 1 / 20))
    whole = by_name.get("onnxruntime_float")
    if ours is None or whole is None:
        missing = [
            Aim(text, "not measured", None) for text in ("accuracy within 1 point of the teacher", "at most 150 kB")
        ]
        return found + missing
    loss = whole["accuracy"] - ours["accuracy"]
    points = f"{ours['accuracy']:.3f} against {whole['accuracy']:.3f}"
    return [
        *found,
        Aim("accuracy within 1 point of the teacher", points, loss <= ACCURACY_MARGIN),
        Aim("at most 150 kB", f"{ours['bytes']:,} bytes", ours["bytes"] <= MOST_BYTES),
    ]


def aims_told(rows: Sequence[Row], forms: Iterable[str]) -> str:
    """Return the aims of each format as lines."""
    lines = []
    for form in forms:
        lines.append(f"edgecomp int8 {form}:")
        for aim in aims(rows, form):
            word = "not known" if aim.met is None else "met" if aim.met else "NOT met"
            lines.append(f"- {word}: {aim.text} ({aim.found})")
    return "\n".join(lines)


def _best_teacher(rows: Sequence[Row]) -> Row | None:
    """Return the fastest file of the teacher that stays within a point of it: a broken one is no path."""
    found = [row for row in rows if row["of"] == "teacher" and not row["error"]]
    whole = next((row for row in found if row["name"] == "onnxruntime_float"), None)
    if whole is None:
        return None
    sound = [row for row in found if row["accuracy"] >= whole["accuracy"] - ACCURACY_MARGIN]
    return min(sound, key=lambda row: row["ms_per_second"])


def _latency(text: str, ours: Row | None, other: Row | None, bound: float) -> Aim:
    if ours is None or other is None:
        return Aim(text, "not measured", None)
    share, cpu = (ours[key] / other[key] for key in ("ms_per_second", "cpu_ms_per_second"))
    found = (
        f"{_share(share)}, {ours['ms_per_second']:.3f} against {other['ms_per_second']:.3f} ms, {_name(other)}; "
        f"in CPU time {_share(cpu)}"
    )
    if "first_cpu_ms_per_second" in ours and "first_cpu_ms_per_second" in other:
        first = ours["first_cpu_ms_per_second"] / other["first_cpu_ms_per_second"]
        found += f", right after all other models {_share(first)}"
    return Aim(text, found, max(share, cpu) <= bound)


def _share(share: float) -> str:
    return f"1/{1 / share:.1f}" if share < 1 else f"{share:.1f} times"


def _cells(row: Row) -> list[str]:
    if row["error"]:
        text = " ".join(str(row["error"]).split())
        text = text if len(text) <= LONGEST_ERROR else text[: LONGEST_ERROR - 1] + "…"
        measured = [f"failed: `{text.replace('`', chr(39))}`", *["–"] * 5]
        return [_name(row), row["format"] or "–", *measured, *_effort(row)]
    peak = row.get("peak_bytes")
    return [
        _name(row),
        row["format"],
        "–" if row["accuracy"] is None else _interval(row, "accuracy", "{:.3f}"),
        f"{row['bytes']:,}",
        f"{row['ms']:.3f}",
        f"{row['ms_per_second']:.3f}",
        "1" if row["row"] == row["reference"] else _interval(row, "ratio", "{:.2f}"),
        "–" if peak is None else f"{peak / 1e6:.1f} MB",
        *_effort(row),
    ]


def _effort(row: Row) -> list[str]:
    lines, size, install_s, script_s = (row.get(key) for key in ("lines", "install_bytes", "install_s", "script_s"))
    broke = row.get("script_error") and not row["error"]  # the row is of a file that was not made by this script
    minutes = None if broke or install_s is None or script_s is None else (install_s + script_s) / 60
    return [
        "–" if lines is None else str(lines),
        "–" if size is None else f"{size / 1e6:,.0f} MB",
        "–" if minutes is None else f"{minutes:.1f}",
    ]


def _interval(row: Row, name: str, form: str) -> str:
    value, low, high = (form.format(row[key]) for key in (name, f"{name}_low", f"{name}_high"))
    return f"{value} ({low} to {high})"


def _name(row: Row) -> str:
    kind = KINDS[str(row["of"])]
    return str(row["row"]) if kind == "edgecomp" else f"{kind}: {row['row']}"


def _versions(found: Mapping[str, str]) -> str:
    return ", ".join(f"{name} {version}" for name, version in sorted(found.items(), key=lambda one: one[0].lower()))


def _line(cells: Iterable[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"
