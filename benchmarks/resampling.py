"""What does a file cost that hears a source's own rate, and how near is it to soxr? Time, bytes, log-mel, in both runtimes.

    python benchmarks/resampling.py ../shared/data/covid19cough/audio

Timed in interleaved rounds of one process on one thread, front ends of a second each: the one at the recipe's rate; the one
that a file for the source has (the resampling inside the DFT); and two that resample first, by a polyphase low-pass as one
strided convolution that gives several samples a step, before the front end at the recipe's rate: rule 3's own filter, and a
short one whose flank lies between the band's end and its mirror image (Kaiser, 80 dB). Where a step would take a table of
more than a megabyte, that row is left out. Exactness is the largest difference of a log-mel value, natural logarithm,
from soxr's VHQ and the float64 front end, over real clips and white noise: over all bands, and over those that end below
0.46 of the lower rate, where soxr's low-pass begins to fall. One row a front end goes to stdout as JSON.
"""

from __future__ import annotations

import os

os.environ["OMP_NUM_THREADS"] = os.environ["OPENBLAS_NUM_THREADS"] = "1"  # before numpy is imported

import argparse
import json
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np

from edgecomp.data.audio import read_audio, resample
from edgecomp.devices.host import device_name
from edgecomp.errors import AudioError
from edgecomp.lowering import onnx, tflite
from edgecomp.lowering.analysis import BETA, CUTOFF, HALF, analysis_of
from edgecomp.lowering.flatbuffer import TfliteGraph
from edgecomp.measure import latency, ratios
from edgecomp.students.front_end import FLOOR, FrontEnd, hann, mel_table

PAIRS = ((16_000, 48_000), (16_000, 44_100), (16_000, 8_000), (8_000, 48_000), (8_000, 44_100))
"""The recipe's rate and the source's."""
LARGEST_TABLE = 1_000_000
FLANK = 0.46
"""Of the lower rate: where soxr's VHQ begins to fall (gain 0.99995)."""
STOP_DB = 80
Session = Callable[[np.ndarray], np.ndarray]


