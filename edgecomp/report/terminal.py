"""What a terminal shows at the end of a compile: a table, and a few lines about the audit."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from edgecomp.report import calibration, deferral, outside, slices
from edgecomp.report import wording as say
from edgecomp.report.reading import as_read, files, tag

if TYPE_CHECKING:
    from rich.table import Table

COLUMNS = (
    ("accuracy", "accuracy (95 %)"),
    ("bytes", "size"),
    ("latency_p50", "median"),
    ("latency_ratio", "÷ teacher’s"),
    ("peak_memory", "peak memory"),
)


def terminal_table(report: Mapping[str, Any]) -> Table:
    """Lay out every stage and file; the one that ships is marked, and the device stands below."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table
    from rich.text import Text

    table = Table(
        title=Text(f"{report['name']} for {report['target']['name']}"),
        title_justify="left",
        caption=Text(f"measured on {report['device']}, one thread"),
        caption_justify="left",
        header_style="bold",
        box=SIMPLE_HEAD,
        pad_edge=False,
    )
    table.add_column("stage")
    table.add_column("file")
    for _, head in COLUMNS:
        table.add_column(head, justify="right")
    for stage, file in files(report):
        word = {"ships": " ← ships", "": ""}.get(tag(report, file), " in bundle")
        cells = [Text(stage["name"]), Text(file["format"] + word)]
        for name, _ in COLUMNS:
            cell = say.cell(name, file["measurements"].get(name))
            cells.append(Text(say.inline(cell if name == "accuracy" else cell | {"interval": ""})))
        table.add_row(*cells, style="bold" if "ships" in word else None)
    return table


def terminal_summary(report: Mapping[str, Any]) -> list[str]:
    """Say in at most 6 plain lines what the audit found; none for a report without one."""
    report = as_read(report)
    counts = ", ".join(f"{one['count']} {one['word']}" for one in slices.verdicts(report))
    lost = [slices.title(row) for row in (report.get("audit") or {}).get("slices") or [] if row["verdict"] == "lost"]
    named = "; ".join(lost[:5]) + (f"; and {len(lost) - 5} more" if len(lost) > 5 else "")
    told = [
        f"slices: {counts}" if counts else "",
        f"lost: {named}" if lost else "",
        deferral.short_rule(report),
        deferral.brief(report),
        calibration.brief(report),
        outside.worst(report),
    ]
    return [" ".join(line.split()) for line in told if line]
