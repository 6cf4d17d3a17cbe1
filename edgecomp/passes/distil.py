"""Distil: teach the student from the teacher's answers and the labels; with label_weight = 1, from labels alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from edgecomp.passes import Learning


@dataclass(frozen=True)
class Distil(Learning):
    """Train the student from the start."""

    said: ClassVar[str] = "learning from the teacher"
