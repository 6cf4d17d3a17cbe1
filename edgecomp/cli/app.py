"""The command itself: what `edgecomp` says of itself, before any of its commands."""

from __future__ import annotations

from typing import Annotated

import typer

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


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
