"""The end of every model file: how logits become probabilities and an uncertainty, in float."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from edgecomp.artifact import to_json

FILE_NAME = "ending.json"


@dataclass(frozen=True)
class Ending:
    """Calibration, and what the uncertainty is measured from.

    probabilities = softmax(scale × logits + shift)
    uncertainty   = 1 − largest of softmax(scale × logits + shift + boundary)

    scale:    the inverse of a temperature
    shift:    (classes,) of Platt's scaling; () for zeros
    boundary: (classes,) that moves the decision threshold of two labels to equal shares, so that the uncertainty is largest
              where the decision turns; () for zeros, where the most probable label is the decision
    source:   Guo et al. 2017, arXiv:1706.04599 (temperature); Platt 1999 (two labels)
    """

    scale: float = 1.0
    shift: tuple[float, ...] = ()
    boundary: tuple[float, ...] = ()

    def __call__(self, logits: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return probabilities (n, classes) and uncertainties (n,), float32, of logits (n, classes)."""
        calibrated = self.scale * logits.astype(np.float64) + (np.array(self.shift) if self.shift else 0.0)
        turned = calibrated + np.array(self.boundary) if self.boundary else calibrated
        return softmax(calibrated).astype(np.float32), (1 - softmax(turned).max(1)).astype(np.float32)


PLAIN = Ending()
"""A softmax and nothing more: of a student that was not calibrated."""


def softmax(logits: np.ndarray) -> np.ndarray:
    """Return the softmax over the last axis."""
    powers = np.exp(logits - logits.max(-1, keepdims=True))
    return powers / powers.sum(-1, keepdims=True)


def write_ending(ending: Ending, folder: Path) -> None:
    """Write an ending beside a student's weights."""
    (folder / FILE_NAME).write_text(to_json(asdict(ending)), encoding="utf-8")


def read_ending(folder: Path) -> Ending:
    """Read the ending beside a student; a student that was not calibrated has the plain one."""
    file = folder / FILE_NAME
    if not file.exists():
        return PLAIN
    raw = json.loads(file.read_text(encoding="utf-8"))
    return Ending(raw["scale"], tuple(raw["shift"]), tuple(raw["boundary"]))
