"""A small complete task that tests compile: low, middle and high tones in noise, by several speakers, and a tiny teacher."""

from __future__ import annotations

import contextlib
import io
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile

from edgecomp.cli import main
from tests.small_data import write_table

RATE, SECONDS = 8000, 0.4
TONES_HZ = {"high": 2500, "low": 300, "middle": 900}
SPEAKERS = {"train": 6, "validation": 2, "test": 2}
TEACHER = '''"""A teacher of a few thousand parameters."""

from edgecomp.students.front_end import FrontEnd
from edgecomp.teachers.residual_net import residual_net


def build(classes, sample_rate, samples):
    return residual_net(FrontEnd.preset(sample_rate, samples), classes, widths=(16, 24), blocks=(1, 1))
'''
RECIPE = """name = "tones"
summary = "Low, middle and high tones in noise"
seed = 3

[data]
path = "data"
subject = "speaker"
groups = ["place"]
sample_rate = 8000
seconds = 0.4
source = "written by the tests"
licence = "CC0"

[data.split]
column = "split"

[teacher]
licence = "CC0"
outputs_may_train = "yes"
[teacher.train]
epochs = 20
batch = 8
learning_rate = 1e-2
label_smoothing = 0.0

[student]
widths = [16, 24, 16, 24, 16]

[augment]
views = 2
shift_s = 0.02
mix_share = 0.0
noise_share = 0.2

[gates]
max_loss = 1.0

[distil]
epochs = 24
batch = 8
[finetune]
epochs = 6
batch = 8
"""
BLACK_BOX = RECIPE.replace("[teacher]\n", '[teacher]\nkind = "onnx"\npath = "teacher.onnx"\n')
"""The same recipe with a teacher that is not trained: a file that knows the tones."""
TARGET = """# A target that nothing is too slow for: tests run on any machine.
name = "{name}"
summary = "The machine that runs the tests"
[hardware]
soc = "any"
isa = "any"
ram_mb = 2048
sources = ["none: this is no device"]
[[hardware.clusters]]
core = "any"
count = 1
[runtime]
name = "{runtime}"
[numerics]
weight_bits = 7
channel_multiple = {multiple}
[budget]
latency_ms = 60_000
model_bytes = 10_000_000
peak_memory_mb = 4000
max_loss = 1.0
"""
QUICK = """
import numpy
from edgecomp import cli, evaluate, measure
same = measure.Latency(1.0, 1.0, 1.0, 1.0, 1.0, 10, "not measured", numpy.ones((10, 1)), numpy.ones((10, 1)))
evaluate.latency = lambda sessions, clips: dict.fromkeys(sessions, same)
evaluate.footprint, evaluate.from_footprint = (lambda *_, **__: None), (lambda *_, **__: ())
cli.main()
"""
"""The command line without its measurements, so that int8 always ships: for tests that look at anything else."""


