"""What both papers say of a compile: its figures, slices, limits and trade-offs, each computed from the report."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from edgecomp.papers.licences import is_stated
from edgecomp.report import forgotten, reading
from edgecomp.report import wording as say

QUALITY = ("accuracy", "auroc", "accuracy_difference", "brier", "calibration_error")
COSTS = ("bytes", "latency_p50", "latency_p90", "peak_memory")
PLAIN = {"brier", "auroc", "accuracy_difference"}
"""Figures that are no shares, or are written in their own way."""
NAMES = {
    "test_sensitivity": "sensitivity",
    "test_specificity": "specificity",
    "coverage": "share of clips answered",
    "risk": "share of wrong answers among those answered",
}
VERDICTS = ("lost", "unclear", "too small", "kept")
"""Worst first: the order in which papers list slices."""
LARGEST_LIST = 12
"""Slices named in one sentence; the table and report.json hold them all."""


@dataclass(frozen=True)
class Figure:
    """One figure of the model that ships, and the teacher's where it has one.

    key:   as in report.json, such as "accuracy"
    name:  in plain words
    ships, teacher: value, low, high, n; low and high may be None
    """

    key: str
    name: str
    ships: Mapping[str, Any]
    teacher: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class Slice:
    """One slice of the test split, as the audit or the table of groups tells it.

    kind:       "group", "class", …
    difference: ships minus teacher, paired
    verdict:    one of VERDICTS, or None where nothing was tested
    why:        the reason of the verdict, or nothing
    """

    name: str
    kind: str
    metric: str
    n: int
    ships: Mapping[str, Any] | None
    teacher: Mapping[str, Any] | None
    difference: Mapping[str, Any] | None = None
    verdict: str | None = None
    why: str = ""


def quality(report: Mapping[str, Any], facts: Mapping[str, Any]) -> list[Figure]:
    """Return the overall figures on the test split: the measured ones, at the threshold, calibrated, and deferring."""
    pair, ask = reading.shipped(report), reading.teacher(report)
    ours, theirs = (found[1]["measurements"] if found else {} for found in (pair, ask))
    figures = [
        Figure(key, say.name_of(key), ours[key], theirs.get(key)) for key in QUALITY if _has_value(ours.get(key))
    ]
    decision = report.get("decision") or facts.get("decision") or {}
    extra = [(key, NAMES[key], decision.get(key)) for key in ("test_sensitivity", "test_specificity")]
    calibration = report.get("calibration") or {}
    extra += [
        (f"{key}_{when}_calibration", f"{say.name_of(key)} {when} calibration", (calibration.get(when) or {}).get(key))
        for when in ("before", "after")
        for key in ("calibration_error", "brier")
    ]
    test = (report.get("deferral") or {}).get("test") or {}
    extra += [(key, NAMES[key], test.get(key)) for key in ("coverage", "risk")]
    return figures + [Figure(key, name, one) for key, name, one in extra if _has_value(one)]


def slices(report: Mapping[str, Any]) -> list[Slice]:
    """Return the audit's slices in its order; none without an audit."""
    audit = report.get("audit") or {}
    return [_audited(one, str(audit.get("shipped"))) for one in audit.get("slices") or []]


def confidence(report: Mapping[str, Any]) -> float:
    """Return the confidence of the slices' intervals."""
    return (report.get("audit") or {}).get("confidence", 0.95)


def told(key: str, estimate: Mapping[str, Any] | None, level: float = 0.95) -> str:
    """Write a figure with its unit, interval and number of clips."""
    if not _has_value(estimate):
        return say.MISSING
    named = _as_measured(key)
    unit = estimate.get("unit") or ("" if named in PLAIN else "share")
    between = say.interval(named, {**estimate, "unit": unit})
    inside = [f"{level * 100:g} % interval {between}{' ms' if unit == 'ms' else ''}"] if between else []
    if estimate.get("n") and named not in COSTS:
        inside.append(say.count(int(estimate["n"]), "clip"))
    if estimate.get("how", "measured") != "measured":
        inside.append(estimate["how"])
    return say.value(named, estimate["value"], unit) + (f" ({', '.join(inside)})" if inside else "")


def fares(one: Slice, level: float) -> str:
    """Say how a slice fares: the metric of what ships and of the teacher, their difference, and the verdict."""
    text = f"{say.name_of(one.metric)} {told(one.metric, one.ships, level)}"
    if _has_value(one.teacher):
        text += f", the teacher’s {told(one.metric, one.teacher, level)}"
    if _has_value(one.difference):
        text += f"; difference {told('accuracy_difference', one.difference, level)}"
    if not one.verdict:
        return f"{text}; not tested for a loss"
    return f"{text}; verdict: {one.verdict}" + (f" ({one.why})" if one.why else "")


def failed(report: Mapping[str, Any]) -> list[str]:
    """Return a sentence for each gate that failed."""
    return [f"{say.name_of(gate['name'])}: {gate['text']}" for gate in report["gates"] if not gate["passed"]]


def limits(report: Mapping[str, Any]) -> list[str]:
    """Return what a user must know before relying on the model, worst first, each sentence once."""
    return list(dict.fromkeys(_limits(report)))


