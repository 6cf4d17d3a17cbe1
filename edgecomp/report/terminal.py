"""The table that a terminal shows at the end of a compile."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from edgecomp.report import wording as say
from edgecomp.report.reading import files, tag

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
