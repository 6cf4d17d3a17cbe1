"""ONNX Runtime: what its files are called, how a student becomes one, and how one is run."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from edgecomp.errors import BundleError
from edgecomp.portable.cpuid import saturates
from edgecomp.runtimes import Answer, Session

if TYPE_CHECKING:
    from edgecomp.students.student import Frozen

FORM = "onnx"
SUFFIX = ".onnx"


def lower(model: Frozen, metadata: Mapping[str, str], source_hz: int | None = None) -> bytes:
    """Return an ONNX file; see lowering/onnx.py."""
    from edgecomp.lowering import onnx

    return onnx.lower(model, metadata, source_hz)


def open_session(path: Path, threads: int = 1) -> Session:
    """Return a function from a waveform (samples,) float32 to an answer.

    Where the kernels for bytes would saturate, those are used that do not: on AVX2 without VNNI an 8-bit body would
    otherwise answer something else than its simulation, its TFLite file and any phone. They are slower, so only there.

    raises: BundleError where the file is not an ONNX model
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    options.log_severity_level = 3
    if saturates():
        options.add_session_config_entry("session.x64quantprecision", "1")
    try:
        session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as why:  # its errors share no base class
        raise BundleError(
            f"ONNX Runtime cannot load this file: {str(why).splitlines()[0]}",
            where=path,
            fix="compile the bundle again",
        ) from None

    def answer(waveform: np.ndarray) -> Answer:
        probabilities, uncertainty = session.run(
            list(Answer._fields), {"waveform": np.asarray(waveform, np.float32).reshape(1, -1)}
        )
        return Answer(probabilities[0], float(uncertainty[0, 0]))

    return answer


def read_metadata(path: Path) -> str | None:
    """Return what edgecomp wrote into a file, JSON, or None.

    raises: BundleError where the file cannot be read as an ONNX model
    """
    import onnx
    from google.protobuf.message import DecodeError

    try:
        model = onnx.load(str(path))
        if not model.graph.node:  # an empty file reads as an empty model
            raise DecodeError("it has no operators")
    except (DecodeError, OSError) as why:
        raise BundleError(f"this is no whole ONNX file: {why}", where=path, fix="compile the bundle again") from None
    return {entry.key: entry.value for entry in model.metadata_props}.get("edgecomp")
