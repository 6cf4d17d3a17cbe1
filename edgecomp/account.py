"""The account of a compile: everything that report.json says, gathered from what was measured."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from edgecomp import __version__
from edgecomp.artifact import Artifact, text_hash, to_json
from edgecomp.cases import decide, teacher_threshold, threshold_of
from edgecomp.devices.host import device_name
from edgecomp.evaluate import answers_of, confusion_and_reliability
from edgecomp.lowering.analysis import analysis_of
from edgecomp.metrics import sensitivity_and_specificity
from edgecomp.plan import Plan
from edgecomp.proof import Gate, Proof
from edgecomp.students import read_config
from edgecomp.students.layers import macs, parameters
from edgecomp.task import Task


def account(
    proof: Proof,
    chosen: Plan,
    shipped: Mapping[str, Artifact],
    gates: tuple[Gate, ...],
    warnings: list[str],
    audit: Mapping[str, Any],
    seed: int,
) -> dict[str, Any]:
    """Return what report.json says.

    shipped: the file of every format that is in the bundle
    audit:   what cases.audit_compile returned
    """
    recipe, target, task = proof.task.recipe, proof.target, proof.task
    findings = _findings(task)
    hashes = {file.hash for file in shipped.values()}
    final, rule = shipped[proof.format], decision(proof, shipped)
    stages = [_stage_row("teacher", {}, proof, hashes, task.answers("test"), _teachers_threshold(task))]
    for stage in proof.stages.values():
        file = stage.files[proof.format]
        stages.append(
            _stage_row(stage.name, stage.files, proof, hashes, answers_of(file, task, "test"), threshold_of(file))
        )
    return {
        "schema": 1,
        "edgecomp": __version__,
        "created": proof.costs.taken,
        "name": recipe.name,
        "summary": recipe.summary,
        "task": "binary" if recipe.data.positive else "multiclass",
        "labels": task.dataset.labels,
        "seed": seed,
        "device": device_name(),
        "host": proof.costs.host,
        "decision": rule,
        "target": {
            "name": target.name,
            "summary": target.summary,
            "soc": target.hardware.soc,
            "ram_mb": target.hardware.ram_mb,
            "runtime": target.runtime.name,
            "format": proof.format,
            "threads": target.runtime.threads,
            "weight_bits": target.numerics.weight_bits,
            "budget": target.budget.model_dump(),
        },
        "teacher": {
            "name": task.teacher.name,
            "licence": recipe.teacher.licence,
            "outputs_may_train": recipe.teacher.outputs_may_train,
            **task.teacher.facts,
        },
        "student": _student(proof, chosen),
        "data": {
            "source": recipe.data.source,
            "licence": recipe.data.licence,
            "groups": recipe.data.groups,
            "splits": {s: len(task.dataset.of(s).clips) for s in ("train", "validation", "test")},
            "subjects": _subjects(task),
            "notes": list(task.dataset.notes),
            "findings": findings,
        },
        "stages": stages,
        "parity": [asdict(p) for p in proof.parity],
        "gates": [asdict(gate) for gate in gates],
        "warnings": [*warnings, *_shortcuts(findings)],
        **audit,
        **({"form": recipe.form.told()} if recipe.form.questions else {}),
        "trail": [asdict(step) for step in final.trail],
    }


def decision(proof: Proof, shipped: Mapping[str, Artifact]) -> dict[str, Any]:
    """Return how probabilities become a label; a threshold is fitted on the validation split."""
    data, dataset = proof.task.recipe.data, proof.task.dataset
    if not data.positive:
        return {"rule": "most probable"}
    positive = dataset.labels.index(data.positive)
    threshold = threshold_of(shipped[proof.format])
    wanted = proof.task.recipe.gates.sensitivity
    test = answers_of(shipped[proof.format], proof.task, "test")[:, positive]
    found = sensitivity_and_specificity(test, proof.task.targets("test") == positive, threshold)
    return {
        "rule": "threshold",
        "positive": data.positive,
        "threshold": threshold,
        "fitted": f"sensitivity of at least {wanted} on the validation split",
        "test_sensitivity": found[0],
        "test_specificity": found[1],
    }


def _stage_row(
    name: str,
    files: Mapping[str, Artifact],
    proof: Proof,
    shipped: set[str],
    answers: np.ndarray,
    threshold: float | None,
) -> dict[str, Any]:
    rows = []
    for form, file in files.items() or [(None, None)]:
        of = f"{name} {form}" if form else name
        measured = {row.name: row for row in [*proof.quality.get(of, []), *proof.costs.rows.get(of, [])]}
        rows.append(
            {
                "format": form or str(proof.task.teacher.facts.get("kind", "")),
                "hash": file.hash if file else proof.task.teacher.fingerprint,
                "bytes": file.path.stat().st_size if file else measured["bytes"].value,
                "note": None,
                "shipped": bool(file) and file.hash in shipped,
                "measurements": {
                    key: {k: v for k, v in asdict(row).items() if k not in ("name", "of", "artifact_hash")}
                    for key, row in measured.items()
                },
            }
        )
    facts = proof.stages[name].student.trail[-1].facts if files else {}
    decided = decide(answers, proof.task, threshold)
    return {"name": name, "files": rows, "facts": facts, **confusion_and_reliability(answers, decided, proof.task)}


def _student(proof: Proof, chosen: Plan) -> dict[str, Any]:
    config = read_config(proof.stages[chosen.float_stage].student.path)
    front_end = config.front_end
    return {
        "family": config.family,
        "widths": config.widths,
        "front_end": asdict(front_end),
        "parameters": parameters(config.layers),
        "front_end_macs": analysis_of(front_end, chosen.source_hz).macs,
        "source_hz": chosen.source_hz,
        "body_macs": sum(macs(config.layers, front_end.frames, front_end.mels).values()),
    }


def _teachers_threshold(task: Task) -> float | None:
    return teacher_threshold(task) if task.recipe.data.positive else None


def _shortcuts(findings: list[dict[str, Any]]) -> list[str]:
    """Warn of what may carry the label besides the sound itself."""
    return [finding["message"] for finding in findings if finding["code"] == "shortcut"]


def _subjects(task: Task) -> dict[str, int] | None:
    if not task.recipe.data.subject:
        return None
    return {s: len({clip.subject for clip in task.dataset.of(s).clips}) for s in ("train", "validation", "test")}


def _findings(task: Task) -> list[dict[str, Any]]:
    """Return what `edgecomp check` finds, kept with the data it was found in."""
    from edgecomp.data.check import check

    def look(folder: Path) -> None:
        (folder / "findings.json").write_text(
            to_json([asdict(f) for f in check(task.recipe, task.store, task.dataset.folder)]), encoding="utf-8"
        )

    key = text_hash("findings", task.dataset.fingerprint, task.recipe.data, __version__)
    return json.loads((task.store.make("findings", key, look) / "findings.json").read_text(encoding="utf-8"))
