"""Compile tasks and write their results into the cards (models/<task>/README.md) and the README, between the markers.

python benchmarks/cards.py keywords wakewords --target redmi-7a
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path

from distillation_telling import earned

ROOT = Path(__file__).resolve().parents[1]
MODELS = ROOT / "models"
RESULTS = ROOT / "benchmarks" / "results"
TASKS = ("keywords", "wakewords", "digits", "sounds", "cough")
BEGIN, END = "<!-- results: written by benchmarks/cards.py -->", "<!-- end of results -->"


def main() -> None:
    """Compile every task named and rewrite the results of its card."""
    ask = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ask.add_argument("tasks", nargs="*", default=TASKS)
    ask.add_argument("--target", default="redmi-7a")
    ask.add_argument("--build", default="build")
    ask.add_argument("--as-is", action="store_true", help="write what the build folder's reports say, compile nothing")
    given = ask.parse_args()
    for task in () if given.as_is else given.tasks:
        command = [sys.executable, "-m", "edgecomp", "compile", task, "--target", given.target, "--build", given.build]
        subprocess.run(command, stdout=subprocess.DEVNULL, check=False)  # a failed gate is a result too
    found = {
        task: report
        for task in TASKS
        if (report := newest_report(Path(given.build) / "bundles", f"{task}-{given.target}"))
    }
    for task, report in found.items():
        put(MODELS / task / "README.md", results(report) + left_out(task) + earned(task, RESULTS))
    put(ROOT / "README.md", overview(found))


def newest_report(folder: Path, name: str) -> dict | None:
    """Return the newest report of a bundle, accepted or rejected."""
    files = [
        file for file in (folder / name / "report.json", folder / f"{name}.rejected" / "report.json") if file.exists()
    ]
    return json.loads(max(files, key=lambda file: file.stat().st_mtime).read_text(encoding="utf-8")) if files else None


def put(page: Path, content: str) -> None:
    """Put content between a page's markers."""
    text = page.read_text(encoding="utf-8")
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    page.write_text(f"{before}{BEGIN}\n{content}\n{END}{after}", encoding="utf-8")


def overview(found: dict[str, dict]) -> str:
    """Return one row a task: teacher, labels alone, distilled, int8, and what ships in the target's format."""
    heads = (
        "task",
        "metric",
        "teacher",
        "student, labels alone",
        "distilled",
        "int8",
        "ships (95 % interval)",
        "bytes",
        "latency",
        "gates",
    )
    rows = [_overview_row(task, report) for task, report in found.items()]
    first = next(iter(found.values()))
    told = f"Test splits; target `{first['target']['name']}`; measured on {first['device']}. In brackets: against the teacher."
    return f"{_table(heads, rows)}\n\n{told}"


def _overview_row(task: str, report: dict) -> list[str]:
    form, metric = report["target"]["format"], _metric(report)
    files = {
        stage["name"]: next((file for file in stage["files"] if file["format"] == form), stage["files"][0])
        for stage in report["stages"]
    }
    name, ships = next((name, file) for name, file in files.items() if file["shipped"])
    measured = ships["measurements"]
    smaller = files["teacher"]["bytes"] / ships["bytes"]
    failed = sum(not gate["passed"] for gate in report["gates"])
    return [
        task,
        _word(metric),
        *(
            _value(files[stage]["measurements"], metric) if stage in files else "–"
            for stage in ("teacher", "labels only", "distilled", "int8")
        ),
        f"{name}: {_value(measured, metric)}{_between(measured, metric)}",
        f"{ships['bytes']:,} (1 / {smaller:.0f})",
        f"{_value(measured, 'latency_p50', '{:.2f} ms')} ({_ratio(measured)})",
        f"{failed} failed" if failed else "passed",
    ]


def results(report: dict) -> str:
    """Return a report's results as Markdown: every stage and format, every group, and the gates."""
    splits, metric, student = report["data"]["splits"], _metric(report), report["student"]
    parts = [
        f"Compiled for `{report['target']['name']}` by edgecomp {report['edgecomp']}; {splits['train']} training, "
        f"{splits['validation']} validation and {splits['test']} test clips; seed {report['seed']}. "
        f"Latency and memory are measured on {report['device']}, one thread, waveform to probabilities: not the phone's.",
        _table(
            (
                "stage",
                "format",
                f"{_word(metric)} (95 % interval)",
                "bytes",
                "p50 latency",
                "to the teacher's",
                "peak memory",
            ),
            [_stage_row(stage, file, metric) for stage in report["stages"] for file in stage["files"]],
        ),
        f"Student: {student['family']}, widths {', '.join(map(str, student['widths']))}, {student['parameters']:,} parameters; "
        f"{student['body_macs'] / 1e6:.2f} M multiply-accumulates a clip in the body, "
        f"{student['front_end_macs'] / 1e6:.2f} M in the front end.",
    ]
    parts += _audit(report)
    if report["decision"]["rule"] == "threshold":
        parts.append(_threshold(report["decision"]))
    gates = (f"{'passed' if gate['passed'] else '**failed**'}: {gate['text']}" for gate in report["gates"])
    parts.append("Gates:\n\n" + "\n".join(f"- {gate}" for gate in gates))
    parts += [f"Warning: {warning}." for warning in report["warnings"]]
    return "\n\n".join(parts)


