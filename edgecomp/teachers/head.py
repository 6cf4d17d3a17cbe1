"""The head: multinomial logistic regression from a black box's scores to the recipe's labels.

No kind of teacher itself. Fitted on the training split; what form of the scores it reads and how strongly it
is held back is chosen by the loss on the validation split.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from edgecomp.errors import TeacherError
from edgecomp.teachers.asking import softmax
from edgecomp.threads import one_thread

Form = Literal["raw", "sqrt", "log", "logit"]

PROCEDURE = 2
"""Raised whenever a head would be fitted differently: it is part of a fitted head's key."""

SMALLEST = 1e-3
"""Scores are kept this far from 0 (and from 1) before a logarithm: below the step of an 8-bit output, 1/256. Smaller
floors let outputs that are nearly always 0 drown the others (models/sounds, validation: 1e-6 costs 9 points)."""

STRENGTHS = tuple(10.0**power for power in (-4, -3, -2, -1, 0))
"""L2 strengths tried: half the squared norm of the weights, against the mean loss of a clip."""


@dataclass(frozen=True)
class Head:
    """Scores (n, outputs) → probabilities (n, classes): softmax(((form(scores) − mean) / scale) @ weight + bias).

    weight:    (outputs, classes) float32
    bias:      (classes,); mean: (outputs,), of the training split
    scale:     (1,) one for all outputs: one for each would make an output that hardly moves as loud as the rest
    form:      how scores are read: as they are, their root, their logarithm, or their log-odds
    strength:  the L2 strength that was chosen
    """

    weight: np.ndarray
    bias: np.ndarray
    mean: np.ndarray
    scale: np.ndarray
    form: Form
    strength: float

    def __call__(self, scores: np.ndarray) -> np.ndarray:
        """Return the classes' probabilities, float32; one row or many."""
        return softmax(self.logits(scores))

    def logits(self, scores: np.ndarray) -> np.ndarray:
        """Return the classes' scores before the softmax."""
        return ((formed(scores, self.form) - self.mean) / self.scale) @ self.weight + self.bias

    @property
    def bytes(self) -> int:
        """Return the bytes of its numbers."""
        return self.weight.nbytes + self.bias.nbytes + self.mean.nbytes + self.scale.nbytes


def formed(scores: np.ndarray, form: Form) -> np.ndarray:
    """Return scores in the form that a head reads, float32."""
    if form == "raw":
        return scores.astype(np.float32)
    if form == "sqrt":
        return np.sqrt(np.maximum(scores, 0)).astype(np.float32)
    if form == "log":
        return np.log(np.maximum(scores, SMALLEST)).astype(np.float32)
    kept = np.clip(scores, SMALLEST, 1 - SMALLEST)
    return (np.log(kept) - np.log1p(-kept)).astype(np.float32)


def fit_head(
    train: np.ndarray, train_targets: np.ndarray, validation: np.ndarray, validation_targets: np.ndarray, classes: int
) -> Head:
    """Fit heads of every form and strength on the training split; return the one with the lowest validation loss.

    train, validation: (n, outputs) scores; targets: (n,) class numbers
    raises: TeacherError where a class has no training clip, or scores are not finite
    """
    for name, scores in (("training", train), ("validation", validation)):
        if not np.isfinite(scores).all() or not len(scores):
            raise TeacherError(
                f"the black box gave {len(scores)} answers for the {name} split, not all finite",
                where="head",
                fix="give the split some clips, and check the model in its own framework",
            )
    if len(missing := sorted(set(range(classes)) - set(train_targets.tolist()))):
        raise TeacherError(
            f"no training clip of class number {missing[0]}", where="head", fix="add some, or leave it out"
        )
    is_share = min(train.min(), validation.min()) >= 0 and max(train.max(), validation.max()) <= 1
    forms: tuple[Form, ...] = ("raw", "sqrt", "log", "logit") if is_share else ("raw",)
    heads = [head for form in forms for head in _path(formed(train, form), train_targets, classes, form)]
    return min(heads, key=lambda head: cross_entropy(head.logits(validation), validation_targets))


def cross_entropy(logits: np.ndarray, targets: np.ndarray) -> float:
    """Return the mean loss of a clip in nats."""
    logits = logits.astype(np.float64)
    top = logits.max(axis=1)
    total = top + np.log(np.exp(logits - top[:, None]).sum(axis=1))
    return float(np.mean(total - logits[np.arange(len(targets)), targets]))


def write_head(head: Head, file: Path) -> None:
    """Write a head as safetensors, its form and strength in the metadata."""
    from safetensors.numpy import save_file

    tensors = {"weight": head.weight, "bias": head.bias, "mean": head.mean, "scale": head.scale}
    save_file(
        {name: np.ascontiguousarray(value, np.float32) for name, value in tensors.items()},
        file,
        metadata={"edgecomp": json.dumps({"form": head.form, "strength": head.strength}, sort_keys=True)},
    )


def read_head(file: Path) -> Head:
    """Read a head that write_head has written."""
    from safetensors import safe_open

    with safe_open(file, "numpy") as kept:
        facts = json.loads(kept.metadata()["edgecomp"])
        return Head(**{name: kept.get_tensor(name) for name in ("weight", "bias", "mean", "scale")}, **facts)


def _path(features: np.ndarray, targets: np.ndarray, classes: int, form: Form) -> list[Head]:
    """Fit one head for each strength, each from where the stronger one ended."""
    mean = features.mean(axis=0)
    scale = max(float(np.sqrt(features.var(axis=0).mean())), 1e-6)  # outputs that never move are divided by something
    standard = ((features - mean) / scale).astype(np.float64)
    weight, bias = np.zeros((features.shape[1], classes)), np.zeros(classes)
    heads = []
    for strength in sorted(STRENGTHS, reverse=True):
        weight, bias = logistic_regression(standard, targets, strength, weight, bias)
        heads.append(
            Head(
                weight.astype(np.float32),
                bias.astype(np.float32),
                mean.astype(np.float32),
                np.array([scale], np.float32),
                form,
                strength,
            )
        )
    return heads


def logistic_regression(
    features: np.ndarray, targets: np.ndarray, strength: float, weight: np.ndarray, bias: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Minimise the mean cross-entropy + strength / 2 · ‖weight‖², from a starting point, by L-BFGS.

    features: (n, outputs) float64; returns weight (outputs, classes) and bias (classes,)
    """
    import torch

    x, y = torch.from_numpy(features), torch.from_numpy(np.array(targets))
    w, b = torch.from_numpy(weight.copy()).requires_grad_(), torch.from_numpy(bias.copy()).requires_grad_()
    solver = torch.optim.LBFGS(
        [w, b],
        max_iter=200,
        tolerance_grad=1e-7,
        tolerance_change=1e-10,
        history_size=20,
        line_search_fn="strong_wolfe",
    )

    def closure() -> torch.Tensor:
        solver.zero_grad()
        loss = torch.nn.functional.cross_entropy(x @ w + b, y) + strength / 2 * w.square().sum()
        loss.backward()
        return loss

    with one_thread():
        solver.step(closure)
    return w.detach().numpy(), b.detach().numpy()


def scored(open_session: Callable, head: Head) -> Callable:
    """Return open_session with the head applied to each answer."""

    def open_with_head():
        session = open_session()
        return lambda clip: head(session(clip)[None])[0]

    return open_with_head
