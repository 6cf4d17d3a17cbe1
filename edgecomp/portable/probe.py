"""Run one model file once, alone in a fresh process, and write what that took as JSON to stdout.

Started as a script, by its path, so that nothing of edgecomp is imported here: only the standard library, numpy and
the one runtime are in the process that is measured. Beside runner.py it is copied to other machines.
"""

import argparse
import json
import os
import sys
import time
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parent))  # last, so that nothing beside this file shadows a module

MISSING_DIMENSION = "the input has a free length {shape}; give --samples"


def main() -> None:
    """Read the command line, run the model, write one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model")
    parser.add_argument("format", choices=sorted(RUNTIMES))
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--samples", type=int, default=None, help="length of the waveform, where it is free")
    parser.add_argument("--runs", type=int, default=5)
    given = parser.parse_args()
    _, load = RUNTIMES[given.format](given.model, given.threads, given.samples)
    result = observe(load, given.runs)
    sys.stdout.write(json.dumps(result) + "\n")


def open_onnx(model: str, threads: int, samples: "int | None", delegate: str = "default"):
    """Load a model with ONNX Runtime on the CPU: its input's shape, and waveform → outputs by name.

    The first call imports the runtime and returns how to load: what is imported and what is loaded are told apart. The
    runtime would report to its maker how it is used (since 1.29); it is told not to, unless the environment asks for it.
    Where its kernels for bytes would saturate it is told to use those that do not; see cpuid.py.
    """
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    import onnxruntime
    from cpuid import saturates

    is_wide = saturates()

    def load():
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
        options.log_severity_level = 3
        if is_wide:
            options.add_session_config_entry("session.x64quantprecision", "1")
        session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        port, *more = session.get_inputs()
        check_input(port.type, "tensor(float)", len(more))
        names = [out.name for out in session.get_outputs()]

        def answer(waveform):
            found = session.run(names, {port.name: waveform})
            return {name: found[place] for place, name in enumerate(names)}

        return closed(port.shape, samples), answer

    return f"ONNX Runtime {onnxruntime.__version__}{', wide byte products' if is_wide else ''}", load


def open_tflite(model: str, threads: int, samples: "int | None", delegate: str = "default"):
    """Load a model with LiteRT on the CPU, like open_onnx.

    delegate: "default" is XNNPACK; "none" LiteRT's own kernels
    """
    from importlib import metadata

    import numpy as np
    from ai_edge_litert import interpreter as litert

    def load():
        kernels = litert.OpResolverType.AUTO
        if delegate == "none":
            kernels = litert.OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
        interpreter = litert.Interpreter(model, num_threads=threads, experimental_op_resolver_type=kernels)
        port, *more = interpreter.get_input_details()
        check_input(np.dtype(port["dtype"]).name, "float32", len(more))
        shape = closed([int(n) for n in port["shape_signature"]], samples)
        if shape != [int(n) for n in port["shape"]]:
            interpreter.resize_tensor_input(port["index"], shape)
        interpreter.allocate_tensors()
        outputs = {out["name"]: out["index"] for out in interpreter.get_output_details()}

        def answer(waveform):
            interpreter.set_tensor(port["index"], waveform)
            interpreter.invoke()
            return {name: interpreter.get_tensor(index) for name, index in outputs.items()}

        return shape, answer

    return f"LiteRT {metadata.version('ai_edge_litert')}", load


RUNTIMES = {"onnx": open_onnx, "tflite": open_tflite}


def observe(load, runs: int) -> dict:
    """Load a model, let it answer, and report times and memory; the runtime is imported already.

    The time spent reading /proc is left out of first_answer_ns.
    """
    import numpy as np

    random = np.random.default_rng(0)
    paused = time.monotonic_ns()
    before, reason = memory_before()
    loading = time.monotonic_ns()
    shape, answer = load()
    waveform = (0.1 * random.standard_normal(shape)).astype(np.float32)
    answer(waveform)
    answered = time.monotonic_ns()
    for _ in range(runs - 1):
        answer(waveform)
    return {
        "first_answer_ns": answered - (loading - paused),
        "load_ms": (answered - loading) / 1e6,
        "memory": memory_after(before),
        "reason": reason,
    }


def memory_before() -> tuple[dict[str, int], str]:
    """Reset the peak and return the memory of the process without a model, in bytes, and why a figure lacks."""
    try:
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # 5: set the peak (VmHWM) to what is held now
        peak_is_reset, reason = True, ""
    except OSError as why:
        peak_is_reset, reason = False, f"the peak cannot be reset: /proc/self/clear_refs: {why.strerror}"
    try:
        now = rollup()
    except OSError as why:
        return {}, f"memory cannot be read: /proc/self/smaps_rollup: {why.strerror}"
    return (now | {"peak": peak()} if peak_is_reset else now), reason


def memory_after(before: dict[str, int]) -> dict[str, int]:
    """Return what the model added, and what the process held without it, in bytes."""
    if not before:
        return {}
    highest = peak() if "peak" in before else None
    now = rollup()
    added = {
        "pss_bytes": now["Pss"] - before["Pss"],
        "anonymous_bytes": now["Anonymous"] - before["Anonymous"],
        "empty_rss_bytes": before["Rss"],
        "empty_pss_bytes": before["Pss"],
    }
    return added if highest is None else added | {"peak_bytes": highest - before["Rss"]}


def rollup() -> dict[str, int]:
    """Return /proc/self/smaps_rollup in bytes: Rss, Pss, Anonymous and the rest."""
    lines = Path("/proc/self/smaps_rollup").read_text(encoding="ascii").splitlines()[1:]
    return {line.split(":")[0]: int(line.split()[1]) * 1024 for line in lines}


def peak() -> int:
    """Return VmHWM, the most memory held since the last reset, in bytes."""
    for line in Path("/proc/self/status").read_text(encoding="utf-8").splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    raise OSError(0, "no VmHWM in /proc/self/status")


def check_input(dtype: str, wanted: str, others: int) -> None:
    """Leave where the model is not one float32 waveform in."""
    if others or dtype != wanted:
        sys.exit(f"a model with one float32 input is wanted, this one has {others + 1}, the first is {dtype}")


def closed(shape: list, samples: "int | None") -> list[int]:
    """Return a shape without free dimensions: the batch is 1, a free length is `samples`."""

    def size(axis: int, value: object) -> int:
        if isinstance(value, int) and value > 0:
            return value
        if axis == 0 and len(shape) > 1:
            return 1
        if samples is None:
            sys.exit(MISSING_DIMENSION.format(shape=shape))
        return samples

    return [size(axis, value) for axis, value in enumerate(shape)]


if __name__ == "__main__":
    main()
