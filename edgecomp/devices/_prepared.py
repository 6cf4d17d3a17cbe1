"""A folder that is prepared once: put together beside its place, moved there whole, built again where it is out of date."""

from __future__ import annotations

import shutil
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from filelock import FileLock

from edgecomp.errors import DeviceError

Ready = TypeVar("Ready")


def prepare_folder(
    folder: Path, ready: Callable[[], Ready | None], build: Callable[[Path], None], command: str, megabytes: int
) -> Ready:
    """Build a folder, unless it is ready; a kill leaves nothing but a folder that the next call sweeps away.

    ready:     says what lies there, or None where it is absent, unfinished or out of date
    build:     puts everything into a folder that it makes
    command:   what the user types to prepare it
    megabytes: what it takes
    raises:    DeviceError where it cannot be written, or is not ready afterwards; what build raises
    """
    kind = folder.name
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(folder.with_name(f"{kind}.lock")):
            if (found := ready()) is not None:
                return found
            _sweep(folder)  # what a killed prepare left: the lock is ours
            work = folder.with_name(f"{kind}-{uuid.uuid4().hex}")
            try:
                build(work)
                if folder.exists():
                    folder.rename(folder.with_name(f"{kind}-{uuid.uuid4().hex}"))
                work.rename(folder)
            finally:
                _sweep(folder)
    except OSError as why:
        fix = f"free {megabytes} MB, or give another --build"
        raise DeviceError(f"cannot write there: {why.strerror or why}", where=folder, fix=fix) from None
    if (found := ready()) is None:
        raise DeviceError("the prepared folder is not whole", where=folder, fix=f"run {command} again")
    return found


def _sweep(folder: Path) -> None:
    for leftover in folder.parent.glob(f"{folder.name}-*"):
        shutil.rmtree(leftover, ignore_errors=True)
