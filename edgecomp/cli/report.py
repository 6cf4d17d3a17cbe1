"""The command that puts what was compiled or benched on a page: report."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from edgecomp.cli.app import app
from edgecomp.errors import InputError


@app.command()
def report(
    sources: Annotated[
        list[Path],
        typer.Argument(metavar="BUNDLE|RESULTS...", help="Folders that `compile` wrote, or files that `bench` wrote."),
    ],
    out: Annotated[Path, typer.Option("--out", help="The page to write.")] = Path("report.html"),
    markdown: Annotated[bool, typer.Option("--markdown", help="Print Markdown instead of writing a page.")] = False,
) -> None:
    """Put bundles' reports on one page, or many benches' results on one field report.

    \b
    edgecomp report build/bundles/keywords-* --out comparison.html
    edgecomp report build/bundles/keywords-redmi-7a --markdown
    edgecomp report build/results.jsonl phones.jsonl --out field-report.html
    """
    from edgecomp import report as reports
    from edgecomp.store import clear_errors, write_atomically

    files = [source for source in sources if source.is_file()]
    if files and len(files) < len(sources):
        other = next(source for source in sources if source not in files)
        raise InputError(
            "bundles and results files do not go on one page",
            where=other,
            fix="give only folders, or only files of bench",
        )
    if files:
        from edgecomp.report import field

        results = field.read_all(files)
        if markdown:
            typer.echo(field.markdown(results))
            return
        page = field.html(results)
    else:
        absent = next((one for one in sources if one.suffix == ".jsonl" and not one.exists()), None)
        if absent is not None:
            raise InputError("there is no such results file", where=absent, fix="run `edgecomp bench BUNDLE` first")
        read = [reports.read_report(bundle / "report.json") for bundle in sources]
        if markdown:
            typer.echo("\n\n".join(map(reports.markdown, read)))
            return
        sounds = reports.read_sounds(sources[0], read[0])
        page = reports.html(read[0], sounds) if len(read) == 1 else reports.comparison_html(read)
    with clear_errors(out.parent):
        write_atomically(out, page)
    typer.echo(out)
