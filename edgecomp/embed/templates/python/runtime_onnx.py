"""ONNX Runtime runs the model; its outputs are read by name."""

from __future__ import annotations

import os
import platform
from pathlib import Path

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
    if saturates(cpu_flags(), platform.machine()):
        options.add_session_config_entry("session.x64quantprecision", "1")
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


def saturates(flags: set[str], machine: str) -> bool:
    """Say whether ONNX Runtime's int8 kernels add pairs of products into 16 bits here, and may answer otherwise.

    So they do with AVX2 and without VNNI; slower ones that do not are taken there, and where nobody can tell.
    """
    if machine.lower() not in ("x86_64", "amd64"):
        return False
    return not flags or ("avx2" in flags and not {"avx512_vnni", "avx_vnni"} & flags)


def cpu_flags() -> set[str]:
    """Return the instruction sets that Linux knows of; none where it cannot be asked."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return set()
    return set(next((line.partition(":")[2] for line in lines if line.startswith("flags")), "").split())
