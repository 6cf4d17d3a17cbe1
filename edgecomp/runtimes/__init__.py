"""Runtimes: one file for each way a bundle's model file is lowered and run; a runtime's name is its file's name."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import NamedTuple

import numpy as np

from edgecomp.errors import PlanError, nearest


class Answer(NamedTuple):
    """What a model file says of one clip; read by name, never by order.

    probabilities: (classes,) float32
    uncertainty:   0 where it is sure; above the bundle's threshold the teacher is to be asked
    """

    probabilities: np.ndarray
    uncertainty: float


Session = Callable[[np.ndarray], Answer]


def runtimes() -> list[str]:
    """Return the names of the runtimes: the files of this folder."""
    return sorted(p.stem for p in Path(__file__).parent.glob("*.py") if p.stem != "__init__")


def import_runtime(name: str):
    """Return a runtime's module: FORM, SUFFIX, lower(model, metadata), open_session(path, threads) and read_metadata(path).

    raises: PlanError with the nearest name
    """
    if name not in runtimes():
        raise PlanError(f"unknown runtime {name!r}", where="[runtime] name", fix=nearest(name, runtimes()))
    return import_module(f"edgecomp.runtimes.{name}")


def runtime_for(form: str):
    """Return the runtime whose files have a form, such as "onnx"."""
    forms = {import_runtime(name).FORM: name for name in runtimes()}
    if form not in forms:
        raise PlanError(f"unknown format {form!r}", where="format", fix=nearest(form, forms))
    return import_runtime(forms[form])
