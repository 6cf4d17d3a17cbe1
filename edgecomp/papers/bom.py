"""The ML-BOM: a CycloneDX 1.7 document of what ships, whom it learnt from, on which data, by which passes."""

from __future__ import annotations

import hashlib
import re
import uuid
from collections.abc import Mapping
from typing import Any

from edgecomp.artifact import to_json
from edgecomp.papers import statements
from edgecomp.papers.licences import is_stated, spdx_id
from edgecomp.papers.workflow import asks_teacher, formulation
from edgecomp.report.reading import as_read, teacher
from edgecomp.report.wording import compact, count

SPEC_VERSION = "1.7"
SHA256 = re.compile(r"[0-9a-f]{64}")
URL = re.compile(r"https?://[A-Za-z0-9.-]+(?::[0-9]+)?(?:/[A-Za-z0-9._~/?&=+@:-]*)?")
TASKS = {"multiclass": "audio classification, one label of several", "binary": "audio classification, yes or no"}


def cyclonedx(report: Mapping[str, Any], facts: Mapping[str, Any], files: Mapping[str, str]) -> str:
    """Write a compile's ML-BOM as CycloneDX 1.7 JSON.

    report: what report.json holds
    facts:  what bundle.json holds: signature, models, decision, trail, fingerprints
    files:  name and SHA-256 of every file that ships
    Same input, same bytes: the only time in it is the report's own, and the serial number is derived from the content.
    source: https://cyclonedx.org/docs/1.7/json/
    """
    report, facts = as_read(report), as_read(facts)
    trails = facts.get("trail") or {report["target"].get("format") or "": report["trail"]}
    document = {
        "$schema": f"http://cyclonedx.org/schema/bom-{SPEC_VERSION}.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": SPEC_VERSION,
        "version": 1,
        "metadata": _metadata(report, facts, files),
        "components": [_data(report, facts)],
        "dependencies": [{"ref": "student", "dependsOn": ["data"]}, {"ref": "data"}],
        "formulation": formulation(trails, files),
    }
    document = {key: one for key, one in document.items() if one}
    digest = hashlib.sha256(to_json(document).encode()).hexdigest()
    serial = uuid.uuid5(uuid.NAMESPACE_URL, f"urn:sha256:{digest}")
    return to_json({**document, "serialNumber": f"urn:uuid:{serial}"}) + "\n"


def _metadata(report: Mapping[str, Any], facts: Mapping[str, Any], files: Mapping[str, str]) -> dict[str, Any]:
    versions = (report.get("host") or {}).get("versions") or {}
    tools = [_filled({"type": "application", "name": "edgecomp", "version": report.get("edgecomp")})]
    tools += [{"type": "library", "name": name, "version": str(versions[name])} for name in sorted(versions)]
    return _filled(
        {
            "timestamp": report.get("created"),
            "lifecycles": [{"phase": "build"}],
            "tools": {"components": tools},
            "component": _student(report, facts, files),
        }
    )


def _student(report: Mapping[str, Any], facts: Mapping[str, Any], files: Mapping[str, str]) -> dict[str, Any]:
    models = facts.get("models") or {}
    form = report["target"].get("format")
    run = (models.get(form) or {}).get("sha256")
    learnt = any(asks_teacher(step) for step in report["trail"])
    references = (
        ("report.json", "quality-metrics"),
        ("golden/golden.json", "evidence"),
        ("README.md", "documentation"),
    )
    return _filled(
        {
            "type": "machine-learning-model",
            "bom-ref": "student",
            "name": report["name"],
            "description": report.get("summary"),
            "hashes": _hashes(run),
            "components": [
                {"type": "file", "bom-ref": f"file:{name}", "name": name, "hashes": _hashes(files[name])}
                for name in sorted(files)
            ],
            "pedigree": {
                "ancestors": [_teacher(report, facts)],
                "notes": "the student learnt from the teacher’s answers and holds none of its weights",
            }
            if learnt
            else None,
            "externalReferences": [
                {"type": kind, "url": name, "hashes": _hashes(files[name])}
                for name, kind in references
                if name in files
            ],
            "modelCard": _model_card(report, facts),
            "properties": _properties(
                {
                    "target": report["target"]["name"],
                    "format of the target": form,
                    "seed": report.get("seed"),
                    "licence of the weights": "not stated: no recipe states it, and it is not derived from the teacher’s "
                    "or the data’s",
                }
            ),
        }
    )


def _teacher(report: Mapping[str, Any], facts: Mapping[str, Any]) -> dict[str, Any]:
    told, stage = report["teacher"], teacher(report)
    hashed = statements.teacher_hash(report, facts)
    what, digest = hashed or ("nothing", None)
    is_file = what != "fingerprint"
    metrics = [
        _metric(key, one)
        for key, one in (stage[1]["measurements"] if stage else {}).items()
        if key in statements.QUALITY and key != "accuracy_difference" and one.get("value") is not None
    ]
    other = {
        name: one
        for name, one in told.items()
        if name not in ("name", "licence", "weights_hash", "model_hash") and one is not None
    }
    return _filled(
        {
            "type": "machine-learning-model",
            "bom-ref": "teacher",
            "name": told.get("name") or "teacher",
            "description": statements.may_train(report),
            "hashes": _hashes(digest) if is_file else None,
            "licenses": _licences(told.get("licence")),
            "modelCard": {"quantitativeAnalysis": {"performanceMetrics": metrics}} if metrics else None,
            "properties": _properties({"hash is of": what, "fingerprint": None if is_file else digest, **other}),
        }
    )


