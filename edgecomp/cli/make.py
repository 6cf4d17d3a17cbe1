"""The commands that lead to a bundle: init, targets, check, train, plan, compile."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from edgecomp.cli.app import app
from edgecomp.cli.options import (
    AsJson,
    BuildFolder,
    DataFolder,
    RecipeName,
    Seed,
    Sets,
    TargetNames,
    new_table,
    open_store,
    read_settings,
    recipe_named,
    say,
    show_table,
    target_named,
)
from edgecomp.errors import GateError, RecipeError


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
    say(f"next: read {file}, then edgecomp check {out}")
    typer.echo(file)


@app.command()
def targets(as_json: AsJson = False) -> None:
    """List the devices that edgecomp knows.

    \b
    edgecomp targets
    edgecomp targets --json
    """
    from edgecomp.shipped import shipped

    rows = [target_named(name) for name in sorted(file.stem for file in shipped("targets").glob("*.toml"))]
    if as_json:
        for target in rows:
            typer.echo(json.dumps(target.model_dump(mode="json")))
        return
    table = new_table("target", "what", "cores", "int8 dot product", "RAM", "runtime", "latency budget", "size budget")
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
    show_table(table)


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

    findings = look(recipe_named(recipe), open_store(build), data)
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
    say(f"{errors} errors, {sum(f.severity == 'warning' for f in findings)} warnings")
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

    chosen, store = recipe_named(recipe, seed), open_store(build)
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
        chosen = choose(recipe_named(recipe), target_named(name), read_settings(sets))
        for stage in chosen.stages:
            for step in (*stage.passes, chosen.calibrate, *chosen.exports):
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
            typer.echo("every stage\n  " + "\n  ".join(map(repr, (chosen.calibrate, *chosen.exports, chosen.verify))))


@app.command(name="compile")
def compile_(
    recipe: RecipeName,
    target: TargetNames,
    data: DataFolder = None,
    build: BuildFolder = Path("build"),
    out: Annotated[Path | None, typer.Option("--out", help="Where bundles go; build/bundles by default.")] = None,
    seed: Seed = None,
    sets: Sets = None,
    replicates: Annotated[
        int,
        typer.Option(
            "--replicates", min=0, help="Students from other seeds, on which the list of forgotten clips then rests."
        ),
    ] = 0,
    without_voices: Annotated[
        bool,
        typer.Option("--without-voices", help="Leave the sounds of forgotten clips out of the report and the bundle."),
    ] = False,
) -> None:
    """Distil, prune, finetune, quantise, export, verify and measure; ends with a bundle for each target.

    \b
    edgecomp compile keywords --target redmi-7a
    edgecomp compile my-task/ --target redmi-7a --target raspberry-pi-4 --set prune.keep=0.5
    edgecomp compile my-task/ --target redmi-7a --replicates 4

    The last lines of stdout are the bundles' paths. Run it again after a kill: it goes on from the last finished step.
    """
    chosen, devices, settings = recipe_named(recipe, seed), [target_named(name) for name in target], read_settings(sets)
    from edgecomp.delivery import deliver
    from edgecomp.plan import plan as choose
    from edgecomp.report import terminal_summary, terminal_table
    from edgecomp.store import require_writable
    from edgecomp.task import load_task

    for device in devices:
        choose(chosen, device, settings)  # what does not fit together fails here, before any work
    store, place = open_store(build), out or build / "bundles"
    require_writable(place)
    task = load_task(chosen, store, data=data)
    done = [
        deliver(
            task,
            device,
            place,
            seed=chosen.seed,
            settings=settings,
            replicates=replicates,
            with_voices=not without_voices,
        )
        for device in devices
    ]
    for one in done:
        show_table(terminal_table(one.report), stderr=True)
        for line in terminal_summary(one.report):
            say(line)
        for warning in one.report["warnings"]:
            say(f"warning: {warning}")
        say(f"report: {one.folder / 'report.html'}")
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
