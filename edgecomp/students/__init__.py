"""Students: a front end and a body, built from a family's name and its widths; never pickled."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from importlib import import_module
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from edgecomp.artifact import to_json
from edgecomp.errors import RecipeError, nearest
from edgecomp.students.front_end import FrontEnd, LogMel
from edgecomp.students.net import Body, Layer, Weights
from edgecomp.students.quantisation import Quantisation

NOT_FAMILIES = {"__init__", "net", "front_end", "quantisation", "pruning"}


@dataclass(frozen=True)
class StudentConfig:
    """Everything that a student is, but for its weights."""

    family: str
    widths: tuple[int, ...]
    labels: tuple[str, ...]
    front_end: FrontEnd
    layers: tuple[Layer, ...] = field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        made = import_family(self.family).layers(self.widths, len(self.labels))
        object.__setattr__(self, "layers", made)

    def to_json(self) -> str:
        """Write the config as JSON."""
        return to_json(
            {"family": self.family, "widths": self.widths, "labels": self.labels, "front_end": asdict(self.front_end)}
        )

    @staticmethod
    def from_json(text: str) -> StudentConfig:
        """Read a config that `to_json` wrote."""
        raw = json.loads(text)
        return StudentConfig(raw["family"], tuple(raw["widths"]), tuple(raw["labels"]), FrontEnd(**raw["front_end"]))


class Student(nn.Module):
    """Waveforms to logits, (n, samples) → (n, classes)."""

    def __init__(self, config: StudentConfig):
        super().__init__()
        self.config = config
        self.front_end = LogMel(config.front_end)
        self.body = Body(config.layers)

    def forward(self, waveforms: Tensor) -> Tensor:
        return self.body(self.front_end(waveforms))


def families() -> list[str]:
    """Return the names of the student families: the files of this folder."""
    return sorted(p.stem for p in Path(__file__).parent.glob("*.py") if p.stem not in NOT_FAMILIES)


def import_family(name: str):
    """Return a family's module, which has WIDTHS and layers(widths, classes).

    raises: RecipeError with the nearest name
    """
    if name not in families():
        raise RecipeError(f"unknown student family {name!r}", where="[student] family", fix=nearest(name, families()))
    return import_module(f"edgecomp.students.{name}")


def save_student(student: Student, folder: Path) -> None:
    """Write config.json and weights.safetensors."""
    (folder / "config.json").write_text(student.config.to_json(), encoding="utf-8")
    save_file(
        {name: value.contiguous() for name, value in student.state_dict().items()}, folder / "weights.safetensors"
    )


def load_student(folder: Path) -> Student:
    """Read a student in evaluation mode; no code is unpickled."""
    student = Student(StudentConfig.from_json((folder / "config.json").read_text(encoding="utf-8")))
    student.load_state_dict(load_file(folder / "weights.safetensors"))
    return student.eval()


def parameters(student: Student) -> int:
    """Return the number of trained parameters of a student's body, batch normalisation folded."""
    return sum(w.weight.numel() + w.bias.numel() for w in student.body.folded().values())


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


def freeze(student: Student, quantisation: Quantisation | None = None) -> Frozen:
    """Return a trained student ready for lowering."""
    return Frozen(
        student.config,
        student.body.folded(),
        student.front_end.mean.numpy().copy(),
        student.front_end.std.numpy().copy(),
        quantisation,
    )


def quantisation_of(folder: Path) -> Quantisation | None:
    """Return the scales that the quantise pass left beside a student, or None for a float one."""
    file = folder / "quantisation.json"
    return Quantisation.from_json(file.read_text(encoding="utf-8")) if file.exists() else None
