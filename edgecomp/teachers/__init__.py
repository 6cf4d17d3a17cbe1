"""Teachers: whoever gives class probabilities for a sound. A kind of teacher is a file here that defines load."""

from __future__ import annotations

import importlib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np

from edgecomp.errors import TeacherError, nearest

if TYPE_CHECKING:
    from edgecomp.data.manifest import Dataset
    from edgecomp.recipe import Recipe
    from edgecomp.store import Store


@dataclass(frozen=True)
class Deployed:
    """What a user would run today instead of the student.

    path:    the model file
    format:  "onnx" or "tflite"
    session: one clip (samples,) float32 → (classes,) float32 probabilities, on one thread
    bytes:   of everything the answer needs: the file and, where there is one, the head
    """

    path: Path
    format: str
    session: Callable[[np.ndarray], np.ndarray]
    bytes: int


class Teacher(Protocol):
    """Anything that gives class probabilities for clips.

    name:        for reports
    labels:      in the order of the probabilities; the recipe's own
    fingerprint: hash of everything that the answers depend on
    facts:       for the trail and the card: kind, parameters, bytes, licence, outputs_may_train, …
    """

    name: str
    labels: tuple[str, ...]
    fingerprint: str
    facts: Mapping[str, object]

    def probabilities(self, waveforms: np.ndarray) -> np.ndarray:
        """Return the classes' probabilities, (n, samples) float32 → (n, classes) float32; rows sum to 1."""
        ...

    def deployed(self, store: Store) -> Deployed:
        """Return what a user would run today, to be measured beside the student."""
        ...


def kinds() -> list[str]:
    """Return the kinds of teacher: the files of this folder that define load."""
    files = Path(__file__).parent.glob("*.py")
    return sorted(p.stem for p in files if re.search(r"^def load\(", p.read_text(encoding="utf-8"), re.MULTILINE))


def load_teacher(recipe: Recipe, dataset: Dataset, store: Store) -> Teacher:
    """Load a recipe's teacher; a torch teacher without weights is trained first.

    raises: TeacherError for an unknown kind, and for whatever that kind cannot load
    """
    kind = recipe.teacher.kind
    if kind not in kinds():
        raise TeacherError(
            f"unknown kind of teacher {kind!r}", where=f"{recipe.file} [teacher] kind", fix=nearest(kind, kinds())
        )
    return importlib.import_module(f"edgecomp.teachers.{kind}").load(recipe, dataset, store)
