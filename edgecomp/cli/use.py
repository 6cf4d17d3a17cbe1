"""The commands that take one bundle: show, run, verify, audit."""

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
    BundleFolder,
    open_store,
    recipe_named,
    say,
    show_table,
)
from edgecomp.errors import GateError, InputError
from edgecomp.form import said


@app.command()
def show(bundle: BundleFolder, as_json: AsJson = False) -> None:
    """Print what a bundle measured, its gates and the steps that made it.

    \b
    edgecomp show build/bundles/keywords-redmi-7a
    """
    from edgecomp.bundle import read_bundle
    from edgecomp.report import read_report, rows, terminal_table

    opened = read_bundle(bundle)
    facts, questions = opened.facts, opened.form.questions
    report = read_report(bundle / "report.json")
    if as_json:
        for row in rows(report):
            typer.echo(json.dumps(row, ensure_ascii=False))
        return
    show_table(terminal_table(report))
    for gate in report["gates"]:
        typer.echo(f"{'passed' if gate['passed'] else 'FAILED'}  {gate['text']}")
    for step in facts["trail"][facts["target"]["format"]]:
        typer.echo(f"{step['output_hash'][:12]}  {step['name']}  {json.dumps(step['facts'], ensure_ascii=False)}")
    for one in questions:
        skipped = ", may be skipped" if one.optional else ""
        typer.echo(f"asks  {one.id} ({one.kind}{skipped}): {said(one.text)}")
    if questions:
        say("the answers to what an app asks change no decision: they are kept beside the result")


@app.command()
def run(
    bundle: BundleFolder,
    clips: Annotated[
        list[Path], typer.Argument(metavar="CLIP...", help="Recordings: WAV, FLAC, OGG or MP3, of any rate.")
    ],
    form: Annotated[str | None, typer.Option("--format", help="onnx or tflite; the target's own by default.")] = None,
    as_json: AsJson = False,
) -> None:
    """Ask a bundle about some recordings; where it is too unsure to answer it says `ask`: leave that clip to the teacher.

    \b
    edgecomp run build/bundles/keywords-redmi-7a clip.wav other.mp3
    edgecomp run build/bundles/keywords-redmi-7a *.wav --json
    """
    from edgecomp.bundle import read_bundle

    opened = read_bundle(bundle)
    session, bad = opened.session(form), 0
    for clip in clips:
        try:
            answer = session(opened.read_clip(clip))
        except InputError as why:  # the other clips are still answered
            say(str(why))
            bad += 1
            continue
        label, asks = opened.label(answer.probabilities), opened.asks(answer.uncertainty)
        by_label = {name: round(float(p), 6) for name, p in zip(opened.labels, answer.probabilities, strict=True)}
        if as_json:
            row = {"path": str(clip), "label": label, "probabilities": by_label}
            row |= {"ask": asks, "uncertainty": round(answer.uncertainty, 6)}
            typer.echo(json.dumps(row, ensure_ascii=False))
        else:
            best = ", ".join(f"{name} {p:.3f}" for name, p in sorted(by_label.items(), key=lambda item: -item[1])[:3])
            said = f"ask; its own answer would be {label}" if asks else label
            typer.echo(f"{clip}: {said}  ({best}; uncertainty {answer.uncertainty:.3f})")
    if bad:
        raise typer.Exit(2)


@app.command()
def verify(bundle: BundleFolder, as_json: AsJson = False) -> None:
    """Recompute a bundle's hashes, follow its trail, replay its golden clips here, and say what differs.

    \b
    edgecomp verify build/bundles/keywords-redmi-7a
    edgecomp verify build/bundles/keywords-redmi-7a --json
    """
    from edgecomp.verification import verify as look

    checks = look(bundle)
    for check in checks:
        if as_json:
            typer.echo(json.dumps(asdict(check), ensure_ascii=False))
        else:
            typer.echo(f"{'same' if check.passed else 'DIFFERS'}  {check.name}: {check.text}")
    differs = [check for check in checks if not check.passed]
    if differs:
        raise GateError(
            f"{len(differs)} of {len(checks)} things differ from what the bundle states, first {differs[0].name}",
            where=bundle,
            fix="do not use it; copy the bundle again, or compile it again",
        )
    say(f"all {len(checks)} things are as the bundle states")


@app.command()
def audit(
    bundle: BundleFolder,
    data: Annotated[Path, typer.Option("--data", help="The folder of the other site's clips; all of them are a test.")],
    recipe: Annotated[
        str | None,
        typer.Option("--recipe", help="The recipe that the bundle was compiled from; by default the one of its name."),
    ] = None,
    home: Annotated[
        Path | None, typer.Option("--home", help="The folder of the recipe's own data, instead of its [data] path.")
    ] = None,
    build: BuildFolder = Path("build"),
    out: Annotated[Path, typer.Option("--out", help="Where the report goes.")] = Path("audit"),
) -> None:
    """Repeat a bundle's whole audit on another site's clips, against the same teacher, without training anything.

    \b
    edgecomp audit build/bundles/digits-redmi-7a --data other-clinic/ --out other-clinic-audit
    edgecomp audit build/bundles/coughs-redmi-7a --data other-clinic/ --recipe coughs/

    Exit code 3 where a slice lost more than the recipe's margin.
    """
    from edgecomp.bundle import read_bundle
    from edgecomp.report import terminal_summary
    from edgecomp.site import audit_site
    from edgecomp.store import require_writable
    from edgecomp.task import load_task

    opened = read_bundle(bundle)
    chosen = recipe_named(recipe or opened.facts["name"], opened.facts["seed"])
    require_writable(out)
    visited = audit_site(opened, load_task(chosen, open_store(build), data=home), data, out)
    for line in terminal_summary(visited.report):
        say(line)
    typer.echo(visited.folder / "report.html")
    if visited.failed:
        raise GateError(visited.failed[0].text, where=out, fix="read the report before anybody relies on it there")
