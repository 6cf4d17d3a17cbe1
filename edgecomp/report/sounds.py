"""The sounds of a report: the forgotten clips, read from a bundle, written beside the report and played in its page."""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from edgecomp.errors import InputError
from edgecomp.store import clear_errors, write_atomically

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*/[A-Za-z0-9][A-Za-z0-9_-]*\.flac")
"""One folder and one file: a name that a report states never leads out of the bundle."""
MOST_BYTES = 3_000_000
"""What the sounds may take of a page, as base64 text."""


def listed(report: Mapping[str, Any]) -> list[str]:
    """Return the names of the sounds that a report states, in its order."""
    clips = ((report.get("audit") or {}).get("forgotten") or {}).get("clips") or []
    return [clip["sound"] for clip in clips if clip.get("sound")]


def read_sounds(folder: Path, report: Mapping[str, Any]) -> dict[str, bytes]:
    """Read the sounds that a report states from its bundle's folder; those that are not there are left out."""
    files = {name: folder / name for name in listed(report) if NAME.fullmatch(name)}
    return {name: file.read_bytes() for name, file in files.items() if file.is_file()}


def write_sounds(folder: Path, sounds: Mapping[str, bytes]) -> None:
    """Write sounds into a bundle's folder by their names.

    raises: InputError for a name that is not folder/file.flac, StoreError where the folder cannot be written
    """
    for name, content in sounds.items():
        if not NAME.fullmatch(name):
            raise InputError(f"a sound named {name!r}", where="write_report", fix="names such as forgotten/00.flac")
        with clear_errors(folder):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
        write_atomically(folder / name, content)


def players(report: Mapping[str, Any], sounds: Mapping[str, bytes] | None) -> dict[str, str]:
    """Return data: URIs for the first of the listed sounds, as many as the page has room for."""
    made, room = {}, MOST_BYTES
    for name in listed(report):
        if name not in (sounds or {}):
            continue
        uri = "data:audio/flac;base64," + base64.b64encode(sounds[name]).decode("ascii")
        if len(uri) > room:
            break
        made[name], room = uri, room - len(uri)
    return made
