"""Passes: artifact → artifact, one file each. A pass is a frozen dataclass whose fields are its settings."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, ClassVar, Protocol

from edgecomp.artifact import Artifact, Port, Signature, Step, content_hash
from edgecomp.students import Student, StudentConfig, save_student
from edgecomp.task import Task


@dataclass(frozen=True)
class Run:
    """Where a pass works: the task, the seed, and an empty folder of its own."""

    task: Task
    seed: int
    folder: Path


class Pass(Protocol):
    """What every pass is.

    takes: the form of artifact that it works on; "" for the first pass, which starts from nothing
    gives: the form that it returns; None: the form that it was given
    """

    takes: ClassVar[str]
    gives: ClassVar[str | None]

    def refuse(self, model: Artifact | None, run: Run) -> str | None:
        """Return why this pass cannot be run here, or None."""

    def __call__(self, model: Artifact | None, run: Run) -> Artifact:
        """Return the artifact that follows; the one given stays as it was."""


def name_of(step: object) -> str:
    """Return a pass's name, which is its file's, its recipe table's and its name on the command line."""
    return type(step).__module__.rsplit(".", 1)[-1]


def signature_of(config: StudentConfig) -> Signature:
    """Return the signature that every student has."""
    front_end = config.front_end
    return Signature(
        (Port("waveform", (1, front_end.samples), "float32", f"amplitude, -1 to 1, {front_end.sample_rate} Hz, mono"),),
        (Port("probabilities", (1, len(config.labels)), "float32", "probability of each label"),),
    )


def student_artifact(
    step: object, student: Student, run: Run, before: Artifact | None, facts: dict[str, Any]
) -> Artifact:
    """Save a student into the run's folder and return the artifact that follows `before`."""
    folder = run.folder / "student"
    folder.mkdir()
    save_student(student, folder)
    made = Step(name_of(step), asdict(step), facts, before.hash if before else "", content_hash(folder), run.seed)
    return Artifact("torch", folder, signature_of(student.config), (*(before.trail if before else ()), made))
