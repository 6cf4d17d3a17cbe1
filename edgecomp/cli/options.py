"""What the commands share: options, names turned into recipes and targets, and printing."""

from __future__ import annotations

import sys
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from edgecomp.errors import InputError, RecipeError, nearest

if TYPE_CHECKING:
    from rich.table import Table

    from edgecomp.recipe import Recipe
    from edgecomp.store import Store
    from edgecomp.target import Target

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
ResultsFile = Annotated[
    Path | None, typer.Option("--results", help="Lines are appended here; BUILD/results.jsonl by default.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, one object a line.")]


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


def target_named(name: str) -> Target:
    """Return the target of a name that edgecomp ships, or of a TOML file."""
    from edgecomp.shipped import shipped
    from edgecomp.target import read_target

    return read_target(name, shipped("targets"))


def open_store(build: Path) -> Store:
    """Open the build folder."""
    from edgecomp.store import Store

    return Store(build)


def read_settings(sets: list[str] | None) -> dict[str, dict[str, Any]]:
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


def new_table(*columns: str) -> Table:
    """Return an empty table with these heads."""
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(column)
    return table


def show_table(table: Table, stderr: bool = False) -> None:
    """Print a table, 160 characters wide where the stream is no terminal."""
    from rich.console import Console

    stream = sys.stderr if stderr else sys.stdout
    width = None if stream.isatty() else 160
    Console(file=stream, width=width, markup=False).print(table)


def say(text: str) -> None:
    """Print a line for people, to stderr."""
    typer.echo(text, err=True)
