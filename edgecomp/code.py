"""Code as data: run a Python file that a recipe names, and hash the code that a result depends on."""

from __future__ import annotations

import hashlib
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
    """Return the hash of some of edgecomp's own files and folders, so that a changed edgecomp never reuses what an older one made.

    places: relative to the package, such as "students" or "data/views.py"
    """
    package = Path(__file__).parent
    files = [file for place in places for file in (sorted((package / place).rglob("*.py")) if (package / place).is_dir() else [package / place])]
    return hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()
