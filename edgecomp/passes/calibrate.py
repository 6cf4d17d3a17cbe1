"""Calibrate: make probabilities mean what they say, on the validation split, after every rounding of int8."""

from __future__ import annotations

import shutil
from dataclasses import asdict, dataclass
from typing import Any, ClassVar

import numpy as np

from edgecomp.artifact import Artifact, Step, content_hash
from edgecomp.audit.calibration import fit_platt, fit_temperature
from edgecomp.metrics import threshold_for_sensitivity
from edgecomp.passes import Run, name_of
from edgecomp.students.ending import FILE_NAME, PLAIN, Ending, write_ending


@dataclass(frozen=True)
class Calibrate:
    """Fit the ending that is folded into every file: a temperature, or Platt's scaling and a threshold for two labels.

    positive:    of two labels the one to find; "" for a task of more labels
    sensitivity: share of the validation split's positives that the threshold must find
    """

    takes: ClassVar[str] = "torch"
    gives: ClassVar[str | None] = "torch"
    positive: str = ""
    sensitivity: float = 0.9

    def refuse(self, model: Artifact | None, run: Run) -> str | None:
        if self.positive and self.positive not in run.task.dataset.labels:
            return f"positive is {self.positive!r}, and the labels are {', '.join(run.task.dataset.labels)}"
        return None if 0 < self.sensitivity < 1 else f"sensitivity is {self.sensitivity}, and must be between 0 and 1"

    def __call__(self, model: Artifact, run: Run) -> Artifact:
        logits, targets = _logits(model, run), run.task.targets("validation")
        if self.positive:
            positive = run.task.dataset.labels.index(self.positive)
            fitted = fit_platt(logits, targets, positive)
        else:
            fitted = fit_temperature(logits, targets)
        ending = Ending(fitted.scale, tuple(fitted.shift) if any(fitted.shift) else ())
        facts: dict[str, Any] = {"scale": ending.scale, "shift": ending.shift, "note": fitted.note}
        if self.positive:
            scores = ending(logits)[0][:, positive]
            threshold = threshold_for_sensitivity(scores, targets == positive, self.sensitivity)
            ending = Ending(ending.scale, ending.shift, _boundary(threshold, positive))
            facts["threshold"] = threshold
        told = {"before": _log_loss(PLAIN(logits)[0], targets), "after": _log_loss(ending(logits)[0], targets)}
        folder = run.folder / "student"
        folder.mkdir()
        for file in sorted(model.path.iterdir()):
            if file.name != FILE_NAME and not file.name.startswith("."):
                shutil.copyfile(file, folder / file.name)
        write_ending(ending, folder)
        facts |= {"validation_log_loss": told, "validation_clips": len(targets)}
        step = Step(name_of(self), asdict(self), facts, model.hash, content_hash(folder), run.seed)
        return model.followed_by(step, path=folder)


def _logits(model: Artifact, run: Run) -> np.ndarray:
    """Return the logits of the validation split, (n, classes): of int8 where there are scales."""
    import torch

    from edgecomp.students.quantisation import simulate
    from edgecomp.students.student import load_student, quantisation_of

    student, scales = load_student(model.path), quantisation_of(model.path)
    features = torch.from_numpy(run.task.features("validation", student.config.front_end))
    features = (features - student.front_end.mean) / student.front_end.std
    with torch.inference_mode():
        if scales is None:
            return torch.cat([student.body(part) for part in features.split(256)]).numpy()
        weights = student.body.folded()
        return torch.cat(
            [simulate(student.config.layers, weights, scales, part) for part in features.split(256)]
        ).numpy()


def _boundary(threshold: float, positive: int) -> tuple[float, float]:
    """Return what moves the threshold of two labels to equal shares: minus its log-odds, on the positive one."""
    kept = float(np.clip(threshold, 1e-6, 1 - 1e-6))
    shift = -float(np.log(kept / (1 - kept)))
    return (0.0, shift) if positive == 1 else (shift, 0.0)


def _log_loss(probabilities: np.ndarray, targets: np.ndarray) -> float:
    given = probabilities[np.arange(len(targets)), targets]
    return float(-np.log(np.maximum(given, 1e-12)).mean())
