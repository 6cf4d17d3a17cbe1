"""YAML front matter, the little of it that a model card needs: tables, lists, texts and numbers."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any


def front_matter(values: Mapping[str, Any]) -> str:
    """Write a table as YAML between two lines of hyphens; texts are always quoted, so that no text means more."""
    return "\n".join(["---", *_lines(values, 0), "---"]) + "\n"


def _lines(value: Any, depth: int) -> list[str]:
    pad = "  " * depth
    if isinstance(value, Mapping):
        lines = []
        for key, one in value.items():
            nested = isinstance(one, Mapping | list | tuple) and one
            lines += [f"{pad}{key}:", *_lines(one, depth + 1)] if nested else [f"{pad}{key}: {_scalar(one)}"]
        return lines
    lines = []
    for one in value:
        if isinstance(one, Mapping | list | tuple) and one:
            first, *rest = _lines(one, depth + 1)
            lines += [f"{pad}- {first[len(pad) + 2 :]}", *rest]
        else:
            lines.append(f"{pad}- {_scalar(one)}")
    return lines


def _scalar(value: Any) -> str:
    if isinstance(value, str):
        return '"' + "".join(_printable(letter) for letter in value) + '"'
    if isinstance(value, Mapping | list | tuple):
        return "{}" if isinstance(value, Mapping) else "[]"
    if isinstance(value, float) and "e" in (text := repr(value)) and "." not in text:
        return text.replace("e", ".0e")  # YAML 1.1 takes 1e-05 for a text
    return json.dumps(value)


def _printable(letter: str) -> str:
    """Escape what a quoted YAML text may not hold as it is."""
    if letter in '"\\':
        return f"\\{letter}"
    number = ord(letter)
    if number < 0x20 or 0x7F <= number < 0xA0 or number in (0x2028, 0x2029, 0xFEFF) or 0xD800 <= number < 0xE000:
        return f"\\u{number:04x}"
    return letter