def _data(report: Mapping[str, Any], facts: Mapping[str, Any]) -> dict[str, Any]:
    data = report["data"]
    subjects = data.get("subjects") or {}
    found = URL.search(str(data.get("source") or ""))
    return _filled(
        {
            "type": "data",
            "bom-ref": "data",
            "name": f"{report['name']} data",
            "description": data.get("source") if is_stated(data.get("source")) else None,
            "licenses": _licences(data.get("licence")),
            "externalReferences": [{"type": "distribution", "url": found[0].rstrip(".")}] if found else None,
            "data": [
                {
                    "type": "dataset",
                    "name": f"{split} split",
                    "description": count(clips, "clip")
                    + (f" of {count(subjects[split], 'subject')}" if split in subjects else ""),
                }
                for split, clips in (data.get("splits") or {}).items()
            ],
            "properties": _properties(
                {
                    "fingerprint": facts.get("data_fingerprint"),
                    "licence": None if is_stated(data.get("licence")) else "not stated",
                    "group columns": ", ".join(data.get("groups") or []) or None,
                    "faults resolved": "; ".join(statements.resolved(report)) or None,
                }
            ),
        }
    )


def _model_card(report: Mapping[str, Any], facts: Mapping[str, Any]) -> dict[str, Any]:
    student, signature = report["student"], facts.get("signature") or {}
    found, level = statements.slices(report), statements.confidence(report)
    metrics = [_metric(one.key.removeprefix("test_"), one.ships) for one in statements.quality(report, facts)]
    for one in found:
        if one.ships and one.ships.get("value") is not None:
            metrics.append(_metric(one.metric, one.ships, one.name))
        if one.difference and one.difference.get("value") is not None:
            metrics.append(_metric(f"{one.metric}_difference", one.difference, one.name))
    deferral = (report.get("deferral") or {}).get("text")
    return _filled(
        {
            "modelParameters": _filled(
                {
                    "approach": {"type": "supervised"},
                    "task": TASKS.get(report.get("task"), "audio classification"),
                    "architectureFamily": student.get("family"),
                    "modelArchitecture": compact(
                        {key: student[key] for key in ("widths", "parameters", "body_macs") if key in student}
                    ),
                    "datasets": [{"ref": "data"}],
                    "inputs": [{"format": _port(port)} for port in signature.get("inputs") or []],
                    "outputs": [{"format": _port(port)} for port in signature.get("outputs") or []],
                }
            ),
            "quantitativeAnalysis": {"performanceMetrics": metrics} if metrics else None,
            "considerations": _filled(
                {
                    "useCases": [report["summary"]] if report.get("summary") else None,
                    "technicalLimitations": statements.limits(report),
                    "performanceTradeoffs": statements.tradeoffs(report),
                    "fairnessAssessments": [
                        _filled(
                            {
                                "groupAtRisk": one.name,
                                "harms": statements.fares(one, level),
                                "mitigationStrategy": deferral,
                            }
                        )
                        for one in found
                        if one.kind == "group"
                    ],
                }
            ),
            "properties": _properties(
                {
                    "labels": ", ".join(report["labels"]),
                    "decision": compact(report.get("decision") or facts.get("decision") or {}),
                    "forgotten clips and inherited errors": " ".join(statements.forgot(report)) or None,
                    "margin of the audit": (report.get("audit") or {}).get("margin"),
                    "confidence of the intervals": level,
                    **{
                        f"slice:{one.name}, {one.metric}": compact({"n": one.n, "verdict": one.verdict or "not tested"})
                        for one in found
                    },
                }
            ),
        }
    )


def _metric(kind: str, estimate: Mapping[str, Any], of: str | None = None) -> dict[str, Any]:
    low, high = estimate.get("low"), estimate.get("high")
    between = None if low is None or high is None else {"lowerBound": _number(low), "upperBound": _number(high)}
    return _filled({"type": kind, "value": _number(estimate["value"]), "slice": of, "confidenceInterval": between})


def _number(value: float) -> str:
    return f"{value:.6g}"


def _port(port: Mapping[str, Any]) -> str:
    return f"{port['name']}: {port['dtype']} {tuple(port['shape'])}, {port['unit']}"


def _licences(licence: object) -> list[dict[str, Any]] | None:
    if not is_stated(licence):
        return None
    known = spdx_id(licence)
    return [{"license": {"id": known} if known else {"name": licence}}]


def _hashes(digest: object) -> list[dict[str, str]] | None:
    return [{"alg": "SHA-256", "content": digest}] if isinstance(digest, str) and SHA256.fullmatch(digest) else None


def _properties(values: Mapping[str, Any]) -> list[dict[str, str]]:
    return [{"name": f"edgecomp:{name}", "value": compact(one)} for name, one in values.items() if one is not None]


def _filled(values: Mapping[str, Any]) -> dict[str, Any]:
    """Leave out what is not known: an empty list or text would be a statement."""
    return {key: one for key, one in values.items() if one is not None and one != [] and one != {} and one != ""}
