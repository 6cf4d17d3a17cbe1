"""Run a Python file that a recipe names: its data generator or its teacher."""

from __future__ import annotations

import importlib.util
import sys
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
