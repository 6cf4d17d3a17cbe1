"""For whom does the model that ships do what the teacher did: the audit's slices in counts, sentences and rows."""

from __future__ import annotations

from typing import Any

from edgecomp.report import wording as say

WORDS = ("lost", "unclear", "too small", "kept")
"""The four verdicts, in the order in which a reader should meet them."""
SIGNS = {"lost": "✕", "unclear": "?", "too small": "·", "kept": "✓"}
FIRST = ("all", "class", "group")
"""Kinds of slices that are read first; the others cut finer, and are smaller."""
MOST = 16
"""Slices that a plot can hold on a phone, and rows of the table that are not folded."""


def verdicts(report: dict[str, Any]) -> list[dict[str, Any]]:
    """Return every verdict with its count and the sentence that explains it; empty without an audit."""
    audit = report.get("audit")
    if not audit:
        return []
    margin = f"{_margin(report)} points"
    meaning = {
        "lost": f"More than {margin} worse than the teacher on these clips, and beyond chance: tested exactly and "
        "corrected over all slices (Holm; labels and groups weigh as much as all finer slices together).",
        "unclear": f"Neither shown: the clips do not rule out a loss of more than {margin}, and do not prove one.",
        "too small": "Too few clips or people to judge by: a loss here could go unseen.",
        "kept": f"Not worse than the teacher by more than {margin}, shown with 95 % confidence.",
    }
    counts = audit["verdicts"]
    return [{"word": word, "count": counts.get(word, 0), "text": meaning[word]} for word in WORDS]


def headline(report: dict[str, Any]) -> str:
    """Say in one or two sentences for whom the student lost, worst first; nothing without an audit."""
    if not report.get("audit"):
        return ""
    rows, counts = report["audit"]["slices"], report["audit"]["verdicts"]
    of = say.count(len(rows), "comparison") + " of a slice with the teacher"
    lost = [row for row in rows if row["verdict"] == "lost"]
    if not lost:
        told = ", ".join(f"{counts.get(word, 0)} {word}" for word in ("kept", "unclear", "too small"))
        return (
            f"No slice is known to have lost more than {_margin(report)} points. Of {of}: {told}.{_largest_drop(rows)}"
        )
    named = "; ".join(f"{title(row)} ({_gap(row)}{_beyond(row)}, {say.clips(row['n'])})" for row in lost[:4])
    more = f"; and {len(lost) - 4} more" if len(lost) > 4 else ""
    first = "; groups first, and the one that surely lost most beyond all other clips" if len(lost) > 1 else ""
    return f"{len(lost)} of {of} lost{first}: {named}{more}."


def title(row: dict[str, Any]) -> str:
    """Return a row's name: its slice, and its metric where that is not accuracy."""
    return row["slice"] if row["metric"] == "accuracy" else f"{row['slice']}, {row['metric']}"


def table(report: dict[str, Any]) -> dict[str, Any] | None:
    """Lay out the foremost rows and those to fold; None without an audit.

    heads: the models, teacher and shipped first
    lines: title, kind, n, subjects, cells, difference, p, beyond, verdict, sign, why
    """
    audit = report.get("audit")
    if not audit:
        return None
    first = foremost(report)
    models = _models(audit)
    return {
        "heads": [f"{name} (ships)" if name == audit["shipped"] else name for name in models],
        "open": [_line(row, models) for row in first],
        "folded": [_line(row, models) for row in audit["slices"] if row not in first],
    }


def foremost(report: dict[str, Any]) -> list[dict[str, Any]]:
    """Choose the rows to read first, in the audit's order: lost or unclear, and then whole labels and groups."""
    rows = (report.get("audit") or {}).get("slices") or []
    found = [row for row in rows if row["kind"] == "all" or row["verdict"] in ("lost", "unclear")]
    return [*found, *(row for row in rows if row["kind"] in FIRST and row not in found)][:MOST]


def _line(row: dict[str, Any], models: list[str]) -> dict[str, Any]:
    name = "auroc" if row["metric"] == "AUROC" else "accuracy"
    return {
        "title": title(row),
        "kind": row["kind"],
        "n": row["n"],
        "subjects": row.get("subjects"),
        "cells": [say.cell(name, row["values"].get(model)) for model in models],
        "difference": say.cell("accuracy_difference", row["difference"]),
        "p": say.p_value(row.get("holm_p")),
        "beyond": say.cell("accuracy_difference", row["beyond"]) if row.get("beyond") else None,
        "verdict": row["verdict"],
        "sign": SIGNS[row["verdict"]],
        "why": row.get("why", ""),
    }


def _largest_drop(rows: list[dict[str, Any]]) -> str:
    """Name the whole label or group that dropped most; its verdict says whether that is more than chance."""
    whole = [row for row in rows if row["kind"] in FIRST[1:] and (row["difference"]["value"] or 0) < 0]
    if not whole:
        return ""
    row = min(whole, key=lambda row: row["difference"]["value"])
    return (
        f" The largest drop seen in a label or group: {title(row)}, {_gap(row)} "
        f"({say.clips(row['n'])}, {row['verdict']})."
    )


def _models(audit: dict[str, Any]) -> list[str]:
    ends = [name for name in (audit["models"][0], audit["shipped"]) if name in audit["models"]]
    return list(dict.fromkeys([*ends, *audit["models"]]))


def _beyond(row: dict[str, Any]) -> str:
    """Say what a slice lost beyond all other clips, where there are others."""
    beyond = row.get("beyond")
    if not beyond:
        return ""
    of = "" if row["metric"] == "AUROC" else " in sureness"
    return f", {say.points(beyond['value'])}{of} beyond the other clips"


def _gap(row: dict[str, Any]) -> str:
    return f"{say.points(row['difference']['value'])} points"


def _margin(report: dict[str, Any]) -> str:
    return f"{report['audit']['margin'] * 100:g}"
