"""Where does a bundle's time go, operator by operator? As each runtime's own profiler says.

    python benchmarks/operators.py build/bundles/keywords-redmi-7a

Golden clips, one thread, one run after the other. Of each operator the lower quartile of its runs counts, because others' work
interrupts some of them; ONNX Runtime and LiteRT count whole microseconds, so the mean of the runs below the median is taken.
LiteRT names what XNNPACK calls its operators, in the order of the file. One row an operator goes to stdout as JSON, and one row
a file: what its operators take together, what a whole run takes, and what is left, which is the price of calling them.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from litert_profiler import Profiled

from edgecomp.bench import golden_clips
from edgecomp.bundle import read_bundle

Runs = Sequence[tuple[float, Sequence[tuple[str, float]]]]
"""Of each run: the ms of the whole, and of each operator by name."""


def main() -> None:
    """Print a row for every operator, and one for every file."""
    ask = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ask.add_argument("bundle", type=Path)
    ask.add_argument("--runs", type=int, default=500)
    given = ask.parse_args()
    bundle = read_bundle(given.bundle)
    _, clips = golden_clips(bundle)
    profiled = {"onnx": onnx_runs, "tflite": tflite_runs}
    for form, model in bundle.facts["models"].items():
        for row in rows(profiled[form](given.bundle / model["file"], clips[:, None], given.runs)):
            print(json.dumps({"bundle": given.bundle.name, "form": form, "numerics": model.get("numerics"), **row}))


def rows(runs: Runs) -> list[dict[str, object]]:
    """Return a row an operator, and one of the whole."""
    names = [name for name, _ in runs[0][1]]
    taken = np.array([[ms for _, ms in operators] for _, operators in runs])
    each = [lower_mean(column) for column in taken.T]
    whole = lower_mean(np.array([ms for ms, _ in runs]))
    found: list[dict[str, object]] = [
        {"place": place, "operator": name, "us": 1e3 * ms, "share": ms / whole}
        for place, (name, ms) in enumerate(zip(names, each, strict=True))
    ]
    return [*found, {"operators": len(names), "operators_us": 1e3 * sum(each), "whole_us": 1e3 * whole}]


def lower_mean(values: np.ndarray) -> float:
    """Return the mean of the values up to the median: finer than a clock's step, and free of interruptions."""
    return float(np.sort(values)[: max(1, (len(values) + 1) // 2)].mean())


def tflite_runs(file: Path, clips: np.ndarray, count: int) -> Runs:
    """Run a TFLite file under LiteRT's profiler."""
    model, found = Profiled(file), []
    for number in range(count):
        model.hear(clips[number % len(clips)])
        model.start()
        model.run()
        (run,) = model.runs()
        found.append((run.invoke_ms, run.operators))
    return found


def onnx_runs(file: Path, clips: np.ndarray, count: int) -> Runs:
    """Run an ONNX file under ONNX Runtime's profiler."""
    import onnxruntime

    with tempfile.TemporaryDirectory() as folder:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.enable_profiling, options.profile_file_prefix = True, str(Path(folder) / "profile")
        session = onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
        for number in range(count):
            session.run(None, {"waveform": clips[number % len(clips)]})
        events = json.loads(Path(session.end_profiling()).read_text(encoding="utf-8"))
    found: list[tuple[float, list[tuple[str, float]]]] = []
    taken: list[tuple[float, str, float]] = []
    for event in sorted(events, key=lambda one: one["ts"] + one["dur"]):  # a run ends after its operators
        if event["name"].endswith("_kernel_time"):
            kind = event["args"].get("op_name", "")
            taken.append((event["ts"], f"{kind} {event['name'].removesuffix('_kernel_time')}", event["dur"] / 1e3))
        elif event["name"] == "model_run":
            found.append((event["dur"] / 1e3, [(name, ms) for _, name, ms in taken]))
            taken = []
    return found


if __name__ == "__main__":
    main()
