"""Passes: artifact → artifact, one file each. A pass is a frozen dataclass whose fields are its settings."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

from edgecomp.artifact import Artifact, Port, Signature, Step, content_hash
from edgecomp.schedule import Objective, Schedule, unfit
from edgecomp.students import StudentConfig
from edgecomp.task import Task

if TYPE_CHECKING:
    from edgecomp.students.student import Student


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
        (
            Port("probabilities", (1, len(config.labels)), "float32", "probability of each label"),
            Port("uncertainty", (1, 1), "float32", f"0: sure; up to {1 - 1 / len(config.labels):.3g}: guessing"),
        ),
    )


def student_artifact(
    step: object, student: Student, run: Run, before: Artifact | None, facts: dict[str, Any]
) -> Artifact:
    """Save a student into the run's folder and return the artifact that follows `before`."""
    from edgecomp.students.student import save_student

    folder = run.folder / "student"
    folder.mkdir()
    save_student(student, folder)
    made = Step(name_of(step), asdict(step), facts, before.hash if before else "", content_hash(folder), run.seed)
    return Artifact("torch", folder, signature_of(student.config), (*(before.trail if before else ()), made))


@dataclass(frozen=True)
class Learning:
    """What the passes that train have in common; see schedule.Schedule and schedule.Objective for the settings."""

    takes: ClassVar[str] = "torch"
    gives: ClassVar[str | None] = "torch"
    said: ClassVar[str] = "learning"
    epochs: int = 60
    label_weight: float = 0.1
    temperature: float = 2.0
    batch: int = 64
    learning_rate: float = 4e-3
    weight_decay: float = 2e-3
    patience: int = 0
    mask: float = 0.2

    @property
    def objective(self) -> Objective:
        """Return what the student is pulled towards."""
        return Objective(self.label_weight, self.temperature)

    @property
    def schedule(self) -> Schedule:
        """Return how long and how fast it learns."""
        return Schedule(self.epochs, self.batch, self.learning_rate, self.weight_decay, self.patience, self.mask)

    def refuse(self, model: Artifact | None, run: Run) -> str | None:
        if self.label_weight < 1 and run.task.recipe.teacher.outputs_may_train == "no":
            return (
                "the recipe says that the teacher's outputs may not train another model ([teacher] outputs_may_train)"
            )
        return unfit(self.objective, self.schedule)

    def __call__(self, model: Artifact, run: Run) -> Artifact:
        from edgecomp.students.student import load_student
        from edgecomp.training import fit

        student = load_student(model.path)
        said = "learning from labels" if self.label_weight == 1 else self.said
        fitted = fit(student, run.task, self.objective, self.schedule, seed=run.seed, said=said)
        return student_artifact(self, student, run, model, asdict(fitted))
