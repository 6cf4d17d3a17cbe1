"""Finetune: let a pruned student recover, with the teacher's help."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from edgecomp.passes import Learning


@dataclass(frozen=True)
class Finetune(Learning):
    """Train on, more gently than Distil."""

    said: ClassVar[str] = "recovering"
    epochs: int = 20
    learning_rate: float = 2e-3
    mask: float = 0.1
