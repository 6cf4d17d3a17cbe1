"""Code as data: run a Python file that a recipe names, and hash the code that a result depends on."""

from __future__ import annotations

import ast
import importlib.util
import sys
from functools import cache
from pathlib import Path
from types import ModuleType

from edgecomp.artifact import text_hash


def load_code(file: Path) -> ModuleType:
    """Return a Python file as a module, run anew; whatever it raises comes through.

    raises: ImportError where the file is missing or its name does not end in .py
    """
    name = f"edgecomp_recipe_{text_hash(file.resolve())[:12]}"
    spec = importlib.util.spec_from_file_location(name, file)
    if spec is None or spec.loader is None or not file.is_file():
        raise ImportError(f"{file.name} is no Python file", name=file.name)
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses and pickle look their module up by its name
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


@cache
def code_hash(*places: str) -> str:
    """Return the hash of what some of edgecomp's own files do, so that a changed edgecomp never reuses an older one's results.

    Comments, docstrings and layout of Python do not count; of other files, such as a page's templates, every character does.
    places: files and folders relative to the package, such as "students" or "data/views.py"
    """
    package = Path(__file__).parent
    found = [package / place for place in places]
    files = [file for place in found for file in (_files(place) if place.is_dir() else [place])]
    return text_hash(*(_meaning(file) for file in files))


def _files(folder: Path) -> list[Path]:
    return sorted(file for file in folder.rglob("*") if file.is_file() and "__pycache__" not in file.parts)


@cache
def _meaning(file: Path) -> str:
    if file.suffix != ".py":
        return file.read_text(encoding="utf-8")
    tree = ast.parse(file.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(body, list):
            node.body = [
                line for line in body if not (isinstance(line, ast.Expr) and isinstance(line.value, ast.Constant))
            ]
    return ast.dump(tree)
