"""Compile tasks and write their results into the cards (models/<task>/README.md) and the README, between the markers.

    python benchmarks/cards.py keywords wakewords --target redmi-7a
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
MODELS = ROOT / "models"
TASKS = ("keywords", "wakewords", "digits", "sounds", "cough")
BEGIN, END = "<!-- results: written by benchmarks/cards.py -->", "<!-- end of results -->"


def main() -> None:
    """Compile every task named and rewrite the results of its card."""
    ask = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ask.add_argument("tasks", nargs="+")
    ask.add_argument("--target", default="redmi-7a")
    ask.add_argument("--build", default="build")
    given = ask.parse_args()
    for task in given.tasks:
        command = [sys.executable, "-m", "edgecomp", "compile", task, "--target", given.target, "--build", given.build]
        subprocess.run(command, stdout=subprocess.DEVNULL, check=False)  # a failed gate is a result too
    found = {task: report for task in TASKS if (report := newest_report(Path(given.build) / "bundles", f"{task}-{given.target}"))}
    for task, report in found.items():
        put(MODELS / task / "README.md", results(report))
    put(ROOT / "README.md", overview(found))


def newest_report(folder: Path, name: str) -> dict | None:
    """Return the newest report of a bundle, accepted or rejected."""
    files = [file for file in (folder / name / "report.json", folder / f"{name}.rejected" / "report.json") if file.exists()]
    return json.loads(max(files, key=lambda file: file.stat().st_mtime).read_text(encoding="utf-8")) if files else None


def put(page: Path, content: str) -> None:
    """Put content between a page's markers."""
    text = page.read_text(encoding="utf-8")
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    page.write_text(f"{before}{BEGIN}\n{content}\n{END}{after}", encoding="utf-8")


def overview(found: dict[str, dict]) -> str:
    """Return one row a task: teacher, labels alone, distilled, and what ships in the target's format."""
    lines = ["| task | metric | teacher | student, labels alone | distilled | int8 | ships | bytes, to the teacher's | latency, to the teacher's | gates |",
             "|---|---|---|---|---|---|---|---|---|---|"]
    for task, report in found.items():
        form, metric = report["target"]["format"], "auroc" if report["task"] == "binary" else "accuracy"
        files = {stage["name"]: next((f for f in stage["files"] if f["format"] == form), stage["files"][0]) for stage in report["stages"]}
        name, ships = next((name, file) for name, file in files.items() if file["shipped"])
        cells = [_value(files[stage]["measurements"], metric, "{:.3f}") if stage in files else "–" for stage in ("teacher", "labels only", "distilled", "int8")]
        smaller = files["teacher"]["bytes"] / ships["bytes"]
        bad = sum(not gate["passed"] for gate in report["gates"])
        lines.append(f"| {task} | {'AUROC' if metric == 'auroc' else metric} | {' | '.join(cells)} | {name}: {_value(ships['measurements'], metric, '{:.3f}')}"
                     f"{_between(ships['measurements'], metric)} | {ships['bytes']:,} (1 / {smaller:.0f}) | {_value(ships['measurements'], 'latency_p50', '{:.2f} ms')} "
                     f"({_ratio(ships['measurements'])}) | {f'{bad} failed' if bad else 'passed'} |")
    any_report = next(iter(found.values()))
    return "\n".join([*lines, "", f"Test splits, 95 % intervals; target `{any_report['target']['name']}`; measured on {any_report['device']}."])


def results(report: dict) -> str:
    """Return a report's results as Markdown: every stage and format, and the gates."""
    data, binary = report["data"], report["task"] == "binary"
    metric = "auroc" if binary else "accuracy"
    lines = [f"Compiled for `{report['target']['name']}` by edgecomp {report['edgecomp']}; {data['splits']['train']} training, "
             f"{data['splits']['validation']} validation and {data['splits']['test']} test clips; seed {report['seed']}. "
             f"Latency is measured on {report['device']}, one thread, waveform to probabilities, and is not the phone's.", "",
             f"| stage | format | {'AUROC' if binary else 'accuracy'} (95 % interval) | bytes | p50 latency | latency to the teacher's | peak memory |",
             "|---|---|---|---|---|---|---|"]
    for stage in report["stages"]:
        for file in stage["files"]:
            found = file["measurements"]
            shipped = " **ships**" if file["shipped"] else ""
            lines.append(f"| {stage['name']}{shipped} | {file['format']} | {_value(found, metric, '{:.3f}')}{_between(found, metric)} | {file['bytes']:,} "
                         f"| {_value(found, 'latency_p50', '{:.3f} ms')} | {_ratio(found)} | {_value(found, 'peak_memory', '{:.1f} MB', 1e6)} |")
    student = report["student"]
    lines += ["", f"Student: {student['family']}, widths {', '.join(map(str, student['widths']))}, {student['parameters']:,} parameters; "
              f"{student['body_macs'] / 1e6:.2f} M multiply-accumulates in the body and {student['front_end_macs'] / 1e6:.2f} M in the front end, a clip."]
    if report["groups"]:
        lines += ["", f"Within each group, {'AUROC' if binary else 'accuracy'} on the test split:", "",
                  "| group | value | clips | teacher | ships |", "|---|---|---|---|---|"]
        for row in report["groups"]:
            cells = [_value(row[model], metric, "{:.3f}") + _between(row[model], metric) if row[model].get(metric) else "one label only"
                     for model in ("teacher", "ships")]
            lines.append(f"| {row['column']} | {row['value']} | {row['n']} | {' | '.join(cells)} |")
    lines += ["", "Gates: " + "; ".join(f"{'passed' if gate['passed'] else '**failed**'}: {gate['text']}" for gate in report["gates"]) + "."]
    lines += [f"\nWarning: {warning}." for warning in report["warnings"]]
    return "\n".join(lines)


def _value(found: dict, name: str, form: str, scale: float = 1.0) -> str:
    return form.format(found[name]["value"] / scale) if name in found else "–"


def _between(found: dict, name: str) -> str:
    row = found.get(name)
    return f" ({row['low']:.3f} to {row['high']:.3f})" if row and row["low"] is not None else ""


def _ratio(found: dict) -> str:
    row = found.get("latency_ratio")
    return f"1 / {1 / row['value']:.1f}" if row else "–"


if __name__ == "__main__":
    main()
