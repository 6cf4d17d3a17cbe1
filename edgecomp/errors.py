"""The errors a user can meet: what happened, where, and how to fix it; each knows its exit code."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class EdgecompError(Exception):
    """Something went wrong that a person can act on.

    what:  what happened, with the value received
    where: file, key path or function
    fix:   what to do, with the values allowed
    """

    exit_code = 1

    def __init__(self, what: str, *, where: object = None, fix: str | None = None):
        super().__init__(what)
        self.what, self.where, self.fix = what, None if where is None else str(where), fix

    def __str__(self) -> str:
        lines = [self.what]
        if self.where:
            lines.append(f"  where: {self.where}")
        if self.fix:
            lines.append(f"  fix:   {self.fix}")
        return "\n".join(lines)


class StoreError(EdgecompError):
    """The build folder cannot be written, is full, or is damaged."""


class InputError(EdgecompError):
    """What the user gave cannot be used."""

    exit_code = 2


class RecipeError(InputError):
    """A recipe is wrong or does not exist."""


class TargetError(InputError):
    """A target profile is wrong or does not exist."""


class DataError(InputError):
    """The data set is missing, damaged or leaks between its splits."""


class AudioError(DataError):
    """One audio file cannot be used."""


class TeacherError(InputError):
    """A teacher cannot be loaded, or answers what no teacher may answer."""


class PlanError(InputError):
    """Passes that do not fit together, or a pass that refuses."""


class BundleError(InputError):
    """A bundle is missing, damaged or was changed after it was written."""


class EmbedError(InputError):
    """A folder holds something that must not be overwritten, or a language is unknown."""


class DeviceError(InputError):
    """A device is absent, refuses, is not prepared, or was lost in the middle of its work."""


class GateError(EdgecompError):
    """A compile finished, and its result is not good enough to ship."""

    exit_code = 3


def nearest(name: str, allowed: Iterable[str]) -> str:
    """Say which of the allowed names was probably meant, and list them all."""
    allowed = sorted(allowed)
    close = difflib.get_close_matches(name, allowed, n=1)
    meant = f"did you mean {close[0]!r}? " if close else ""
    return f"{meant}allowed: {', '.join(allowed) or 'none'}"
