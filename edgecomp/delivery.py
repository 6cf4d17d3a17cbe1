"""From a recipe and a target to a bundle with its proof: compile, verify, measure, gate, write."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from edgecomp import __version__
from edgecomp.artifact import Artifact, text_hash, to_json
from edgecomp.bundle import GOLDEN_CLIPS, write_bundle
from edgecomp.code import code_hash
from edgecomp.compiler import run_plan
from edgecomp.devices.host import device_name
from edgecomp.evaluate import answers_of, by_group, confusion_and_reliability
from edgecomp.metrics import sensitivity_and_specificity, threshold_for_sensitivity
from edgecomp.plan import Plan, Settings, plan
from edgecomp.proof import Gate, Proof, choose
from edgecomp.report import write_report
from edgecomp.students import read_config
from edgecomp.students.front_end import front_end_macs
from edgecomp.students.layers import macs, parameters
from edgecomp.target import Target
from edgecomp.task import Task


@dataclass(frozen=True)
class Delivered:
    """Where the result lies, and the gates that it failed; a rejected bundle's folder ends in .rejected."""

    folder: Path
    report: Mapping[str, Any]
    failed: tuple[Gate, ...]


def deliver(task: Task, target: Target, out: Path, *, seed: int, settings: Settings | None = None) -> Delivered:
    """Compile a task for a target and write its bundle, which carries its report."""
    chosen = plan(task.recipe, target, settings)
    stages = run_plan(chosen, task, seed)
    proof = Proof.gather(chosen, stages, task, target)
    shipped, warnings = choose(proof, chosen)
    gates = tuple(proof.gates(shipped))
    failed = tuple(gate for gate in gates if not gate.passed)
    report = _report(proof, chosen, shipped, gates, warnings, seed)
    folder = out / f"{task.recipe.name}-{target.name}{'.rejected' if failed else ''}"
    golden = task.waveforms("test")[_spread(task, GOLDEN_CLIPS)]
    write_bundle(
        folder, shipped, _facts(proof, shipped, seed), np.array(golden), lambda work: _copy_report(report, task, work)
    )
    return Delivered(folder, report, failed)


def _copy_report(report: Mapping[str, Any], task: Task, folder: Path) -> None:
    """Copy report.html and report.json into a folder; drawn once, and kept while nothing in them changes."""
    key = text_hash(to_json(report), code_hash("report"))
    drawn = task.store.make("report", key, lambda place: write_report(report, place))
    for name in ("report.html", "report.json"):
        shutil.copyfile(drawn / name, folder / name)


def _spread(task: Task, count: int) -> np.ndarray:
    """Return test clips of as many labels as there is room for, in a fixed order."""
    targets = task.targets("test")
    turn = np.zeros(len(targets), np.int64)
    for label in np.unique(targets):
        turn[targets == label] = np.arange((targets == label).sum())
    return np.lexsort((np.arange(len(targets)), targets, turn))[:count]


def _decision(proof: Proof, shipped: Mapping[str, Artifact]) -> dict[str, Any]:
    """Return how probabilities become a label; a threshold is fitted on the validation split."""
    data, dataset = proof.task.recipe.data, proof.task.dataset
    if not data.positive:
        return {"rule": "most probable"}
    positive = dataset.labels.index(data.positive)
    scores = answers_of(shipped[proof.format], proof.task, "validation")[:, positive]
    wanted = proof.task.recipe.gates.sensitivity
    threshold = threshold_for_sensitivity(scores, proof.task.targets("validation") == positive, wanted)
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


def _decide(answers: np.ndarray, decision: Mapping[str, Any], labels: tuple[str, ...]) -> np.ndarray:
    """Return the class that each row of probabilities is given, (n,) int64."""
    if decision["rule"] == "most probable":
        return answers.argmax(1)
    positive = labels.index(decision["positive"])
    return np.where(answers[:, positive] >= decision["threshold"], positive, 1 - positive)


