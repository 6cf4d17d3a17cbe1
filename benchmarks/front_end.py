"""What does the front end inside the file cost, next to the plain way? Time, bytes and exactness, in both runtimes.

    python benchmarks/front_end.py ../shared/data/wakewords/audio ../shared/data/esc10/audio

Timed in interleaved rounds of one process on one thread: the front end as it ships, and the same features by one product
with a windowed DFT table (frames by slices, unused bins cut, float32), each in both runtimes; and torch's own STFT. Exactness
is the largest difference of a log-mel value, natural logarithm, from float64, over real clips and over hard sounds: silence,
full-scale sines and a square wave, clipped and faint noise. One row a front end and runtime goes to stdout as JSON. The
share of the peak is an estimate: the multiply-accumulates of a front end a second, by those of one large product in numpy.
"""

from __future__ import annotations

import os

os.environ["OMP_NUM_THREADS"] = os.environ["OPENBLAS_NUM_THREADS"] = "1"  # before numpy is imported

import argparse
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np

from edgecomp.data.audio import load_clip
from edgecomp.devices.host import device_name
from edgecomp.measure import latency, ratios
from edgecomp.students.front_end import FLOOR, FrontEnd, front_end_macs, hann, mel_filters, tables

SIZES = ((16_000, 2.0), (16_000, 1.0), (8_000, 1.0))
"""Sample rates and seconds: the presets at the lengths that the recipes have."""
MATRIX = 384
"""Side of the square matrices whose product says how fast one thread multiplies at best: 0.6 MB each, near the core."""
Session = Callable[[np.ndarray], np.ndarray]


def main() -> None:
    """Print a row for every front end and runtime."""
    ask = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ask.add_argument("folders", type=Path, nargs="+", help="folders of audio files, searched with all that is in them")
    ask.add_argument("--clips", type=int, default=24, help="files of each folder, taken at even distances")
    ask.add_argument("--seconds", type=float, default=5.0, help="how long each front end is timed for")
    given = ask.parse_args()
    for rate, seconds in SIZES:
        front_end = FrontEnd.preset(rate, int(rate * seconds))
        for row in _rows(front_end, _real_clips(given.folders, given.clips, front_end), given.seconds):
            print(json.dumps({"sample_rate": rate, "seconds": seconds, **row}), flush=True)


def _rows(front_end: FrontEnd, clips: np.ndarray, min_seconds: float) -> list[dict]:
    from edgecomp.lowering import onnx, tflite

    files = {
        ("ort", "plain"): _plain_onnx(front_end),
        ("ort", "shipped"): onnx.lower_front_end(front_end),
        ("litert", "plain"): _plain_tflite(front_end),
        ("litert", "shipped"): tflite.lower_front_end(front_end),
    }
    opened = {"ort": _open_onnx, "litert": _open_tflite}
    sessions = {name: opened[name[0]](content) for name, content in files.items()}
    sessions["torch", "stft"] = _torch_stft(front_end)
    matrix = np.random.default_rng(0).standard_normal((MATRIX, MATRIX)).astype(np.float32)
    timed = {" ".join(name): ask for name, ask in sessions.items()} | {"product": lambda wave: matrix @ matrix}
    taken = latency(timed, clips, min_seconds=min_seconds)
    peak = MATRIX**3 / taken["product"].p50_ms
    table, bins = tables(front_end), int(mel_filters(front_end).any(axis=1).sum())
    table_bytes = {
        "shipped": table.first.nbytes + table.second.nbytes + table.mel.nbytes // 2,
        "plain": 4 * bins * (2 * front_end.window + front_end.mels),
    }
    macs = {
        "shipped": front_end_macs(front_end),
        "plain": front_end.frames * bins * (2 * front_end.window + front_end.mels),
    }
    rows = []
    for (runtime, form), ask in sessions.items():
        ratio = ratios(taken, f"{'ort' if runtime == 'torch' else runtime} plain")[f"{runtime} {form}"]
        one = taken[f"{runtime} {form}"]
        row = {"runtime": runtime, "form": form, "p50_us": 1e3 * one.p50_ms, "ratio_to_plain": ratio.value}
        row |= {"ratio_low": ratio.low, "ratio_high": ratio.high, "runs": one.runs}
        if form in macs:
            row |= {"table_bytes": table_bytes[form], "file_bytes": len(files[runtime, form]), "macs": macs[form]}
            row |= {"share_of_peak_estimated": macs[form] / one.p50_ms / peak}
        row |= {"largest_difference_real": _difference(front_end, ask, clips)}
        row |= {"largest_difference_hard": _difference(front_end, ask, _hard_sounds(front_end))}
        rows.append(row | {"clips": len(clips), "device": device_name(), "method": one.method})
    return rows


