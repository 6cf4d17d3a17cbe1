"""The model card: what ships, for whom it does not work, when it asks, and where it comes from; for people and hubs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from edgecomp.form import said
from edgecomp.papers import origin, statements
from edgecomp.papers.front_matter import front_matter
from edgecomp.papers.markup import escaped, sentence, table
from edgecomp.papers.workflow import asks_teacher
from edgecomp.report import reading
from edgecomp.report import wording as say
from edgecomp.report.reading import as_read

LIBRARIES = {"tflite": "litert", "onnx": "onnx"}
METRICS = {"auroc": "roc_auc", "brier": "brier_score", "test_sensitivity": "recall", "test_specificity": "specificity"}
"""Names that the hub's metrics have; the others are called there as here."""


def model_card(report: Mapping[str, Any], facts: Mapping[str, Any]) -> str:
    """Write a compile's model card: YAML front matter as Hugging Face reads it, then Markdown.

    report: what report.json holds
    facts:  what bundle.json holds; `models` tells the files and their hashes
    Texts of the recipe are escaped, so that none becomes markup.
    source: https://huggingface.co/docs/hub/model-cards
    """
    report, facts = as_read(report), as_read(facts)
    parts = (
        _opening(report),
        _what(report, facts),
        _for_whom_not(report),
        _forgot(report),
        _asks(report),
        _results(report, facts),
        _limits(report),
        origin.data(report, facts),
        origin.teacher(report, facts),
        origin.licence(),
        origin.provenance(report, facts),
        origin.how_to_run(report, facts),
    )
    body = "\n\n".join("\n".join(lines) for lines in parts if lines)
    return front_matter(_metadata(report, facts)) + "\n" + body + "\n"


def _metadata(report: Mapping[str, Any], facts: Mapping[str, Any]) -> dict[str, Any]:
    form = report["target"].get("format")
    passes = dict.fromkeys(step["name"] for step in report["trail"] if step["name"] not in ("build", "export"))
    rejected = ["rejected"] if statements.failed(report) else []
    found = [one for one in statements.quality(report, facts) if one.key != "accuracy_difference"]
    metrics = [
        {"type": METRICS.get(one.key, one.key), "name": f"{one.name}: {told}", "value": one.ships["value"]}
        for one in found
        if (told := statements.told(one.key, one.ships))
    ]
    hub = report["teacher"].get("hub")
    told = {
        "library_name": LIBRARIES.get(form, form),
        "pipeline_tag": "audio-classification",
        "tags": ["edgecomp", *sorted(facts.get("models") or {}), *passes, report["target"]["name"], *rejected],
        "base_model": hub if hub and any(asks_teacher(step) for step in report["trail"]) else None,
        "metrics": list(dict.fromkeys(one["type"] for one in metrics)),
        "model-index": [
            {
                "name": f"{report['name']} for {report['target']['name']}",
                "results": [
                    {
                        "task": {"type": "audio-classification"},
                        "dataset": {
                            "type": report["name"],
                            "name": f"{report['name']}, as the recipe describes it",
                            "split": "test",
                        },
                        "metrics": metrics,
                    }
                ],
            }
        ]
        if metrics
        else None,
    }
    return {key: one for key, one in told.items() if one}


def _opening(report: Mapping[str, Any]) -> list[str]:
    lines = [f"# {escaped(report['name'])} for {escaped(report['target']['name'])}", ""]
    lines += [sentence(report["summary"]), ""] if report.get("summary") else []
    failed = statements.failed(report)
    if failed:
        lines += [f"> **Rejected: {say.count(len(failed), 'check')} failed. Do not use this model as it is.**", ">"]
        lines += [*(f"> - {escaped(one)}" for one in failed), ""]
    else:
        checks = say.count(len(report["gates"]), "check")
        lines += [f"{checks} made, none failed." if report["gates"] else "No check was made.", ""]
    if report["teacher"].get("outputs_may_train", "unknown") != "yes":
        lines += [f"> **Warning.** {escaped(statements.may_train(report))}", ""]
    return lines[:-1]


