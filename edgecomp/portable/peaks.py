"""What one core reaches at best: products in float32 and int8, and copies of memory. Standard library, numpy, one runtime.

A roof that other work is held against must not be too low: each figure is the best of many short runs, since what else
the machine does can only make a run slower, and of all who tried, numpy and each runtime, the best one counts.
"""

from __future__ import annotations

import itertools
import os
import time
from dataclasses import dataclass

TRY_S = 0.4
"""For each attempt; with both runtimes there are six."""
LEAST_RUNS = 3
SIDE = 256
"""Of numpy's matrices: three of them in float32 fit into the second cache of a small core."""
COPIED_BYTES, PIECE_BYTES = 64 << 20, 1 << 20
"""What is copied, piece by piece: all of it is more than the last cache of a phone or of one core's share of a server,
so that every piece comes from memory, and one takes less than a busy machine's scheduler lets a process run."""
ONE_THREAD = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "BLIS_NUM_THREADS")
DTYPES = {"tensor(float)": "float32", "tensor(uint8)": "uint8"}


@dataclass(frozen=True)
class Peak:
    """The best that one attempt reached.

    name:  "float32" or "int8", in multiply-accumulates a second, or "bandwidth", in bytes a second
    by:    who reached it, such as "numpy 2.4.6"
    """

    name: str
    value: float
    by: str


def attempts(products: list[dict]):
    """Yield a Peak for every attempt, on the core that this thread is held on.

    products: files of one large product each: {"file", "format", "numerics", "macs"}; see lowering/products.py
    """
    for name in ONE_THREAD:  # read when numpy is imported
        os.environ[name] = "1"
    yield from _by_numpy()
    for one in products:
        by, run = RUNTIMES[one["format"]](one["file"])
        yield Peak(one["numerics"], one["macs"] / best_s(run), by)


def best_s(run, seconds: float = TRY_S) -> float:
    """Return the seconds of the fastest of many runs, after one that warms up."""
    run()
    best, runs, end = float("inf"), 0, time.perf_counter() + seconds
    while runs < LEAST_RUNS or time.perf_counter() < end:
        begun = time.perf_counter()
        run()
        best, runs = min(best, time.perf_counter() - begun), runs + 1
    return best


def _by_numpy():
    import numpy as np

    a, b = (_given((SIDE, SIDE), "float32") for _ in range(2))
    out = np.empty_like(a)
    yield Peak("float32", SIDE**3 / best_s(lambda: np.matmul(a, b, out=out)), f"numpy {np.__version__}, matmul")
    pieces = np.ones((2, COPIED_BYTES // PIECE_BYTES, PIECE_BYTES), np.uint8)
    turns = itertools.cycle(range(pieces.shape[1]))

    def copy():
        turn = next(turns)
        np.copyto(pieces[1, turn], pieces[0, turn])

    told = f"numpy {np.__version__}, pieces of a copy of {COPIED_BYTES >> 20} MiB, read and written"
    yield Peak("bandwidth", 2 * PIECE_BYTES / best_s(copy), told)


def _by_onnxruntime(file: str):
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # see probe.py
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = 1, 1
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])
    port = session.get_inputs()[0]
    given = {port.name: _given(port.shape, DTYPES[port.type])}
    return f"ONNX Runtime {onnxruntime.__version__}", lambda: session.run(None, given)


def _by_litert(file: str):
    from importlib import metadata

    import numpy as np
    from ai_edge_litert import interpreter as litert

    interpreter = litert.Interpreter(file, num_threads=1)
    interpreter.allocate_tensors()
    port = interpreter.get_input_details()[0]
    interpreter.set_tensor(port["index"], _given(port["shape"], np.dtype(port["dtype"]).name))
    return f"LiteRT {metadata.version('ai_edge_litert')}", interpreter.invoke


RUNTIMES = {"onnx": _by_onnxruntime, "tflite": _by_litert}


def _given(shape, dtype: str):
    """Return noise of a type: all of a byte's values, or floats around zero."""
    import numpy as np

    random = np.random.default_rng(0)
    if dtype == "float32":
        return random.standard_normal(shape).astype(np.float32)
    ends = np.iinfo(dtype)
    return random.integers(ends.min, ends.max, shape, endpoint=True).astype(dtype)
