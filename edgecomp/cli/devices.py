"""The commands `devices …`: which kinds there are, make one ready, ask one what it is, serve the page for browsers."""

from __future__ import annotations

import json
from dataclasses import asdict
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Annotated, Any

import typer

from edgecomp.cli.app import app
from edgecomp.cli.options import AsJson, BuildFolder, ResultsFile, new_table, say, show_table
from edgecomp.errors import DeviceError, InputError, nearest

HELP = """List the places where a bundle can be run, make one ready, or ask one what it is.

\b
edgecomp devices list
edgecomp devices prepare arm64
edgecomp devices describe ssh:pi@board
"""
group = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help=HELP)
app.add_typer(group, name="devices")

Waiting = Annotated[float, typer.Option("--wait", min=1, help="Seconds to wait for the next browser.")]


@group.command(name="list")
def list_(build: BuildFolder = Path("build"), as_json: AsJson = False) -> None:
    """List the kinds of devices: what their numbers are worth, what each needs, and which are ready here.

    \b
    edgecomp devices list
    edgecomp bench build/bundles/keywords-redmi-7a --on arm64:cortex-a53
    """
    from edgecomp.devices import devices

    rows = [_row(kind, build) for kind in devices()]
    if as_json:
        for row in rows:
            typer.echo(json.dumps(row, ensure_ascii=False))
        return
    table = new_table("--on", "numbers", "ready here", "needs")
    for row in rows:
        table.add_row(row["kind"], row["how"], row["missing"] or "yes", row["needs"])
    show_table(table)


@group.command()
def prepare(
    kind: Annotated[str, typer.Argument(metavar="KIND", help="A kind that `edgecomp devices list` lists.")],
    build: BuildFolder = Path("build"),
) -> None:
    """Fetch once what a kind of device needs, into the build folder; nothing is installed on this machine.

    \b
    edgecomp devices prepare arm64
    edgecomp devices prepare browser
    """
    module = _module(kind)
    if not hasattr(module, "prepare"):
        say(f"{kind} needs no preparation")
        return
    typer.echo(module.prepare(build))


@group.command()
def describe(
    device: Annotated[
        str, typer.Argument(metavar="DEVICE", help="As bench's --on takes it: host, arm64, ssh:pi@board.")
    ],
    build: BuildFolder = Path("build"),
    as_json: AsJson = False,
) -> None:
    """Ask a device what it is: processor, features, clocks, heat, memory, and the formats that it runs.

    \b
    edgecomp devices describe ssh:pi@board
    edgecomp devices describe arm64:cortex-a76 --json
    """
    from edgecomp.devices import open_device

    with open_device(device, build) as opened:
        facts = {**opened.describe(), "name": opened.name, "forms": list(opened.forms), "how": opened.how}
    if as_json:
        typer.echo(json.dumps(facts, ensure_ascii=False))
        return
    for key, value in facts.items():
        typer.echo(f"{key:<16} {_shown(value)}")


@group.command()
def serve(
    bundles: Annotated[list[Path], typer.Argument(metavar="BUNDLE...", help="Folders that `edgecomp compile` wrote.")],
    host: Annotated[
        str, typer.Option(help="The address to listen on; 0.0.0.0 is every network of this machine.")
    ] = "0.0.0.0",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes one that is free.")] = 0,
    wait: Waiting = 300.0,
    seconds: Annotated[float, typer.Option(min=0, help="Least time of each file.")] = 10.0,
    build: BuildFolder = Path("build"),
    results: ResultsFile = None,
    as_json: AsJson = False,
) -> None:
    """Serve a page that measures bundles in whichever browser opens it, such as a phone's; results come back here.

    \b
    edgecomp devices serve build/bundles/keywords-redmi-7a
    edgecomp report build/results.jsonl --out field-report.html
    """
    from edgecomp import bench as benches
    from edgecomp.bundle import read_bundle
    from edgecomp.devices import Effort, browser
    from edgecomp.results import append_results, check_results

    file = results or build / "results.jsonl"
    check_results(file)
    for bundle in bundles:  # before anybody walks to a phone
        read_bundle(bundle)
    for device in browser.visitors(build, host, port, wait):
        try:
            with device:
                for row in benches.bench(benches.subjects(bundles, device), device, [Effort(seconds=seconds)]):
                    append_results(file, [row])
                    if as_json:
                        typer.echo(json.dumps(asdict(row), ensure_ascii=False))
        except InputError as why:  # one browser that left; the next may come
            say(f"error: {why}")
    say(f"results: {file}")


def _module(kind: str) -> ModuleType:
    from edgecomp.devices import devices

    if kind not in devices():
        raise DeviceError(f"unknown device {kind!r}", where="edgecomp devices", fix=nearest(kind, devices()))
    return import_module(f"edgecomp.devices.{kind}")


def _row(kind: str, build: Path) -> dict[str, str]:
    module = _module(kind)
    own = (one for one in vars(module).values() if isinstance(one, type) and one.__module__ == module.__name__)
    return {
        "kind": kind,
        "how": ", ".join(sorted({one.how for one in own if hasattr(one, "how") and hasattr(one, "answers")})),
        "needs": getattr(module, "NEEDS", "nothing"),
        "missing": module.missing(build) if hasattr(module, "missing") else "",
    }


def _shown(value: Any) -> str:
    if value is None:
        return "not known"
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)
