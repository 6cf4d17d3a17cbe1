"""The audit as Markdown: for whom, what was forgotten, outside the lab, when to ask, and calibration."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from edgecomp.report import calibration, deferral, forgotten, outside, slices
from edgecomp.report import wording as say

Table = Callable[[tuple[str, ...], list[tuple]], list[str]]
Text = Callable[[object], str]


def audit_lines(report: dict[str, Any], text: Text, table: Table) -> list[str]:
    """Write the audit's sections; none for a report without one.

    text: escapes one text; table: writes heads and rows, escaping their cells
    """
    return [
        line
        for section in (_whom, _forgotten, _outside, _asking, _calibration)
        for line in section(report, text, table)
    ]


def money_lines(report: dict[str, Any], table: Table) -> list[str]:
    """Write the table of costs for each way to run; nothing where it was not worked out."""
    found = deferral.money(report)
    if not found:
        return []
    heads = ("way to run", "stays local", f"1,000 calls cost ({found['unit']})", "right answers")
    rows = [(row["name"], say.inline(row["local"]), row["cost"], say.inline(row["accuracy"])) for row in found["lines"]]
    if found["has_payback"]:
        heads = (*heads, "compile paid for after calls")
        rows = [(*row, line["paid"]) for row, line in zip(rows, found["lines"], strict=True)]
    return ["## What stays local, at which cost", "", *table(heads, rows)]


def _whom(report: dict[str, Any], text: Text, table: Table) -> list[str]:
    found = slices.table(report)
    if not found:
        return []
    lines = ["## For whom not", "", text(slices.headline(report)), ""]
    lines += [f"- {one['count']} {one['word']}: {text(one['text'])}" for one in slices.verdicts(report)] + [""]
    lines += table(
        ("slice", "verdict", "why", "clips", *found["heads"][:2], "minus the teacher’s", "p (Holm)"),
        [
            (
                line["title"],
                line["verdict"],
                line["why"],
                f"{line['n']:,}",
                *map(say.inline, line["cells"][:2]),
                say.inline(line["difference"]),
                line["p"],
            )
            for line in found["open"]
        ],
    )
    return (
        [*lines, f"{say.count(len(found['folded']), 'more slice')} in report.json.", ""] if found["folded"] else lines
    )


def _forgotten(report: dict[str, Any], text: Text, table: Table) -> list[str]:
    told, found = [*forgotten.method(report), *forgotten.inherited(report)], forgotten.table(report)
    if not told:
        return []
    lines = ["## What compression forgot", "", text(" ".join(told)), ""]
    if not found:
        return lines
    return lines + table(
        ("clip", "groups", "it is", *found["heads"], "distance"),
        [
            (
                line["path"],
                line["groups"] or say.MISSING,
                line["label"],
                *(f"{'≠ ' if cell['is_other'] else ''}{cell['label']} {cell['sureness']}" for cell in line["cells"]),
                line["distance"],
            )
            for line in found["lines"]
        ],
    )


def _outside(report: dict[str, Any], text: Text, table: Table) -> list[str]:
    rows = outside.rows(report)
    if not rows:
        return []
    return [
        "## Outside the lab",
        "",
        text(outside.worst(report)),
        "",
        *table(
            ("sound", "teacher", "ships", "minus the teacher’s", "reading"),
            [
                (row["name"], *(say.inline(row[key]) for key in ("teacher", "ships", "difference")), row["reading"])
                for row in rows
            ],
        ),
    ]


def _asking(report: dict[str, Any], text: Text, table: Table) -> list[str]:
    if not report.get("deferral"):
        return []
    lines = ["## When it should ask", "", text(f"{deferral.rule(report)} {deferral.caveat(report)}"), ""]
    lines += table(
        ("on the test split", "value", "of"), [(name, say.inline(one), n) for name, one, n in deferral.outcome(report)]
    )
    rates = deferral.rates(report)
    if rates:
        above = [f"{one['name']} ({say.inline(one['cell'])})" for one in rates["above"]]
        told = f"Asked about more than others, beyond chance: {'; '.join(above)}." if above else ""
        lines += [text(told or "No slice is asked about more than the others beyond chance."), ""]
    found = deferral.foreign(report)
    if found:
        lines += table(
            ("foreign sound", "AUROC", "asked about", "sounds"),
            [(row["name"], say.inline(row["auroc"]), say.inline(row["asked"]), row["n"]) for row in found],
        )
    return lines


def _calibration(report: dict[str, Any], text: Text, table: Table) -> list[str]:
    rows = calibration.rows(report)
    if not rows:
        return []
    return [
        "## Calibration",
        "",
        text(calibration.fitted(report)),
        "",
        *table(
            ("probabilities", "calibration error", "Brier score", "clips"),
            [(row["when"], say.inline(row["error"]), say.inline(row["brier"]), f"{row['n']:,}") for row in rows],
        ),
    ]
