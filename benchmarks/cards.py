"""Compile tasks and write their results into the cards: models/<task>/README.md, between the markers.

    python benchmarks/cards.py keywords wakewords --target redmi-7a
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path

MODELS = Path(__file__).resolve().parents[1] / "models"
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
        folder = Path(given.build) / "bundles" / f"{task}-{given.target}"
        folders = [place for place in (folder, folder.with_name(folder.name + ".rejected")) if place.exists()]
        newest = max(folders, key=lambda place: (place / "report.json").stat().st_mtime)
        write_card(MODELS / task / "README.md", json.loads((newest / "report.json").read_text(encoding="utf-8")))


def write_card(card: Path, report: dict) -> None:
    """Put a report's table between a card's markers."""
    text = card.read_text(encoding="utf-8")
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    card.write_text(f"{before}{BEGIN}\n{results(report)}\n{END}{after}", encoding="utf-8")


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
