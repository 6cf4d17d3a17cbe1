"""Students: a front end and a body, built from a family's name and its widths; never pickled.

What stands here needs no torch; the student itself is in student.py.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path

from edgecomp.artifact import to_json
from edgecomp.students.families import import_family
from edgecomp.students.front_end import FrontEnd
from edgecomp.students.layers import Layer


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


def read_config(folder: Path) -> StudentConfig:
    """Read the config of a student that was saved into a folder."""
    return StudentConfig.from_json((folder / "config.json").read_text(encoding="utf-8"))
