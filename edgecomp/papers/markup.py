"""Markdown that holds somebody else's texts: escaped, so that none of them becomes markup."""

from __future__ import annotations

import re
from collections.abc import Sequence

SPECIAL = re.compile(r"([\\`*_{}\[\]<>#|~$&])")


def escaped(text: object) -> str:
    """Write a text so that Markdown and HTML leave it alone, on one line."""
    return SPECIAL.sub(r"\\\1", " ".join(str(text).split()))


def sentence(text: object) -> str:
    text = escaped(text)
    return text if text.endswith((".", "!", "?")) else f"{text}."


def table(heads: Sequence[str], rows: Sequence[Sequence[object]]) -> list[str]:
    return [
        "| " + " | ".join(heads) + " |",
        "|" + " --- |" * len(heads),
        *("| " + " | ".join(escaped(cell) for cell in row) + " |" for row in rows),
    ]