def left_out(task: str) -> str:
    """Return the table of benchmarks/leave_one_out.py for a task that it was run for, or nothing."""
    file = RESULTS / f"leave-one-out-{task}.jsonl"
    if not file.exists():
        return ""
    *folds, mean = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
    stages = ("teacher", "labels only", "distilled", "finetuned", "int8")
    rows = [[fold["test"], str(fold["clips"]), *(f"{fold[stage]:.3f}" for stage in stages)] for fold in folds]
    rows.append(["**mean**", "", *(f"**{mean[stage]['mean']:.3f}**" for stage in stages)])
    return (
        "\n\n**Leave one subject out.** Accuracy on a subject who was never heard; teacher and student are trained anew "
        f"for each, another subject is the validation; seed {mean['seed']}; with the former front end; "
        "written by `benchmarks/leave_one_out.py`.\n\n" + _table(("who was left out", "clips", *stages), rows)
    )


def _stage_row(stage: dict, file: dict, metric: str) -> list[str]:
    found = file["measurements"]
    return [
        stage["name"] + (" **ships**" if file["shipped"] else ""),
        file["format"],
        _value(found, metric) + _between(found, metric),
        f"{file['bytes']:,}",
        _value(found, "latency_p50", "{:.3f} ms"),
        _ratio(found),
        _value(found, "peak_memory", "{:.1f} MB", 1e6),
    ]


KINDS = ("all", "class", "group", "rare classes", "teacher unsure", "length", "loudness")
"""Slices that a card lists; combinations and single subjects stand in the report."""


def _audit(report: dict) -> list[str]:
    """Return what the audit found: slices with their verdicts, calibration, deferral, and the worst corruptions."""
    audit, calibration, deferral = (report[key] for key in ("audit", "calibration", "deferral"))
    rows = [row for row in audit["slices"] if row["kind"] in KINDS]
    counts = ", ".join(f"{number} {word}" for word, number in audit["verdicts"].items())
    found = [
        f"**For whom.** Margin {audit['margin'] * 100:g} points against the teacher, over all slices: {counts}. "
        "By label and group, the worst first:",
        _table(
            ("slice", "metric", "clips", "teacher", "ships", "difference", "verdict"),
            [_slice_row(row, audit) for row in rows],
        ),
    ]
    before, after = (
        f"{calibration[when]['calibration_error']['value']:.3f} ({calibration[when]['calibration_error']['low']:.3f} to "
        f"{calibration[when]['calibration_error']['high']:.3f})"
        for when in ("before", "after")
    )
    found.append(
        f"**Calibration** on the validation split moved the test split's calibration error from {before} to {after}."
    )
    found.append(f"**When it asks.** {deferral['text']}.")
    outside = sorted(audit["outside"]["rows"], key=lambda row: row["ships"]["value"])[:4]
    told = "; ".join(
        f"{row['name']} {row['ships']['value']:.3f} (teacher {row['teacher']['value']:.3f})" for row in outside
    )
    found.append(
        f"**Outside the lab**, accuracy on {audit['outside']['clips']} test clips, the worst corruptions: {told}."
    )
    repeated, new = audit["inherited"]["repeated"], audit["inherited"]["new"]
    if repeated and new:
        found.append(
            f"**Inherited errors.** It repeats {repeated['value']:.0%} of the teacher's {audit['inherited']['teacher_errors']} "
            f"errors; {new['value']:.0%} of its own {audit['inherited']['student_errors']} are new."
        )
    return found


def _slice_row(row: dict, audit: dict) -> list[str]:
    teacher, ships = (row["values"][model] for model in ("teacher", audit["shipped"]))
    difference = row["difference"]
    return [
        row["slice"],
        row["metric"],
        str(row["n"]),
        f"{teacher['value']:.3f}",
        f"{ships['value']:.3f} ({ships['low']:.3f} to {ships['high']:.3f})",
        f"{difference['value'] * 100:+.1f} ({difference['low'] * 100:+.1f} to {difference['high'] * 100:+.1f}) points",
        row["verdict"],
    ]


def _threshold(decision: dict) -> str:
    told = (
        f"{name} {row['value']:.3f} ({row['low']:.3f} to {row['high']:.3f})"
        for name in ("sensitivity", "specificity")
        for row in [decision[f"test_{name}"]]
    )
    return f"Threshold {decision['threshold']:.3f} ({decision['fitted']}); on the test split {', '.join(told)}."


def _table(heads: tuple[str, ...], rows: list[list[str]]) -> str:
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _metric(report: dict) -> str:
    return "auroc" if report["task"] == "binary" else "accuracy"


def _word(metric: str) -> str:
    return "AUROC" if metric == "auroc" else metric


def _value(found: dict, name: str, form: str = "{:.3f}", scale: float = 1.0) -> str:
    return form.format(found[name]["value"] / scale) if found.get(name) else "–"


def _between(found: dict, name: str) -> str:
    row = found.get(name)
    return f" ({row['low']:.3f} to {row['high']:.3f})" if row and row["low"] is not None else ""


def _ratio(found: dict) -> str:
    row = found.get("latency_ratio")
    return f"1 / {1 / row['value']:.1f}" if row else "–"


if __name__ == "__main__":
    main()
