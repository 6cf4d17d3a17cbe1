"""The model card's second half: where the model comes from, on which terms, and how to run it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from edgecomp.papers import statements
from edgecomp.papers.licences import is_stated
from edgecomp.papers.markup import escaped, table
from edgecomp.report import wording as say

RUN = {
    "onnx": """import numpy as np, onnxruntime, soundfile

wave, rate = soundfile.read("golden/00.wav", dtype="float32")   # {rate} Hz, mono, {samples} samples
session = onnxruntime.InferenceSession("{file}")
probabilities, uncertainty = session.run(["probabilities", "uncertainty"], {{"waveform": wave[None]}})
print(open("labels.txt").read().split("\\n")[int(np.argmax(probabilities))])""",
    "tflite": """import numpy as np, soundfile
from ai_edge_litert.interpreter import Interpreter

wave, rate = soundfile.read("golden/00.wav", dtype="float32")   # {rate} Hz, mono, {samples} samples
run = Interpreter("{file}").get_signature_runner()
answer = run(waveform=wave[None])
print(open("labels.txt").read().split("\\n")[int(np.argmax(answer["probabilities"]))])""",
}


def data(report: Mapping[str, Any], facts: Mapping[str, Any]) -> list[str]:
    told = report["data"]
    subjects = told.get("subjects") or {}
    lines = [
        "## Training data",
        "",
        f"- source: {_stated(told.get('source'))}",
        f"- licence: {_stated(told.get('licence'))}",
    ]
    for split, clips in (told.get("splits") or {}).items():
        people = f" of {say.count(subjects[split], 'subject')}" if split in subjects else ""
        lines.append(f"- {escaped(split)} split: {clips:,} clips{people}")
    lines += [f"- group columns: {escaped(', '.join(told['groups']))}"] if told.get("groups") else []
    lines += [f"- faults resolved: {escaped(one)}" for one in statements.resolved(report)]
    lines += [f"- fingerprint: `{facts['data_fingerprint']}`"] if facts.get("data_fingerprint") else []
    return lines


def teacher(report: Mapping[str, Any], facts: Mapping[str, Any]) -> list[str]:
    told, hashed = report["teacher"], statements.teacher_hash(report, facts)
    lines = ["## Teacher", "", f"- name: {escaped(told.get('name') or 'not stated')}"]
    lines.append(f"- licence: {_stated(told.get('licence'))}")
    if told.get("parameters"):
        lines.append(f"- parameters: {told['parameters']:,}")
    if told.get("bytes"):
        lines.append(f"- size: {say.size(told['bytes'])}")
    if hashed:
        what = "fingerprint" if hashed[0] == "fingerprint" else f"SHA-256 of its {hashed[0]}"
        lines.append(f"- {what}: `{hashed[1]}`")
    mark = "" if told.get("outputs_may_train", "unknown") == "yes" else "**Warning.** "
    return [*lines, "", mark + escaped(statements.may_train(report))]


def licence() -> list[str]:
    return [
        "## Licence of these weights",
        "",
        "Not stated. They were computed from the data and the teacher named above; whether and how the licences of those "
        "two bind the weights is a question of law that a compiler does not answer. Whoever passes this model on states "
        "its licence.",
    ]


def provenance(report: Mapping[str, Any], facts: Mapping[str, Any]) -> list[str]:
    lines = ["## Provenance", ""]
    when = f", {escaped(report['created'])}" if report.get("created") else ""
    made = f"edgecomp {escaped(report.get('edgecomp', ''))}, seed {report.get('seed', say.MISSING)}{when}"
    lines += [f"Compiled by {made}.", ""]
    models = facts.get("models") or {}
    if models:
        lines += table(
            ("file", "size", "SHA-256"),
            [(one["file"], f"{one['bytes']:,} bytes", one["sha256"]) for one in models.values()],
        )
        lines.append("")
    return lines + table(
        ("pass", "settings", "seed", "SHA-256 of its result"),
        [
            (step["name"], say.compact(step["settings"]), step["seed"], step["output_hash"] or say.MISSING)
            for step in report["trail"]
        ],
    )


def how_to_run(report: Mapping[str, Any], facts: Mapping[str, Any]) -> list[str]:
    told, models = facts.get("preprocessing"), facts.get("models") or {}
    if not told:
        return []
    lines = [
        "## How to run it",
        "",
        "`edgecomp run THIS_FOLDER clip.mp3` takes recordings of any rate, length and channels.",
    ]
    first = report["target"].get("format")
    for form in sorted(set(models) & set(RUN), key=lambda one: (one != first, one)):
        code = RUN[form].format(file=models[form]["file"], rate=told["sample_rate"], samples=told["samples"])
        lines += ["", "```python", code, "```"]
    lines += ["", "The probabilities are in the order of `labels.txt`."]
    limit = (report.get("deferral") or {}).get("ask_above")
    return (
        lines
        if limit is None
        else [*lines, f"Where the output `uncertainty` is above {limit:.6g}, ask instead of answering."]
    )


def _stated(text: object) -> str:
    return escaped(text) if is_stated(text) else "**not stated**"
