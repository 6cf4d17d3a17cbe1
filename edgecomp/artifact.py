"""Artifact: a model file, its form, and the steps that made it."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, is_dataclass, replace
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Port:
    """One input or output of a model.

    shape: with the batch axis, which is always 1
    unit:  what the numbers mean, such as "amplitude, -1 to 1"
    """

    name: str
    shape: tuple[int, ...]
    dtype: str
    unit: str


@dataclass(frozen=True)
class Signature:
    """What a model takes and gives; outputs are read by name, never by order."""

    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]


@dataclass(frozen=True)
class Step:
    """One pass that has run: its settings, what it found out, and the hashes around it.

    facts: what the pass measured or decided; JSON values only, and never a time or a path,
           so that two undisturbed runs write the same bytes
    """

    name: str
    settings: dict[str, Any]
    facts: dict[str, Any] = field(default_factory=dict)
    input_hash: str = ""
    output_hash: str = ""
    seed: int = 0


@dataclass(frozen=True)
class Artifact:
    """A model file, its form, and the steps that made it. Never changed, only followed.

    form: "torch", or a runtime's own: "onnx", "tflite"
    path: a file ("onnx", "tflite") or a folder of config.json + weights.safetensors ("torch")
    """

    form: str
    path: Path
    signature: Signature
    trail: tuple[Step, ...] = ()

    @property
    def hash(self) -> str:
        """Return the SHA-256 of the content, hex."""
        return content_hash(self.path)

    def followed_by(self, step: Step, *, path: Path, form: str | None = None) -> Artifact:
        """Return the artifact that a step made out of this one."""
        return replace(self, form=form or self.form, path=path, trail=(*self.trail, step))


def content_hash(path: Path) -> str:
    """Return the SHA-256 of a file, or of a folder's files by name and content, hex.

    Hidden files do not count: a folder keeps its hash when the store seals it.
    """
    if not path.is_dir():
        with path.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    names = {file.relative_to(path).as_posix(): file for file in path.rglob("*") if file.is_file()}
    shown = sorted(name for name in names if not names[name].name.startswith("."))
    lines = [f"{content_hash(names[name])} {name}\n" for name in shown]
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def text_hash(*values: object) -> str:
    """Return the SHA-256 of some values' text, hex: the honest way to a cache key."""
    return hashlib.sha256(json.dumps([str(value) for value in values]).encode()).hexdigest()


def to_json(value: object) -> str:
    """Write dataclasses and plain values as JSON with sorted keys, so that equal means equal bytes.

    Numbers that JSON does not have (NaN, infinity) become null.
    """
    return json.dumps(_plain(value), indent=1, sort_keys=True, ensure_ascii=False, allow_nan=False)


def _plain(item: Any) -> Any:
    if isinstance(item, Mapping):
        return {str(key): _plain(inner) for key, inner in item.items()}
    if isinstance(item, list | tuple):
        return [_plain(inner) for inner in item]
    if isinstance(item, float):
        return float(item) if math.isfinite(item) else None
    if item is None or isinstance(item, str | int):
        return item
    if is_dataclass(item) and not isinstance(item, type):
        return {inner.name: _plain(getattr(item, inner.name)) for inner in fields(item)}
    if isinstance(item, Path):
        return item.as_posix()
    if hasattr(item, "tolist"):
        return _plain(item.tolist())  # numpy scalars and arrays
    raise TypeError(f"{type(item).__name__} has no JSON form")
