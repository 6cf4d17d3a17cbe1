"""The build folder: every step's result under the hash of all that it depends on; atomic, locked, resumable."""

from __future__ import annotations

import errno
import json
import os
import re
import shutil
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from filelock import FileLock, Timeout

from edgecomp.artifact import content_hash, to_json
from edgecomp.errors import EdgecompError, StoreError
from edgecomp.progress import say

if TYPE_CHECKING:
    import numpy as np

SEAL = ".seal.json"
"""Written last into a result's folder: the sizes and hashes of its files."""
HASHED_BYTES = 1 << 23
"""Files up to this size are hashed again on every look-up; 8 MB took 14 ms on a busy 2-core machine."""
FULL = re.compile(r"No space left on device|\d+ requested and \d+ written")
"""How writers that give no error number say that the disk is full: native ones, and NumPy's of arrays."""


class Store:
    """A folder of finished results. What is in it is complete; what is not finished is not in it."""

    def __init__(self, folder: Path):
        self.folder = folder.resolve()
        with clear_errors(self.folder):
            for name in ("done", "making", "locks"):
                (self.folder / name).mkdir(parents=True, exist_ok=True)

    def find(self, name: str, key: str) -> Path | None:
        """Return a finished result's folder, or None; a damaged one counts as missing."""
        folder = self._place(name, key)
        return folder if self._is_whole(folder, key) else None

    def make(self, name: str, key: str, build: Callable[[Path], None]) -> Path:
        """Return the folder of a result, building it where it is not there yet.

        name:  the step, for people who look into the folder
        key:   a hash of everything that the result depends on
        build: writes the result into an empty folder; a kill leaves no trace but that folder
        raises: StoreError where the disk is full or the folder cannot be written
        """
        if (folder := self.find(name, key)) is not None:
            return folder
        with clear_errors(self.folder), self._only_one(name, key):
            if (folder := self.find(name, key)) is not None:  # another process was faster
                return folder
            self._sweep(f"{name}-{key[:16]}-")
            folder, work = self._place(name, key), self.folder / "making" / f"{name}-{key[:16]}-{uuid.uuid4().hex}"
            work.mkdir()
            try:
                build(work)
                files = sorted(p for p in work.rglob("*") if p.is_file())
                seal = {p.relative_to(work).as_posix(): [p.stat().st_size, content_hash(p)] for p in files}
                (work / SEAL).write_text(to_json({"key": key, "files": seal}), encoding="utf-8")
                if folder.exists():  # damaged: nobody may have it, and its lock is ours
                    shutil.rmtree(folder)
                os.replace(work, folder)
            finally:
                shutil.rmtree(work, ignore_errors=True)
        return folder

    @contextmanager
    def _only_one(self, name: str, key: str) -> Iterator[None]:
        """Hold the lock of one result, saying so where another process holds it."""
        lock = FileLock(self.folder / "locks" / f"{name}-{key[:32]}.lock")
        try:
            lock.acquire(timeout=0)
        except Timeout:
            say(f"{name}: another process is making it; waiting")
            lock.acquire()
        try:
            yield
        finally:
            lock.release()

    def _place(self, name: str, key: str) -> Path:
        return self.folder / "done" / f"{name}-{key[:32]}"

    def _sweep(self, prefix: str) -> None:
        """Remove what a killed process of the same step left; its lock is ours now."""
        for leftover in (self.folder / "making").glob(prefix + "*"):
            shutil.rmtree(leftover, ignore_errors=True)

    def _is_whole(self, folder: Path, key: str) -> bool:
        """Check sizes always, and hashes of small files: a step's big arrays are read when they are used."""
        try:
            seal = json.loads((folder / SEAL).read_text(encoding="utf-8"))
            for name, (size, digest) in seal["files"].items():
                file = folder / name
                if file.stat().st_size != size or (size <= HASHED_BYTES and content_hash(file) != digest):
                    return False
            return seal["key"] == key
        except (OSError, ValueError, KeyError, TypeError, AttributeError):  # no seal, or not one of ours
            return False


@contextmanager
def clear_errors(folder: Path) -> Iterator[None]:
    """Turn a full disk or an unwritable folder into one clear error; errors of other places pass."""
    try:
        yield
    except EdgecompError:
        raise
    except Exception as why:
        code = getattr(why, "errno", None)
        if code in (errno.ENOSPC, errno.EDQUOT) or FULL.search(str(why)):
            raise StoreError(
                "the disk is full; nothing half-written was kept",
                where=folder,
                fix="free some space or give another --build folder, and run the same command again",
            ) from why
        if isinstance(why, OSError) and (code == errno.EROFS or _lies_in(why.filename2 or why.filename, folder)):
            raise StoreError(
                f"cannot write here: {why.strerror or why}",
                where=folder,
                fix="give a folder you may write to with --build or --out",
            ) from why
        raise


def _lies_in(file: object, folder: Path) -> bool:
    """Tell a fault of this folder, or of one it lies in, from one of the files that a step reads."""
    if not isinstance(file, str | Path):
        return False
    file, folder = Path(file).absolute(), folder.absolute()
    return file.is_relative_to(folder) or folder.is_relative_to(file)


def require_writable(folder: Path) -> None:
    """Create a folder and try it, so that a place that cannot be written is known before the work and not after it.

    raises: StoreError
    """
    trial = folder / f".{uuid.uuid4().hex}"
    with clear_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        trial.touch()
        trial.unlink()


def new_array(file: Path, shape: tuple[int, ...], dtype: type) -> np.ndarray:
    """Create a .npy file to be filled through memory.

    Its room on the disk is taken at once where the system can: a full disk is then an error here, and not the death
    of the process (SIGBUS) at the first write that finds no room.
    """
    import numpy as np

    made = np.lib.format.open_memmap(file, mode="w+", dtype=dtype, shape=shape)
    if hasattr(os, "posix_fallocate"):
        with file.open("r+b") as stream:
            os.posix_fallocate(stream.fileno(), 0, file.stat().st_size)
    return made


def write_atomically(path: Path, content: str | bytes) -> None:
    """Write a whole file or nothing: beside its place first, then moved there."""
    work = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    with clear_errors(path.parent):
        try:
            work.write_bytes(content.encode() if isinstance(content, str) else content)
            os.replace(work, path)
        finally:
            with suppress(OSError):  # the first error is the one to tell
                work.unlink(missing_ok=True)