def _plain_tables(front_end: FrontEnd) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return windowed cosines and sines, (window, bins), and the mel table, (bins, mels), float32."""
    mel = mel_filters(front_end)
    used = np.flatnonzero(mel.any(axis=1))
    turns = 2 * np.pi * np.outer(np.arange(front_end.window), used) / front_end.window
    window = hann(front_end.window)[:, None]
    return tuple(part.astype(np.float32) for part in (window * np.cos(turns), window * np.sin(turns), mel[used]))


def _hops(front_end: FrontEnd) -> list[tuple[int, int]]:
    """Return which part of which hop belongs to a frame: its distance in hops, and its samples."""
    window, hop = front_end.window, front_end.hop
    return [(at, min(hop, window - at * hop)) for at in range(-(-window // hop))]


def _plain_onnx(front_end: FrontEnd) -> bytes:
    from onnx import TensorProto, helper, numpy_helper

    nodes, constants = [], []

    def op(kind: str, inputs: list, output: str, **attributes) -> str:
        for i, value in enumerate(inputs):
            if not isinstance(value, str):
                constants.append(numpy_helper.from_array(np.ascontiguousarray(value), f"{output}_{i}"))
        names = [value if isinstance(value, str) else f"{output}_{i}" for i, value in enumerate(inputs)]
        nodes.append(helper.make_node(kind, names, [output], name=output, **attributes))
        return output

    cosines, sines, mel = _plain_tables(front_end)
    hops = op("Reshape", ["waveform", np.array([-1, front_end.hop])], "hops")
    at = [
        op("Slice", [hops, np.array([q, 0]), np.array([q + front_end.frames, width]), np.array([0, 1])], f"hop_{q}")
        for q, width in _hops(front_end)
    ]
    frames = op("Concat", at, "frames", axis=1)
    squares = []
    for name, wave in (("real", cosines), ("imaginary", sines)):
        part = op("MatMul", [frames, wave], name)
        squares.append(op("Mul", [part, part], f"{name}_squared"))
    bands = op("MatMul", [op("Add", squares, "power"), mel], "mel")
    op("Log", [op("Add", [bands, np.float32([FLOOR])], "floored")], "log_mel")
    ends = {"waveform": (1, front_end.samples), "log_mel": (front_end.frames, front_end.mels)}
    source, target = (helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in ends.items())
    graph = helper.make_graph(nodes, "plain", [source], [target], constants)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8).SerializeToString()


def _plain_tflite(front_end: FrontEnd) -> bytes:
    from edgecomp.lowering.flatbuffer import TfliteGraph

    graph, frames = TfliteGraph("plain front end"), front_end.frames

    def op(kind: str, name: str, inputs: list, shape: tuple[int, ...], options: str | None = None, **settings):
        given = [graph.constant(f"{name}_{i}", x) if isinstance(x, np.ndarray) else x for i, x in enumerate(inputs)]
        return graph.op(kind, given, graph.tensor(name, shape), options, **settings)

    def dense(name: str, x, matrix: np.ndarray, *bias: np.ndarray):
        inputs, shape = [x, np.ascontiguousarray(matrix.T), *bias], (frames, matrix.shape[1])
        return op("FULLY_CONNECTED", name, inputs, shape, "FullyConnectedOptions", keepNumDims=True)

    cosines, sines, mel = _plain_tables(front_end)
    waveform = graph.tensor("waveform", (1, front_end.samples))
    rows = (front_end.samples // front_end.hop, front_end.hop)
    hops = op("RESHAPE", "hops", [waveform, np.array(rows, np.int32)], rows, "ReshapeOptions", newShape=list(rows))
    at = []
    for q, width in _hops(front_end):
        begin, size = np.array([q, 0], np.int32), np.array([frames, width], np.int32)
        at.append(op("SLICE", f"hop_{q}", [hops, begin, size], (frames, width), "SliceOptions"))
    framed = op("CONCATENATION", "frames", at, (frames, front_end.window), "ConcatenationOptions", axis=1)
    squares = []
    for name, wave in (("real", cosines), ("imaginary", sines)):
        part = dense(name, framed, wave)
        squares.append(op("MUL", f"{name}_squared", [part, part], part.shape, "MulOptions"))
    power = op("ADD", "power", squares, squares[0].shape, "AddOptions")
    bands = dense("mel", power, mel, np.full(front_end.mels, FLOOR, np.float32))
    return graph.to_bytes({"waveform": waveform}, {"log_mel": op("LOG", "log_mel", [bands], bands.shape)}, {})


def _open_onnx(content: bytes) -> Session:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    return lambda wave: session.run(["log_mel"], {"waveform": wave[None]})[0]


def _open_tflite(content: bytes) -> Session:
    from ai_edge_litert.interpreter import Interpreter

    from edgecomp.progress import quiet_libraries

    with quiet_libraries():  # it says on stderr that it made its delegate
        interpreter = Interpreter(model_content=content, num_threads=1)
        interpreter.allocate_tensors()
    source, target = interpreter.get_input_details()[0]["index"], interpreter.get_output_details()[0]["index"]

    def ask(wave: np.ndarray) -> np.ndarray:
        interpreter.set_tensor(source, wave[None])
        interpreter.invoke()
        return interpreter.get_tensor(target)

    return ask


def _torch_stft(front_end: FrontEnd) -> Session:
    import torch

    torch.set_num_threads(1)
    size = front_end.window
    window = torch.from_numpy(hann(size).astype(np.float32))
    mel = torch.from_numpy(mel_filters(front_end).astype(np.float32))

    @torch.inference_mode()
    def ask(wave: np.ndarray) -> np.ndarray:
        heard = torch.from_numpy(wave)
        spectrum = torch.stft(heard, size, front_end.hop, window=window, center=False, return_complex=True)
        return torch.log((spectrum.real**2 + spectrum.imag**2).T @ mel + FLOOR).numpy()

    return ask


def _difference(front_end: FrontEnd, ask: Session, waves: np.ndarray) -> float:
    """Return the largest difference of a log-mel value from float64."""
    frames = np.lib.stride_tricks.sliding_window_view(waves, front_end.window, axis=1)[:, :: front_end.hop]
    spectrum = np.fft.rfft(frames.astype(np.float64) * hann(front_end.window))
    wanted = np.log(np.abs(spectrum) ** 2 @ mel_filters(front_end) + FLOOR)
    return float(max(np.abs(ask(wave) - exact).max() for wave, exact in zip(waves, wanted, strict=True)))


def _real_clips(folders: list[Path], count: int, front_end: FrontEnd) -> np.ndarray:
    found = []
    for folder in folders:
        files = sorted(path for path in folder.rglob("*") if path.suffix in (".wav", ".flac", ".ogg", ".mp3", ".webm"))
        chosen = files[:: max(1, len(files) // count)][:count]
        settings = dict(sample_rate=front_end.sample_rate, samples=front_end.samples, fit="loudest")
        found += [load_clip(file, **settings) for file in chosen]
    return np.stack(found).astype(np.float32)


def _hard_sounds(front_end: FrontEnd) -> np.ndarray:
    rng, rate, samples = np.random.default_rng(0), front_end.sample_rate, front_end.samples
    time_s = np.arange(samples) / rate
    sines = [np.sin(2 * np.pi * hz * time_s) for hz in (50, 440, 1000, rate / 16, 0.45 * rate)]
    square, clipped = np.sign(np.sin(2 * np.pi * 440 * time_s)), np.clip(rng.normal(0, 3, samples), -1, 1)
    return np.stack([np.zeros(samples), *sines, square, clipped, rng.normal(0, 1e-3, samples)]).astype(np.float32)


if __name__ == "__main__":
    main()
