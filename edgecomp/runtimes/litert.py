"""LiteRT: what its files are called, how a student becomes one, and how one is run."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from edgecomp.errors import BundleError
from edgecomp.progress import quiet_libraries
from edgecomp.runtimes import Answer, Session

if TYPE_CHECKING:
    from edgecomp.students.student import Frozen

FORM = "tflite"
SUFFIX = ".tflite"


def lower(model: Frozen, metadata: Mapping[str, str], source_hz: int | None = None) -> bytes:
    """Return a TFLite file; see lowering/tflite.py."""
    from edgecomp.lowering import tflite

    return tflite.lower(model, metadata, source_hz)


def open_session(path: Path, threads: int = 1) -> Session:
    """Return a function from a waveform (samples,) float32 to an answer.

    raises: BundleError where the file is not a TFLite model
    """
    from ai_edge_litert.interpreter import Interpreter

    try:
        with quiet_libraries():  # it says on stderr that it made its delegate
            interpreter = Interpreter(model_path=str(path), num_threads=threads)
            interpreter.allocate_tensors()
    except (ValueError, RuntimeError) as why:
        raise BundleError(
            f"LiteRT cannot load this file: {str(why).splitlines()[0]}", where=path, fix="compile the bundle again"
        ) from None
    source = interpreter.get_input_details()[0]["index"]
    outputs = {one["name"]: one["index"] for one in interpreter.get_output_details()}
    missing = [name for name in Answer._fields if name not in outputs]
    if missing:
        raise BundleError(
            f"this TFLite file has no output {missing[0]!r}; it has {', '.join(outputs)}",
            where=path,
            fix="give a file that edgecomp compiled, or compile the bundle again",
        )

    def answer(waveform: np.ndarray) -> Answer:
        interpreter.set_tensor(source, np.asarray(waveform, np.float32).reshape(1, -1))
        interpreter.invoke()
        return Answer(
            interpreter.get_tensor(outputs["probabilities"])[0],
            float(interpreter.get_tensor(outputs["uncertainty"])[0, 0]),
        )

    return answer


def read_metadata(path: Path) -> str | None:
    """Return what edgecomp wrote into a file, JSON, or None.

    raises: BundleError where the file cannot be read as a TFLite model
    """
    from edgecomp.lowering.flatbuffer import metadata_of

    try:
        content = path.read_bytes()
        if content[4:8] != b"TFL3":
            raise ValueError("it does not begin as one")
        found = metadata_of(content, "edgecomp")
    except Exception as why:  # the schema's reader meets damaged bytes with whatever they lead to
        raise BundleError(f"this is no whole TFLite file: {why}", where=path, fix="compile the bundle again") from None
    return None if found is None else found.decode()
