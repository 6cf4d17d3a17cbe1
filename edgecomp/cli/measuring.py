"""The commands that measure bundles on devices and put what was measured on a page: bench, report."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edgecomp.cli.app import app
from edgecomp.cli.options import AsJson, BuildFolder, DataFolder, new_table, open_store, recipe_named, say, show_table
from edgecomp.errors import DeviceError, EdgecompError, GateError, InputError, nearest

if TYPE_CHECKING:
    from edgecomp.results import Result

Bundles = Annotated[
    list[Path],
    typer.Argument(
        metavar="BUNDLE...", help="Folders that `edgecomp compile` wrote; compared side by side in one run."
    ),
]
DeviceNames = Annotated[
    list[str],
    typer.Option(
        "--on", metavar="DEVICE", help="host, arm64:CORE, ssh:USER@HOST, adb:SERIAL, browser. May be repeated."
    ),
]


@app.command()
def bench(
    bundles: Bundles,
    on: DeviceNames = ["host"],  # noqa: B006, Typer copies it
    seconds: Annotated[float, typer.Option(min=0, help="Least time of each file; MLPerf Tiny asks for 10.")] = 10.0,
    threads: Annotated[list[int], typer.Option(min=1, help="Threads of the runtime. May be repeated.")] = [1],  # noqa: B006
    delegate: Annotated[str, typer.Option(help="default (XNNPACK), or none: LiteRT's own kernels.")] = "default",
    sustained: Annotated[
        float, typer.Option(min=0, help="Run for so many seconds, to see drift and throttling.")
    ] = 0.0,
    starts: Annotated[int, typer.Option(min=0, help="Fresh processes for cold start and memory.")] = 5,
    form: Annotated[
        str | None, typer.Option("--format", help="onnx or tflite; all that the device runs by default.")
    ] = None,
    test: Annotated[
        bool, typer.Option("--test", help="Answer the whole test split there, and hold it to the float student.")
    ] = False,
    limit: Annotated[
        bool,
        typer.Option("--limit", help="How far front end and body are from what one core reaches at best (1 thread)."),
    ] = False,
    data: DataFolder = None,
    recipe: Annotated[
        str | None, typer.Option("--recipe", help="With --test: the bundle's recipe; by default the one of its name.")
    ] = None,
    build: BuildFolder = Path("build"),
    results: Annotated[
        Path | None, typer.Option("--results", help="Lines are appended here; BUILD/results.jsonl by default.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Measure bundles on devices: latency, start, memory, energy, and whether they answer there as they should.

    \b
    edgecomp bench build/bundles/keywords-redmi-7a
    edgecomp bench build/bundles/keywords-* --on ssh:pi@board --threads 1 --threads 2 --threads 4
    edgecomp bench build/bundles/keywords-redmi-7a --on arm64:cortex-a53 --on browser --test
    edgecomp bench build/bundles/keywords-redmi-7a --on adb --sustained 600
    edgecomp bench build/bundles/keywords-redmi-7a --limit

    Lines go to a results file as they are measured; `edgecomp report` makes a page of one or many.
    """
    from edgecomp import bench as benches
    from edgecomp.bundle import read_bundle
    from edgecomp.devices import Effort, devices, open_device
    from edgecomp.results import append_results, check_results

    if delegate not in ("default", "none"):
        raise InputError(f"no delegate {delegate!r}", where="--delegate", fix="allowed: default, none")
    if limit and (sustained or 1 not in threads):
        given = f"--sustained {sustained:g}" if sustained else " ".join(f"--threads {n}" for n in threads)
        raise InputError(
            f"the limit is that of one core in a run that is not sustained, and {given} was given",
            where="--limit",
            fix="leave --sustained out, and have --threads 1 among the threads",
        )
    file = results or build / "results.jsonl"
    check_results(file)
    efforts = [Effort(seconds=seconds, threads=n, delegate=delegate, sustained_s=sustained) for n in threads]
    for bundle in bundles:  # what is wrong with them is said before any device is asked
        read_bundle(bundle)
    for name in on:
        if (kind := name.partition(":")[0]) not in devices():
            raise DeviceError(f"unknown device {name!r}", where="--on", fix=nearest(kind, devices()))
    table = new_table("device", "file", "threads", "figure", "value", "range", "kept")
    failed, broken = None, []
    try:
        for name in on:
            try:
                with open_device(name, build) as device:
                    found = benches.subjects(bundles, device, form)
                    given = None
                    if test:
                        opened = found[0].bundle
                        task = _task(recipe or opened.facts["name"], opened.facts["seed"], build, data)
                        given = benches.whole_split([one.bundle for one in found], task)
                    for row in benches.bench(found, device, efforts, starts, given, limit):
                        append_results(file, [row])
                        if as_json:
                            typer.echo(json.dumps(asdict(row), ensure_ascii=False))
                        elif row.value is not None:
                            table.add_row(*_cells(row))
                        if row.within() is False and row.name in ("golden_difference", "agreement"):
                            broken.append(f"{row.bundle} {row.form} on {row.device}")
            except EdgecompError as why:  # what came before it is kept, and the other devices have their turn
                say(f"error: {why}")
                failed = why
    finally:  # after Ctrl-C too
        if table.row_count:
            show_table(table)
        say(f"results: {file}")
    if failed is not None:
        raise typer.Exit(failed.exit_code)
    if broken:
        raise GateError(
            f"it does not answer there as its bundle recorded: {', '.join(dict.fromkeys(broken))}",
            where=file,
            fix="do not use this file there; report the processor and the runtime's version",
        )


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


def _task(name: str, seed: int, build: Path, data: Path | None):
    from edgecomp.task import load_task

    return load_task(recipe_named(name, seed), open_store(build), data=data)


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
