"""Where recordings come from: a folder that is watched, or a microphone through ALSA; and where rows go."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from .facts import ModelError
from .listen import Listener
from .outcome import as_row
from .ring import Ring
from .wav import pcm16

RING_S = 4
"""How long the model may be busy before samples are lost."""


class Rows:
    """Writes rows as JSON lines, each in one piece, to a file that is appended to, or to stdout."""

    def __init__(self, path: Path | None):
        self._path = path
        if path is None:
            self._file = sys.stdout.fileno()
            return
        try:
            self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
            if (size := path.stat().st_size) and path.read_bytes()[size - 1 :] != b"\n":
                os.write(self._file, b"\n")  # a process was killed in the middle of a line, which is then no row
        except OSError as why:
            raise ModelError(f"{path} cannot be written: {why.strerror or why}") from None

    def write(self, row: dict[str, Any]) -> None:
        """Write one row; raises ModelError where the disk is full."""
        line = (json.dumps(row, ensure_ascii=False) + "\n").encode()
        try:
            while line:
                line = line[os.write(self._file, line) :]
        except BrokenPipeError:
            raise
        except OSError as why:
            raise ModelError(f"{self._path or 'stdout'} cannot be written: {why.strerror or why}") from None

    def before(self) -> list[dict[str, Any]]:
        """Return the rows that the file held already; a line that is no row is left out."""
        rows = []
        for line in self._path.read_bytes().splitlines() if self._path else ():
            try:
                row = json.loads(line)
            except ValueError:
                continue
            rows += [row] if isinstance(row, dict) else []
        return rows


def finished_files(
    folder: Path, answered: set[tuple[Any, ...]], poll_s: float
) -> Iterator[tuple[Path, dict[str, Any]]]:
    """Watch a folder for ever: yield each WAV file once its size has stayed the same from one look to the next.

    answered: path, size and time of change of those to be left out; grows
    raises:   ModelError where the folder cannot be read
    """
    seen: dict[str, tuple[Any, ...]] = {}
    while True:
        now = {}
        try:
            for entry in sorted(os.scandir(folder), key=lambda entry: entry.name):
                if entry.name.lower().endswith(".wav") and not entry.name.startswith(".") and entry.is_file():
                    told = entry.stat()
                    now[entry.name] = (entry.path, told.st_size, told.st_mtime_ns)
        except FileNotFoundError as why:
            if not folder.is_dir():
                raise ModelError(f"{folder} cannot be read: {why.strerror}") from None
            continue  # a file has gone while we looked
        except OSError as why:
            raise ModelError(f"{folder} cannot be read: {why.strerror or why}") from None
        for name, state in now.items():
            if state[1] > 0 and seen.get(name) == state and state not in answered:
                answered.add(state)
                yield Path(state[0]), {"path": state[0], "bytes": state[1], "modified_ns": state[2]}
        seen = now
        time.sleep(poll_s)


def listen_to_alsa(listener: Listener, device: str, rate_hz: int, write: Callable[[dict[str, Any]], None]) -> None:
    """Listen through arecord until it ends, writing a row for each window and a last one of what was lost in all.

    raises: ModelError where arecord is absent or fails
    """
    command = ["arecord", "-q", "-D", device, "-f", "S16_LE", "-r", str(rate_hz), "-c", "1", "-t", "raw"]
    try:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    except FileNotFoundError:
        raise ModelError("arecord is not installed; run: apt install alsa-utils") from None
    except OSError as why:
        raise ModelError(f"arecord cannot be started: {why.strerror or why}") from None
    ring, said = Ring(RING_S * rate_hz), {"last": "it said nothing", "overruns": 0}
    threads = [
        threading.Thread(target=_fill, args=(process.stdout, ring), daemon=True),
        threading.Thread(target=_hear_complaints, args=(process.stderr, said), daemon=True),
    ]
    for thread in threads:
        thread.start()
    try:
        follow(listener, ring, rate_hz, lambda row: write({**row, "overruns": said["overruns"]}))
        code = process.wait(timeout=5)  # its output has ended
    except subprocess.TimeoutExpired:
        code = 0
    finally:
        process.kill()
        process.wait()
        threads[1].join(timeout=5)  # what it said last counts too
        write({"ended": True, "dropped": ring.dropped, "overruns": said["overruns"]})
    if code != 0:
        raise ModelError(f"arecord stopped with exit code {code}: {said['last']}")


def follow(listener: Listener, ring: Ring, rate_hz: int, write: Callable[[dict[str, Any]], None]) -> None:
    """Ask the listener about what a ring holds until it is closed, writing a row for each window.

    A row's `at_s` is when its window begins, in seconds since the first sample, and `dropped` counts lost samples.
    """
    end, start = 0, 0
    while ring.wait(1.0):
        first, wave = ring.read(rate_hz)
        if first != end:  # samples were lost: no window may span the gap
            listener.gap()
            start = first
        end = first + len(wave)
        for heard in listener.push(wave):
            at_s = start / rate_hz + heard.first_sample / listener.facts.sample_rate_hz
            row = {"at_s": round(at_s, 3), **as_row(listener.facts, heard.outcome), "changed": heard.changed}
            write({**row, "dropped": ring.dropped})


def _fill(stream: Any, ring: Ring) -> None:
    """Read 16-bit samples into a ring until the stream ends; a piece may end within a sample."""
    rest = b""
    while piece := stream.read1(8192):
        rest += piece
        whole = len(rest) // 2 * 2
        ring.write(pcm16(rest[:whole]))
        rest = rest[whole:]
    ring.close()


def _hear_complaints(stream: Any, said: dict[str, Any]) -> None:
    """Pass on what arecord says, and count the times that it lost sound itself."""
    for line in stream:
        said["last"] = line.decode(errors="replace").strip()
        said["overruns"] += "overrun" in said["last"]
        print(f"arecord: {said['last']}", file=sys.stderr)
