"""Finetune: let a pruned student recover, with the teacher's help."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import ClassVar

from edgecomp.artifact import Artifact
from edgecomp.passes import Run, student_artifact
from edgecomp.students import load_student
from edgecomp.training import Objective, Schedule, fit, unfit


@dataclass(frozen=True)
class Finetune:
    """Train on, more gently than Distil; see training.Objective and training.Schedule for the settings."""

    takes: ClassVar[str] = "torch"
    gives: ClassVar[str | None] = "torch"
    epochs: int = 20
    label_weight: float = 0.1
    temperature: float = 2.0
    batch: int = 64
    learning_rate: float = 2e-3
    weight_decay: float = 2e-3
    mask: float = 0.1

    def refuse(self, model: Artifact | None, run: Run) -> str | None:
        if self.label_weight < 1 and run.task.recipe.teacher.outputs_may_train == "no":
            return (
                "the recipe says that the teacher's outputs may not train another model ([teacher] outputs_may_train)"
            )
        return unfit(*self._how())

    def __call__(self, model: Artifact, run: Run) -> Artifact:
        student = load_student(model.path)
        objective, schedule = self._how()
        fitted = fit(student, run.task, objective, schedule, seed=run.seed, said="recovering")
        return student_artifact(self, student, run, model, asdict(fitted))

    def _how(self) -> tuple[Objective, Schedule]:
        return (
            Objective(self.label_weight, self.temperature),
            Schedule(self.epochs, self.batch, self.learning_rate, self.weight_decay),
        )
