"""Who is audited: a compile on its test split, or a bundle on anybody's clips; kept in the store like everything else."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from edgecomp import __version__, appraisal
from edgecomp.appraisal import TEACHER, Case
from edgecomp.artifact import Artifact, text_hash, to_json
from edgecomp.audit.deferral import Threshold, choose_threshold
from edgecomp.audit.slices import lost_slices
from edgecomp.code import code_hash
from edgecomp.data.audio import load_clip
from edgecomp.data.manifest import Dataset
from edgecomp.data.rows import find_audio
from edgecomp.data.scan import scan
from edgecomp.errors import DataError
from edgecomp.evaluate import answers_of, as_source, source_of, uncertainty_of
from edgecomp.metrics import gives_labels_only, threshold_for_sensitivity
from edgecomp.proof import Gate, Proof, stage_of
from edgecomp.runtimes import runtime_for
from edgecomp.students.ending import read_ending
from edgecomp.task import Task

FOREIGN_CLIPS = 64
"""Recordings of another task that are asked about."""
CODE = ("audit", "appraisal.py", "cases.py", "metrics.py", "data/corruptions.py", "data/foreign.py", "data/audio.py")
"""What an audit's result depends on beside the models, the clips and the recipe."""


def audit_compile(proof: Proof, shipped: Artifact, replicates: np.ndarray | None = None) -> dict[str, Any]:
    """Audit what ships of a compile on the test split; returns the report's audit, calibration and deferral.

    shipped:    the file that the target runs
    replicates: (K, n) decisions of students from other seeds, for the forgotten clips
    """
    task, recipe = proof.task, proof.task.recipe
    key = text_hash(
        "audit",
        *(f"{name} {stage.files[proof.format].hash}" for name, stage in proof.stages.items()),
        shipped.hash,
        *(task.dataset.of(split).fingerprint for split in ("train", "validation", "test")),
        task.teacher.fingerprint,
        recipe.gates,
        recipe.deferral,
        recipe.data.positive,
        None if replicates is None else replicates.tobytes(),
        *_versions(),
    )

    def make(folder: Path) -> None:
        case = _case(proof, shipped)
        threshold = asking_threshold(task, shipped)
        ask = asker(shipped, task.dataset.sample_rate)

        def teacher(waves: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
            given = task.teacher.probabilities(waves)
            return given, np.zeros(len(given))

        found = whole_audit(case, threshold, task, teacher, ask, replicates)
        (folder / "audit.json").write_text(to_json(found), encoding="utf-8")

    return json.loads((task.store.make("audit", key, make) / "audit.json").read_text(encoding="utf-8"))


def whole_audit(
    case: Case,
    threshold: Threshold,
    task: Task,
    teacher: appraisal.Ask,
    ask: appraisal.Ask,
    replicates: np.ndarray | None = None,
) -> dict[str, Any]:
    """Run every part of the audit; returns the report's audit, calibration and deferral."""
    gates = task.recipe.gates
    table = appraisal.slice_table(case, gates.max_slice_loss)
    failed = lost_slices(table.rows, gates.allow_unclear)
    audit = {
        "models": list(case.answers),
        "shipped": case.shipped,
        "margin": table.margin,
        "allow_unclear": gates.allow_unclear,
        "slices": table.rows,
        "verdicts": table.counts,
        "failed": [{"slice": name, "why": why} for name, why in failed],
        "inherited": appraisal.inherited(case),
        "forgotten": appraisal.forgotten(case, replicates),
        "outside": appraisal.outside(case, teacher, ask),
    }
    return {
        "audit": audit,
        "calibration": appraisal.calibration(case),
        "deferral": appraisal.deferral(case, threshold, task.recipe.deferral, ask, _foreign(task)),
    }


def slices_gate(audit: Mapping[str, Any]) -> Gate:
    """Hold an audit's slices against the recipe's gates."""
    counts, failed = audit["verdicts"], audit["failed"]
    told = ", ".join(f"{counts[word]} {word}" for word in counts)
    if failed:
        text = f"{told}; " + "; ".join(f"{one['slice']}: {one['why']}" for one in failed)
    else:
        text = f"no slice lost more than {audit['margin'] * 100:g} points against the teacher beyond chance: {told}"
    return Gate("slices", len(failed), 0, "slices", not failed, text)


def _foreign(task: Task) -> np.ndarray | None:
    """Return recordings from the folder that the recipe calls foreign, (m, samples), spread over it; None without one."""
    given, data = task.recipe.deferral.foreign, task.recipe.data
    if given is None:
        return None
    folder = (task.recipe.folder / given).resolve()
    files = find_audio(folder) if folder.is_dir() else []
    if not files:
        raise DataError(
            "there are no recordings in the folder of foreign ones",
            where=f"{task.recipe.file} [deferral] foreign",
            fix=f"name a folder of audio files, or leave it out; looked at {folder}",
        )
    chosen = files[:: max(1, len(files) // FOREIGN_CLIPS)][:FOREIGN_CLIPS]
    how = {"sample_rate": data.sample_rate, "samples": data.samples, "fit": data.fit}
    return np.stack([load_clip(folder / name, **how) for name in chosen])


def asking_threshold(task: Task, shipped: Artifact) -> Threshold:
    """Choose on the validation split above which uncertainty the shipped file asks."""
    decided = decide(answers_of(shipped, task, "validation"), task, threshold_of(shipped))
    wrong = decided != task.targets("validation")
    given = task.recipe.deferral
    names = [clip.subject for clip in task.dataset.of("validation").clips]
    return choose_threshold(
        uncertainty_of(shipped, task, "validation"),
        wrong,
        given.max_risk,
        confidence=given.confidence,
        subjects=names if any(names) else None,
    )


def threshold_of(file: Artifact) -> float | None:
    """Return the threshold that a file was calibrated with, or None where the most probable label is its answer."""
    facts = [step.facts for step in file.trail if step.name == "calibrate"]
    return facts[-1].get("threshold") if facts else None


def asker(file: Artifact, sample_rate: int) -> Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]:
    """Return a function that asks a model file about waveforms (n, samples), clip by clip as a phone would.

    sample_rate: of those waveforms, the recipe's; a file that takes another rate is given them at that rate
    """
    session, source_hz = runtime_for(file.form).open_session(file.path), source_of(file)

    def ask(waves: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        given = [session(wave) for wave in as_source(waves, sample_rate, source_hz)]
        return np.stack([one.probabilities for one in given]), np.array([one.uncertainty for one in given])

    return ask


def teacher_threshold(task: Task) -> float:
    """Return the teacher's own threshold, fitted on the validation split by the rule that the student's is fitted by.

    A teacher that gives labels only has decided already: its labels stand.
    """
    positive = task.dataset.labels.index(str(task.recipe.data.positive))
    answers = task.answers("validation")
    if gives_labels_only(answers):
        return 0.5
    scores = answers[:, positive]
    return threshold_for_sensitivity(scores, task.targets("validation") == positive, task.recipe.gates.sensitivity)


def _case(proof: Proof, shipped: Artifact) -> Case:
    task, form = proof.task, proof.format
    test = task.dataset.of("test")
    judged = {name: stage.files[form] for name, stage in proof.stages.items() if name != "labels only"}
    thresholds: Mapping[str, float] | None = None
    if task.recipe.data.positive:
        thresholds = {TEACHER: teacher_threshold(task)}
        thresholds |= {
            name: threshold for name, file in judged.items() if (threshold := threshold_of(file)) is not None
        }
    stage = stage_of(proof.stages, shipped)
    return Case(
        labels=test.labels,
        clips=test.clips,
        targets=test.targets,
        waves=task.waveforms("test"),
        length_s=lengths(test, task),
        sample_rate=test.sample_rate,
        answers={TEACHER: task.answers("test")}
        | {name: answers_of(file, task, "test") for name, file in judged.items()},
        shipped=stage,
        uncertainty=uncertainty_of(shipped, task, "test"),
        ending=read_ending(proof.stages[stage].calibrated.path),
        train_counts=np.bincount(task.dataset.of("train").labelled().targets, minlength=len(test.labels)),
        positive=test.labels.index(task.recipe.data.positive) if task.recipe.data.positive else None,
        thresholds=thresholds,
    )


def lengths(dataset: Dataset, task: Task) -> np.ndarray:
    """Return how long the recordings are, (n,) in seconds, before they are cut or padded."""
    facts = scan(dataset.folder, [clip.path for clip in dataset.clips], task.store)
    return np.array([facts[clip.path].seconds for clip in dataset.clips])


def decide(probabilities: np.ndarray, task: Task, threshold: float | None) -> np.ndarray:
    """Return the class that each row of probabilities is given, (n,): the most probable, or by a threshold."""
    if threshold is None:
        return probabilities.argmax(1)
    positive = task.dataset.labels.index(str(task.recipe.data.positive))
    return np.where(probabilities[:, positive] >= threshold, positive, 1 - positive)


def _versions() -> tuple[str, ...]:
    import soundfile

    return __version__, code_hash(*CODE), soundfile.__libsndfile_version__
