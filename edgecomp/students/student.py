"""A student in torch: waveforms to logits, saved as config and weights, frozen for lowering."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from edgecomp.students import StudentConfig, read_config
from edgecomp.students.ending import PLAIN, Ending
from edgecomp.students.log_mel import LogMel
from edgecomp.students.net import Body, Weights
from edgecomp.students.quantisation import Quantisation


class Student(nn.Module):
    """Waveforms to logits, (n, samples) → (n, classes)."""

    def __init__(self, config: StudentConfig):
        super().__init__()
        self.config = config
        self.front_end = LogMel(config.front_end)
        self.body = Body(config.layers)

    def forward(self, waveforms: Tensor) -> Tensor:
        return self.body(self.front_end(waveforms))


def save_student(student: Student, folder: Path) -> None:
    """Write config.json and weights.safetensors."""
    (folder / "config.json").write_text(student.config.to_json(), encoding="utf-8")
    save_file(
        {name: value.contiguous() for name, value in student.state_dict().items()}, folder / "weights.safetensors"
    )


def load_student(folder: Path) -> Student:
    """Read a student in evaluation mode; no code is unpickled."""
    student = Student(read_config(folder))
    student.load_state_dict(load_file(folder / "weights.safetensors"))
    return student.eval()


def random_student(config: StudentConfig, seed: int) -> Student:
    """Return an untrained student, the same for the same seed."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return Student(config)


@dataclass(frozen=True)
class Frozen:
    """A student as a lowering needs it: folded weights and, for int8, the scales.

    mean, std: (mels,) float32, of the log-mel bands
    """

    config: StudentConfig
    weights: dict[str, Weights]
    mean: np.ndarray
    std: np.ndarray
    quantisation: Quantisation | None = None
    ending: Ending = PLAIN


def freeze(student: Student, quantisation: Quantisation | None = None, ending: Ending = PLAIN) -> Frozen:
    """Return a trained student ready for lowering."""
    return Frozen(
        student.config,
        student.body.folded(),
        student.front_end.mean.numpy().copy(),
        student.front_end.std.numpy().copy(),
        quantisation,
        ending,
    )


def quantisation_of(folder: Path) -> Quantisation | None:
    """Return the scales that the quantise pass left beside a student, or None for a float one."""
    file = folder / "quantisation.json"
    return Quantisation.from_json(file.read_text(encoding="utf-8")) if file.exists() else None
