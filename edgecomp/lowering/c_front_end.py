"""Lower the front end to C99 for microcontrollers: fixed tables, no allocation, a frame at a time.

The graph multiplies by two factors of the DFT, because products of small tables are what phone runtimes are fast at. In C
the frame goes through a real FFT of the window's own length instead: at 16 kHz its tables take 8 kB of flash where the
graph's take 86 kB, more than the bodies here. No padding to a power of two, since other bins would be other features: a
window's half is split into its factors, 4, 2, 3, 5 and any prime. tests/test_c_front_end.py says how far the two may differ.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from edgecomp.students.front_end import FLOOR, FrontEnd, mel_filters
from edgecomp.students.quantisation import Scale

if TYPE_CHECKING:
    from jinja2 import Environment

HERE = Path(__file__).parent
FIRST_RADICES = (4, 2, 3, 5)
"""Radices with a butterfly of their own, in the order in which they are tried; other primes share one."""
A_LINE = 8


@dataclass(frozen=True)
class CNames:
    """What generated C calls itself.

    prefix: what every name begins with, a word of C: "wakewords"
    guard:  what include guards begin with; its own for each version
    note:   the first line of every file
    header: a header that every other one includes, which renames what a linker sees; "" for none
    """

    prefix: str
    guard: str
    note: str
    header: str = ""

    @property
    def words(self) -> dict[str, str]:
        """Return what the templates ask for."""
        told = {"prefix": self.prefix, "upper": self.prefix.upper(), "guard": self.guard.upper()}
        return told | {"note": self.note, "names": self.header}


def front_end_in_c(
    names: CNames, front_end: FrontEnd, scale: np.ndarray, shift: np.ndarray, stored: Scale
) -> dict[str, str]:
    """Return the header and the source of a front end, by file name.

    scale, shift: (mels,) a normalised feature is log-mel × scale + shift
    stored: how features are stored in int8
    """
    told = names.words | {
        "front_end": front_end,
        "first_bin": _bins(front_end)[0],
        "stored": stored,
        "floor": FLOOR,
        "radices": radices(front_end.window // 2),
        "table": _tables(front_end) | {"scale": scale, "shift": shift},
        "table_bytes": table_bytes(front_end),
    }
    kinds = {kind: c_templates().get_template(f"front_end.{kind}.j2") for kind in ("h", "c")}
    return {f"{names.prefix}_front_end.{kind}": template.render(told) for kind, template in kinds.items()}


def radices(size: int) -> tuple[int, ...]:
    """Split the length of a transform into factors, in the order in which its stages run."""
    found = []
    for radix in (*FIRST_RADICES, *range(7, size + 1, 2)):
        while size % radix == 0:
            found.append(radix)
            size //= radix
    return tuple(found)


def table_bytes(front_end: FrontEnd) -> int:
    """Return the bytes of flash that the tables of the C front end take."""
    words = sum(values.nbytes for values in _tables(front_end).values())
    return words + 2 * 4 * front_end.mels  # scale and shift


def listener_bytes(front_end: FrontEnd) -> int:
    """Return the bytes of RAM that a listener takes on a processor of 32 bits."""
    floats, counts = 2 * front_end.window, 3
    return 4 * (floats + counts + -(-front_end.frames * front_end.mels // 4))


def exact_features(frames: np.ndarray, front_end: FrontEnd, scale: np.ndarray, shift: np.ndarray) -> np.ndarray:
    """Return normalised features computed in float64, (n, mels), of frames (n, window): what the C code approximates."""
    size = front_end.window
    hann = np.sin(np.pi * (np.arange(size) + 0.5) / size) ** 2 * (2 / size)
    power = np.abs(np.fft.rfft(frames.astype(np.float64) * hann)) ** 2 @ _filters(front_end)
    return np.log(power + FLOOR) * scale + shift


def _tables(front_end: FrontEnd) -> dict[str, np.ndarray]:
    """Return what the source holds, in the types that it holds them in.

    hann:    (window / 2,) the first half of the window, halved, since unpacking a real transform adds pairs
    order:   (window / 2,) which pair of samples each stage's first butterfly finds where
    roots:   (window / 2, 2) cosine and sine of 2πk / (window / 2)
    turns:   (bins, 2) cosine and sine of 2πk / window, of the bins that a band uses
    starts:  (bins + 1,) where each bin's bands and weights begin
    """
    size, half = front_end.window, front_end.window // 2
    mel, bins = _filters(front_end), _bins(front_end)
    row, band = np.nonzero(mel[bins])

    def circle(turns: np.ndarray) -> np.ndarray:
        return np.stack([np.cos(2 * np.pi * turns), np.sin(2 * np.pi * turns)], axis=1).astype(np.float32)

    return {
        "hann": (np.sin(np.pi * (np.arange(half) + 0.5) / size) ** 2 / size).astype(np.float32),
        "order": np.array(_order(half, radices(half)[::-1]), np.uint16),
        "roots": circle(np.arange(half) / half),
        "turns": circle(bins / size),
        "starts": np.searchsorted(row, np.arange(len(bins) + 1)).astype(np.uint16),
        "bands": band.astype(np.uint8 if front_end.mels <= 256 else np.uint16),
        "weights": mel[bins][row, band].astype(np.float32),
    }


def _bins(front_end: FrontEnd) -> np.ndarray:
    """Return the bins from the first to the last that a band hears."""
    used = np.flatnonzero(_filters(front_end).any(axis=1))
    return np.arange(used[0], used[-1] + 1)


def _filters(front_end: FrontEnd) -> np.ndarray:
    """Return the mel filters with the values that the graph has: those that float16 can hold."""
    return mel_filters(front_end).astype(np.float16).astype(np.float64)


def _order(size: int, factors: tuple[int, ...]) -> list[int]:
    """Return the order of inputs that lets a transform run in place; factors: the last stage's first."""
    if not factors:
        return [0]
    radix, rest = factors[0], factors[1:]
    inner = _order(size // radix, rest)
    return [first + radix * at for first in range(radix) for at in inner]


@cache
def c_templates(folder: Path = HERE) -> Environment:
    """Return the templates of C files in a folder, with filters that write numbers as C does."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    made = Environment(  # what comes out is C
        loader=FileSystemLoader(folder),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    made.filters |= {"c_float": c_float, "c_list": c_list, "c_string": c_string}
    return made


def c_float(value: float) -> str:
    """Write a number as a float of C, with the digits that bring the same float32 back."""
    text = f"{float(np.float32(value)):.9g}"
    return f"{text if set(text) & set('.e') else text + '.0'}f"


def c_list(values: Iterable[float]) -> str:
    """Write an array's values, a few on a line."""
    flat = np.asarray(values).reshape(-1)
    text = [c_float(value) if flat.dtype.kind == "f" else str(value) for value in flat]
    width = A_LINE if flat.dtype.kind == "f" else 2 * A_LINE
    return ",\n".join("    " + ", ".join(text[at : at + width]) for at in range(0, len(text), width))


def c_string(text: str) -> str:
    """Write a text as a string of C; what is not plain ASCII in octal, which the next character cannot extend."""
    plain = {ord('"'): '\\"', ord("\\"): "\\\\", ord("?"): "\\?"}
    return (
        '"'
        + "".join(plain.get(byte) or (chr(byte) if 32 <= byte < 127 else f"\\{byte:03o}") for byte in text.encode())
        + '"'
    )
