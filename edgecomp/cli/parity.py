"""The command that fills the parity matrix: parity."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edgecomp.cli.app import app
from edgecomp.cli.measuring import Bundles, Split, check_devices
from edgecomp.cli.options import AsJson, BuildFolder, DataFolder, ResultsFile, new_table, say, show_table
from edgecomp.cli.told import PARITY
from edgecomp.errors import GateError

if TYPE_CHECKING:
    from edgecomp.bench import Subject, WholeSplit
    from edgecomp.results import Result


@app.command()
def parity(
    bundles: Bundles,
    on: Annotated[
        list[str] | None,
        typer.Option("--on", metavar="DEVICE", help="As bench's; by default all that needs only this machine."),
    ] = None,
    clips: Annotated[
        int | None, typer.Option(min=2, help="So many clips, evenly spaced in the test split; all of them by default.")
    ] = None,
    data: DataFolder = None,
    recipe: Annotated[
        str | None, typer.Option("--recipe", help="The bundles' recipe; by default the one of their name.")
    ] = None,
    build: BuildFolder = Path("build"),
    results: ResultsFile = None,
    as_json: AsJson = False,
) -> None:
    """Answer the whole test split on every place that can be reached, and hold it to the float student and to this host.

    \b
    edgecomp parity build/bundles/keywords-redmi-7a
    edgecomp parity build/bundles/keywords-redmi-7a --on browser --on adb
    edgecomp parity build/bundles/keywords-redmi-7a --clips 100 --on x86:haswell

    What cannot be reached is skipped with its reason. Nothing is timed. `edgecomp report build/results.jsonl` makes a page of it.
    """
    from edgecomp.bench import PLACES, matrix
    from edgecomp.bundle import read_bundle
    from edgecomp.results import append_results, check_results

    file = results or build / "results.jsonl"
    check_results(file)
    for bundle in bundles:
        read_bundle(bundle)
    check_devices(on or [])
    split = Split(recipe, data, build)

    def split_of(found: list[Subject]) -> WholeSplit:
        return split.of(found) if clips is None else split.of(found).thinned(clips)

    rows: list[Result] = []
    try:
        for row in matrix(bundles, on or list(PLACES), split_of, build):
            append_results(file, [row])
            rows.append(row)
            if as_json:
                typer.echo(json.dumps(asdict(row), ensure_ascii=False))
    finally:  # after Ctrl-C too
        if rows and not as_json:
            _show(rows)
        say(f"results: {file}")
    broken = dict.fromkeys(
        f"{row.bundle} {row.form} on {row.device}" for row in rows if row.name in PARITY and row.within() is False
    )
    if broken:
        raise GateError(
            f"it does not answer there as the float student does: {', '.join(broken)}",
            where=file,
            fix="do not use this file there; `edgecomp report` shows by how much",
        )


def _show(rows: list[Result]) -> None:
    from edgecomp.report import field_parity

    made = field_parity.matrix(rows)
    table = new_table("on", "file", *made["heads"], "kept")
    for line in made["lines"]:
        is_told = line["how"] == "measured" or line["how"] in line["device"]
        where = line["device"] if is_told else f"{line['device']} ({line['how']})"
        cells = [line["why"]] if line["why"] else [field_parity.words(cell) for cell in line["cells"]]
        cells += [""] * (len(made["heads"]) - len(cells))
        table.add_row(where, line["file"], *cells, {None: "", True: "yes", False: "NO"}[line["within"]])
    show_table(table)
