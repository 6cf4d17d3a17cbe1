"""Small students whose answers move, sounds to ask them, and a small task to teach them; no files are read."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from types import SimpleNamespace

import numpy as np
import torch

from edgecomp.data.views import Views, draw_views, render
from edgecomp.recipe import Augment
from edgecomp.students import StudentConfig
from edgecomp.students.families import import_family
from edgecomp.students.front_end import FrontEnd
from edgecomp.students.quantisation import Quantisation, scale_for
from edgecomp.students.student import Student, random_student
from edgecomp.task import log_mel

LABELS = ("low", "mid", "high")
NARROW = {"ds_cnn": (8, 16, 8, 16, 8), "inverted_residual": (8, 8, 16, 16, 24, 16, 8, 16, 24)}
"""Widths that run fast; a family that is not here is tested with its own."""


def sounds(clips: int, samples: int, *, rate: int = 8000, seed: int = 0) -> np.ndarray:
    """Return speech-like sounds, (clips, samples) float32: harmonics that glide and pause, over a little noise."""
    rng = np.random.default_rng(seed)
    time = np.arange(samples) / rate
    made = np.empty((clips, samples), np.float32)
    for row in made:
        phase = 2 * np.pi * np.cumsum(rng.uniform(90, 300) * (1 + 0.2 * np.sin(rng.uniform(2, 9) * time))) / rate
        voice = sum(rng.uniform(0, 1) / order * np.sin(order * phase) for order in range(1, 12))
        loudness = np.maximum(0, np.sin(rng.uniform(5, 20) * time + rng.uniform(0, 6)))
        row[:] = 0.2 * loudness * voice + rng.choice([0.001, 0.01, 0.05]) * rng.standard_normal(samples)
    return np.clip(made, -1, 1)


def lively_student(
    family: str,
    *,
    seed: int = 0,
    rate: int = 8000,
    samples: int = 4000,
    widths: tuple[int, ...] | None = None,
    classes: int = 3,
    **front_end: float,
) -> Student:
    """Return a student with random weights, whose normalisation was measured on sounds and whose answers differ."""
    config = StudentConfig(
        family,
        widths or NARROW.get(family) or import_family(family).WIDTHS,
        LABELS[:classes],
        FrontEnd.preset(rate, samples, **front_end),
    )
    student = random_student(config, seed)
    heard = torch.from_numpy(sounds(16, samples, rate=rate, seed=seed + 100))
    with torch.no_grad():
        features = student.front_end(heard)
        student.front_end.set_normalisation(features.mean((0, 1)), features.std((0, 1)).clamp_min(0.1))
        draws = torch.Generator().manual_seed(seed)
        norms = [m for m in student.modules() if isinstance(m, torch.nn.BatchNorm2d)]
        for norm in norms:
            norm.momentum = 1.0
            norm.weight.uniform_(0.5, 1.5, generator=draws)
            norm.bias.uniform_(-0.5, 0.5, generator=draws)
        logits = student.train()(heard)
        for norm in norms:
            norm.momentum = 0.1
        student.body.blocks[config.layers[-1].name].dense.weight.div_(logits.std(0).mean().clamp_min(1e-3))
    return student.eval()


def probabilities(student: Student, waves: np.ndarray) -> np.ndarray:
    """Return torch's answers, (n, classes)."""
    with torch.inference_mode():
        return torch.softmax(student(torch.from_numpy(waves)), 1).numpy()


def scales(student: Student, waves: np.ndarray, *, weight_bits: int = 7, features: bool = False) -> Quantisation:
    """Return int8 scales that cover what some sounds make of every tensor after the features; features: of those too."""
    from edgecomp.students.layers import FEATURES
    from edgecomp.students.net import activations

    with torch.inference_mode():
        seen = activations(student.config.layers, student.body.folded(), student.front_end(torch.from_numpy(waves)))
    return Quantisation(
        {name: scale_for(x.min().item(), x.max().item()) for name, x in seen.items() if features or name != FEATURES},
        weight_bits,
    )


@dataclass(frozen=True)
class SmallTask:
    """Tones of three labels in noise, and a teacher that knows them: what passes ask of a task."""

    clips: int = 24
    samples: int = 2000
    rate: int = 8000
    outputs_may_train: str = "yes"

    @property
    def recipe(self) -> SimpleNamespace:
        return SimpleNamespace(name="tones", teacher=SimpleNamespace(outputs_may_train=self.outputs_may_train))

    @property
    def dataset(self) -> SimpleNamespace:
        return SimpleNamespace(labels=LABELS)

    @property
    def front_end(self) -> FrontEnd:
        return FrontEnd.preset(self.rate, self.samples)

    @cached_property
    def views(self) -> Views:
        return draw_views(self.clips, Augment(views=3, shift_s=0.01, noise_share=0.0), self.rate, 0)

    def targets(self, split: str) -> np.ndarray:
        return np.arange(self.clips, dtype=np.int64) % len(LABELS)

    def waveforms(self, split: str) -> np.ndarray:
        rng = np.random.default_rng(["train", "validation", "test"].index(split))
        tones = np.array([300, 900, 2700])[self.targets(split)]
        waves = 0.2 * np.sin(2 * np.pi * tones[:, None] * np.arange(self.samples) / self.rate)
        return (waves + 0.1 * rng.standard_normal(waves.shape)).astype(np.float32)

    def features(self, split: str, front_end: FrontEnd) -> np.ndarray:
        return log_mel(front_end)(self.waveforms(split))

    def view_features(self, front_end: FrontEnd) -> np.ndarray:
        heard = render(self.waveforms("train"), self.views, np.arange(len(self.views)), np.empty((0, 0)))
        return log_mel(front_end)(heard).astype(np.float16)

    def view_answers(self) -> np.ndarray:
        return 0.9 * self.views.soft_labels(self.targets("train"), len(LABELS)) + np.float32(0.1 / len(LABELS))