def tradeoffs(report: Mapping[str, Any]) -> list[str]:
    """Return what was given for what: the loss against the teacher, beside its size, latency and memory."""
    pair, ask = reading.shipped(report), reading.teacher(report)
    if pair is None:
        return []
    ours, theirs = pair[1]["measurements"], (ask[1]["measurements"] if ask else {})
    made = []
    if _has_value(ours.get("accuracy_difference")):
        made.append(
            f"accuracy against the teacher’s, same clips: {told('accuracy_difference', ours['accuracy_difference'])}"
        )
    for key in COSTS:
        if _has_value(ours.get(key)):
            text = f"{say.name_of(key)}: {told(key, ours[key])}"
            text += f"; the teacher’s {told(key, theirs[key])}" if _has_value(theirs.get(key)) else ""
            made.append(text + ("" if key == "bytes" else f"; device: {ours[key].get('device') or report['device']}"))
    return made


def forgot(report: Mapping[str, Any]) -> list[str]:
    """Say on how many clips the student left its teacher, how that was found, and whose mistakes it makes."""
    return [*forgotten.method(dict(report)), *forgotten.inherited(dict(report))]


def may_train(report: Mapping[str, Any]) -> str:
    """Say in one sentence whether the teacher's outputs may train another model."""
    answer = report["teacher"].get("outputs_may_train", "unknown")
    if answer == "yes":
        return "The recipe states that the teacher’s licence lets its outputs train another model."
    if answer == "no":
        return "The recipe states that the teacher’s licence does NOT let its outputs train another model."
    return (
        "It is not known whether the teacher’s licence lets its outputs train another model: "
        "find out before you pass this model on."
    )


def teacher_hash(report: Mapping[str, Any], facts: Mapping[str, Any]) -> tuple[str, str] | None:
    """Return what of the teacher was hashed, and the SHA-256: its weights, its file, or its fingerprint."""
    for key, what in (("weights_hash", "weights"), ("model_hash", "model file")):
        if report["teacher"].get(key):
            return what, report["teacher"][key]
    found = reading.teacher(report)
    fingerprint = (facts.get("teacher") or {}).get("fingerprint") or (found[1].get("hash") if found else None)
    return ("fingerprint", fingerprint) if fingerprint else None


def listed(names: list[str]) -> str:
    """Write names in one sentence, the first LARGEST_LIST of them."""
    more = len(names) - LARGEST_LIST
    return ", ".join(names[:LARGEST_LIST]) + (f" and {more} more" if more > 0 else "")


def resolved(report: Mapping[str, Any]) -> list[str]:
    """Return a sentence for each kind of fault in the data that the recipe resolved."""
    return [
        f"{note['code'].replace('-', ' ')}: {note['found']} found, {len(note.get('dropped') or [])} left out "
        f"(resolution: {note['resolution']})"
        if {"code", "found", "resolution"} <= note.keys()
        else say.compact(note)
        for note in report["data"].get("notes") or []
    ]


def _limits(report: Mapping[str, Any]) -> Iterator[str]:
    level, found = confidence(report), slices(report)
    yield from (f"A gate failed: {text}" for text in failed(report))
    yield from (f"Lost on a slice: {one.name}: {fares(one, level)}" for one in found if one.verdict == "lost")
    for verdict, meaning in (
        ("unclear", "Whether these slices lost more than the margin is unclear"),
        ("too small", "Too few clips to judge these slices"),
    ):
        names = list(dict.fromkeys(one.name for one in found if one.verdict == verdict))
        if names:
            yield f"{meaning}: {listed(names)}"
    if not report.get("audit"):
        yield "No slice was tested for a loss against the teacher: this report holds no audit"
    yield from (f"What compression forgot: {sentence}" for sentence in forgot(report)[:1])
    yield from report["warnings"]
    yield from (
        f"About the data: {one['message']}"
        for one in report["data"].get("findings") or []
        if one.get("severity") in ("warning", "error")
    )
    if report["teacher"].get("outputs_may_train", "unknown") != "yes":
        yield may_train(report)
    for what in ("teacher", "data"):
        if not is_stated(report[what].get("licence")):
            yield f"The recipe does not state the {what}’s licence"
    deferral = report.get("deferral") or {}
    if deferral and deferral.get("ask_above") is None and deferral.get("text"):
        yield deferral["text"]
    yield f"Latency and memory were measured on {report['device']}; another processor has its own figures"


def _audited(one: Mapping[str, Any], shipped: str) -> Slice:
    models = one.get("values") or {}
    return Slice(
        str(one["slice"]),
        str(one.get("kind", "")),
        str(one.get("metric", "accuracy")),
        int(one.get("n") or 0),
        models.get(shipped),
        models.get("teacher"),
        one.get("difference"),
        one.get("verdict"),
        str(one.get("why") or ""),
    )


def _as_measured(key: str) -> str:
    return key.removesuffix("_before_calibration").removesuffix("_after_calibration")


def _has_value(estimate: Mapping[str, Any] | None) -> bool:
    return bool(estimate) and estimate.get("value") is not None
