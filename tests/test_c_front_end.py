"""The front end in C equals the graph's on real audio, whole or in pieces, compiles without a warning and allocates nothing.

Differences are in normalised features, where 1 is a band's standard deviation and an int8 step is about 0.03.
"""

import ctypes
import re
import subprocess
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import soundfile

from edgecomp.lowering.c_front_end import (
    CNames,
    c_float,
    c_string,
    exact_features,
    front_end_in_c,
    listener_bytes,
    radices,
    table_bytes,
)
from edgecomp.lowering.feature_body import run_part
from edgecomp.students.front_end import FrontEnd, tables
from edgecomp.students.quantisation import Scale
from tests.shared_data import shared_data
from tests.small_mcu import body_that_hears, compiler, frames_of, library, pointer
from tests.small_students import sounds

NAMES = CNames("ear", "ear", "Generated for a test.")
STORED = Scale(0.03, -97)
ON_AUDIO, MOSTLY, ON_TONES = 0.05, 0.01, 0.1
"""Largest difference from the graph's features on recordings and noise, of 99.9 % of them, and on pure tones at full scale,
where the graph's float16 tables leak into bands that C finds empty."""
EXACT = 1e-4
"""Largest difference from features computed in float64: rounding in float32, which shows most in bands near the floor."""
ODD = {
    "16 kHz": FrontEnd.preset(16_000, 32_000),
    "8 kHz": FrontEnd.preset(8000, 16_000),
    "windows apart": FrontEnd(8000, 4000, 128, 400, 17, 60.0, 3800.0),
    "a large prime": FrontEnd(11_025, 9000, 332, 220, 40, 60.0, 5000.0),
    "two sevens": FrontEnd(8000, 3001, 196, 101, 40, 60.0, 3800.0),
    "two nines": FrontEnd(8000, 3001, 324, 101, 40, 0.0, 4000.0),
    "narrow bands": FrontEnd(8000, 3001, 40, 20, 128, 60.0, 3800.0),
    "many bands": FrontEnd(48_000, 9000, 1024, 512, 300, 0.0, 24_000.0),
    "the smallest": FrontEnd(8000, 100, 8, 20, 3, 60.0, 3800.0),
}


def _write(folder: Path, front_end: FrontEnd, scale=None, shift=None, stored: Scale = STORED) -> Path:
    ones = np.ones(front_end.mels, np.float32)
    made = front_end_in_c(
        NAMES, front_end, ones * 0.3 if scale is None else scale, ones * 3 if shift is None else shift, stored
    )
    for name, text in made.items():
        (folder / name).write_text(text)
    return folder / "ear_front_end.c"


def _float_features(built: ctypes.CDLL, clip: np.ndarray, front_end: FrontEnd) -> np.ndarray:
    frames, work = frames_of(clip.astype(np.float32), front_end), np.empty(front_end.window, np.float32)
    found = np.empty((front_end.frames, front_end.mels), np.float32)
    for frame, row in zip(frames, found, strict=True):
        built.ear_frame(pointer(frame), pointer(work), pointer(row))
    return found


@pytest.mark.parametrize("name", ODD)
def test_any_window_is_transformed_exactly(name, tmp_path):
    front_end = ODD[name]
    built = library(tmp_path, [_write(tmp_path, front_end)])
    clip = sounds(1, front_end.samples, rate=front_end.sample_rate)[0]
    clip[: front_end.window] = 0
    found = _float_features(built, clip, front_end)
    scale = np.float32(np.full(front_end.mels, 0.3))
    wanted = exact_features(frames_of(clip, front_end), front_end, scale, np.full(front_end.mels, 3.0))
    assert np.abs(found - wanted).max() < EXACT


def test_factors_multiply_to_the_size():
    for size in range(2, 600, 2):
        assert np.prod(radices(size)) == size
    assert radices(240) == (4, 4, 3, 5) and radices(166) == (2, 83) and radices(2) == (2,)


