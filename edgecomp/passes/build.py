"""Build: an untrained student with the front end's constants measured on the training split."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from edgecomp.artifact import Artifact
from edgecomp.passes import Run, student_artifact
from edgecomp.students import StudentConfig
from edgecomp.students.families import import_family
from edgecomp.students.front_end import FrontEnd

SMALLEST_STD = 0.1
"""A band that hardly moves (log units) is not blown up to the size of the others."""


@dataclass(frozen=True)
class Build:
    """Make the student that the other passes teach.

    family: a file in edgecomp/students/
    widths: its channels; () for the family's own
    """

    takes: ClassVar[str] = ""
    gives: ClassVar[str | None] = "torch"
    family: str
    widths: tuple[int, ...]
    front_end: FrontEnd

    def refuse(self, model: Artifact | None, run: Run) -> str | None:
        wanted = len(import_family(self.family).WIDTHS)
        if self.widths and len(self.widths) != wanted:
            return f"{self.family} has {wanted} widths, and [student] widths gives {len(self.widths)}"
        if min(self.widths, default=1) < 1:
            return f"[student] widths has {min(self.widths)}, and a width is 1 or more"
        return None

    def __call__(self, model: Artifact | None, run: Run) -> Artifact:
        import torch

        from edgecomp.students.student import random_student

        widths = self.widths or import_family(self.family).WIDTHS
        config = StudentConfig(self.family, tuple(widths), run.task.dataset.labels, self.front_end)
        student = random_student(config, run.seed)
        features = torch.from_numpy(run.task.features("train", self.front_end))
        student.front_end.set_normalisation(features.mean((0, 1)), features.std((0, 1)).clamp_min(SMALLEST_STD))
        return student_artifact(self, student, run, model, {"widths": list(widths)})