def main() -> None:
    """Print a row for every front end, runtime and pair of rates."""
    ask = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ask.add_argument("folder", type=Path, help="a folder of audio files of any rate")
    ask.add_argument("--clips", type=int, default=48, help="files of the folder, taken at even distances")
    ask.add_argument("--seconds", type=float, default=3.0, help="how long each front end is timed for")
    given = ask.parse_args()
    files = sorted(file for file in given.folder.rglob("*") if file.suffix in (".wav", ".mp3", ".flac", ".ogg"))
    chosen = [file for file in files[:: max(1, len(files) // given.clips)] if _is_readable(file)][: given.clips]
    for rate, source_hz in PAIRS:
        for row in rows(FrontEnd.preset(rate, rate), source_hz, chosen, given.seconds):
            told = {"recipe_hz": rate, "source_hz": source_hz, "clips": len(chosen), "device": device_name()}
            print(json.dumps(told | row), flush=True)


def _is_readable(file: Path) -> bool:
    try:
        return len(read_audio(file)[0]) > 0
    except AudioError:
        return False


def rows(front_end: FrontEnd, source_hz: int, files: list[Path], seconds: float) -> list[dict]:
    """Time the front ends of one pair of rates in turn, and hold them against soxr's way."""
    heard, wanted = _sounds(front_end, source_hz, files)
    made = {
        ("ort", "recipe's rate"): onnx.lower_front_end(front_end),
        ("litert", "recipe's rate"): tflite.lower_front_end(front_end),
        ("ort", "inside the DFT"): onnx.lower_front_end(front_end, source_hz),
        ("litert", "inside the DFT"): tflite.lower_front_end(front_end, source_hz),
    }
    for name, (half, cutoff, beta) in _filters(front_end, source_hz).items():
        table = _steps(front_end.sample_rate, source_hz, half, cutoff, beta)
        if table.nbytes <= LARGEST_TABLE:
            made["ort", name] = _filtered_onnx(front_end, source_hz, table)
            made["litert", name] = _filtered_tflite(front_end, source_hz, table)
    opened = {"ort": _open_onnx, "litert": _open_tflite}
    sessions = {key: opened[key[0]](content) for key, content in made.items()}
    short = np.zeros(front_end.samples, np.float32)
    short[:] = resample(heard[0], source_hz, front_end.sample_rate)[: front_end.samples]

    def on_one(key: tuple[str, str]) -> Session:
        wave = short if key[1] == "recipe's rate" else heard[0]
        return lambda _: sessions[key](wave)

    timed = latency({" ".join(key): on_one(key) for key in sessions}, heard[:1], min_seconds=seconds)
    below = _bands_below_the_flank(front_end, source_hz)
    told = []
    for key in sessions:
        ratio = ratios(timed, f"{key[0]} recipe's rate")[" ".join(key)]
        row = {"runtime": key[0], "form": key[1], "p50_us": 1e3 * timed[" ".join(key)].p50_ms, "ratio": ratio.value}
        row |= {"ratio_low": ratio.low, "ratio_high": ratio.high, "file_bytes": len(made[key])}
        if key[1] != "recipe's rate":
            apart = np.abs(np.stack([sessions[key](wave) for wave in heard]) - wanted)
            row |= {"largest": float(apart.max()), "largest_below_flank": float(apart[..., below].max())}
            row |= {"bands_below_flank": int(below.sum()), "mean": float(apart.mean())}
        told.append(row | {"method": timed[" ".join(key)].method})
    return told


def _sounds(front_end: FrontEnd, source_hz: int, files: list[Path]) -> tuple[np.ndarray, np.ndarray]:
    """Return a second of each clip and of noise at the source's rate, and their log-mel frames by soxr and float64."""
    heard = []
    for file in files:
        wave, rate = read_audio(file)
        wave = resample(wave, rate, source_hz)
        first = max(0, int(np.argmax(np.abs(wave))) - source_hz // 2)  # where it is loud
        wave = wave[first : first + source_hz]
        heard.append(np.pad(wave, (0, source_hz - len(wave))))
    heard.append(0.1 * np.random.default_rng(0).standard_normal(source_hz).astype(np.float32))
    wanted = []
    for wave in heard:
        slow = resample(wave, source_hz, front_end.sample_rate)
        frames = np.lib.stride_tricks.sliding_window_view(slow.astype(float), front_end.window)[:: front_end.hop]
        power = np.abs(np.fft.rfft(frames[: front_end.frames] * hann(front_end.window), axis=1)) ** 2
        wanted.append(np.log(power @ mel_table(front_end).astype(float) + FLOOR))
    return np.stack(heard).astype(np.float32), np.stack(wanted)


def _bands_below_the_flank(front_end: FrontEnd, source_hz: int) -> np.ndarray:
    hz = np.arange(front_end.window // 2 + 1) * front_end.sample_rate / front_end.window
    is_above = hz > FLANK * min(front_end.sample_rate, source_hz)
    return ~mel_table(front_end)[is_above].any(axis=0)


def _filters(front_end: FrontEnd, source_hz: int) -> dict[str, tuple[float, float, float]]:
    """Return half-length in samples of the lower rate, cut-off as a share of its half, and Kaiser's beta, by name."""
    low = min(front_end.sample_rate, source_hz)
    end = min(front_end.high_hz, 0.475 * low)
    width = (
        2 * (low / 2 - end) / low * 2 * np.pi
    )  # from the band's end to its mirror image, in radians of the lower rate
    half = (STOP_DB - 7.95) / 2.285 / width / 2
    return {"rule 3's filter first": (HALF, CUTOFF, BETA), "short filter first": (half, 1.0, 0.1102 * (STOP_DB - 8.7))}


def _steps(rate: int, source_hz: int, half: float, cutoff: float, beta: float) -> np.ndarray:
    """Return a polyphase filter as the taps of one step of a convolution: (outputs, steps of input, inputs) float32."""
    shared = math.gcd(rate, source_hz)
    up, down, low = rate // shared, source_hz // shared, min(rate, source_hz)
    times = max(1, 16 // up)  # so many rounds of the phases a step, that whole vectors are given
    inputs, outputs, wide = down * times, up * times, half * source_hz / low
    reach = math.ceil(wide / inputs)
    place = np.arange(-reach * inputs, (reach + 1) * inputs)[None] - np.arange(outputs)[:, None] * (source_hz / rate)
    bell = np.i0(beta * np.sqrt(np.clip(1 - (place / wide) ** 2, 0, None))) / np.i0(beta)
    cut = cutoff * low / source_hz
    taps = np.where(np.abs(place) <= wide, cut * np.sinc(cut * place) * bell, 0)
    return taps.reshape(outputs, 2 * reach + 1, inputs).astype(np.float32)


def _filtered_onnx(front_end: FrontEnd, source_hz: int, table: np.ndarray) -> bytes:
    graph, (outputs, steps, inputs) = onnx._Graph(), table.shape
    image = onnx._reshape(graph, "waveform", "source", (1, 1, source_hz))
    taps = graph.constant("taps", table.reshape(outputs, 1, steps * inputs))
    reach = steps // 2 * inputs
    pads = [reach, reach + -source_hz % inputs]
    made = graph.op("Conv", [image, taps], "by_phase", kernel_shape=[steps * inputs], strides=[inputs], pads=pads)
    turned = graph.op("Transpose", [made], "in_time", perm=[0, 2, 1])
    whole = -(-source_hz // inputs) * outputs
    wave = onnx._reshape(graph, turned, "resampled_whole", (1, whole))
    if whole > front_end.samples:
        wave = onnx._slice(graph, wave, "resampled", 0, front_end.samples, axis=1)
    graph.op("Identity", [onnx._front_end(graph, wave, analysis_of(front_end))], "log_mel")
    return onnx._file(graph, source_hz, {"log_mel": (front_end.frames, front_end.mels)}, {})


def _filtered_tflite(front_end: FrontEnd, source_hz: int, table: np.ndarray) -> bytes:
    from ai_edge_litert import schema_py_generated as schema

    graph, (outputs, _, inputs) = TfliteGraph("resampled first"), table.shape
    waveform = source = graph.tensor("waveform", (1, source_hz))
    rounds = -(-source_hz // inputs)
    if source_hz % inputs:
        ends = graph.constant("ends", np.array([[0, 0], [0, -source_hz % inputs]], np.int32))
        source = graph.op("PAD", [source, ends], graph.tensor("padded", (1, rounds * inputs)), "PadOptions")
    image = tflite._reshape(graph, source, "source", (1, rounds, 1, inputs))
    taps = graph.constant("taps", table[:, :, None, :])
    bias = graph.constant("bias", np.zeros(outputs, np.float32))
    ones = dict(strideH=1, strideW=1, dilationHFactor=1, dilationWFactor=1)
    made = graph.tensor("by_phase", (1, rounds, 1, outputs))
    graph.op("CONV_2D", [image, taps, bias], made, "Conv2DOptions", padding=schema.Padding.SAME, **ones)
    wave = tflite._reshape(graph, made, "resampled_whole", (1, rounds * outputs))
    if rounds * outputs > front_end.samples:
        wave = tflite._slice(graph, wave, "resampled", (0, 0), (1, front_end.samples))
    log_mel = tflite._front_end(graph, wave, analysis_of(front_end))
    return graph.to_bytes({"waveform": waveform}, {"log_mel": log_mel}, {})


def _open_onnx(content: bytes) -> Session:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = 1, 3
    session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    return lambda wave: session.run(["log_mel"], {"waveform": wave[None]})[0]


def _open_tflite(content: bytes) -> Session:
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_content=content, num_threads=1)
    interpreter.allocate_tensors()
    source, made = interpreter.get_input_details()[0]["index"], interpreter.get_output_details()[0]["index"]

    def ask(wave: np.ndarray) -> np.ndarray:
        interpreter.set_tensor(source, wave[None])
        interpreter.invoke()
        return interpreter.get_tensor(made)

    return ask


if __name__ == "__main__":
    main()