@pytest.mark.parametrize("data, rate", [("wakewords", 16_000), ("fsdd", 8000)])
def test_features_equal_the_graphs_on_real_audio(data, rate, tmp_path):
    files = sorted((shared_data(data) / "audio").rglob("*.*"))[::61][:24]
    clips = np.stack([np.resize(soundfile.read(file, dtype="float32")[0], rate) for file in files])
    body = body_that_hears(clips, rate)
    built = library(tmp_path, [_write(tmp_path, body.front_end, body.scale, body.shift, body.features)])
    found = np.stack([_float_features(built, clip, body.front_end) for clip in clips])
    own = run_part(body.front, clips)[..., 0]
    assert np.abs(found - own).max() < ON_AUDIO and np.quantile(np.abs(found - own), 0.999) < MOSTLY
    steps = np.abs(body.quantise(found).astype(int) - body.quantise(own))
    assert steps.max() <= 1 and (steps == 0).mean() > 0.98


def test_features_equal_the_graphs_on_silence_noise_and_full_scale(tmp_path):
    rate, time, rng = 16_000, np.arange(16_000) / 16_000, np.random.default_rng(0)
    body = body_that_hears(sounds(8, rate, rate=rate), rate)
    built = library(tmp_path, [_write(tmp_path, body.front_end, body.scale, body.shift, body.features)])
    given = {
        "silence": (np.zeros(rate), 1e-5),
        "noise": (rng.uniform(-1, 1, rate), ON_AUDIO),
        "faint noise": (1e-4 * rng.standard_normal(rate), ON_AUDIO),
        "full-scale sine": (np.sin(2 * np.pi * 997.3 * time), ON_TONES),
        "full-scale square": (np.sign(np.sin(2 * np.pi * 440 * time)), ON_TONES),
        "constant": (np.ones(rate), ON_TONES),
    }
    for name, (clip, tolerance) in given.items():
        own = run_part(body.front, clip[None].astype(np.float32))[0, ..., 0]
        assert np.abs(_float_features(built, clip, body.front_end) - own).max() < tolerance, name


@pytest.mark.parametrize("name", ["8 kHz", "windows apart"])
def test_a_stream_gives_the_whole_clips_features_however_it_is_cut(name, tmp_path):
    front_end, rng = ODD[name], np.random.default_rng(1)
    built = library(tmp_path, [_write(tmp_path, front_end)])
    built.ear_listen.restype = ctypes.c_size_t
    clip = np.round(32_767 * sounds(1, front_end.samples, rate=front_end.sample_rate)[0]).astype(np.int16)
    listener, work = np.zeros(listener_bytes(front_end) + 64, np.uint8), np.empty(front_end.window, np.float32)
    whole = np.empty((front_end.frames, front_end.mels), np.int8)
    built.ear_clip(pointer(clip.astype(np.float32) / 32_768), pointer(work), pointer(whole))
    for cuts in ([0], sorted(rng.integers(0, len(clip), 40)), range(1, len(clip), 7)):
        built.ear_start(pointer(listener))
        assert not built.ear_is_full(pointer(listener))
        ends = [0, *cuts, len(clip)]
        pieces = [np.ascontiguousarray(clip[a:b]) for a, b in pairwise(ends)]
        made = [built.ear_listen(pointer(listener), pointer(piece), ctypes.c_size_t(len(piece))) for piece in pieces]
        assert sum(made) == front_end.frames and built.ear_is_full(pointer(listener))
        at = _listener(front_end).features.offset
        heard = listener[at:][: whole.size].view(np.int8).reshape(whole.shape)
        assert (heard == whole).all()


def _listener(front_end: FrontEnd) -> type[ctypes.Structure]:
    class Listener(ctypes.Structure):
        _fields_ = [
            ("work", ctypes.c_float * front_end.window),
            ("samples", ctypes.c_float * front_end.window),
            ("counts", ctypes.c_size_t * 3),
            ("features", ctypes.c_int8 * (front_end.frames * front_end.mels)),
        ]

    return Listener


