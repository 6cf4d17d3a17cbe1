"""The command line: parse, call one function, print. Data goes to stdout, everything else to stderr."""

from __future__ import annotations

import json
import signal
import sys
import tomllib
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from edgecomp.errors import EdgecompError, GateError, InputError, RecipeError, nearest

if TYPE_CHECKING:
    from rich.table import Table

    from edgecomp.recipe import Recipe
    from edgecomp.store import Store
    from edgecomp.target import Target

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

RecipeName = Annotated[
    str, typer.Argument(metavar="RECIPE", help="A name in models/, a folder with a recipe.toml, or a TOML file.")
]
BundleFolder = Annotated[Path, typer.Argument(metavar="BUNDLE", help="A folder that `edgecomp compile` wrote.")]
TargetNames = Annotated[
    list[str],
    typer.Option("--target", "-t", help="A name that `edgecomp targets` lists, or a TOML file. May be repeated."),
]
DataFolder = Annotated[
    Path | None, typer.Option("--data", help="The folder of the data, instead of the recipe's [data] path.")
]
BuildFolder = Annotated[Path, typer.Option("--build", help="Where every finished step is kept and found again.")]
Seed = Annotated[int | None, typer.Option("--seed", help="Instead of the recipe's seed.")]
Sets = Annotated[
    list[str] | None,
    typer.Option(
        "--set", metavar="PASS.FIELD=VALUE", help="One setting of a pass, such as prune.keep=0.5. May be repeated."
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, one object a line.")]


@app.callback(invoke_without_command=True)
def edgecomp(version: Annotated[bool, typer.Option("--version", help="Print the version and stop.")] = False) -> None:
    """Compile a large audio model into a tiny, verified one for a named device.

    \b
    edgecomp compile keywords --target redmi-7a      the whole way, on data that it makes itself
    edgecomp init my-clips/ --out my-task/           write a recipe for your own recordings
    edgecomp check my-task/                          look for leaks, conflicts and shortcuts first
    edgecomp compile my-task/ --target redmi-7a --target raspberry-pi-4
    edgecomp run build/bundles/keywords-redmi-7a clip.wav

    Exit codes: 0 done, 1 an error of ours, 2 bad usage or bad input, 3 a gate failed.
    """
    if version:
        from edgecomp import __version__

        typer.echo(__version__)
        raise typer.Exit


@app.command()
def init(
    source: Annotated[
        Path, typer.Argument(help="A folder of audio with one folder a label, or a CSV with path and label.")
    ],
    out: Annotated[Path, typer.Option("--out", help="The folder for the recipe; must not hold one yet.")] = Path(
        "my-task"
    ),
) -> None:
    """Look at your recordings and write a commented recipe for them.

    \b
    edgecomp init recordings/ --out coughs/
    edgecomp init recordings/metadata.csv --out coughs/
    """
    from edgecomp.data.scaffold import scaffold, scaffold_teacher
    from edgecomp.store import clear_errors, write_atomically

    file = out / "recipe.toml"
    if file.exists():
        raise RecipeError("there is a recipe already", where=file, fix="give another --out, or remove it")
    text = scaffold(source, out.resolve().name)
    with clear_errors(out):
        out.mkdir(parents=True, exist_ok=True)
        write_atomically(file, text)
        if not (out / "teacher.py").exists():
            write_atomically(out / "teacher.py", scaffold_teacher())
    _say(f"next: read {file}, then edgecomp check {out}")
    typer.echo(file)


@app.command()
def targets(as_json: AsJson = False) -> None:
    """List the devices that edgecomp knows.

    \b
    edgecomp targets
    edgecomp targets --json
    """
    from edgecomp.shipped import shipped

    rows = [_read_target(file.stem) for file in sorted(shipped("targets").glob("*.toml"))]
    if as_json:
        for target in rows:
            typer.echo(json.dumps(target.model_dump(mode="json")))
        return
    table = _table("target", "what", "cores", "int8 dot product", "RAM", "runtime", "latency budget", "size budget")
    words = {True: "yes", False: "no", None: "not known"}
    for t in rows:
        cores = " + ".join(f"{c.count} × {c.core}" for c in t.hardware.clusters)
        dot = ", ".join(dict.fromkeys(words[c.dot_product] for c in t.hardware.clusters))
        table.add_row(
            t.name,
            t.summary,
            cores,
            dot,
            f"{t.hardware.ram_mb} MB",
            t.runtime.name,
            f"{t.budget.latency_ms:g} ms",
            f"{t.budget.model_bytes / 1000:g} kB",
        )
    _print(table)


@app.command()
def check(
    recipe: RecipeName, data: DataFolder = None, build: BuildFolder = Path("build"), as_json: AsJson = False
) -> None:
    """Read all of a recipe's data before any training, and report what would make its result wrong.

    \b
    edgecomp check cough
    edgecomp check my-task/ --data /media/card/coughs --json
    """
    from edgecomp.data.check import check as look

    findings = look(recipe_named(recipe), _store(build), data)
    for finding in findings:
        if as_json:
            typer.echo(json.dumps(asdict(finding), ensure_ascii=False))
            continue
        typer.echo(f"{finding.severity}: {finding.message}  [{finding.code}]")
        for file in finding.files[:6]:
            typer.echo(f"    {file}")
        if len(finding.files) > 6:
            typer.echo(f"    and {len(finding.files) - 6} more; --json lists them all")
        if finding.fix:
            typer.echo(f"    fix: {finding.fix}")
    errors = sum(f.severity == "error" for f in findings)
    _say(f"{errors} errors, {sum(f.severity == 'warning' for f in findings)} warnings")
    if errors:
        raise typer.Exit(2)


@app.command()
def train(recipe: RecipeName, data: DataFolder = None, build: BuildFolder = Path("build"), seed: Seed = None) -> None:
    """Train a recipe's torch teacher; a compile does the same where there are no weights.

    \b
    edgecomp train wakewords
    edgecomp train my-task/ --data /media/card/coughs

    Where the recipe names [teacher] weights, they are also written beside it in float16, to ship with it.
    """
    from edgecomp.data.manifest import load_dataset
    from edgecomp.teachers.torch import train as train_teacher

    chosen, store = recipe_named(recipe, seed), _store(build)
    typer.echo(train_teacher(chosen, load_dataset(chosen, store, data=data), store))


@app.command()
def plan(recipe: RecipeName, target: TargetNames, sets: Sets = None, as_json: AsJson = False) -> None:
    """Show the passes that a compile would run, with their settings, without running them.

    \b
    edgecomp plan keywords --target redmi-7a
    edgecomp plan keywords --target redmi-7a --set prune.keep=0.5
    """
    from edgecomp.passes import name_of
    from edgecomp.plan import plan as choose

    for name in target:
        chosen = choose(recipe_named(recipe), _read_target(name), _settings(sets))
        for stage in chosen.stages:
            for step in (*stage.passes, *chosen.exports):
                if as_json:
                    row = {
                        "target": name,
                        "stage": stage.name,
                        "after": stage.after,
                        "pass": name_of(step),
                        "settings": asdict(step),
                    }
                    typer.echo(json.dumps(row))
            if not as_json:
                typer.echo(f"{stage.name}, after {stage.after}" if stage.after else stage.name)
                for step in stage.passes:
                    typer.echo(f"  {step!r}")
        if not as_json:
            typer.echo("every stage\n  " + "\n  ".join(map(repr, (*chosen.exports, chosen.verify))))


@app.command(name="compile")
def compile_(
    recipe: RecipeName,
    target: TargetNames,
    data: DataFolder = None,
    build: BuildFolder = Path("build"),
    out: Annotated[Path | None, typer.Option("--out", help="Where bundles go; build/bundles by default.")] = None,
    seed: Seed = None,
    sets: Sets = None,
) -> None:
    """Distil, prune, finetune, quantise, export, verify and measure; ends with a bundle for each target.

    \b
    edgecomp compile keywords --target redmi-7a
    edgecomp compile my-task/ --target redmi-7a --target raspberry-pi-4 --set prune.keep=0.5

    The last lines of stdout are the bundles' paths. Run it again after a kill: it goes on from the last finished step.
    """
    chosen, devices, settings = recipe_named(recipe, seed), [_read_target(name) for name in target], _settings(sets)
    from edgecomp.delivery import deliver
    from edgecomp.plan import plan as choose
    from edgecomp.report import terminal_table
    from edgecomp.store import require_writable
    from edgecomp.task import load_task

    for device in devices:
        choose(chosen, device, settings)  # what does not fit together fails here, before any work
    store, place = _store(build), out or build / "bundles"
    require_writable(place)
    task = load_task(chosen, store, data=data)
    done = [deliver(task, device, place, seed=chosen.seed, settings=settings) for device in devices]
    for one in done:
        _print(terminal_table(one.report), stderr=True)
        for warning in one.report["warnings"]:
            _say(f"warning: {warning}")
        _say(f"report: {one.folder / 'report.html'}")
    for one in done:
        if not one.failed:
            typer.echo(one.folder)
    failed = [f"{one.folder.name}: {gate.name}: {gate.text}" for one in done for gate in one.failed]
    if failed:
        raise GateError(
            f"{len(failed)} gate{'s' if len(failed) > 1 else ''} failed\n  " + "\n  ".join(failed),
            where=next(one.folder for one in done if one.failed),
            fix="read the report; change the recipe, the target's budget or the gates",
        )


@app.command()
def show(bundle: BundleFolder, as_json: AsJson = False) -> None:
    """Print what a bundle measured, its gates and the steps that made it.

    \b
    edgecomp show build/bundles/keywords-redmi-7a
    """
    from edgecomp.bundle import read_bundle
    from edgecomp.report import read_report, rows, terminal_table

    facts = read_bundle(bundle).facts
    report = read_report(bundle / "report.json")
    if as_json:
        for row in rows(report):
            typer.echo(json.dumps(row, ensure_ascii=False))
        return
    _print(terminal_table(report))
    for gate in report["gates"]:
        typer.echo(f"{'passed' if gate['passed'] else 'FAILED'}  {gate['text']}")
    for step in facts["trail"][facts["target"]["format"]]:
        typer.echo(f"{step['output_hash'][:12]}  {step['name']}  {json.dumps(step['facts'], ensure_ascii=False)}")


@app.command()
def run(
    bundle: BundleFolder,
    clips: Annotated[
        list[Path], typer.Argument(metavar="CLIP...", help="Recordings: WAV, FLAC, OGG or MP3, of any rate.")
    ],
    form: Annotated[str | None, typer.Option("--format", help="onnx or tflite; the target's own by default.")] = None,
    as_json: AsJson = False,
) -> None:
    """Ask a bundle about some recordings.

    \b
    edgecomp run build/bundles/keywords-redmi-7a clip.wav other.mp3
    edgecomp run build/bundles/keywords-redmi-7a *.wav --json
    """
    from edgecomp.bundle import read_bundle

    opened = read_bundle(bundle)
    session, bad = opened.session(form), 0
    for clip in clips:
        try:
            probabilities = session(opened.read_clip(clip))
        except InputError as why:  # the other clips are still answered
            _say(str(why))
            bad += 1
            continue
        label = opened.label(probabilities)
        by_label = {name: round(float(p), 6) for name, p in zip(opened.labels, probabilities, strict=True)}
        if as_json:
            typer.echo(json.dumps({"path": str(clip), "label": label, "probabilities": by_label}, ensure_ascii=False))
        else:
            best = sorted(by_label.items(), key=lambda item: -item[1])[:3]
            typer.echo(f"{clip}: {label}  ({', '.join(f'{name} {p:.3f}' for name, p in best)})")
    if bad:
        raise typer.Exit(2)


@app.command()
def bench(
    bundles: Annotated[
        list[Path],
        typer.Argument(metavar="BUNDLE...", help="Folders that `edgecomp compile` wrote; compared side by side."),
    ],
    seconds: Annotated[float, typer.Option(help="Least time for each file.")] = 2.0,
    as_json: AsJson = False,
) -> None:
    """Measure latency, memory and start of bundles on this host, interleaved in one run.

    \b
    edgecomp bench build/bundles/keywords-redmi-7a
    edgecomp bench build/bundles/keywords-* --json
    """
    from edgecomp.bench import bench_bundles

    rows = bench_bundles(bundles, seconds)
    if as_json:
        for row in rows:
            typer.echo(json.dumps(asdict(row), ensure_ascii=False))
        return
    table = _table("file", "figure", "value", "95 % interval", "unit", "device")
    for row in rows:
        between = "" if row.low is None else f"{row.low:.4g} to {row.high:.4g}"
        table.add_row(
            row.of, row.name.replace("_", " "), f"{row.value:,.4g}", between, row.unit, f"{row.how} on {row.device}"
        )
    _print(table)


@app.command()
def report(
    bundles: Annotated[list[Path], typer.Argument(metavar="BUNDLE...", help="Folders that `edgecomp compile` wrote.")],
    out: Annotated[Path, typer.Option("--out", help="The page to write.")] = Path("report.html"),
    markdown: Annotated[bool, typer.Option("--markdown", help="Print Markdown instead of writing a page.")] = False,
) -> None:
    """Put one or several bundles' reports on one page.

    \b
    edgecomp report build/bundles/keywords-* --out field-report.html
    edgecomp report build/bundles/keywords-redmi-7a --markdown
    """
    from edgecomp import report as reports
    from edgecomp.store import clear_errors, write_atomically

    read = [reports.read_report(bundle / "report.json") for bundle in bundles]
    if markdown:
        typer.echo("\n\n".join(map(reports.markdown, read)))
        return
    page = reports.html(read[0]) if len(read) == 1 else reports.comparison_html(read)
    with clear_errors(out.parent):
        write_atomically(out, page)
    typer.echo(out)


class Stopped(BaseException):
    """The user pressed Ctrl-C. Not KeyboardInterrupt, which Typer answers itself, and differently in each version."""


def main() -> None:
    """Run the command line; errors become one message and an exit code."""
    before = signal.signal(signal.SIGINT, _stop)
    try:
        app(prog_name="edgecomp")
    except EdgecompError as why:
        _say(f"error: {why}")
        sys.exit(why.exit_code)
    except Stopped:
        _say("stopped; finished steps are kept, and the same command goes on from there")
        sys.exit(130)
    except BrokenPipeError:  # the reader of our output has gone, as with `| head`
        sys.stderr.close()
        sys.exit(0)
    finally:
        signal.signal(signal.SIGINT, before)


def _stop(*_: object) -> None:
    raise Stopped


def recipe_named(name: str, seed: int | None = None) -> Recipe:
    """Return the recipe that a path leads to, or one of those that edgecomp ships, by name."""
    from edgecomp.recipe import read_recipe
    from edgecomp.shipped import shipped

    place = Path(name)
    if not place.exists():
        place = shipped("models") / name
        if not place.exists():
            known = [file.parent.name for file in shipped("models").glob("*/recipe.toml")]
            raise RecipeError(f"no recipe {name!r}", where=Path.cwd(), fix=f"a path, or a name: {nearest(name, known)}")
    recipe = read_recipe(place)
    return recipe if seed is None else recipe.model_copy(update={"seed": seed})


def _read_target(name: str) -> Target:
    from edgecomp.shipped import shipped
    from edgecomp.target import read_target

    return read_target(name, shipped("targets"))


def _store(build: Path) -> Store:
    from edgecomp.store import Store

    return Store(build)


def _settings(sets: list[str] | None) -> dict[str, dict[str, Any]]:
    """Read PASS.FIELD=VALUE, where the value is TOML, or a word."""
    found: dict[str, dict[str, Any]] = {}
    for text in sets or []:
        key, equals, value = text.partition("=")
        step, dot, field = key.partition(".")
        if not (equals and dot and step and field):
            raise InputError(
                f"cannot read {text!r}", where="--set", fix="write PASS.FIELD=VALUE, such as prune.keep=0.5"
            )
        try:
            found.setdefault(step, {})[field] = tomllib.loads(f"v = {value}")["v"]
        except tomllib.TOMLDecodeError:
            found.setdefault(step, {})[field] = value
    return found


def _table(*columns: str) -> Table:
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(column)
    return table


def _print(table: Table, stderr: bool = False) -> None:
    from rich.console import Console

    stream = sys.stderr if stderr else sys.stdout
    width = None if stream.isatty() else 160
    Console(file=stream, width=width).print(table)


def _say(text: str) -> None:
    typer.echo(text, err=True)


if __name__ == "__main__":
    main()
