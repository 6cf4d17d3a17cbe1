"""Fit a student's body to labels and to a teacher's answers; one loop for every pass that trains."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from edgecomp.errors import EdgecompError
from edgecomp.progress import track
from edgecomp.schedule import Objective, Schedule
from edgecomp.students.student import Student
from edgecomp.task import Task
from edgecomp.threads import one_thread

GRADIENT_NORM = 5.0
"""Largest norm of a step's gradient; keeps one bad batch from undoing the others."""


@dataclass(frozen=True)
class Fitted:
    """How the fit went; the student has the weights of the epoch that was kept, which is the last one without patience."""

    kept_epoch: int
    epochs: int
    validation_accuracy: float
    validation_loss: float


def distillation_loss(logits: Tensor, labels: Tensor, answers: Tensor, objective: Objective) -> Tensor:
    """Return the mean loss of a batch.

    logits:  (n, classes) of the student
    labels:  (n, classes) shares
    answers: (n, classes) probabilities of the teacher; only probabilities are known of a black box
    source:  Hinton et al. 2015, section 2; the teacher's softened answers are p^(1/T), normalised
    """
    label_loss = -(labels * functional.log_softmax(logits, 1)).sum(1).mean()
    if objective.label_weight == 1:
        return label_loss
    t = objective.temperature
    wanted = torch.softmax(torch.log(answers.clamp_min(1e-8)) / t, 1)
    teacher_loss = functional.kl_div(functional.log_softmax(logits / t, 1), wanted, reduction="batchmean") * t * t
    return objective.label_weight * label_loss + (1 - objective.label_weight) * teacher_loss


def fit(student: Student, task: Task, objective: Objective, schedule: Schedule, *, seed: int, said: str) -> Fitted:
    """Train a student's body in place: to the end of the schedule, or with patience to its best epoch by validation.

    The optimiser is AdamW under one cosine, after a warm-up of a twentieth. Repeats itself bit for bit under one
    seed on one machine; on one thread, because such small layers gain nothing from a second and lose much on a busy machine.
    """
    with one_thread():
        return _fit(student, task, objective, schedule, seed, said)


def _fit(student: Student, task: Task, objective: Objective, schedule: Schedule, seed: int, said: str) -> Fitted:
    torch.manual_seed(seed)
    student.body.to(memory_format=torch.channels_last)  # depthwise convolutions train 2 × faster so
    rng = np.random.default_rng([seed, 3])
    inputs = _Inputs.of(student, task, objective)
    parameters = list(student.body.parameters())
    optimiser = torch.optim.AdamW(parameters, schedule.learning_rate, weight_decay=schedule.weight_decay)
    steps = schedule.epochs * inputs.batches(schedule.batch)
    cosine = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda step: _rate(step / steps))
    best, kept = (-1.0, -math.inf), None
    epoch = kept_epoch = 0
    for epoch in track(range(1, schedule.epochs + 1), said):
        student.body.train()
        loss = torch.zeros(())
        for features, labels, answers in inputs.epoch(epoch, schedule, rng):
            loss = distillation_loss(student.body(features), labels, answers, objective)
            optimiser.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(parameters, GRADIENT_NORM)
            optimiser.step()
            cosine.step()
        if not math.isfinite(loss.item()):
            break
        if not schedule.patience and epoch < schedule.epochs:
            continue  # the last epoch is kept: the best of many by a small split is the luckiest
        score = inputs.validate(student)
        if math.isfinite(score[1]) and score > best:  # an accuracy says nothing where the loss is not a number
            best, kept_epoch = score, epoch
            kept = {name: value.clone() for name, value in student.body.state_dict().items()}
        if schedule.patience and epoch - kept_epoch >= schedule.patience:
            break
    if kept is None:
        raise EdgecompError(
            "the training diverged: the loss is not a number",
            where=said,
            fix=f"lower learning_rate, which is {schedule.learning_rate}",
        )
    student.body.load_state_dict(kept)
    student.eval()
    return Fitted(kept_epoch, epoch, best[0], -best[1])


@dataclass(frozen=True)
class _Inputs:
    """What the loop reads: features are normalised batch by batch, since the views are kept as they were computed.

    labels:   shares of the classes; the teacher's answers stand in for the labels of views that have none
    taught:   the clips that are learnt from: all of them, but without a teacher only those with a label
    clips:    how many there are: the length of an epoch, whichever are learnt from
    """

    features: np.ndarray
    labels: Tensor
    answers: Tensor
    taught: np.ndarray
    clips: int
    mean: Tensor
    std: Tensor
    validation: Tensor
    targets: Tensor

    @staticmethod
    def of(student: Student, task: Task, objective: Objective) -> _Inputs:
        front_end = student.config.front_end
        targets = task.targets("train")
        labels = torch.from_numpy(task.views.soft_labels(targets, len(task.dataset.labels)))
        answers, taught = labels, np.flatnonzero(targets >= 0)
        if objective.label_weight < 1:
            answers, taught = torch.from_numpy(np.array(task.view_answers())), np.arange(len(targets))
            labels = torch.where(labels.sum(1, keepdim=True) > 0, labels, answers)
        mean, std = student.front_end.mean, student.front_end.std
        validation = (torch.from_numpy(task.features("validation", front_end)) - mean) / std
        return _Inputs(
            task.view_features(front_end),
            labels,
            answers,
            taught,
            len(targets),
            mean,
            std,
            validation,
            torch.from_numpy(np.array(task.targets("validation"))),
        )

    def batches(self, size: int) -> int:
        return max(1, self.clips // size)

    def epoch(
        self, epoch: int, schedule: Schedule, rng: np.random.Generator
    ) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        """Give every clip once, as a view that the last epochs did not show; a few clips several times, as often as many."""
        views = len(self.labels) // self.clips
        again = -(-self.clips // len(self.taught))
        order = np.concatenate([rng.permutation(self.taught) for _ in range(again)])[: self.clips]
        rows = order + self.clips * ((order + epoch) % views)
        for part in np.array_split(rows, self.batches(schedule.batch)):
            batch = torch.from_numpy(self.features[part].astype(np.float32))
            features = _masked((batch - self.mean) / self.std, schedule.mask, rng)
            yield features, self.labels[part], self.answers[part]

    @torch.no_grad()
    def validate(self, student: Student) -> tuple[float, float]:
        """Return accuracy and the negative of the mean log loss on the validation split."""
        student.body.eval()
        logits = torch.cat([student.body(part) for part in self.validation.split(256)])
        accuracy = (logits.argmax(1) == self.targets).double().mean().item()
        return accuracy, -functional.cross_entropy(logits, self.targets).item()


def _rate(progress: float) -> float:
    return min(progress / 0.05, 0.5 * (1 + math.cos(math.pi * min(progress, 1)))) if progress > 0 else 1e-3


def _masked(features: Tensor, share: float, rng: np.random.Generator) -> Tensor:
    """Hide one stripe of time and one of frequency from each example; zero is the mean of every band."""
    if share == 0:
        return features
    kept = torch.ones_like(features)
    for axis in (1, 2):
        size = features.shape[axis]
        width = rng.integers(0, max(1, round(share * size)) + 1, len(features))
        start = rng.integers(0, size - width + 1)
        place = np.arange(size)
        hidden = torch.from_numpy((place >= start[:, None]) & (place < (start + width)[:, None]))
        kept[hidden.unsqueeze(3 - axis).expand_as(kept)] = 0
    return features * kept
