"""Student families, one file each: WIDTHS, and layers(widths, classes); a family's name is its file's name."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

from edgecomp.errors import RecipeError, nearest


def families() -> list[str]:
    """Return the names of the student families: the files of this folder."""
    return sorted(p.stem for p in Path(__file__).parent.glob("*.py") if p.stem != "__init__")


def import_family(name: str):
    """Return a family's module, which has WIDTHS and layers(widths, classes).

    raises: RecipeError with the nearest name
    """
    if name not in families():
        raise RecipeError(f"unknown student family {name!r}", where="[student] family", fix=nearest(name, families()))
    return import_module(f"edgecomp.students.families.{name}")
