"""A small bundle that tests write without a compile: a student with random weights, and the report of the fixtures."""

from __future__ import annotations

import shutil
from pathlib import Path

from edgecomp.artifact import Artifact, Step, content_hash, to_json
from edgecomp.bundle import write_bundle
from edgecomp.passes import signature_of
from edgecomp.runtimes import import_runtime, runtimes
from edgecomp.students.student import freeze
from tests.small_students import LABELS, lively_student, sounds

REPORT = Path(__file__).parent / "fixtures" / "report.json"
RATE, SAMPLES = 8000, 4000


def small_models(folder: Path, seed: int = 0) -> dict[str, Artifact]:
    """Lower one student into a file for every runtime."""
    folder.mkdir(parents=True, exist_ok=True)
    student = lively_student("ds_cnn", seed=seed, rate=RATE, samples=SAMPLES)
    made = {}
    for name in runtimes():
        runtime = import_runtime(name)
        path = folder / f"model{runtime.SUFFIX}"
        path.write_bytes(
            runtime.lower(freeze(student, None), {"edgecomp": to_json({"labels": LABELS, "student_hash": "a student"})})
        )
        step = Step("export", {"runtime": name}, {}, "a student", content_hash(path))
        made[runtime.FORM] = Artifact(runtime.FORM, path, signature_of(student.config), (step,))
    return made


def small_facts(models: dict[str, Artifact], **changed: object) -> dict[str, object]:
    """Return what bundle.json says of a small bundle; the decision is the most probable label, asked about above 0.4."""
    return {
        "name": "sounds",
        "summary": "Three sounds",
        "labels": list(LABELS),
        "seed": 0,
        "target": {"name": "anything", "runtime": "litert", "threads": 1, "format": "tflite"},
        "signature": next(iter(models.values())).signature,
        "decision": {"rule": "most probable"},
        "deferral": {"rule": "uncertainty", "ask_above": 0.4},
        "preprocessing": {"sample_rate": RATE, "samples": SAMPLES, "channels": 1, "fit": "loudest"},
        "trail": {form: list(model.trail) for form, model in models.items()},
    } | changed


def write_small_bundle(folder: Path, *, seed: int = 0, **changed: object) -> Path:
    """Write a whole bundle with its report."""
    models = small_models(folder.parent / f"{folder.name}-models", seed)
    write_bundle(folder, models, small_facts(models, **changed), sounds(3, SAMPLES, rate=RATE), copy_report)
    return folder


def copy_report(folder: Path, facts: object = None) -> None:
    """Write the evidence of a small bundle."""
    shutil.copyfile(REPORT, folder / "report.json")
    (folder / "report.html").write_text("<!doctype html><title>report</title>", encoding="utf-8")