def _what(report: Mapping[str, Any], facts: Mapping[str, Any]) -> list[str]:
    student, told = report["student"], facts.get("preprocessing") or {}
    lines = ["## What it does", ""]
    takes = "It takes a recording"
    if told:
        seconds = told["samples"] / told["sample_rate"]
        takes = f"It takes {seconds:g} s of sound ({told['samples']} samples, {told['sample_rate']} Hz, mono)"
        if told.get("resampled_inside_to"):
            takes += f", resamples it inside to the {told['resampled_inside_to']} Hz that it learnt at,"
    lines.append(
        f"{takes} and gives a probability for each of {len(report['labels'])} labels: "
        f"{escaped(', '.join(report['labels']))}. {_decision(report, facts)}"
    )
    size = f"a {escaped(student['family'])} network" if student.get("family") else "a small network"
    if student.get("parameters"):
        size += f" of {student['parameters']:,} parameters"
    where = report["target"].get("summary") or report["target"]["name"]
    lines += ["", f"It is {size}, compiled by edgecomp {escaped(report.get('edgecomp', ''))} for: {sentence(where)}"]
    return [*lines, *_form(facts)]


def _form(facts: Mapping[str, Any]) -> list[str]:
    """Name the questions that an app asks, and what they are not."""
    questions = (facts.get("form") or {}).get("questions")
    if not questions:
        return []
    spoken = sorted({language for one in questions for language in one["text"]} - {"und"})
    languages = f", in {escaped(' and '.join(spoken))}" if spoken else ""
    told = " ".join(said(one["text"]) for one in questions)
    return [
        "",
        f"Before a recording an app asks {say.count(len(questions), 'question')} about the person"
        f"{languages}: {escaped(told)}",
        "The model never hears the answers. They change no decision, and nothing here was measured with them: "
        "they are kept beside the result, on the device.",
    ]


def _decision(report: Mapping[str, Any], facts: Mapping[str, Any]) -> str:
    rule = report.get("decision") or facts.get("decision") or {}
    if rule.get("rule") != "threshold":
        return "The answer is the most probable label."
    text = f"The answer is “{rule['positive']}” from a probability of {rule['threshold']:.3f} on"
    return escaped(text + (f"; fitted for a {rule['fitted']}." if rule.get("fitted") else "."))


def _for_whom_not(report: Mapping[str, Any]) -> list[str]:
    found, level = statements.slices(report), statements.confidence(report)
    lines = ["## For whom it does not work as well", ""]
    audit = report.get("audit")
    if not audit:
        lines.append("**No slice was tested for a loss against the teacher**: this report holds no audit.")
        if found:
            lines += ["The group columns, untested:", "", *_slice_table(found, level)]
        return lines
    counts = [(verdict, sum(one.verdict == verdict for one in found)) for verdict in statements.VERDICTS]
    lines.append(
        f"It was compared with the teacher on {say.count(len(found), 'slice')} of the test split (one for each metric): "
        + ", ".join(f"{number} {verdict}" for verdict, number in counts)
        + "."
    )
    if audit.get("margin") is not None:
        lines.append(
            f"*Kept*: a loss above {say.percent(audit['margin']).removesuffix(' %')} points is ruled out with "
            f"{level * 100:g} % confidence. *Lost*: the loss is above it, and not by chance. *Unclear*: neither is shown. "
            "*Too small*: too few clips or people to tell."
        )
    worse = [one for verdict in ("lost", "unclear") for one in found if one.verdict == verdict]
    lines += ["", *(_slice_table(worse, level) if worse else ["No slice was lost, and none is unclear."])]
    small = list(dict.fromkeys(one.name for one in found if one.verdict == "too small"))
    return [*lines, "", f"Too small to judge: {escaped(statements.listed(small))}."] if small else lines