def write_task(folder: Path, *, clips: int = 10, trained: bool = False) -> Path:
    """Write a whole task: data/ with clips of three labels for every speaker, recipe.toml and its teacher.

    trained: with a torch teacher to train, instead of a model file that knows the tones
    """
    rows, number = [], 0
    (folder / "data" / "audio").mkdir(parents=True)
    for split, speakers in SPEAKERS.items():
        for speaker in range(speakers):
            for take in range(clips):
                label = tuple(TONES_HZ)[take % 3]
                path = f"audio/{number:03}.wav"
                soundfile.write(folder / "data" / path, tone(label, number), RATE)
                rows.append(
                    {
                        "path": path,
                        "label": label,
                        "speaker": f"{split}-{speaker}",
                        "split": split,
                        "place": ("hall", "street")[take // 3 % 2],
                    }
                )
                number += 1
    write_table(folder / "data", rows)
    (folder / "recipe.toml").write_text(RECIPE if trained else BLACK_BOX, encoding="utf-8")
    if trained:
        (folder / "teacher.py").write_text(TEACHER, encoding="utf-8")
    else:
        write_listener(folder / "teacher.onnx")
    return folder


def tone(label: str, number: int) -> np.ndarray:
    """Return a seeded tone in noise, a different one for each number; (samples,) float32."""
    rng = np.random.default_rng(number)
    pitch_hz = TONES_HZ[label] * rng.uniform(0.8, 1.25)
    wave = 0.3 * np.sin(2 * np.pi * pitch_hz * np.arange(round(RATE * SECONDS)) / RATE)
    return (wave + rng.uniform(0.01, 0.1) * rng.standard_normal(len(wave))).astype(np.float32)


def write_listener(file: Path) -> None:
    """Write an ONNX file that compares the energy around the three tones: waveform (1, n) → probabilities (1, 3)."""
    from onnx import TensorProto, checker, helper, numpy_helper, save_model

    hz = np.array(list(TONES_HZ.values()))[:, None] * np.array([0.85, 1.0, 1.15])
    phase = 2 * np.pi * hz.reshape(-1, 1) * np.arange(64) / RATE
    kernels = np.concatenate([np.sin(phase), np.cos(phase)])[:, None, :].astype(np.float32)
    sums = np.tile(np.kron(np.eye(3), np.ones((3, 1))), (2, 1)).astype(np.float32)
    constants = {"kernels": kernels, "sums": sums, "axis": np.array([1]), "axes": np.array([2])}
    nodes = [
        ("Unsqueeze", ["waveform", "axis"], "wave"),
        ("Conv", ["wave", "kernels"], "bands"),
        ("Mul", ["bands", "bands"], "power"),
        ("ReduceMean", ["power", "axes"], "energy"),
        ("MatMul", ["energy", "sums"], "scores"),
        ("Softmax", ["scores"], "probabilities"),
    ]
    made = [
        helper.make_node(kind, inputs, [output], **({"keepdims": 0} if kind == "ReduceMean" else {}))
        for kind, inputs, output in nodes
    ]
    graph = helper.make_graph(
        made,
        "listener",
        [helper.make_tensor_value_info("waveform", TensorProto.FLOAT, [1, "n"])],
        [helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, [1, 3])],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    checker.check_model(model)
    save_model(model, file)


def write_target(folder: Path, name: str = "anything", *, runtime: str = "litert", multiple: int = 8) -> Path:
    """Write a target that every model fits."""
    file = folder / f"{name}.toml"
    file.write_text(TARGET.format(name=name, runtime=runtime, multiple=multiple), encoding="utf-8")
    return file


def command(*words: object, quick: bool = False) -> list[str]:
    """Return the command line that starts edgecomp in a process of its own."""
    return [sys.executable, *(["-c", QUICK] if quick else ["-m", "edgecomp"]), *map(str, words)]


def edgecomp(
    *words: object, quick: bool = False, cwd: Path | None = None, timeout_s: float = 300
) -> subprocess.CompletedProcess:
    """Run edgecomp as a user does, and return its exit code, stdout and stderr."""
    return subprocess.run(
        command(*words, quick=quick),
        capture_output=True,
        text=True,
        cwd=cwd,
        timeout=timeout_s,
        check=False,
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[1])},
    )


@dataclass(frozen=True)
class Called:
    """What one call of the command line gave."""

    code: int
    out: str
    err: str


def call(*words: object) -> Called:
    """Call the command line in this process: the same code as in a process of its own, without its start."""
    out, err, before = io.StringIO(), io.StringIO(), sys.argv
    sys.argv = ["edgecomp", *map(str, words)]
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            main()
        code = 0
    except SystemExit as why:
        code = why.code or 0
    finally:
        sys.argv = before
    return Called(code, out.getvalue(), err.getvalue())


def refused(called: Called | subprocess.CompletedProcess, *words: str, code: int = 2) -> str:
    """Hold a refusal to its form: the exit code, one message of what, where and fix with these words; returns it."""
    err = called.err if isinstance(called, Called) else called.stderr
    got = called.code if isinstance(called, Called) else called.returncode
    assert got == code, f"exit code {got} instead of {code}\n{err}"
    message = err[err.rindex("error: ") :] if "error: " in err else ""
    assert err.count("error: ") == 1 and "where: " in message and "fix:   " in message, err
    assert "Traceback" not in err
    for word in words:
        assert word in message, f"{word!r} is not in\n{message}"
    return message
