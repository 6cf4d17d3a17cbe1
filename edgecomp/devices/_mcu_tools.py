"""What stands in for a microcontroller here: the generated C compiled for this host, TensorFlow Lite Micro, and Vela."""

from __future__ import annotations

import csv
import ctypes
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from edgecomp.errors import DeviceError

if TYPE_CHECKING:
    from edgecomp.lowering.feature_body import FeatureBody

SYSTEM, MEMORY_MODE = "Ethos_U55_High_End_Embedded", "Shared_Sram"
"""Of Vela's own Arm/vela.ini: 500 MHz, SRAM of 4 GB/s and flash of 0.5 GB/s; weights in flash, the arena in SRAM."""
ARENA_BYTES = 1 << 24
"""Room that the interpreter gets here; what it takes of it is what counts."""
INSTALL = "pip install 'edgecomp[mcu]'"
C_FLAGS = ("-std=c99", "-O2", "-shared", "-fPIC")
Features = Callable[[np.ndarray], np.ndarray]


@contextmanager
def front_end(body: FeatureBody) -> Iterator[tuple[Features, str]]:
    """Give a function from clips to int8 features (n, frames × mels), and say which front end it is."""
    from edgecomp.lowering.c_front_end import CNames, front_end_in_c
    from edgecomp.lowering.feature_body import run_part

    compiler = next((found for name in ("cc", "gcc", "clang") if (found := shutil.which(name))), None)
    if compiler is None:

        def own(clips: np.ndarray) -> np.ndarray:
            return body.quantise(run_part(body.front, clips)).reshape(len(clips), -1)

        yield own, "the bundle's own front end in LiteRT (no C compiler here)"
        return
    with tempfile.TemporaryDirectory() as place:
        made = front_end_in_c(
            CNames("front", "front", "Generated for a measurement."),
            body.front_end,
            body.scale,
            body.shift,
            body.features,
        )
        for name, text in made.items():
            (Path(place) / name).write_text(text, encoding="utf-8")
        library = Path(place) / "front_end.so"
        command = [compiler, *C_FLAGS, "-o", str(library), str(Path(place) / "front_front_end.c"), "-lm"]
        run = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
        if run.returncode:
            last = (run.stderr.strip().splitlines() or ["no reason given"])[-1]
            raise DeviceError(f"the generated C does not compile: {last}", where=compiler, fix="a C99 compiler as cc")
        compute = ctypes.CDLL(str(library)).front_clip

        def generated(clips: np.ndarray) -> np.ndarray:
            work = np.empty(body.front_end.window, np.float32)
            stored = np.empty((len(clips), body.front_end.frames * body.front_end.mels), np.int8)
            for clip, row in zip(np.ascontiguousarray(clips, np.float32), stored, strict=True):
                compute(*(one.ctypes.data_as(ctypes.c_void_p) for one in (clip, work, row)))
            return stored

        yield generated, f"the generated C, compiled here by {Path(compiler).name}"


def run_body(body: FeatureBody, features: np.ndarray) -> np.ndarray:
    """Return the stored logits (n, classes) int8 that TensorFlow Lite Micro gives for stored features."""
    interpreter, logits = _interpreter(body.content), np.empty((len(features), body.classes), np.int8)
    for row, given in zip(logits, features, strict=True):
        interpreter.set_input(given.reshape(1, body.front_end.frames, body.front_end.mels, 1), 0)
        interpreter.invoke()
        row[:] = interpreter.get_output(0)[0]
    return logits


def arena_bytes(body: FeatureBody) -> int:
    """Return the bytes that TensorFlow Lite Micro takes of its arena here."""
    interpreter = _interpreter(body.content)
    with _captured() as said:
        interpreter.print_allocations()
    total = re.search(r"Arena allocation total (\d+) bytes", said())
    if total is None:
        raise DeviceError(
            "TensorFlow Lite Micro did not say how large its arena is",
            where=tflm(),
            fix=f"the version that edgecomp was tested with: {INSTALL}",
        )
    return int(total[1])


def vela(content: bytes, accelerator: str) -> dict[str, float]:
    """Let Vela compile a body for an NPU, and return its summary's figures by their names there.

    cpu_operators: how many operators the NPU cannot run
    """
    with tempfile.TemporaryDirectory() as place:
        file = Path(place) / "body.tflite"
        file.write_bytes(content)
        command = [sys.executable, "-m", "ethosu.vela", str(file), "--output-dir", place, "--config", "Arm/vela.ini"]
        command += ["--accelerator-config", accelerator, "--system-config", SYSTEM, "--memory-mode", MEMORY_MODE]
        run = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
        summary = next(iter(Path(place).glob("*_summary_*.csv")), None)
        on_cpu = re.search(r"CPU operators = (\d+)", run.stdout)
        if run.returncode or summary is None or on_cpu is None:
            last = ([*run.stdout.splitlines(), *run.stderr.splitlines()] or ["it said nothing"])[-1]
            raise DeviceError(f"Vela cannot compile this body: {last}", where=accelerator, fix=f"update it: {INSTALL}")
        with summary.open(encoding="utf-8", newline="") as lines:
            (row,) = csv.DictReader(lines)
    names = ("core_clock", "cycles_total", "inference_time", "sram_memory_used", "off_chip_flash_memory_used")
    return {name: float(row[name]) for name in names} | {"cpu_operators": int(on_cpu[1])}


def tflm() -> str:
    """Return the runtime's name and version.

    raises: DeviceError where it is not installed
    """
    found = version("tflite-micro")
    if found is None:
        raise DeviceError("TensorFlow Lite Micro is not installed", where="mcu", fix=INSTALL)
    return f"TensorFlow Lite Micro {found}"


def version(package: str) -> str | None:
    """Return an installed package's version, or None."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _interpreter(content: bytes):
    tflm()
    from tflite_micro.python.tflite_micro import runtime

    try:
        return runtime.Interpreter.from_bytes(content, arena_size=ARENA_BYTES)
    except (RuntimeError, ValueError) as why:
        raise DeviceError(
            f"TensorFlow Lite Micro cannot load this body: {str(why).splitlines()[0]}",
            where=tflm(),
            fix="compile the bundle with another student family, or report it",
        ) from None


@contextmanager
def _captured() -> Iterator[Callable[[], str]]:
    """Catch what a C library writes to stdout and stderr by itself; read it after the block."""
    sys.stdout.flush()
    sys.stderr.flush()
    with tempfile.TemporaryFile() as sink:
        kept, text = {number: os.dup(number) for number in (1, 2)}, []
        for number in kept:
            os.dup2(sink.fileno(), number)
        try:
            yield lambda: "".join(text)
        finally:
            for number, copy in kept.items():
                os.dup2(copy, number)
                os.close(copy)
            sink.seek(0)
            text.append(sink.read().decode(errors="replace"))
