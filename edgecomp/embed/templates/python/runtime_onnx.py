"""ONNX Runtime runs the model; its outputs are read by name."""

from __future__ import annotations

import os

import numpy as np

from .facts import Facts, ModelError
from .listen import Session


def open_session(content: bytes, facts: Facts, threads: int) -> Session:
    """Return a function from a waveform (samples,) float32 to probabilities (labels,) float32 and an uncertainty.

    raises: ModelError where ONNX Runtime is absent, or this is not the model that the facts describe
    """
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # nothing that is heard here is reported anywhere
    try:
        import onnxruntime
    except ImportError:
        raise ModelError("ONNX Runtime is not installed; run: pip install onnxruntime") from None
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads, options.log_severity_level = threads, 1, 3
    try:
        session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
        ports = {one.name: one for one in [*session.get_inputs(), *session.get_outputs()]}
    except Exception as why:  # its errors share no base class
        raise ModelError(f"ONNX Runtime cannot load the model: {str(why).splitlines()[0]}") from None
    wanted = {"waveform": [1, facts.samples], "probabilities": [1, len(facts.labels)], "uncertainty": [1, 1]}
    for name, shape in wanted.items():
        if name not in ports or list(ports[name].shape) != shape or ports[name].type != "tensor(float)":
            raise ModelError(f"the model has no {name!r} of shape {shape} and type float32")

    def ask(waveform: np.ndarray) -> tuple[np.ndarray, float]:
        try:
            probabilities, uncertainty = session.run(
                ["probabilities", "uncertainty"], {"waveform": waveform.reshape(1, -1)}
            )
        except Exception as why:
            raise ModelError(f"ONNX Runtime cannot run the model: {str(why).splitlines()[0]}") from None
        return probabilities[0], float(uncertainty[0, 0])

    return ask
