"""Whether the audit, calibration and deferral of a report.json have the shape that readers expect; all may be missing."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from edgecomp.report.slices import WORDS
from edgecomp.report.sounds import NAME


def check_audit(report: Mapping[str, Any]) -> None:
    """Hold the newer parts of a report against their shape.

    raises: ValueError that names the part; KeyError, TypeError or AttributeError where something is missing or no table
    """
    for key, check in (("audit", _audit), ("calibration", _calibration), ("deferral", _deferral)):
        if report.get(key) is not None:
            check(report[key])


def _audit(audit: Mapping[str, Any]) -> None:
    _texts(audit["models"], "audit.models")
    if audit["shipped"] not in audit["models"]:
        raise ValueError(f"audit.shipped is {audit['shipped']!r}, and audit.models are {audit['models']}")
    _numbers([audit["margin"], *audit["verdicts"].values()], "audit.margin and verdicts")
    for row in audit["slices"]:
        where = f"slice {row['slice']!r}"
        _texts([row["slice"], row["kind"], row["metric"], row.get("why", "")], where)
        if row["verdict"] not in WORDS:
            raise ValueError(f"{where} has the verdict {row['verdict']!r}; there are {', '.join(WORDS)}")
        _numbers([row["n"]], where)
        _numbers([row.get("subjects"), row.get("bound"), row.get("holm_p")], where, or_none=True)
        _estimates([*row["values"].values(), row["difference"]], where)
        _estimates([row.get("beyond")], where, or_none=True)
    if audit.get("inherited"):
        _numbers([audit["inherited"][key] for key in ("teacher_errors", "student_errors")], "audit.inherited")
        _estimates([audit["inherited"][key] for key in ("repeated", "new")], "audit.inherited", or_none=True)
    if audit.get("forgotten"):
        _forgotten(audit["forgotten"])
    if audit.get("outside"):
        _numbers([audit["outside"]["clips"]], "audit.outside")
        for row in audit["outside"]["rows"]:
            _texts([row["name"], row.get("text", "")], "audit.outside")
            _estimates([row["teacher"], row["ships"], row["difference"]], f"audit.outside {row['name']!r}")
        for row in audit["outside"].get("skipped") or []:
            _texts([row["name"], row["why"]], "audit.outside.skipped")


def _forgotten(found: Mapping[str, Any]) -> None:
    _texts([found["method"]], "audit.forgotten.method")
    _estimates([found["share"]], "audit.forgotten.share")
    for clip in found["clips"]:
        where = f"forgotten clip {clip['path']!r}"
        _texts([clip["path"], clip["label"]], where)
        _numbers([clip["distance"]], where)
        _texts((clip.get("groups") or {}).keys(), where)
        for answer in clip["answers"].values():
            _texts([answer["label"]], where)
            _numbers([answer.get("probability")], where, or_none=True)
        if clip.get("sound") is not None and not NAME.fullmatch(clip["sound"]):
            raise ValueError(f"{where} has the sound {clip['sound']!r}, and names are such as forgotten/00.flac")


def _calibration(found: Mapping[str, Any]) -> None:
    if not _is_number(found["scale"]) or found["scale"] <= 0:
        raise ValueError(f"calibration.scale is {found['scale']!r}")
    _numbers(found.get("shift") or [], "calibration.shift")
    for when in ("before", "after"):
        if found.get(when):
            _estimates([found[when]["calibration_error"], found[when]["brier"]], f"calibration.{when}")
            for one in found[when].get("reliability") or []:
                _numbers([one["confidence"], one["accuracy"]], f"calibration.{when}.reliability")
                _numbers([one.get("low"), one.get("high")], f"calibration.{when}.reliability", or_none=True)


def _deferral(found: Mapping[str, Any]) -> None:
    numbers = ("answered", "errors", "n", "max_risk", "confidence")
    _numbers([found[key] for key in numbers], f"deferral: {', '.join(numbers)}")
    _numbers([found["ask_above"], found["bound"], found.get("subjects")], "deferral.ask_above and bound", or_none=True)
    _texts([found.get("note") or ""], "deferral.note")
    _estimates((found.get("test") or {}).values(), "deferral.test", or_none=True)
    curve = found.get("curve") or {"coverage": [], "risk": []}
    _numbers([*curve["coverage"], *curve["risk"]], "deferral.curve")
    if len(curve["coverage"]) != len(curve["risk"]):
        raise ValueError("deferral.curve has not as many risks as coverages")
    for one in found.get("rates") or []:
        _texts([one["name"]], "deferral.rates")
        _estimates([one["rate"]], f"deferral.rates {one['name']!r}")
        _numbers([one.get("holm_p")], f"deferral.rates {one['name']!r}", or_none=True)
        if not isinstance(one["is_above"], bool):
            raise ValueError(f"is_above of deferral.rates {one['name']!r} is {one['is_above']!r}")
    for one in found.get("foreign") or []:
        _texts([one["name"], one.get("text", "")], "deferral.foreign")
        _estimates([one["auroc"], one["asked"]], f"deferral.foreign {one['name']!r}")
    if found.get("costs"):
        _texts([found["costs"]["unit"], found["costs"].get("note") or ""], "deferral.costs")
        for row in found["costs"]["rows"]:
            _texts([row["name"]], "deferral.costs")
            _estimates([row["local"], row["accuracy"]], f"deferral.costs {row['name']!r}")
            _numbers([row["per_1000"]], f"deferral.costs {row['name']!r}")
            _numbers([row.get("paid_after")], f"deferral.costs {row['name']!r}", or_none=True)


def _estimates(found: Iterable[Any], where: str, *, or_none: bool = False) -> None:
    for one in found:
        if one is None and or_none:
            continue
        if not isinstance(one, Mapping):
            raise ValueError(f"{where}: {one!r} where an estimate should be")
        _numbers([one["n"]], f"n in {where}")
        _numbers([one["value"], one.get("low"), one.get("high")], where, or_none=True)


def _numbers(found: Iterable[Any], where: str, *, or_none: bool = False) -> None:
    for one in found:
        if not _is_number(one) and not (one is None and or_none):
            raise ValueError(f"{where}: {one!r} where a number should be")


def _texts(found: Iterable[Any], where: str) -> None:
    for one in found:
        if not isinstance(one, str):
            raise ValueError(f"{where}: {one!r} where a text should be")


def _is_number(one: Any) -> bool:
    return isinstance(one, int | float) and not isinstance(one, bool)
