"""The analysis of a file for a source: its tables are the DFT they stand for, and what they give is what soxr's way gives."""

from functools import cache

import numpy as np
import pytest
import soxr
import torch
from ai_edge_litert.interpreter import Interpreter
from hypothesis import given, settings
from hypothesis import strategies as st

from edgecomp.data.audio import read_audio
from edgecomp.errors import AudioError
from edgecomp.lowering import analysis as analysing
from edgecomp.lowering import onnx as onnx_lowering
from edgecomp.lowering import tflite as tflite_lowering
from edgecomp.lowering.analysis import (
    analysis_of,
    low_pass_gain,
    misfit,
    rates_that_fit,
    source_log_mel,
    source_mel,
    source_samples,
    source_window,
)
from edgecomp.lowering.flatbuffer import metadata_of
from edgecomp.runtimes import import_runtime, runtimes
from edgecomp.students.ending import PLAIN, Ending
from edgecomp.students.front_end import FLOOR, FrontEnd, hann, mel_table, tables
from edgecomp.students.student import freeze
from tests.shared_data import shared_data
from tests.small_students import lively_student, sounds

torch.set_num_threads(1)
PAIRS = [(16_000, 48_000), (16_000, 44_100), (16_000, 8_000), (8_000, 48_000), (8_000, 44_100), (8_000, 16_000)]
"""The recipe's rate and the source's."""
OTHERS = [(16_000, 24_000), (16_000, 12_000), (8_000, 12_000), (8_000, 96_000)]
FLANK = 0.46
"""Of the lower rate: up to here soxr's VHQ loses less than 0.01 %."""
BELOW, ACROSS = 0.03, {(16_000, 8_000): 2.0}
"""How far a log-mel value (natural logarithm) may be from soxr's way: in bands that end below the flank, and in the one or
two across it, 0.5 where nothing else is said. What was measured stands in docs/embedding.md, "Inside the file"."""
FAINT = 6
"""From 8 to 16 kHz a band across the flank may differ more where it holds less than this below the frame's loudest (26 dB):
soxr's way leaves a loud sound's side lobes there, and a file for the source hears nothing above 4 kHz."""
MEAN = 2e-3
CLOSE, FLOAT = 1e-3, 1e-5
"""Of a lowered log-mel value from float64, and of a float file's probability from torch."""


def _front_end(rate: int, seconds: float = 1.0) -> FrontEnd:
    return FrontEnd.preset(rate, round(rate * seconds))


def _soxr_log_mel(front_end: FrontEnd, source_hz: int, wave: np.ndarray) -> np.ndarray:
    """Return log-mel frames by soxr's VHQ and the front end in float64, (frames, mels)."""
    slow = soxr.resample(wave, source_hz, front_end.sample_rate, quality="VHQ").astype(np.float64)
    frames = np.lib.stride_tricks.sliding_window_view(slow, front_end.window)[:: front_end.hop][: front_end.frames]
    power = np.abs(np.fft.rfft(frames * hann(front_end.window), axis=1)) ** 2
    return np.log(power @ mel_table(front_end).astype(np.float64) + FLOOR)


def _exact(front_end: FrontEnd, source_hz: int, wave: np.ndarray) -> np.ndarray:
    """Return a source's log-mel frames in float64 by numpy's own FFT, (frames, mels)."""
    window, hop = source_window(front_end, source_hz), front_end.hop * source_hz // front_end.sample_rate
    frames = np.lib.stride_tricks.sliding_window_view(wave, len(window))[::hop][: front_end.frames]
    power = np.abs(np.fft.rfft(frames * window, axis=1)) ** 2
    return np.log(power @ source_mel(front_end, source_hz).astype(np.float64) + FLOOR)


