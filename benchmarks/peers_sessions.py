"""Model files of any origin as functions from a waveform to an answer, one thread each; and the ready-made yardsticks.

The yardsticks have another task and hear another length, so only their cost per second of audio is compared. MLPerf Tiny's
keyword network takes features: its MFCCs are computed here by numpy with tables made beforehand, as the reference's
preprocessing has them (mlcommons/tiny, benchmark/training/keyword_spotting): window 30 ms, step 20 ms, 512-point magnitude
spectrum, 40 HTK mel bands from 20 to 4000 Hz, logarithm, and the first 10 coefficients of a DCT-II scaled by the root of 2/40.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edgecomp.progress import quiet_libraries
from edgecomp.teachers.asking import open_onnx

Session = Callable[[np.ndarray], np.ndarray]
RATE_HZ = 16000
WINDOW, STEP, POINTS, MELS, COEFFICIENTS = 480, 320, 512, 40, 10


@dataclass(frozen=True)
class Yardstick:
    """A ready-made model.

    samples: of one clip that it hears
    mfcc:    whether numpy computes its features first; False for a network that is given them
    """

    name: str
    row: str
    file: str
    samples: int
    mfcc: bool | None = None


YARDSTICKS = (
    Yardstick(
        "mlperf-tiny-network", "MLPerf Tiny keywords int8, network alone", "mlperftiny_kws_int8.tflite", 16000, False
    ),
    Yardstick(
        "mlperf-tiny", "MLPerf Tiny keywords int8, with MFCCs by numpy", "mlperftiny_kws_int8.tflite", 16000, True
    ),
    Yardstick("yamnet", "YAMNet, 521 sounds", "yamnet_audioset521.tflite", 15600),
    Yardstick("kwt-1", "KWT-1, 12 keywords", "kwt1_speechcommands12.tflite", 16000),
)


def open_file(path: Path) -> Session:
    """Open a model of one float32 waveform (1, samples), whose first output is the answer."""
    return _open_onnx(path) if path.suffix == ".onnx" else _open_tflite(path)


def open_yardstick(one: Yardstick, folder: Path) -> Session:
    """Open a yardstick that hears the first `samples` of the clip that it is given."""
    if one.mfcc is None:
        run = _open_tflite(folder / one.file)
        return lambda clip: run(clip[: one.samples])
    interpreter = _interpreter(folder / one.file)
    port, out = interpreter.get_input_details()[0], interpreter.get_output_details()[0]["index"]
    scale, zero = port["quantization"]
    mfcc = make_mfcc()

    def features(clip: np.ndarray) -> np.ndarray:
        steps = np.round(mfcc(clip[: one.samples]) / scale) + zero
        return np.clip(steps, -128, 127).astype(np.int8)[None, :, :, None]

    def network(given: np.ndarray) -> np.ndarray:
        interpreter.set_tensor(port["index"], given)
        interpreter.invoke()
        return interpreter.get_tensor(out)[0]

    if one.mfcc:
        return lambda clip: network(features(clip))
    ready: list[
        np.ndarray
    ] = []  # of the first clip, made before the clock starts: the network's work is the same for all

    def alone(clip: np.ndarray) -> np.ndarray:
        if not ready:
            ready.append(features(clip))
        return network(ready[0])

    return alone


def make_mfcc() -> Callable[[np.ndarray], np.ndarray]:
    """Return a function from a waveform (samples,) to MFCCs (frames, 10), float32."""
    window = (0.5 - 0.5 * np.cos(2 * np.pi * np.arange(WINDOW) / WINDOW)).astype(np.float32)
    bins = _mel(np.arange(1, POINTS // 2 + 1) * RATE_HZ / POINTS)
    edges = np.linspace(_mel(20.0), _mel(4000.0), MELS + 2)
    rising = (bins[:, None] - edges[:-2]) / np.diff(edges)[:-1]
    falling = (edges[2:] - bins[:, None]) / np.diff(edges)[1:]
    bands = np.maximum(0, np.minimum(rising, falling)).astype(np.float32)
    bands = np.vstack([np.zeros((1, MELS), np.float32), bands])  # the lowest bin belongs to no band
    angles = np.pi / MELS * (np.arange(MELS)[:, None] + 0.5) * np.arange(COEFFICIENTS)
    cosines = (np.cos(angles) * np.sqrt(2 / MELS)).astype(np.float32)

    def mfcc(wave: np.ndarray) -> np.ndarray:
        wave = wave / max(float(wave.max()), 1e-6)
        frames = np.lib.stride_tricks.sliding_window_view(wave, WINDOW)[::STEP]
        spectrum = np.abs(np.fft.rfft(frames * window, POINTS))
        return np.log(spectrum @ bands + np.float32(1e-6)) @ cosines

    return mfcc


def _mel(hz):
    return 1127 * np.log1p(np.asarray(hz) / 700)


def _open_onnx(path: Path) -> Session:
    session = open_onnx(path)
    name = session.get_inputs()[0].name
    return lambda clip: session.run(None, {name: clip[None]})[0][0]


def _open_tflite(path: Path) -> Session:
    interpreter = _interpreter(path)
    port, out = interpreter.get_input_details()[0], interpreter.get_output_details()[0]["index"]
    shape = tuple(port["shape"])

    def answer(clip: np.ndarray) -> np.ndarray:
        interpreter.set_tensor(port["index"], clip.reshape(shape))
        interpreter.invoke()
        return interpreter.get_tensor(out)[0]

    return answer


def _interpreter(path: Path):
    from ai_edge_litert.interpreter import Interpreter

    with quiet_libraries():  # it says on stderr that it made its delegate
        interpreter = Interpreter(model_path=str(path), num_threads=1)
        interpreter.allocate_tensors()
    return interpreter
