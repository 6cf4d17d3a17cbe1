"""From a recipe and a target to a bundle with its proof: compile, verify, measure, gate, write."""

from __future__ import annotations

import io
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np

from edgecomp.account import account, decision
from edgecomp.artifact import Artifact, content_hash, text_hash, to_json
from edgecomp.audit.deferral import Threshold
from edgecomp.bundle import FLOAT_ANSWERS, GOLDEN_CLIPS, write_bundle
from edgecomp.cases import audit_compile, decide, slices_gate, threshold_of
from edgecomp.code import code_hash
from edgecomp.compiler import Staged, run_plan
from edgecomp.evaluate import answers_of, source_of, source_waveforms
from edgecomp.lowering.analysis import source_samples
from edgecomp.papers import cyclonedx, model_card
from edgecomp.plan import Plan, Settings, plan
from edgecomp.progress import say
from edgecomp.proof import Gate, Proof, choose, stage_of
from edgecomp.report import write_report
from edgecomp.target import Target
from edgecomp.task import Task


@dataclass(frozen=True)
class Delivered:
    """Where the result lies, and the gates that it failed; a rejected bundle's folder ends in .rejected."""

    folder: Path
    report: Mapping[str, Any]
    failed: tuple[Gate, ...]


def deliver(
    task: Task,
    target: Target,
    out: Path,
    *,
    seed: int,
    settings: Settings | None = None,
    replicates: int = 0,
    with_voices: bool = True,
) -> Delivered:
    """Compile a task for a target and write its bundle, which carries its report.

    replicates: students from other seeds that the forgotten clips rest on, at least 2; 0 for none
    with_voices: whether the forgotten clips' sounds may go along; the recipe may forbid it too
    """
    chosen = plan(task.recipe, target, settings)
    stages = run_plan(chosen, task, seed)
    proof = Proof.gather(chosen, stages, task, target)
    shipped, warnings = choose(proof, chosen)
    file = shipped[proof.format]
    audit = audit_compile(proof, file, _replicated(replicates, chosen, proof, file, seed))
    if not (with_voices and task.recipe.report.voices):
        audit = {**audit, "audit": without_voices(audit["audit"])}
    gates = (*proof.gates(shipped), slices_gate(audit["audit"]))
    failed = tuple(gate for gate in gates if not gate.passed)
    report = account(proof, chosen, shipped, gates, warnings, audit, seed)
    folder = out / f"{task.recipe.name}-{target.name}{'.rejected' if failed else ''}"
    golden = source_waveforms(task, "test", chosen.source_hz)[_spread(task, GOLDEN_CLIPS)]
    write_bundle(
        folder,
        shipped,
        _facts(proof, shipped, audit["deferral"], seed),
        np.array(golden),
        lambda work, facts: _write_evidence(work, facts, report, proof, stages[chosen.float_stage]),
    )
    return Delivered(folder, report, failed)


def _write_evidence(
    folder: Path, facts: Mapping[str, Any], report: Mapping[str, Any], proof: Proof, in_float: Staged
) -> None:
    """Write the report, the forgotten clips, the float student's answers, the model card and the ML-BOM into a bundle.

    The report is drawn once, and kept while nothing in it changes.
    """
    task = proof.task
    sounds = _forgotten_sounds(report, task)
    key = text_hash(to_json(report), *sounds, code_hash("report"))
    drawn = task.store.make("report", key, lambda place: write_report(report, place, sounds))
    shutil.copytree(drawn, folder, dirs_exist_ok=True, ignore=shutil.ignore_patterns(".*"))
    (folder / "README.md").write_text(model_card(report, facts), encoding="utf-8")
    answers = {
        "stage": in_float.name,
        "clips": [clip.path for clip in task.dataset.of("test").clips],
        "probabilities": answers_of(in_float.files[proof.format], task, "test").astype(float).round(7),
    }
    (folder / FLOAT_ANSWERS).write_text(to_json(answers) + "\n", encoding="utf-8")
    hashes = {p.relative_to(folder).as_posix(): content_hash(p) for p in sorted(folder.rglob("*")) if p.is_file()}
    (folder / "bom.cdx.json").write_text(cyclonedx(report, facts, hashes), encoding="utf-8")


def without_voices(audit: Mapping[str, Any]) -> dict[str, Any]:
    """Return an audit whose forgotten clips are listed, but are not to be heard."""
    found = audit["forgotten"]
    silent = [{**clip, "sound": None} for clip in found["clips"]]
    return {**audit, "forgotten": {**found, "clips": silent, "voices": False}}


def _forgotten_sounds(report: Mapping[str, Any], task: Task) -> dict[str, bytes]:
    """Return the listed forgotten clips as the model hears them, by the name of the file that the report states: FLAC."""
    import soundfile

    waves, made = task.waveforms("test"), {}
    for clip in report["audit"]["forgotten"]["clips"]:
        if clip["sound"] is None:
            continue
        stream = io.BytesIO()
        soundfile.write(stream, np.array(waves[clip["row"]]), task.dataset.sample_rate, format="FLAC", subtype="PCM_16")
        made[clip["sound"]] = stream.getvalue()
    return made


def _spread(task: Task, count: int) -> np.ndarray:
    """Return test clips of as many labels as there is room for, in a fixed order."""
    targets = task.targets("test")
    turn = np.zeros(len(targets), np.int64)
    for label in np.unique(targets):
        turn[targets == label] = np.arange((targets == label).sum())
    return np.lexsort((np.arange(len(targets)), targets, turn))[:count]


def _replicated(count: int, chosen: Plan, proof: Proof, file: Artifact, seed: int) -> np.ndarray | None:
    """Return the decisions of students from other seeds on the test split, (count, clips), or None for none."""
    if not count:
        return None
    stage, found = stage_of(proof.stages, file), []
    needed = replace(chosen, stages=tuple(one for one in chosen.stages if one.name != "labels only"))
    for replicate in range(1, count + 1):
        say(f"replicate {replicate} of {count}, seed {seed + replicate}")
        again = run_plan(needed, proof.task, seed + replicate)[stage].files[proof.format]
        found.append(decide(answers_of(again, proof.task, "test"), proof.task, threshold_of(again)))
    return np.stack(found)


def _facts(proof: Proof, shipped: Mapping[str, Artifact], asking: Mapping[str, Any], seed: int) -> dict[str, Any]:
    """Return what an app must know; nothing here changes between two runs of the same compile."""
    recipe, target, task = proof.task.recipe, proof.target, proof.task
    first = next(iter(shipped.values()))
    source_hz = source_of(first)
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
        "decision": decision(proof, shipped),
        "deferral": {"rule": asking["rule"]} | {field.name: asking[field.name] for field in fields(Threshold)},
        "preprocessing": {
            "sample_rate": source_hz or recipe.data.sample_rate,
            "samples": source_samples(
                recipe.data.samples, recipe.data.sample_rate, source_hz or recipe.data.sample_rate
            ),
            "channels": 1,
            "fit": recipe.data.fit,
            "pad": "zeros on both sides",
            "resample": "soxr VHQ",
            "amplitude": "-1 to 1",
        }
        | ({} if source_hz is None else {"resampled_inside_to": recipe.data.sample_rate}),
        **({"form": recipe.form.told()} if recipe.form.questions else {}),
        "data_fingerprint": task.dataset.fingerprint,
        "teacher": {"name": task.teacher.name, "fingerprint": task.teacher.fingerprint},
        "trail": {form: list(file.trail) for form, file in shipped.items()},
    }