def _slice_table(found: Sequence[statements.Slice], level: float) -> list[str]:
    heads = ("slice", "verdict", "clips", "metric", "this model", "teacher", "difference")
    rows = [
        (
            one.name,
            one.verdict or "not tested",
            one.n,
            say.name_of(one.metric),
            _cell(one.metric, one.ships),
            _cell(one.metric, one.teacher),
            _cell("accuracy_difference", one.difference),
        )
        for one in found
    ]
    note = f"In brackets: {level * 100:g} % intervals; differences are in percentage points."
    return [*table(heads, rows), "", note]


def _forgot(report: Mapping[str, Any]) -> list[str]:
    told = statements.forgot(report)
    clips = ((report.get("audit") or {}).get("forgotten") or {}).get("clips") or []
    if not told:
        return []
    lines = ["## What compression forgot", "", *(f"- {escaped(one)}" for one in told)]
    rows = [
        (clip["path"], clip["label"], clip["answers"]["teacher"]["label"], clip.get("students") or say.MISSING)
        for clip in clips
        if "teacher" in clip["answers"]
    ]
    if rows:
        heads = ("clip", "its label", "the teacher said", "the student says")
        lines += ["", *table(heads, rows), "", "The clips that lie furthest from the teacher; report.html plays them."]
    return lines


def _asks(report: Mapping[str, Any]) -> list[str]:
    deferral = report.get("deferral")
    lines = ["## When it asks", ""]
    if not deferral:
        return [*lines, "It answers every clip: this compile has no rule for asking somebody else."]
    lines.append(sentence(deferral.get("text") or "The report does not describe the rule for asking"))
    if deferral.get("ask_above") is not None:
        lines.append(
            f"It asks where its uncertainty is above {deferral['ask_above']:.3g}. This was chosen on the validation split so "
            f"that at most {say.percent(deferral['max_risk'])} of its answers are wrong, with "
            f"{deferral['confidence'] * 100:g} % confidence."
        )
    test = {key: one for key, one in (deferral.get("test") or {}).items() if key in statements.NAMES and one}
    told = [f"- {statements.NAMES[key]}: {statements.told(key, one)}" for key, one in test.items()]
    return [*lines, "", "On the test split:", "", *told] if told else lines


def _results(report: Mapping[str, Any], facts: Mapping[str, Any]) -> list[str]:
    figures = statements.quality(report, facts)
    rows = [(one.name, statements.told(one.key, one.ships), _or_missing(one.key, one.teacher)) for one in figures]
    pair, ask = reading.shipped(report), reading.teacher(report)
    ours, theirs = (found[1]["measurements"] if found else {} for found in (pair, ask))
    costs = [
        (say.name_of(key), statements.told(key, ours[key]), _or_missing(key, theirs.get(key)))
        for key in statements.COSTS
        if ours.get(key)
    ]
    splits = (report["data"].get("splits") or {}).get("test")
    lines = ["## Results", ""]
    if rows:
        lines += [f"On the test split{f' of {splits:,} clips' if splits else ''}:", ""]
        lines += table(("figure", "this model", "teacher"), rows)
    if costs:
        lines += ["", f"One clip at a time, measured on {escaped(report['device'])}:", ""]
        lines += table(("cost", "this model", "teacher"), costs)
    return lines if rows or costs else [*lines, "Nothing was measured."]


def _limits(report: Mapping[str, Any]) -> list[str]:
    return ["## Limits", "", *(f"- {escaped(one)}" for one in statements.limits(report))]


def _cell(key: str, estimate: Mapping[str, Any] | None) -> str:
    if not estimate or estimate.get("value") is None:
        return say.MISSING
    unit = "" if key in statements.PLAIN else "share"
    return say.inline(say.cell(key, {"unit": unit, **estimate}))


def _or_missing(key: str, estimate: Mapping[str, Any] | None) -> str:
    return statements.told(key, estimate) if estimate else say.MISSING
