"""The report as Markdown: for a model card, a pull request, a mail."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from edgecomp.report import summary, tables
from edgecomp.report import wording as say
from edgecomp.report.audit_prose import audit_lines, money_lines
from edgecomp.report.reading import as_read

SPECIAL = re.compile(r"([\\`*_{}\[\]<>#|~$&])")


def markdown(report: Mapping[str, Any]) -> str:
    """Write one report as Markdown; texts of the user are escaped, so that none becomes markup."""
    report = as_read(report)
    verdict = summary.verdict(report)
    lines = [f"# {_text(report['name'])}, compiled for {_text(report['target']['name'])}", ""]
    if report.get("summary"):
        lines += [_text(report["summary"]), ""]
    lines += [f"**{_text(verdict['text'])}.**", ""]
    told = [summary.opening(report), *summary.faithful(report), summary.weakest(report), summary.decision(report)]
    lines += [" ".join(_text(one) for one in dict.fromkeys(told) if one), ""]
    lines += [_text(summary.where(report)), ""]
    lines += _table(
        ("cost", "value", "budget", ""),
        [
            (row["name"], row["value"], row["limit"] + (" **(exceeded)**" if row["over"] else ""), row["note"])
            for row in summary.budget(report)
        ],
        raw=(2,),
    )
    lines += ["## Checks", ""]
    lines += [
        f"- {'passed' if gate['passed'] else '**FAILED**'}: {_text(say.name_of(gate['name']))}: {_text(gate['text'])}"
        for gate in report["gates"]
    ] or ["- none was made"]
    lines += [f"- warning: {_text(warning)}" for warning in report["warnings"]] + [""]
    lines += _stages("How good", tables.table(report, tables.QUALITY))
    lines += audit_lines(report, _text, _table)
    lines += money_lines(report, _table)
    for title, columns in (
        ("Size and latency, one clip", tables.COSTS),
        ("Start and memory, above the empty process", tables.STARTS),
        ("Other figures", tables.other(report)),
    ):
        lines += _stages(title, tables.table(report, columns))
    if report["parity"]:
        lines += ["## Parity", ""]
        lines += _table(
            ("file", "held against", "same decision", "mean difference", "largest", "clips", "result"),
            [
                (
                    row["a"],
                    row["b"],
                    say.percent(row["agreement"]),
                    say.plain(row["mean_difference"]),
                    say.plain(row["largest_difference"]),
                    say.plain(row["n"]),
                    "passed" if row["passed"] else "FAILED",
                )
                for row in report["parity"]
            ],
        )
    found = [] if report.get("audit") else summary.labels(report)
    if found:
        lines += ["## Labels", ""]
        lines += _table(
            ("label", "test clips", "found", "share found (95 %)", "found by the teacher"),
            [
                (
                    row["label"],
                    row["n"],
                    row["found"],
                    f"{say.percent(row['share'])} ({row['low'] * 100:.1f} to {row['high'] * 100:.1f})"
                    if row["low"] is not None
                    else say.MISSING,
                    say.MISSING if row["teacher"] is None else row["teacher"],
                )
                for row in found
            ],
        )
    lines += (
        ["## Where it comes from", ""]
        + [f"- {_text(term)}: {_text(text)}" for term, text in summary.origin(report)]
        + [""]
    )
    lines += (
        ["## How it was measured", ""]
        + [f"- {_text(names)}: {_text(method)}" for names, method in tables.methods(report)]
        + [""]
    )
    return "\n".join(lines)


def _stages(title: str, table: dict[str, Any]) -> list[str]:
    if not table["lines"]:
        return []
    body = []
    for line in table["lines"]:
        cells = [say.inline(cell) for cell in line["cells"]]
        body.append((line["stage"], line["format"] + (f", {line['tag']}" if line["tag"] else ""), *cells))
    return [f"## {title}", "", *_table(("stage", "file", *table["heads"]), body)]


def _table(heads: tuple[str, ...], body: list[tuple], raw: tuple[int, ...] = ()) -> list[str]:
    """Write a table; the columns in raw are markup already."""
    rows = [[str(cell) if place in raw else _text(cell) for place, cell in enumerate(row)] for row in body]
    return [
        "| " + " | ".join(_text(head) for head in heads) + " |",
        "|" + " --- |" * len(heads),
        *("| " + " | ".join(row) + " |" for row in rows),
        "",
    ]


def _text(text: object) -> str:
    """Write a text so that Markdown and HTML leave it alone, on one line."""
    return SPECIAL.sub(r"\\\1", " ".join(str(text).split()))
