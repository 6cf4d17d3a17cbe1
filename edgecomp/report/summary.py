"""What a responsible person asks of a report, answered in sentences and short tables for every form of it."""

from __future__ import annotations

from typing import Any

from edgecomp.metrics import proportion
from edgecomp.report import wording as say
from edgecomp.report.reading import ALSO, figure, files, shipped, tag, teacher


def verdict(report: dict[str, Any]) -> dict[str, Any]:
    """Return state ("failed", "passed" or "unchecked") and one sentence for it."""
    gates = report["gates"]
    failed = [gate for gate in gates if not gate["passed"]]
    warned = f", with {say.count(len(report['warnings']), 'warning')}" if report["warnings"] else ""
    if failed:
        return {
            "state": "failed",
            "text": f"{len(failed)} of {say.count(len(gates), 'check')} failed: do not use this model as it is",
        }
    if not gates:
        return {"state": "unchecked", "text": "Nothing was checked: this report proves nothing"}
    return {"state": "passed", "text": f"All {say.count(len(gates), 'check')} passed{warned}"}


def faithful(report: dict[str, Any]) -> list[str]:
    """Say whether the model that ships does what the teacher did."""
    pair, master = shipped(report), teacher(report)
    if pair is None:
        return ["No file of this compile ships."]
    file = pair[1]
    ours = file["measurements"].get("accuracy")
    if ours is None or ours["value"] is None:
        return ["The accuracy of the model that ships was not measured."]
    share, n = say.percent(ours["value"]), say.plain(ours.get("n"))
    told = [f"It answers {share} of {n} test clips correctly{_between('accuracy', ours)}."]
    theirs, their_area = (figure(master[1] if master else None, name) for name in ("accuracy", "auroc"))
    gap = file["measurements"].get("accuracy_difference")
    if theirs is not None:
        told.append(f"The teacher: {say.percent(theirs)}.")
    if gap is not None and gap["value"] is not None:
        points, inner = say.points(gap["value"]), _between("accuracy_difference", gap)
        told.append(f"Difference: {points} percentage points{inner}, {_reading(gap)}.")
    area = file["measurements"].get("auroc")
    if area is not None and area["value"] is not None:
        told.append(f"AUROC {say.value('auroc', area['value'])}{_between('auroc', area)}.")
        if their_area is not None:
            told.append(f"The teacher’s: {say.value('auroc', their_area)}.")
    return told


def where(report: dict[str, Any]) -> str:
    """Say on which machine latency and memory were taken, and on which they were not."""
    if report["target"]["name"] == "host":
        return f"Latency and memory were measured on {report['device']}, which is also the target."
    return (
        f"Latency and memory were measured on {report['device']}, not on the {report['target']['name']} itself; "
        "there they will differ."
    )


def budget(report: dict[str, Any]) -> list[dict[str, Any]]:
    """Hold the model that ships against the target's budget, a row for each cost.

    share: of the budget used, None where it was not measured; over: more than the budget
    """
    pair, limits = shipped(report), report["target"].get("budget") or {}
    file = pair[1] if pair else None
    share_of_teacher = figure(file, "latency_ratio")
    big = figure(teacher(report)[1], "bytes") if teacher(report) else None
    small, fast, memory = figure(file, "bytes"), figure(file, "latency_p50"), figure(file, "peak_memory")
    against = f"{say.times(small / big)}" if small and big else ""
    loss, metric = _loss(report)
    rows = [
        ("size of the file", small, limits.get("model_bytes"), say.size, against),
        ("time for one clip", fast, limits.get("latency_ms"), _ms, f"median; {say.times(share_of_teacher)}"),
        ("peak memory", memory, _times_million(limits.get("peak_memory_mb")), say.size, "above the empty process"),
        (f"{metric} lost", loss, limits.get("max_loss"), _points, "against the teacher"),
    ]
    return [
        {
            "name": name,
            "value": show(value),
            "limit": show(limit),
            "note": note,
            "share": None if value is None or not limit else value / limit,
            "over": value is not None and limit is not None and value > limit,
        }
        for name, value, limit, show, note in rows
    ]


def labels(report: dict[str, Any]) -> list[dict[str, Any]]:
    """Count for every label how many of its test clips are found, by the model that ships and by the teacher.

    wrong: answers with this label that were not it
    """
    pair, master = shipped(report), teacher(report)
    ours = pair[0].get("confusion") if pair else None
    if not ours:
        return []
    theirs = (master[0].get("confusion") if master else None) or None
    told = []
    for place, label in enumerate(report["labels"]):
        n, found = sum(ours[place]), ours[place][place]
        share = proportion(found, n) if n else None
        told.append(
            {
                "label": label,
                "n": n,
                "found": found,
                "share": share.value if share else None,
                "low": share.low if share else None,
                "high": share.high if share else None,
                "teacher": theirs[place][place] if theirs else None,
                "wrong": sum(row[place] for row in ours) - found,
            }
        )
    return told


def weakest(report: dict[str, Any]) -> str:
    """Say which label is missed most; of two labels, say both."""
    judged = sorted((row for row in labels(report) if row["share"] is not None), key=lambda one: one["share"])
    if not judged:
        return ""
    told = []
    for row in judged if len(judged) == 2 else judged[:1]:
        beside = "" if row["teacher"] is None else f"; the teacher found {row['teacher']}"
        told.append(f"“{row['label']}”, {row['found']} of {row['n']} clips found{beside}.")
    return "Missed most: " + " The other: ".join(told)


