"""The command that measures bundles on devices: bench."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edgecomp.cli.app import app
from edgecomp.cli.options import AsJson, BuildFolder, DataFolder, ResultsFile, new_table, open_store, recipe_named, say
from edgecomp.cli.told import Told
from edgecomp.errors import DeviceError, EdgecompError, GateError, InputError, nearest

if TYPE_CHECKING:
    from edgecomp.bench import Subject, WholeSplit
    from edgecomp.devices import Effort
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
        "--on",
        metavar="DEVICE",
        help="host, arm64:CORE, x86:CORE, ssh:USER@HOST, adb:SERIAL, browser, mcu. May be repeated.",
    ),
]

DELEGATES = ("default", "none")
PHONES_DELEGATES = ("nnapi", "xnnpack")
"""What computes, as --delegate names it: everywhere, and only where the app measures."""


@app.command()
def bench(
    bundles: Bundles,
    on: DeviceNames = ["host"],  # noqa: B006, Typer copies it
    seconds: Annotated[float, typer.Option(min=0, help="Least time of each file; MLPerf Tiny asks for 10.")] = 10.0,
    threads: Annotated[list[int], typer.Option(min=1, help="Threads of the runtime. May be repeated.")] = [1],  # noqa: B006
    delegate: Annotated[
        str,
        typer.Option(
            help="default (XNNPACK), or none: LiteRT's own kernels. On a phone also nnapi, and xnnpack for ONNX Runtime."
        ),
    ] = "default",
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
    results: ResultsFile = None,
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
    from edgecomp.bundle import read_bundle
    from edgecomp.devices import Effort
    from edgecomp.results import check_results

    _check_delegate(delegate, on)
    _check_options(limit, sustained, threads)
    file = results or build / "results.jsonl"
    check_results(file)
    for bundle in bundles:  # what is wrong with them is said before any device is asked
        read_bundle(bundle)
    check_devices(on)
    efforts = [Effort(seconds=seconds, threads=n, delegate=delegate, sustained_s=sustained) for n in threads]
    split = Split(recipe, data, build) if test else None
    told = Told(file, as_json, new_table("device", "file", "threads", "figure", "value", "range", "kept"))
    failed = None
    try:
        for name in on:
            try:
                for row in _benched(name, _Asked(bundles, efforts, starts, form, limit, split, build)):
                    told.row(row)
            except EdgecompError as why:  # what came before it is kept, and the other devices have their turn
                say(f"error: {why}")
                failed = why
    finally:  # after Ctrl-C too
        told.end()
    if failed is not None:
        raise typer.Exit(failed.exit_code)
    if told.broken:
        raise GateError(
            f"it does not answer there as its bundle recorded: {', '.join(dict.fromkeys(told.broken))}",
            where=file,
            fix="do not use this file there; report the processor and the runtime's version",
        )


@dataclass(frozen=True)
class Split:
    """Where the whole test split is found: the recipe's name or path (None: the bundle's), its data, the build folder."""

    recipe: str | None
    data: Path | None
    build: Path

    def of(self, found: list[Subject]) -> WholeSplit:
        """Return the test split that these files' bundles were judged on."""
        from edgecomp import bench as benches
        from edgecomp.task import load_task

        facts = found[0].bundle.facts
        recipe = recipe_named(self.recipe or facts["name"], facts["seed"])
        task = load_task(recipe, open_store(self.build), data=self.data)
        return benches.whole_split([one.bundle for one in found], task)


@dataclass(frozen=True)
class _Asked:
    """What to measure on each device; split: None for the golden clips alone."""

    bundles: list[Path]
    efforts: list[Effort]
    starts: int
    form: str | None
    limit: bool
    split: Split | None
    build: Path


def _check_delegate(delegate: str, on: list[str]) -> None:
    if delegate not in (*DELEGATES, *PHONES_DELEGATES):
        fix = f"allowed: {', '.join(DELEGATES)}; on a phone also {', '.join(PHONES_DELEGATES)}"
        raise InputError(f"no delegate {delegate!r}", where="--delegate", fix=fix)
    others = [place for place in on if place.partition(":")[0] != "adb"]
    if delegate in PHONES_DELEGATES and others:
        fix = f"measure it on a phone alone, --on adb; elsewhere: {', '.join(DELEGATES)}"
        raise InputError(f"only a phone has the delegate {delegate!r}, not {others[0]}", where="--delegate", fix=fix)


def _check_options(limit: bool, sustained: float, threads: list[int]) -> None:
    if limit and (sustained or 1 not in threads):
        given = f"--sustained {sustained:g}" if sustained else " ".join(f"--threads {n}" for n in threads)
        raise InputError(
            f"the limit is that of one core in a run that is not sustained, and {given} was given",
            where="--limit",
            fix="leave --sustained out, and have --threads 1 among the threads",
        )


def check_devices(on: list[str]) -> None:
    """Refuse what is no kind of device.

    raises: DeviceError with the kinds that there are
    """
    from edgecomp.devices import devices

    for name in on:
        if (kind := name.partition(":")[0]) not in devices():
            raise DeviceError(f"unknown device {name!r}", where="--on", fix=nearest(kind, devices()))


def _benched(name: str, asked: _Asked) -> Iterator[Result]:
    """Open a device and measure the bundles there."""
    from edgecomp import bench as benches
    from edgecomp.devices import open_device

    with open_device(name, asked.build) as device:
        found = benches.subjects(asked.bundles, device, asked.form)
        given = None if asked.split is None else asked.split.of(found)
        yield from benches.bench(found, device, asked.efforts, asked.starts, given, asked.limit)
