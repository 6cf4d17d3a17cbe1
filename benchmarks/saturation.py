"""Do an int8 file's byte products saturate on older x86-64 processors, with 8 and with 7 bits of weight, and does that harm?

    python benchmarks/saturation.py keywords
    python benchmarks/saturation.py keywords --clips 220 --build build > benchmarks/results/saturation-keywords.jsonl

The newest quantised student of the recipe in the build folder is lowered twice, with the same scales and weights of 8 and
of 7 bits. Both files answer clips of the test split under emulated processors (`edgecomp devices prepare x86`), in ONNX
Runtime as most apps set it up, and as edgecomp sets it up. A row each: the difference from the simulation of int8, and
how many decisions are the float student's. Answers are emulated; nothing is timed.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

CORES = ("host", "x86:nehalem", "x86:sandybridge", "x86:haswell", "x86:zen2")
DEFAULTS = """
import sys
import numpy as np
import onnxruntime

options = onnxruntime.SessionOptions()
options.log_severity_level, options.intra_op_num_threads = 3, 1
session = onnxruntime.InferenceSession(sys.argv[1], options, providers=["CPUExecutionProvider"])
clips = np.load(sys.argv[2])
np.save(sys.argv[3], np.stack([session.run(["probabilities"], {"waveform": clip[None]})[0][0] for clip in clips]))
"""
"""What an app does that leaves ONNX Runtime as it is."""


def main() -> None:
    """Lower, ask everywhere, print rows."""
    ask = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ask.add_argument("recipe")
    ask.add_argument("--clips", type=int, default=220, help="of the test split, evenly spaced")
    ask.add_argument("--on", action="append", help=f"by default {', '.join(CORES)}")
    ask.add_argument("--build", type=Path, default=Path("build"))
    given = ask.parse_args()

    from edgecomp.cli import recipe_named
    from edgecomp.devices import ModelFile, open_device
    from edgecomp.store import Store
    from edgecomp.task import load_task

    recipe = recipe_named(given.recipe)
    task = load_task(recipe, Store(given.build))
    waves = task.waveforms("test")
    clips = np.array(waves[:: max(1, len(waves) // given.clips)][: given.clips])
    with tempfile.TemporaryDirectory() as folder:
        made = _lower(_newest(given.build, list(task.dataset.labels)), clips, Path(folder))
        for core in given.on or CORES:
            with open_device(core, given.build) as device:
                for bits, (file, simulated, in_float) in made.items():
                    for how in ("as most apps", "as edgecomp"):
                        if how == "as edgecomp":
                            said = device.answers(ModelFile(f"{bits} bits", file, "onnx"), clips).probabilities
                        else:
                            said = _defaults(device, file, clips)
                        apart = np.abs(said - simulated)
                        row = {
                            "task": recipe.name,
                            "device": device.name,
                            "how": device.how,
                            "weight_bits": bits,
                            "session": how,
                            "clips": len(clips),
                            "largest_from_simulation": float(apart.max()),
                            "mean_from_simulation": float(apart.mean()),
                            "decisions_like_float": int((said.argmax(1) == in_float.argmax(1)).sum()),
                            "largest_from_float": float(np.abs(said - in_float).max()),
                        }
                        print(json.dumps(row), flush=True)


def _newest(build: Path, labels: list[str]) -> Path:
    """Return the newest quantised student with these labels."""
    for step in sorted(build.glob("done/quantise-*"), key=lambda one: one.stat().st_mtime, reverse=True):
        if json.loads((step / "student" / "config.json").read_text(encoding="utf-8"))["labels"] == labels:
            return step / "student"
    sys.exit(f"no quantised student of these labels in {build}: run `edgecomp compile RECIPE --target stm32h747` first")


def _lower(student: Path, clips: np.ndarray, folder: Path) -> dict[int, tuple[Path, np.ndarray, np.ndarray]]:
    """Write an ONNX file with weights of 7 and of 8 bits: by bits, the file, and what simulation and float student answer."""
    import torch

    from edgecomp.runtimes import import_runtime
    from edgecomp.students.quantisation import Quantisation, simulate
    from edgecomp.students.student import freeze, load_student, quantisation_of

    model, held = load_student(student), quantisation_of(student)
    runtime, made = import_runtime("ort"), {}
    with torch.inference_mode():
        features = model.front_end(torch.from_numpy(clips))
        in_float = torch.softmax(model(torch.from_numpy(clips)), 1).numpy()
        for bits in (7, 8):
            scales = Quantisation(held.activations, bits)
            logits = simulate(model.config.layers, model.body.folded(), scales, features)
            file = folder / f"bits-{bits}.onnx"
            file.write_bytes(runtime.lower(freeze(model, scales), {}))
            made[bits] = (file, torch.softmax(logits, 1).numpy(), in_float)
    return made


def _defaults(device, file: Path, clips: np.ndarray) -> np.ndarray:
    """Answer with ONNX Runtime's defaults, on this host or under the device's emulator."""
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "defaults.py").write_text(DEFAULTS, encoding="utf-8")
        np.save(Path(folder) / "clips.npy", clips)
        emulator = [str(device.qemu), "-cpu", device.core.qemu] if hasattr(device, "qemu") else []
        names = [str(Path(folder) / name) for name in ("defaults.py", "clips.npy", "said.npy")]
        command = [*emulator, sys.executable, names[0], str(file), *names[1:]]
        subprocess.run(command, check=True, capture_output=True, timeout=3600)
        return np.load(Path(folder) / "said.npy")


if __name__ == "__main__":
    main()
