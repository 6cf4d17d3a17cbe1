"""Outside the lab: what noise, microphones and codecs do to teacher and student, in sentences and rows."""

from __future__ import annotations

from typing import Any

from edgecomp.report import wording as say


def rows(report: dict[str, Any]) -> list[dict[str, Any]]:
    """Lay out every corruption; empty without an audit."""
    return [
        {
            "name": one["name"],
            "text": one.get("text", ""),
            "teacher": say.share_cell(one["teacher"]),
            "ships": say.share_cell(one["ships"]),
            "difference": say.cell("accuracy_difference", one["difference"]),
            "reading": reading(one["difference"]),
        }
        for one in _outside(report).get("rows") or []
    ]


def reading(difference: dict[str, Any]) -> str:
    """Say whose loss it is: the student's own, or one that the teacher shares."""
    low, high = difference.get("low"), difference.get("high")
    if high is not None and high < 0:
        return "student worse"
    return "student better" if low is not None and low > 0 else "no difference shown"


def skipped(report: dict[str, Any]) -> list[str]:
    """Say what could not be applied here."""
    return [f"{one['name']}: {one['why']}" for one in _outside(report).get("skipped") or []]


def worst(report: dict[str, Any]) -> str:
    """Say under which corruption the model that ships does worst, and how the teacher does there."""
    judged = [one for one in _outside(report).get("rows") or [] if one["ships"]["value"] is not None]
    damaged = [one for one in judged if one["name"] != "as recorded"]
    if not damaged:
        return ""
    one = min(damaged, key=lambda one: one["ships"]["value"])
    plain = next((other for other in judged if other["name"] == "as recorded"), None)
    before = f", where as recorded it is {say.percent(plain['ships']['value'])}" if plain else ""
    return (
        f"Worst under “{one['name']}”: {say.percent(one['ships']['value'])} of {one['ships']['n']:,} clips right{before}; "
        f"the teacher there: {say.percent(one['teacher']['value'])}."
    )


def _outside(report: dict[str, Any]) -> dict[str, Any]:
    return (report.get("audit") or {}).get("outside") or {}
