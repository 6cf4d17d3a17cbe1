"""The command `serve-demo`: a bundle's own page, opened on this machine."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from edgecomp.cli.app import app
from edgecomp.cli.options import BuildFolder, BundleFolder, say


@app.command(name="serve-demo")
def serve_demo(
    bundle: BundleFolder,
    form: Annotated[str | None, typer.Option("--format", help="onnx or tflite; the target's own by default.")] = None,
    out: Annotated[
        Path | None, typer.Option("--out", help="Where the page is built; BUILD/web-demo/BUNDLE by default.")
    ] = None,
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 for any free one.")] = 8765,
    build_only: Annotated[bool, typer.Option("--build-only", help="Build the folder and stop.")] = False,
    open_browser: Annotated[bool, typer.Option("--open/--no-open", help="Open it in this machine's browser.")] = True,
    build: BuildFolder = Path("build"),
) -> None:
    """Build a bundle's page and serve it here: it records, says answer or ask, and works offline; needs Node.js.

    \b
    edgecomp serve-demo build/bundles/keywords-redmi-7a
    edgecomp serve-demo build/bundles/keywords-redmi-7a --build-only --out site/

    The folder can be served by any web server, by HTTPS; nothing that the page hears leaves it.
    """
    from edgecomp.bundle import read_bundle
    from edgecomp.demo import DemoServer, build_demo

    opened = read_bundle(bundle)
    site = build_demo(opened, out or build / "web-demo" / bundle.resolve().name, cache=build, form=form)
    if build_only:
        typer.echo(site)
        return
    with DemoServer(site, port=port) as server:
        typer.echo(server.address)
        say(
            "serving until Ctrl-C; for a phone on a cable: adb reverse tcp:PORT tcp:PORT, and open the same address there"
        )
        if open_browser:
            typer.launch(server.address)
        server.wait()