def _below_the_flank(front_end: FrontEnd, source_hz: int) -> np.ndarray:
    hz = np.arange(front_end.window // 2 + 1) * front_end.sample_rate / front_end.window
    return ~mel_table(front_end)[hz > FLANK * min(front_end.sample_rate, source_hz)].any(axis=0)


def _across(found: np.ndarray, wanted: np.ndarray, pair: tuple[int, int]) -> float:
    """Return the largest difference of any band; from a slower source, of those that are not faint."""
    apart = np.abs(found - wanted)
    if pair[1] < pair[0]:
        apart = apart[wanted > wanted.max(axis=-1, keepdims=True) - FAINT]
    return float(apart.max())


def _tone(hz: float, source_hz: int, amplitude: float = 0.5) -> np.ndarray:
    return (amplitude * np.sin(2 * np.pi * hz * np.arange(source_hz) / source_hz)).astype(np.float32)


@cache
def _coughs(source_hz: int, count: int) -> np.ndarray:
    """Return a second of real coughs that were recorded at 48 kHz, (count, source_hz) float32, where they are loudest."""
    found = []
    for file in sorted((shared_data("covid19cough") / "audio").glob("*.mp3"))[::7]:
        try:
            wave, rate = read_audio(file)
        except AudioError:  # upstream's faults are part of that data
            continue
        if rate != 48_000 or len(wave) < 2 * rate:
            continue
        first = min(max(0, int(np.abs(wave).argmax()) - rate // 2), len(wave) - rate)
        found.append(soxr.resample(wave[first : first + rate], rate, source_hz, quality="VHQ"))
        if len(found) == count:
            break
    return np.stack(found).astype(np.float32)


@pytest.mark.parametrize("pair", PAIRS + OTHERS)
def test_the_two_factors_are_the_windowed_dft(pair):
    front_end, source_hz = _front_end(pair[0]), pair[1]
    made, frame = analysis_of(front_end, source_hz), np.random.default_rng(0).standard_normal(1 << 12)
    frame = frame[: made.window]
    by_residue = frame.reshape(-1, made.residues).T
    first = np.einsum("bpr,br->bp", made.tables.first.astype(np.float64), by_residue)
    second = made.tables.second.astype(np.float64) @ first.reshape(2 * made.residues, made.half)
    power = (second[: made.kept] ** 2 + second[made.kept :] ** 2).reshape(-1)
    found = power @ made.tables.mel.reshape(power.size, -1)
    wanted = np.abs(np.fft.rfft(frame * source_window(front_end, source_hz))) ** 2 @ source_mel(front_end, source_hz)
    assert np.abs(found / np.maximum(wanted, 1e-12) - 1)[wanted > 0].max() < 1e-5
    assert (found[wanted == 0] == 0).all()


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from(PAIRS + OTHERS),
    st.integers(1, 12).map(lambda n: 160 * n),
    st.integers(1, 12),
    st.integers(0, 20_000),
)
def test_as_many_whole_frames_fit_at_a_source_as_in_the_recipe(pair, hop, window, more):
    rate, source_hz = pair
    front_end = FrontEnd(rate, 160 * window + more, 160 * window, hop, 8, 0, rate / 4)
    if misfit(front_end, source_hz) is not None:
        return
    made = source_samples(front_end.samples, rate, source_hz)
    wide, step = (length * source_hz // rate for length in (front_end.window, front_end.hop))
    assert 1 + (made - wide) // step == front_end.frames
    assert abs(made / source_hz - front_end.samples / rate) < 1 / source_hz


@pytest.mark.parametrize("pair", PAIRS + OTHERS)
def test_a_window_is_the_recipes_curve_at_the_sources_times(pair):
    front_end, source_hz = _front_end(pair[0]), pair[1]
    window, own = source_window(front_end, source_hz), hann(front_end.window)
    assert abs(window.sum() / own.sum() - 1) < 1e-5  # DC
    at = np.arange(len(window)) * (pair[0] / source_hz)
    curve = np.interp(at, np.arange(front_end.window), own) * (front_end.window / len(window))
    inside = (at > 1) & (at < front_end.window - 2)
    assert (
        np.abs(window - curve)[inside].max() < 5e-5 * own.max()
    )  # between two samples a line is that far from the curve


@pytest.mark.parametrize("pair", PAIRS)
def test_the_gain_is_that_of_soxrs_low_pass(pair):
    rate, source_hz = pair
    low = min(rate, source_hz)
    hz = low * np.array([0.0, 0.01, 0.1, 0.25, 0.4, 0.46, 0.47, 0.4778, 0.485, 0.495])
    gain = low_pass_gain(hz, source_hz, rate)
    assert abs(gain[0] - 1) < 1e-6 and np.abs(gain[hz <= FLANK * low] - 1).max() < 1e-4
    for one, wanted in zip(hz[1:], gain[1:], strict=True):
        made = soxr.resample(_tone(one, source_hz), source_hz, rate, quality="VHQ").astype(np.float64)
        middle = made[rate // 4 : 3 * rate // 4]
        turn = np.exp(-2j * np.pi * one * np.arange(rate // 4, 3 * rate // 4) / rate)
        heard = 2 * (middle * turn).mean() / 0.5  # with its phase: a sine without delay is -1j times its gain
        assert abs(heard - -1j * wanted) < 0.01, one
    assert np.abs(low_pass_gain(low * np.array([0.5, 0.6, 0.9]), source_hz, rate)).max() < 1e-6


@pytest.mark.parametrize("pair", PAIRS)
def test_tones_and_noise_give_what_soxrs_way_gives(pair):
    front_end, source_hz = _front_end(pair[0]), pair[1]
    below, low = _below_the_flank(front_end, source_hz), min(pair)
    waves = [_tone(share * low, source_hz) for share in (0.0125, 0.06, 0.1931, 0.31, 0.42, 0.45)]
    waves += [
        0.1 * np.random.default_rng(1).standard_normal(source_hz).astype(np.float32),
        np.zeros(source_hz, np.float32),
    ]
    found = source_log_mel(front_end, source_hz, np.stack(waves))
    for wave, made in zip(waves, found, strict=True):
        wanted = _soxr_log_mel(front_end, source_hz, wave)
        assert np.abs(made - wanted)[:, below].max() < BELOW and _across(made, wanted, pair) < ACROSS.get(pair, 0.5)
    assert np.abs(found[-1] - np.log(FLOOR)).max() < 1e-6
    assert below.sum() > front_end.mels * 0.7  # the rule is not about nothing


@pytest.mark.parametrize("rate", [8_000, 16_000])
@pytest.mark.parametrize("share", [0.55, 0.8, 1.1, 2.5])
def test_a_loud_tone_above_the_recipes_band_is_not_heard_in_it(rate, share):
    """It would come back as a false tone where the low-pass were missing."""
    front_end, hz = _front_end(rate), share * rate
    if hz > 23_000:
        pytest.skip("48 kHz does not hold this tone")
    loud = source_log_mel(front_end, 48_000, _tone(hz, 48_000, 1.0)[None])[0]
    below = _below_the_flank(front_end, 48_000)
    inner = slice(2, -2)  # the recording's hard ends are clicks, and those are in the band
    assert loud[inner][:, below].max() < np.log(FLOOR) + 0.1
    assert np.abs(loud - _soxr_log_mel(front_end, 48_000, _tone(hz, 48_000, 1.0)))[inner].max() < 0.5


@pytest.mark.parametrize("pair", PAIRS)
def test_real_coughs_give_what_soxrs_way_gives(pair):
    front_end, source_hz = _front_end(pair[0]), pair[1]
    waves, below = _coughs(source_hz, 40), _below_the_flank(front_end, source_hz)
    wanted = np.stack([_soxr_log_mel(front_end, source_hz, wave) for wave in waves])
    found = source_log_mel(front_end, source_hz, waves)
    apart = np.abs(found - wanted)
    assert (
        apart[..., below].max() < BELOW and _across(found, wanted, pair) < ACROSS.get(pair, 0.5) and apart.mean() < MEAN
    )
    assert wanted.max() - wanted.min() > 8  # sound and silence are both in it


@pytest.mark.parametrize("pair", PAIRS)
def test_real_coughs_get_the_same_decisions(pair):
    """A file for the source hears the recording; the recipe's own hears it resampled by soxr."""
    rate, source_hz = pair
    student = lively_student("ds_cnn", rate=rate, samples=rate)
    waves = _coughs(source_hz, 40)
    slow = np.stack([soxr.resample(wave, source_hz, rate, quality="VHQ")[:rate] for wave in waves])
    first = np.log(np.stack([_asker(student, None)(wave) for wave in slow]).astype(np.float64))
    scale = (
        2 / first.std(axis=0).mean()
    )  # so that coughs, which random weights hardly tell apart, get different answers
    ending = Ending(scale, tuple(-scale * first.mean(axis=0)))
    ask = {hz: _asker(student, hz, ending) for hz in (None, source_hz)}
    found, wanted = np.stack([ask[source_hz](w) for w in waves]), np.stack([ask[None](w) for w in slow])
    apart = np.abs(found - wanted)
    assert len(set(wanted.argmax(1))) == 3 and apart.max() < 0.1 and apart.mean() < 0.01, (apart.max(), apart.mean())
    margin = np.sort(wanted, axis=1)[:, -1] - np.sort(wanted, axis=1)[:, -2]
    is_sure = margin > 2 * apart.max()
    assert is_sure.mean() > 0.7 and (found.argmax(1) == wanted.argmax(1))[is_sure].all()
    assert (found.argmax(1) == wanted.argmax(1)).mean() >= 0.97


def _asker(student, source_hz: int | None, ending: Ending = PLAIN):
    content = tflite_lowering.lower(freeze(student, None, ending), {}, source_hz)
    interpreter = Interpreter(model_content=content, num_threads=1)
    interpreter.allocate_tensors()
    source = interpreter.get_input_details()[0]["index"]
    made = next(one["index"] for one in interpreter.get_output_details() if one["name"] == "probabilities")

    def ask(wave: np.ndarray) -> np.ndarray:
        interpreter.set_tensor(source, np.ascontiguousarray(wave, np.float32)[None])
        interpreter.invoke()
        return interpreter.get_tensor(made)[0]

    return ask


@pytest.mark.parametrize("pair", PAIRS + OTHERS)
def test_both_formats_give_the_plain_computations_frames(pair):
    import onnxruntime

    front_end, source_hz = _front_end(pair[0], 0.7), pair[1]
    samples = analysis_of(front_end, source_hz).samples
    waves = np.vstack([sounds(3, samples, rate=source_hz), np.zeros((1, samples), np.float32)])
    wanted = np.stack([_exact(front_end, source_hz, wave.astype(np.float64)) for wave in waves])
    assert np.abs(source_log_mel(front_end, source_hz, waves) - wanted).max() < CLOSE
    session = onnxruntime.InferenceSession(onnx_lowering.lower_front_end(front_end, source_hz))
    interpreter = Interpreter(model_content=tflite_lowering.lower_front_end(front_end, source_hz), num_threads=1)
    interpreter.allocate_tensors()
    for wave, exact in zip(waves, wanted, strict=True):
        assert np.abs(session.run(["log_mel"], {"waveform": wave[None]})[0] - exact).max() < CLOSE
        interpreter.set_tensor(interpreter.get_input_details()[0]["index"], wave[None])
        interpreter.invoke()
        made = interpreter.get_tensor(interpreter.get_output_details()[0]["index"])
        assert np.abs(made - exact).max() < CLOSE


@pytest.mark.parametrize("runtime", runtimes())
@pytest.mark.parametrize("pair", PAIRS)
def test_a_whole_file_answers_as_torch_does_on_the_plain_frames(pair, runtime, tmp_path):
    rate, source_hz = pair
    student = lively_student("ds_cnn", rate=rate, samples=rate // 2 + 1)  # one that is not whole at 44.1 kHz
    module = import_runtime(runtime)
    path = tmp_path / f"model{module.SUFFIX}"
    path.write_bytes(module.lower(freeze(student), {}, source_hz))
    samples = analysis_of(student.config.front_end, source_hz).samples
    waves = np.vstack([sounds(8, samples, rate=source_hz), np.zeros((1, samples), np.float32)])
    with torch.inference_mode():
        frames = torch.from_numpy(source_log_mel(student.config.front_end, source_hz, waves))
        logits = student.body((frames - student.front_end.mean) / student.front_end.std)
        wanted = torch.softmax(logits, 1).numpy()
    ask = module.open_session(path)
    found = np.stack([ask(wave).probabilities for wave in waves])
    assert np.ptp(wanted, axis=0).max() > 0.05 and np.abs(found - wanted).max() < FLOAT


@pytest.mark.parametrize("runtime", runtimes())
def test_a_source_at_the_recipes_rate_changes_no_byte(runtime):
    student = lively_student("ds_cnn")
    lower = import_runtime(runtime).lower
    assert lower(freeze(student), {"a": "b"}) == lower(freeze(student), {"a": "b"}, 8_000)
    assert lower(freeze(student), {"a": "b"}) != lower(freeze(student), {"a": "b"}, 16_000)


@pytest.mark.parametrize("rate", [8_000, 16_000])
def test_without_a_source_the_tables_are_the_front_ends_own(rate):
    made, own = analysis_of(_front_end(rate)), tables(_front_end(rate))
    assert all((a == b).all() for a, b in zip(vars(made.tables).values(), vars(own).values(), strict=True))
    assert (made.samples, made.window, made.hop) == (rate, _front_end(rate).window, _front_end(rate).hop)


def test_the_general_tables_are_the_front_ends_own_at_its_own_rate():
    """They are made by code of their own, since all of a student's kept features hang on the front end's."""
    front_end = _front_end(16_000)
    own = tables(front_end)
    made = analysing._tables(hann(front_end.window), own.first.shape[0], mel_table(front_end))
    rows = np.flatnonzero(own.mel.any(axis=(1, 2)))
    assert (made.first == own.first).all() and (made.mel == own.mel[rows]).all()
    assert (made.second == own.second.reshape(2, -1, own.second.shape[1])[:, rows].reshape(2 * len(rows), -1)).all()


def test_the_tflite_file_states_the_sources_rate():
    content = tflite_lowering.lower(freeze(lively_student("ds_cnn")), {}, 48_000)
    told = metadata_of(content, "TFLITE_METADATA")
    assert b"24000 samples at 48000 Hz" in told and (48_000).to_bytes(4, "little") in told
    assert (8_000).to_bytes(4, "little") not in told


def test_a_rate_at_which_frames_are_no_whole_samples_is_named():
    front_end = _front_end(16_000)
    assert misfit(front_end, 22_050) == "a window of 480 samples at 16000 Hz would be 661.5 at 22050 Hz"
    assert misfit(FrontEnd.preset(16_000, 16_000, hop=101), 24_000) == (
        "a hop of 101 samples at 16000 Hz would be 151.5 at 24000 Hz"
    )
    high = FrontEnd.preset(16_000, 16_000, low_hz=5_000.0)
    assert misfit(high, 8_000) == "the band from 5000 Hz on lies above what 8000 Hz can hold"
    assert rates_that_fit(front_end) == [8_000, 12_000, 16_000, 24_000, 32_000, 44_100, 48_000, 96_000]
    with pytest.raises(ValueError, match=r"661\.5 at 22050 Hz"):
        analysis_of(front_end, 22_050)


def test_the_filter_is_the_one_that_apps_resample_by():
    from edgecomp.embed.python import TEMPLATES

    text = (TEMPLATES / "resample.py").read_text(encoding="utf-8")
    assert f"CUTOFF, HALF, BETA = {analysing.CUTOFF}, {analysing.HALF}, {analysing.BETA}" in text
