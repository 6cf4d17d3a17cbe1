"""What compression forgot: the clips on which the student left its teacher, and whose mistakes it makes."""

from __future__ import annotations

from typing import Any

from edgecomp.report import wording as say


def method(report: dict[str, Any]) -> list[str]:
    """Say how forgotten clips were found, how many there are, and whether that is the weaker way."""
    one = _found(report)
    if not one:
        return []
    told = [f"On {say.estimate(one['share'])} of {say.clips(one['share']['n'], 'test')} the student left its teacher."]
    how = one["method"]
    told.append(f"{how[:1].upper()}{how[1:]}.")
    if one.get("voices") is False:
        told.append(
            "Their sounds were left out on purpose: neither this page nor the bundle's folder forgotten holds them."
        )
    if one.get("is_weak"):
        told.append(
            "The stronger way is a compile with replicates: the list then rests on students from several seeds."
        )
    return told


def table(report: dict[str, Any]) -> dict[str, Any] | None:
    """Lay out the listed clips; None where there are none.

    heads: the models; lines: path, label, subject, groups, distance, sound, students, cells
    """
    one = _found(report)
    if not one or not one["clips"]:
        return None
    models = report["audit"]["models"]
    lines = [
        {
            "path": clip["path"],
            "label": clip["label"],
            "subject": clip.get("subject"),
            "groups": ", ".join(f"{name}: {value}" for name, value in (clip.get("groups") or {}).items()),
            "distance": f"{clip['distance']:.2f}",
            "sound": clip.get("sound"),
            "students": clip.get("students"),
            "cells": [_cell(clip, model, models[0]) for model in models],
        }
        for clip in one["clips"]
    ]
    return {
        "heads": [f"{name} (ships)" if name == report["audit"]["shipped"] else name for name in models],
        "lines": lines,
        "has_students": not one.get("is_weak"),
        "scale": "0 to 1" if one.get("is_weak") else "0 to 2",
    }


def inherited(report: dict[str, Any]) -> list[str]:
    """Say whose mistakes the model that ships makes."""
    one = (report.get("audit") or {}).get("inherited")
    if not one:
        return []
    told = []
    for who, errors, share, of in (
        (
            "teacher",
            one["teacher_errors"],
            one["repeated"],
            "the student repeats {} of these errors, same wrong answer",
        ),
        ("student", one["student_errors"], one["new"], "{} of these errors are new: the teacher was right there"),
    ):
        rest = f"; {of.format(say.estimate(share))}" if share else ""
        told.append(f"The {who} is wrong on {say.clips(errors, 'test')}{rest}.")
    return told


def _found(report: dict[str, Any]) -> dict[str, Any] | None:
    return (report.get("audit") or {}).get("forgotten")


def _cell(clip: dict[str, Any], model: str, teacher: str) -> dict[str, Any]:
    one, master = clip["answers"].get(model), clip["answers"].get(teacher)
    if one is None:
        return {"label": say.MISSING, "sureness": "", "is_other": False, "is_right": None}
    return {
        "label": one["label"],
        "sureness": say.percent(one.get("probability")),
        "is_other": master is not None and one["label"] != master["label"],
        "is_right": one["label"] == clip["label"],
    }