def test_a_listener_begins_with_silence(tmp_path):
    front_end = ODD["8 kHz"]
    built = library(tmp_path, [_write(tmp_path, front_end)])
    listener, work = np.full(listener_bytes(front_end) + 64, 7, np.uint8), np.empty(front_end.window, np.float32)
    silence = np.empty(front_end.frames * front_end.mels, np.int8)
    built.ear_clip(pointer(np.zeros(front_end.samples, np.float32)), pointer(work), pointer(silence))
    built.ear_start(pointer(listener))
    at = _listener(front_end).features.offset
    assert (listener[at:][: silence.size].view(np.int8) == silence).all()


def test_features_are_stored_as_the_body_reads_them(tmp_path):
    body = body_that_hears(sounds(4, 8000), 8000)
    built = library(tmp_path, [_write(tmp_path, body.front_end, body.scale, body.shift, body.features)])
    built.ear_quantise.restype, built.ear_quantise.argtypes = ctypes.c_int8, [ctypes.c_float]
    values = np.float32([*np.linspace(-9, 9, 4001), 1e30, -1e30, np.inf, -np.inf])
    assert [built.ear_quantise(value) for value in values] == body.quantise(values).tolist()
    assert built.ear_quantise(np.nan) == -128


def test_nothing_is_allocated_and_nothing_unknown_is_called(tmp_path):
    source = _write(tmp_path, ODD["a large prime"])
    made = tmp_path / "ear.o"
    subprocess.run(
        [compiler(), "-std=c99", "-Os", "-fno-stack-protector", "-c", source, "-o", made], check=True, timeout=60
    )
    said = subprocess.run(["nm", "-u", made], capture_output=True, text=True, check=True, timeout=60).stdout
    assert set(said.split()) - {"U"} <= {"logf", "floorf", "memcpy", "memmove", "memset"}
    writable = subprocess.run(["nm", made], capture_output=True, text=True, check=True, timeout=60).stdout
    assert not re.search(r" [dDbBC] ", writable)  # all state is the caller's


@pytest.mark.parametrize("name", ["16 kHz", "many bands"])
def test_the_stated_bytes_are_those_of_the_tables_and_of_the_state(name, tmp_path):
    front_end = ODD[name]
    held = ("hann", "order", "roots", "turns", "starts", "bands", "weights", "scale", "shift")
    more = (
        "size_t all_tables(void);\nsize_t all_tables(void) { return "
        + " + ".join(f"sizeof {one}" for one in held)
        + "; }\n"
    )
    more += "size_t state(void);\nsize_t state(void) { return sizeof(ear_listener) - 3 * sizeof(size_t); }\n"
    built = library(tmp_path, [_write(tmp_path, front_end)], more=more)
    assert built.all_tables() == table_bytes(front_end)
    assert 0 <= built.state() - (listener_bytes(front_end) - 12) < 8  # 64 bits: the counts are wider, the end is padded
    assert table_bytes(front_end) < sum(values.nbytes for values in vars(tables(front_end)).values()) / 10


def test_a_header_is_read_by_a_compiler_of_cpp(tmp_path):
    _write(tmp_path, ODD["8 kHz"])
    (tmp_path / "user.cc").write_text('#include "ear_front_end.h"\nint main() { return EAR_BANDS - 40; }\n')
    command = [compiler(), "-x", "c++", "-fsyntax-only", "-Wall", "-Wextra", "-Werror", str(tmp_path / "user.cc")]
    run = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    if "cannot execute" in run.stderr or "cc1plus" in run.stderr:
        pytest.skip("no C++ compiler on this machine")
    assert run.returncode == 0, run.stderr


def test_numbers_and_texts_survive_the_way_into_c():
    values = np.float32([0, 1, -1, 1e-8, 1 / 3, 16_777_216, 3.4e38, 1e-38])
    assert [np.float32(c_float(value).removesuffix("f")) for value in values] == values.tolist()
    assert all(set(c_float(value)) & set(".e") for value in values)
    assert c_string('a"b\\?ü') == '"a\\"b\\\\\\?\\303\\274"'
