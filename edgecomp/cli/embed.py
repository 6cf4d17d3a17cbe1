"""The command `embed`: a bundle as a drop-in module for an app."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from edgecomp.cli.app import app
from edgecomp.cli.options import BundleFolder, say
from edgecomp.errors import InputError

Folder = Path | None


@app.command()
def embed(
    bundle: BundleFolder,
    android: Annotated[Folder, typer.Option("--android", metavar="DIR", help="A Kotlin module for Android.")] = None,
    web: Annotated[
        Folder, typer.Option("--web", metavar="DIR", help="A TypeScript module; `serve-demo` makes the page.")
    ] = None,
    python: Annotated[Folder, typer.Option("--python", metavar="DIR", help="A Python package for boards.")] = None,
    c: Annotated[Folder, typer.Option("--c", metavar="DIR", help="C99 for boards without an operating system.")] = None,
    form: Annotated[str | None, typer.Option("--format", help="onnx or tflite; the target's own by default.")] = None,
) -> None:
    """Write a bundle as a drop-in module for an app: model, typed class, golden clips and a self-test.

    \b
    edgecomp embed build/bundles/keywords-redmi-7a --python sensor/
    edgecomp embed build/bundles/keywords-redmi-7a --android app/ --web site/
    edgecomp embed build/bundles/keywords-stm32h747 --c firmware/

    A second run changes only what was generated. A generated file that was edited is never overwritten, and two
    versions lie side by side; docs/embedding.md says how to go back to the other one.
    """
    from edgecomp.bundle import read_bundle
    from edgecomp.embed import embed_all

    asked = {"android": android, "web": web, "python": python, "c": c}
    folders = {language: folder for language, folder in asked.items() if folder is not None}
    if not folders:
        raise InputError(
            "no folder was given", where="edgecomp embed", fix="give --android, --web, --python or --c DIR"
        )
    done = embed_all(read_bundle(bundle), folders, form)
    for written in done:
        count = len(written.written)
        changed = f"{count} file{'' if count == 1 else 's'} written, {len(written.same)} as they were"
        say(f"{written.folder}: {changed}, {len(written.removed)} removed")
        for path in written.kept:
            say(f"{written.folder / path}: kept, since it was edited; it says which version is in use")
    for written in done:
        typer.echo(written.folder)
