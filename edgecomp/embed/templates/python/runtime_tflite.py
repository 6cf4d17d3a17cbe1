"""LiteRT runs the model; its outputs are read by name."""

from __future__ import annotations

import numpy as np

from .facts import Facts, ModelError
from .listen import Session


def open_session(content: bytes, facts: Facts, threads: int) -> Session:
    """Return a function from a waveform (samples,) float32 to probabilities (labels,) float32 and an uncertainty.

    raises: ModelError where LiteRT is absent, or this is not the model that the facts describe
    """
    try:
        from ai_edge_litert.interpreter import Interpreter
    except ImportError:
        try:
            from tflite_runtime.interpreter import Interpreter
        except ImportError:
            raise ModelError("LiteRT is not installed; run: pip install ai-edge-litert") from None
    try:
        interpreter = Interpreter(model_content=content, num_threads=threads)
        interpreter.allocate_tensors()
        inputs = {one["name"]: one for one in interpreter.get_input_details()}
        outputs = {one["name"]: one for one in interpreter.get_output_details()}
    except Exception as why:  # its errors share no base class
        raise ModelError(f"LiteRT cannot load the model: {why}") from None
    wanted = {"waveform": [1, facts.samples], "probabilities": [1, len(facts.labels)], "uncertainty": [1, 1]}
    for name, shape in wanted.items():
        one = (inputs if name == "waveform" else outputs).get(name)
        if one is None or list(one["shape"]) != shape or one["dtype"] is not np.float32:
            raise ModelError(f"the model has no {name!r} of shape {shape} and type float32")
    source, *results = (one["index"] for one in (inputs["waveform"], outputs["probabilities"], outputs["uncertainty"]))

    def ask(waveform: np.ndarray) -> tuple[np.ndarray, float]:
        try:
            interpreter.set_tensor(source, waveform.reshape(1, -1))
            interpreter.invoke()
            probabilities, uncertainty = (interpreter.get_tensor(index) for index in results)
        except Exception as why:
            raise ModelError(f"LiteRT cannot run the model: {why}") from None
        return probabilities[0], float(uncertainty[0, 0])

    return ask
