"""The generated C of a bundle as a program of its own, asked over a pipe; under sanitizers where there are any."""

from __future__ import annotations

import struct
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

from edgecomp.embed import c
from edgecomp.embed.facts import Facts
from tests.small_mcu import STRICT, compiler

DRIVER = Path(__file__).parent / "fixtures" / "streams.c"
"""Calls the functions of a bundle named "sounds"."""
SANITIZED = ("-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-g")
Body = Callable[[np.ndarray], np.ndarray]
"""Features (frames × mels,) int8 → logits (classes,) int8."""


@dataclass(frozen=True)
class Told:
    """A C answer; label is None where the teacher is to be asked."""

    probabilities: np.ndarray
    uncertainty: float
    ask: int
    label: str | None
    best_guess: str


@dataclass(frozen=True)
class CHeard:
    """One window of C's live listening."""

    answer: Told
    first_sample: int
    changed: bool


@cache
def sanitizers() -> tuple[str, ...]:
    """Return the flags of the sanitizers that this compiler has; empty where it has none."""
    trial = [compiler(), *SANITIZED, "-x", "c", "-o", "/dev/null", "-"]
    done = subprocess.run(trial, input="int main(void) { return 0; }", capture_output=True, text=True, check=False)
    return SANITIZED if done.returncode == 0 else ()


def write_module(folder: Path, facts: Facts) -> list[Path]:
    """Write the C of a bundle's facts; returns its sources."""
    for name, text in c.files(facts).items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")
    return sorted((folder / facts.package).glob("*.c"))


def build(folder: Path, facts: Facts) -> Path:
    """Compile the module and its driver without a warning; returns the program."""
    sources, program, driver = write_module(folder, facts), folder / "streams", folder / "driver.c"
    calls = DRIVER.read_text(encoding="utf-8").replace("sounds", facts.name).replace("SOUNDS", facts.name.upper())
    driver.write_text(calls, encoding="utf-8")
    command = [compiler(), *STRICT, *sanitizers(), "-pthread", "-I", str(folder), "-o", str(program)]
    done = subprocess.run([*command, *map(str, (*sources, driver)), "-lm"], capture_output=True, text=True, check=False)
    assert done.returncode == 0 and done.stderr == "", done.stderr
    return program


class Streams:
    """The running program; a sanitizer's finding ends it, and is raised with its words."""

    def __init__(self, program: Path, facts: Facts, features: int):
        self.facts, self.features = facts, features
        self._process = subprocess.Popen(
            [program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )

    def __enter__(self) -> Streams:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.stdin.close()
        said = self._process.stderr.read().decode()
        code = self._process.wait(timeout=60)
        self._process.stdout.close()
        self._process.stderr.close()
        assert code == 0, said

    def recording(self, pieces: list[np.ndarray]) -> np.ndarray | None:
        """Return the features of a recording (samples int16) in pieces; None where it is refused as empty."""
        self.send(b"b")
        for piece in pieces:
            assert self.push(piece)
        return self.finish()

    def push(self, piece: np.ndarray) -> bool:
        """Give a recording some samples."""
        self.send(b"p", piece)
        return bool(self.numbers(1)[0])

    def finish(self) -> np.ndarray | None:
        """End the recording."""
        self.send(b"f")
        return self._features() if self.numbers(1)[0] else None

    def decide(self, logits: np.ndarray) -> Told:
        """Turn logits into an answer."""
        self.send(b"d" + logits.astype(np.int8).tobytes())
        return self._answer()

    def listen(self, pieces: list[np.ndarray], body: Body) -> list[CHeard]:
        """Give live sound in pieces and answer every window that is due."""
        heard = []
        for piece in pieces:
            at = 0
            while at < len(piece):
                at += self.hear(piece[at:])
                if (features := self.due()) is not None:
                    heard.append(self.answer(body(features)))
        return heard

    def live(self, pool: int, hold: int) -> bool:
        """Begin to listen."""
        self.send(b"l" + struct.pack("<II", pool, hold))
        return bool(self.numbers(1)[0])

    def hear(self, piece: np.ndarray) -> int:
        """Return how many samples were heard."""
        self.send(b"h", piece)
        return self.numbers(1)[0]

    def due(self) -> np.ndarray | None:
        """Return the features that the body is to be asked about."""
        self.send(b"u")
        return self._features() if self.numbers(1)[0] else None

    def answer(self, logits: np.ndarray) -> CHeard | None:
        """Answer the window that is due; None where none is."""
        self.send(b"a" + logits.astype(np.int8).tobytes())
        if not self.numbers(1)[0]:
            return None
        told = self._answer()
        first, changed = struct.unpack("<QI", self._read(12))
        return CHeard(told, first, bool(changed))

    def gap(self) -> None:
        """Say that samples were lost."""
        self.send(b"g")

    def ring(self, capacity: int, *, begun: int = 0) -> bool:
        """Begin a ring that has `begun` samples behind it already."""
        self.send(b"B" + struct.pack("<I", capacity))
        taken = bool(self.numbers(1)[0])
        self.send(b"o" + struct.pack("<I", begun))
        return taken

    def write(self, piece: np.ndarray) -> None:
        """Write to the ring."""
        self.send(b"w", piece)

    def read(self, most: int) -> tuple[int, np.ndarray]:
        """Return the index of the first sample, and the samples."""
        self.send(b"r" + struct.pack("<I", most))
        count, first = self.numbers(2)
        return first, np.frombuffer(self._read(2 * count), "<i2")

    def counts(self) -> tuple[int, int]:
        """Return how many samples wait in the ring, and how many were dropped."""
        self.send(b"n")
        return self.numbers(2)

    def race(self, total: int, most: int, pause_us: int) -> tuple[int, int, int, int]:
        """Let a thread write to the ring: samples read, dropped, missing between reads, and not those of their index."""
        self.send(b"t" + struct.pack("<III", total, most, pause_us))
        return self.numbers(4)

    def send(self, command: bytes, piece: np.ndarray | None = None) -> None:
        """Write a command, and samples with their number before them."""
        more = b"" if piece is None else struct.pack("<I", len(piece)) + piece.astype("<i2").tobytes()
        self._process.stdin.write(command + more)
        self._process.stdin.flush()

    def numbers(self, count: int) -> tuple[int, ...]:
        """Read numbers."""
        return struct.unpack(f"<{count}I", self._read(4 * count))

    def _features(self) -> np.ndarray:
        return np.frombuffer(self._read(self.features), np.int8)

    def _answer(self) -> Told:
        labels = self.facts.labels
        *told, unsure, ask, label, best = struct.unpack(f"<{len(labels)}f f I i I", self._read(4 * (len(labels) + 4)))
        guess = None if label < 0 else labels[label]
        return Told(np.array(told, np.float32), unsure, ask, guess, labels[best])

    def _read(self, size: int) -> bytes:
        found = self._process.stdout.read(size)
        if len(found) < size:
            raise AssertionError(f"the C ended: {self._process.stderr.read().decode()[-3000:]}")
        return found
