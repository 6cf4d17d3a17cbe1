"""Distil: teach the student from the teacher's answers and the labels; with label_weight = 1, from labels alone."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import ClassVar

from edgecomp.artifact import Artifact
from edgecomp.passes import Run, student_artifact
from edgecomp.students import load_student
from edgecomp.training import Objective, Schedule, fit, unfit


@dataclass(frozen=True)
class Distil:
    """Train the student; see training.Objective and training.Schedule for what the settings mean."""

    takes: ClassVar[str] = "torch"
    gives: ClassVar[str | None] = "torch"
    epochs: int = 60
    label_weight: float = 0.1
    temperature: float = 2.0
    batch: int = 64
    learning_rate: float = 4e-3
    weight_decay: float = 2e-3
    patience: int = 0
    mask: float = 0.2

    def refuse(self, model: Artifact | None, run: Run) -> str | None:
        if self.label_weight < 1 and run.task.recipe.teacher.outputs_may_train == "no":
            return (
                "the recipe says that the teacher's outputs may not train another model ([teacher] outputs_may_train)"
            )
        return unfit(*self._how())

    def __call__(self, model: Artifact, run: Run) -> Artifact:
        student = load_student(model.path)
        objective, schedule = self._how()
        said = "learning from labels" if self.label_weight == 1 else "learning from the teacher"
        fitted = fit(student, run.task, objective, schedule, seed=run.seed, said=said)
        return student_artifact(self, student, run, model, asdict(fitted))

    def _how(self) -> tuple[Objective, Schedule]:
        return (
            Objective(self.label_weight, self.temperature),
            Schedule(self.epochs, self.batch, self.learning_rate, self.weight_decay, self.patience, self.mask),
        )