def _facts(proof: Proof, shipped: Mapping[str, Artifact], seed: int) -> dict[str, Any]:
    """Return what an app must know; nothing here changes between two runs of the same compile."""
    recipe, target, task = proof.task.recipe, proof.target, proof.task
    first = next(iter(shipped.values()))
    return {
        "name": recipe.name,
        "summary": recipe.summary,
        "labels": task.dataset.labels,
        "seed": seed,
        "target": {
            "name": target.name,
            "runtime": target.runtime.name,
            "threads": target.runtime.threads,
            "format": proof.format,
        },
        "signature": first.signature,
        "decision": _decision(proof, shipped),
        "preprocessing": {
            "sample_rate": recipe.data.sample_rate,
            "samples": recipe.data.samples,
            "channels": 1,
            "fit": recipe.data.fit,
            "pad": "zeros on both sides",
            "resample": "soxr VHQ",
            "amplitude": "-1 to 1",
        },
        "data_fingerprint": task.dataset.fingerprint,
        "teacher": {"name": task.teacher.name, "fingerprint": task.teacher.fingerprint},
        "trail": {form: list(file.trail) for form, file in shipped.items()},
    }


def _report(
    proof: Proof,
    chosen: Plan,
    shipped: Mapping[str, Artifact],
    gates: tuple[Gate, ...],
    warnings: list[str],
    seed: int,
) -> dict[str, Any]:
    recipe, target, task = proof.task.recipe, proof.target, proof.task
    hashes = {file.hash for file in shipped.values()}
    final, decision = shipped[proof.format], _decision(proof, shipped)
    stages = [_stage_row("teacher", {}, proof, hashes, task.answers("test"), None)]
    for stage in proof.stages.values():
        rule = decision if stage.files[proof.format] == final else None  # the threshold is the shipped model's own
        stages.append(
            _stage_row(
                stage.name, stage.files, proof, hashes, answers_of(stage.files[proof.format], task, "test"), rule
            )
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
        "decision": decision,
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
            "findings": _findings(task),
        },
        "groups": by_group({"teacher": task.answers("test"), "ships": answers_of(final, task, "test")}, task),
        "stages": stages,
        "parity": [asdict(p) for p in proof.parity],
        "gates": [asdict(gate) for gate in gates],
        "warnings": warnings,
        "trail": [asdict(step) for step in final.trail],
    }


def _stage_row(
    name: str,
    files: Mapping[str, Artifact],
    proof: Proof,
    shipped: set[str],
    answers: np.ndarray,
    decision: Mapping[str, Any] | None,
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
    decided = _decide(answers, decision, proof.task.dataset.labels) if decision else answers.argmax(1)
    return {"name": name, "files": rows, "facts": facts, **confusion_and_reliability(answers, decided, proof.task)}


def _student(proof: Proof, chosen: Plan) -> dict[str, Any]:
    config = read_config(proof.stages[chosen.float_stage].student.path)
    front_end = config.front_end
    return {
        "family": config.family,
        "widths": config.widths,
        "front_end": asdict(front_end),
        "parameters": parameters(config.layers),
        "front_end_macs": front_end_macs(front_end),
        "body_macs": sum(macs(config.layers, front_end.frames, front_end.mels).values()),
    }


def _subjects(task: Task) -> dict[str, int] | None:
    if not task.recipe.data.subject:
        return None
    return {s: len({clip.subject for clip in task.dataset.of(s).clips}) for s in ("train", "validation", "test")}


def _findings(task: Task) -> list[dict[str, Any]]:
    """Return what `edgecomp check` finds, kept with the data it was found in."""
    import json

    from edgecomp.data.check import check

    def look(folder: Path) -> None:
        (folder / "findings.json").write_text(
            to_json([asdict(f) for f in check(task.recipe, task.store, task.dataset.folder)]), encoding="utf-8"
        )

    key = text_hash("findings", task.dataset.fingerprint, task.recipe.data, __version__)
    return json.loads((task.store.make("findings", key, look) / "findings.json").read_text(encoding="utf-8"))
