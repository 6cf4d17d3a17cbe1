"""The passes as CycloneDX formulation: one workflow whose tasks carry settings, seed and the hashes around them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from edgecomp.report.wording import compact

Component = dict[str, Any]
READS = {
    "distil": ("teacher", "data"),
    "prune": ("data",),
    "finetune": ("teacher", "data"),
    "quantise": ("data",),
    "calibrate": ("data",),
}
"""What passes read beside their input; a pass that only computes from its input is not here."""


def asks_teacher(step: Mapping[str, Any]) -> bool:
    """Say whether a step learnt from the teacher's answers; with all weight on the labels it did not."""
    return "teacher" in READS.get(step["name"], ()) and step["settings"].get("label_weight") != 1


def formulation(trails: Mapping[str, Sequence[Mapping[str, Any]]], files: Mapping[str, str]) -> list[dict[str, Any]]:
    """Return how the files came about: what several formats share is told once.

    trails: by format, the steps in order, as in bundle.json
    files:  name and SHA-256 of what ships; a step whose output is one of them points to it
    """
    steps, follows = _steps(trails)
    if not steps:
        return []
    shipped = {digest: f"file:{name}" for name, digest in files.items()}
    places = {key: f"pass:{number:02d}:{step['name']}" for number, (key, step) in enumerate(steps.items(), 1)}
    made: dict[str, Component] = {}
    for step in steps.values():
        digest = step["output_hash"]
        if digest and digest not in shipped:
            made.setdefault(digest, _between(step))
    refs = shipped | {digest: one["bom-ref"] for digest, one in made.items()}
    return [
        {
            "bom-ref": "formula:compile",
            "components": list(made.values()),
            "workflows": [
                {
                    "bom-ref": "workflow:compile",
                    "uid": "workflow:compile",
                    "name": "compile",
                    "description": "the passes that made the files, in order; each states its input by its hash",
                    "taskTypes": ["build"],
                    "tasks": [_task(step, places[key], refs) for key, step in steps.items()],
                    "taskDependencies": [
                        {"ref": places[key], "dependsOn": sorted(places[before] for before in follows[key])}
                        for key in steps
                    ],
                }
            ],
        }
    ]


def _steps(
    trails: Mapping[str, Sequence[Mapping[str, Any]]],
) -> tuple[dict[tuple, Mapping[str, Any]], dict[tuple, set[tuple]]]:
    """Return every different step once, and by step which ones it goes on from."""
    steps: dict[tuple, Mapping[str, Any]] = {}
    follows: dict[tuple, set[tuple]] = {}
    for form in sorted(trails):
        before = None
        for step in trails[form]:
            key = (step["name"], step["input_hash"], step["output_hash"])
            steps.setdefault(key, step)
            follows.setdefault(key, set())
            if before is not None:
                follows[key].add(before)
            before = key
    return steps, follows


def _task(step: Mapping[str, Any], place: str, refs: Mapping[str, str]) -> dict[str, Any]:
    inputs: list[dict[str, Any]] = []
    sources = [refs[step["input_hash"]]] if step["input_hash"] in refs else []
    sources += [ref for ref in READS.get(step["name"], ()) if ref != "teacher" or asks_teacher(step)]
    inputs += [{"resource": {"ref": ref}} for ref in sources]
    if step["settings"]:
        inputs.append(
            {"parameters": [{"name": name, "value": compact(one)} for name, one in sorted(step["settings"].items())]}
        )
    task: dict[str, Any] = {
        "bom-ref": place,
        "uid": place,
        "name": step["name"],
        "taskTypes": ["build"],
        "inputs": inputs,
        "outputs": [{"type": "artifact", "resource": {"ref": refs[step["output_hash"]]}}]
        if step["output_hash"]
        else [],
        "properties": [
            {"name": "edgecomp:seed", "value": str(step["seed"])},
            *({"name": f"edgecomp:{key}", "value": step[key]} for key in ("input_hash", "output_hash") if step[key]),
            *({"name": f"edgecomp:fact:{name}", "value": compact(one)} for name, one in sorted(step["facts"].items())),
        ],
    }
    return {name: one for name, one in task.items() if one}


def _between(step: Mapping[str, Any]) -> Component:
    digest = step["output_hash"]
    return {
        "type": "machine-learning-model",
        "bom-ref": f"made:{digest}",
        "name": f"student after {step['name']}",
        "description": "kept in the build folder, not shipped; the hash is over its files’ names and contents",
        "hashes": [{"alg": "SHA-256", "content": digest}],
    }
