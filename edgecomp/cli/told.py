"""Where the lines of a bench go as they come: the results file, stdout, and what decides the exit code."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from edgecomp.cli.options import say, show_table

if TYPE_CHECKING:
    from rich.table import Table

    from edgecomp.results import Result

PARITY = ("golden_difference", "agreement", "largest_difference", "mean_difference")
"""What says that a file does not answer as it should."""


@dataclass(frozen=True)
class Told:
    """Keeps and shows lines; broken collects the files that do not answer as their bundle recorded."""

    file: Path
    as_json: bool
    table: Table
    broken: list[str] = field(default_factory=list)

    def row(self, row: Result) -> None:
        """Keep and show one line."""
        from edgecomp.results import append_results

        append_results(self.file, [row])
        if self.as_json:
            typer.echo(json.dumps(asdict(row), ensure_ascii=False))
        elif row.value is not None:
            self.table.add_row(*_cells(row))
        if row.within() is False and row.name in PARITY:
            self.broken.append(f"{row.bundle} {row.form} on {row.device}")

    def end(self) -> None:
        """Show the table, and say where the lines are."""
        if self.table.row_count:
            show_table(self.table)
        say(f"results: {self.file}")


def _cells(row: Result) -> list[str]:
    from edgecomp.report import wording

    unit = {"low": row.low, "high": row.high, "unit": row.unit}
    between = "" if row.low is None else wording.interval(row.name, unit)
    if row.unit == "bytes" and row.low is not None:
        between = f"{wording.size(row.low)} to {wording.size(row.high)}"
    value = wording.value(row.name, row.value, row.unit)
    return [
        f"{row.how} on {row.device}",
        f"{row.bundle} {row.form}",
        str(row.threads),
        "share of the first file's median" if row.name == "latency_ratio" else wording.name_of(row.name),
        value if row.unit in ("ms", "share", "bytes") else f"{value} {row.unit}",
        between,
        {None: "", True: "yes", False: "NO"}[row.within()],
    ]