def origin(report: dict[str, Any]) -> list[tuple[str, str]]:
    """Say where the model comes from: data, teacher, student, people behind the clips."""
    data, source, student, target = report["data"], report["teacher"], report["student"], report["target"]
    sides = splits(report)
    clips = ", ".join(f"{say.plain(n)} to {verb}" if verb else f"{say.plain(n)} {name}" for name, verb, n, _ in sides)
    people = ", ".join(
        f"{say.plain(n)} to {verb}" if verb else f"{say.plain(n)} {name}" for name, verb, _, n in sides if n is not None
    )
    train = {"yes": "yes", "no": "NO", "unknown": "not known: ask before you use it"}
    return [
        ("Data", str(data.get("source", "not stated"))),
        ("Licence of the data", str(data.get("licence", "not stated"))),
        ("Clips", clips or "not stated"),
        ("Subjects", people or "not known: clips of one person may stand on two sides of a split"),
        ("Teacher", f"{source.get('name')} ({source.get('kind')}), {say.plain(source.get('parameters'))} parameters"),
        ("Licence of the teacher", str(source.get("licence", "not stated"))),
        (
            "Its outputs may train others",
            train.get(str(source.get("outputs_may_train")), str(source.get("outputs_may_train"))),
        ),
        (
            "Student",
            f"{student.get('family')}, {say.plain(student.get('parameters'))} parameters, "
            f"{say.plain(student.get('body_macs'))} multiply-accumulates a clip after the front end"
            + (f" and {say.plain(student['front_end_macs'])} in it" if student.get("front_end_macs") else ""),
        ),
        *_heard_at(student),
        (
            "Compiled for",
            f"{target['name']}: {target.get('summary', '')}; {target.get('soc', '')}, "
            f"{say.plain(target.get('ram_mb'))} MB RAM, runtime {target.get('runtime')}, "
            f"{say.count(target.get('threads', 1), 'thread')} there",
        ),
        ("Made by", f"edgecomp {report.get('edgecomp', '')}, {report.get('created', '')}"),
    ]


def _heard_at(student: dict[str, Any]) -> list[tuple[str, str]]:
    """Say at which rate the files hear, where that is not the rate that the student learnt at."""
    source, own = student.get("source_hz"), (student.get("front_end") or {}).get("sample_rate")
    if source is None:
        return []
    told = f"{source:,} Hz, resampled inside the file; it learnt at {own:,} Hz"
    how = "Files and torch (its front end computed the plain way) were asked about the clips at that rate, the teacher at its own"
    return [("Hears at", f"{told}. {how}")]


def opening(report: dict[str, Any]) -> str:
    """Say which files the bundle holds, and which of them the rest of the report is about."""
    pair = shipped(report)
    if pair is None:
        return "No file of this compile ships."
    name = f"{pair[0]['name']} {pair[1]['format']}"
    told = f"The model that ships is {name}, {say.size(pair[1].get('bytes') or figure(pair[1], 'bytes'))}."
    also = [f"{stage['name']} {file['format']}" for stage, file in files(report) if tag(report, file) == ALSO]
    return told + (f" The bundle also holds {' and '.join(also)}." if also else "")


def decision(report: dict[str, Any]) -> str:
    """Say how probabilities become a label, where that is not simply the most probable one."""
    rule = report.get("decision") or {}
    if rule.get("rule") != "threshold":
        return ""
    return (
        f"The bundle answers “{rule.get('positive')}” from a probability of {say.plain(rule.get('threshold'))} on "
        f"({rule.get('fitted', 'how it was fitted is not stated')}). " + _found_by(rule)
    )


def _found_by(rule: dict[str, Any]) -> str:
    """Say what a threshold finds and clears on the test split."""
    told = []
    for name in ("sensitivity", "specificity"):
        one = rule.get(f"test_{name}")
        if one:
            told.append(
                f"{name} {say.percent(one['value'])} (95 % interval {say.percent(one['low'])} to {say.percent(one['high'])})"
            )
    return f"On the test split: {', '.join(told)}. " if told else ""


def splits(report: dict[str, Any]) -> list[tuple[str, str, int | None, int | None]]:
    """Return (split, what it is for, clips, subjects), in the order of their use."""
    verbs = {"train": "train", "validation": "choose", "test": "test"}
    sizes, people = report["data"].get("splits") or {}, report["data"].get("subjects") or {}
    names = [name for name in verbs if name in sizes] + [name for name in sizes if name not in verbs]
    return [(name, verbs.get(name, ""), sizes[name], people.get(name)) for name in names]


def _loss(report: dict[str, Any]) -> tuple[float | None, str]:
    """Return what is lost against the teacher, and of which metric: AUROC where a label is looked for."""
    pair, master = shipped(report), teacher(report)
    ours, theirs = (figure(one[1] if one else None, "auroc") for one in (pair, master))
    if report.get("task") == "binary" and ours is not None and theirs is not None:
        return max(0.0, theirs - ours), "AUROC"
    gap = figure(pair[1] if pair else None, "accuracy_difference")
    return None if gap is None else max(0.0, -gap), "accuracy"


def _reading(gap: dict[str, Any]) -> str:
    low, high = gap.get("low"), gap.get("high")
    if low is None or high is None:
        return "no interval known"
    if high < 0:
        return "worse than the teacher beyond chance"
    return "better than the teacher beyond chance" if low > 0 else "not told apart from chance on these clips"


def _between(name: str, measurement: dict[str, Any]) -> str:
    inner = say.interval(name, measurement)
    return f" (95 % interval {inner}{' %' if name == 'accuracy' else ''})" if inner else ""


def _ms(value: float | None) -> str:
    return say.MISSING if value is None else f"{say.plain(value)} ms"


def _points(value: float | None) -> str:
    return say.MISSING if value is None else f"{value * 100:.1f} points"


def _times_million(number: float | None) -> float | None:
    return None if number is None else number * 1e6
