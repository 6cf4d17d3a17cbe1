"""Progress on stderr: a bar with time left on a terminal, plain lines elsewhere. Data never comes this way."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterable, Iterator, Sized
from contextlib import contextmanager
from typing import TypeVar

Item = TypeVar("Item")
_is_quiet = False
QUIET_S = 5.0
"""Seconds between two plain lines of one piece of work: a log stays readable."""


def track(items: Iterable[Item], what: str, total: int | None = None) -> Iterator[Item]:
    """Pass items on, showing how far the work named `what` has come."""
    if _is_quiet:
        yield from items
        return
    if total is None and isinstance(items, Sized):
        total = len(items)
    if sys.stderr.isatty():
        yield from _bar(items, what, total)
        return
    start = last = time.monotonic()
    for count, item in enumerate(items, 1):
        yield item
        now = time.monotonic()
        if now - last > QUIET_S:
            last = now
            left = f", {(now - start) / count * (total - count):.0f} s left" if total else ""
            say(f"{what}: {count}{f' of {total}' if total else ''}{left}")


def say(line: str) -> None:
    """Write one line of progress to stderr."""
    if _is_quiet:
        return
    sys.stderr.write(line + "\n")
    sys.stderr.flush()


def quiet() -> None:
    """Say nothing more in this process: another one shows the progress."""
    global _is_quiet
    _is_quiet = True


@contextmanager
def quiet_libraries() -> Iterator[None]:
    """Keep what C libraries write to stderr by themselves off the terminal; our own errors say more."""
    try:
        own = sys.stderr.fileno() == 2
    except (AttributeError, OSError, ValueError):  # replaced by something that is no file
        own = False
    sys.stderr.flush()
    kept, before = os.dup(2), sys.stderr
    sink = os.open(os.devnull, os.O_WRONLY)
    stream = os.fdopen(os.dup(kept), "w", buffering=1) if own else None
    os.dup2(sink, 2)
    sys.stderr = stream or before
    try:
        yield
    finally:
        sys.stderr = before
        os.dup2(kept, 2)
        for number in (kept, sink):
            os.close(number)
        if stream is not None:
            stream.close()


def _bar(items: Iterable[Item], what: str, total: int | None) -> Iterator[Item]:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description:<28}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        yield from progress.track(items, total=total, description=what)
