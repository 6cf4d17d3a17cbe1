"""Prune: remove whole channels, so that the widths in the config shrink and latency falls."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from edgecomp.artifact import Artifact
from edgecomp.passes import Run, student_artifact
from edgecomp.students.layers import macs, parameters


@dataclass(frozen=True)
class Prune:
    """Keep the channels that the training clips need most.

    keep:     share of the body's multiply-accumulates that is left; 1 does nothing
    round_to: widths are multiples of this
    clips:    training clips that importance is measured on
    """

    takes: ClassVar[str] = "torch"
    gives: ClassVar[str | None] = "torch"
    keep: float = 0.6
    round_to: int = 8
    clips: int = 512

    def refuse(self, model: Artifact | None, run: Run) -> str | None:
        if not 0 < self.keep <= 1:
            return f"keep is {self.keep}, and must be above 0 and at most 1"
        if self.round_to < 1 or self.clips < 1:
            return f"round_to is {self.round_to} and clips is {self.clips}, and both must be 1 or more"
        return None

    def __call__(self, model: Artifact, run: Run) -> Artifact:
        import numpy as np
        import torch

        from edgecomp.students.pruning import channel_importance, kept_channels, without_channels
        from edgecomp.students.student import load_student

        student = load_student(model.path)
        labelled = np.flatnonzero(run.task.targets("train") >= 0)
        chosen = np.random.default_rng([run.seed, 5]).permutation(labelled)[: self.clips]
        features = torch.from_numpy(run.task.features("train", student.config.front_end)[chosen])
        features = (features - student.front_end.mean) / student.front_end.std
        importance = channel_importance(student, features, torch.from_numpy(run.task.targets("train")[chosen]))
        kept = kept_channels(student.config, importance, keep=self.keep, round_to=self.round_to)
        smaller = without_channels(student, kept)
        frames, mels = student.config.front_end.frames, student.config.front_end.mels
        work = [sum(macs(s.config.layers, frames, mels).values()) for s in (student, smaller)]
        facts = {
            "widths_before": student.config.widths,
            "widths": smaller.config.widths,
            "body_macs_before": work[0],
            "body_macs": work[1],
            "parameters_before": parameters(student.config.layers),
            "parameters": parameters(smaller.config.layers),
        }
        return student_artifact(self, smaller, run, model, facts)
