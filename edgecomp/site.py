"""A bundle on another site's clips: the whole audit again, without training anything."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np

from edgecomp.appraisal import TEACHER, Case
from edgecomp.artifact import Artifact, Port, Signature, Step
from edgecomp.audit.deferral import Threshold
from edgecomp.audit.intervals import share
from edgecomp.bundle import Bundle
from edgecomp.cases import asker, lengths, slices_gate, teacher_threshold, whole_audit
from edgecomp.data.manifest import load_site
from edgecomp.evaluate import answers_of, confusion_and_reliability, quality, uncertainty_of
from edgecomp.metrics import Estimate
from edgecomp.proof import Gate
from edgecomp.report import read_report, write_report
from edgecomp.students.ending import Ending
from edgecomp.task import Task


@dataclass(frozen=True)
class Visited:
    """Where the report lies, what it says, and the gates that failed."""

    folder: Path
    report: Mapping[str, Any]
    failed: tuple[Gate, ...]


def audit_site(bundle: Bundle, home: Task, data: Path, out: Path) -> Visited:
    """Audit what a bundle's target runs on another site's clips, against the teacher of the task it was compiled from.

    home: the task of the compile: its teacher, its recipe's columns, margins and costs
    data: the folder of the site's clips; all of them are a test
    """
    site = load_site(home.recipe, home.store, data, tuple(bundle.labels))
    task = Task(home.recipe, site, home.store, known=home.teacher)
    file = _file(bundle)
    stage = "ships"
    answers = {TEACHER: task.answers("test"), stage: answers_of(file, task, "test")}
    facts = next(step["facts"] for step in file_trail(bundle) if step["name"] == "calibrate")
    positive = home.recipe.data.positive
    thresholds = {TEACHER: teacher_threshold(home), stage: facts["threshold"]} if positive else None
    case = Case(
        labels=site.labels,
        clips=site.clips,
        targets=site.targets,
        waves=task.waveforms("test"),
        length_s=lengths(site, task),
        sample_rate=site.sample_rate,
        answers=answers,
        shipped=stage,
        uncertainty=uncertainty_of(file, task, "test"),
        ending=Ending(facts["scale"], tuple(facts["shift"])),
        train_counts=np.bincount(home.dataset.of("train").labelled().targets, minlength=len(site.labels)),
        positive=site.labels.index(positive) if positive else None,
        thresholds=thresholds,
    )

    def teacher(waves: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        given = task.teacher.probabilities(waves)
        return given, np.zeros(len(given))

    found = whole_audit(case, _threshold(bundle), task, teacher, asker(file, task.dataset.sample_rate))
    gate = slices_gate(found["audit"])
    report = _report(bundle, task, case, found, gate)
    write_report(report, out)
    return Visited(out, report, () if gate.passed else (gate,))


def _report(bundle: Bundle, task: Task, case: Case, found: Mapping[str, Any], gate: Gate) -> dict[str, Any]:
    """Return the bundle's report with every figure of the clips taken anew; what files cost stays as it was measured."""
    old, form = read_report(bundle.folder), bundle.facts["target"]["format"]
    stages = []
    for stage in old["stages"]:
        kept = [
            file
            for file in stage["files"]
            if stage["name"] == TEACHER or (file.get("shipped") and file["format"] == form)
        ]
        if not kept:
            continue
        name = TEACHER if stage["name"] == TEACHER else case.shipped
        against = None if name == TEACHER else case.answers[TEACHER]
        rows = quality(case.answers[name], task, of=name, against=against, artifact_hash=kept[0]["hash"])
        anew = {
            row.name: {k: v for k, v in asdict(row).items() if k not in ("name", "of", "artifact_hash")} for row in rows
        }
        files = [kept[0] | {"measurements": kept[0]["measurements"] | anew}]
        stages.append(
            {**stage, "files": files, **confusion_and_reliability(case.answers[name], case.decided[name], task)}
        )
    return {
        **{key: value for key, value in old.items() if key not in ("groups", "parity", "decision")},
        "summary": f"{old['summary']} — audited on other clips than those it was compiled with",
        "data": {
            "source": "clips of another site, given with --data",
            "licence": "not stated",
            "groups": old["data"].get("groups"),
            "splits": {"test": len(case.clips)},
            "subjects": None if case.subjects is None else {"test": len(set(case.subjects))},
            "notes": list(task.dataset.notes),
            "findings": [],
        },
        "decision": _decision(bundle, case),
        "warnings": [],
        "parity": [],
        "gates": [asdict(gate)],
        "stages": stages,
        **found,
    }


def _decision(bundle: Bundle, case: Case) -> dict[str, Any]:
    """Return the bundle's rule with what its threshold finds and clears on these clips."""
    rule = dict(bundle.facts["decision"])
    if case.positive is None:
        return rule
    is_positive = case.targets == case.positive
    found = case.decided[case.shipped] == case.positive
    for name, members, right in (
        ("test_sensitivity", is_positive, found),
        ("test_specificity", ~is_positive, ~found),
    ):
        rule[name] = asdict(share(right[members])) if members.any() else None
    return rule


def _threshold(bundle: Bundle) -> Threshold:
    told = {field.name: bundle.facts["deferral"].get(field.name) for field in fields(Threshold)}
    threshold = Threshold(**told)
    return replace(threshold, coverage=Estimate(**told["coverage"]))


def file_trail(bundle: Bundle) -> list[dict[str, Any]]:
    """Return the steps that made the file that a bundle's target runs."""
    return bundle.facts["trail"][bundle.facts["target"]["format"]]


def _file(bundle: Bundle) -> Artifact:
    """Return the file that a bundle's target runs."""
    form = bundle.facts["target"]["format"]
    ports = {
        side: tuple(Port(p["name"], tuple(p["shape"]), p["dtype"], p["unit"]) for p in bundle.facts["signature"][side])
        for side in ("inputs", "outputs")
    }
    steps = tuple(Step(**step) for step in file_trail(bundle))
    return Artifact(form, bundle.folder / bundle.facts["models"][form]["file"], Signature(**ports), steps)
