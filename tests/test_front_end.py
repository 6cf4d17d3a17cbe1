"""The front end equals librosa's log-mel, on real audio and at odd settings, and its tables fold as they say."""

import warnings

import numpy as np
import pytest
import soundfile
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from edgecomp.students.front_end import (
    FLOOR,
    HEARD,
    PRESETS,
    FrontEnd,
    frame_blocks,
    front_end_macs,
    mel_filters,
    tables,
)
from edgecomp.students.log_mel import LogMel
from tests.shared_data import shared_data
from tests.small_students import sounds

torch.set_num_threads(1)
NEAR_DB, CLOSE = 40, 0.02
"""Bands this close to their frame's loudest agree within CLOSE in natural log: float16 tables leak less."""
LEAK = 2e-6
"""Largest share of a frame's power that rounding the tables to float16 moves into another band."""


@st.composite
def front_ends(draw) -> FrontEnd:
    rate = draw(st.sampled_from([4000, 8000, 11_025, 16_000, 22_050]))
    window = 4 * draw(st.integers(8, 80))
    low = draw(st.sampled_from([0.0, 60.0, 250.0, 500.0]))
    high = draw(st.sampled_from([rate / 2, 0.95 * rate / 2, 0.475 * rate]))
    return FrontEnd(
        rate,
        window + draw(st.integers(0, 1500)),
        window,
        draw(st.integers(16, 400)),
        draw(st.integers(8, 128)),
        low,
        high,
    )


def _reference(waves: np.ndarray, front_end: FrontEnd) -> tuple[np.ndarray, np.ndarray]:
    """Return the band powers by librosa in float64, (n, frames, mels), and which bands its filters hear, (mels,)."""
    librosa = pytest.importorskip("librosa")

    size = front_end.window
    hann = np.sin(np.pi * (np.arange(size) + 0.5) / size) ** 2 * (2 / size)
    spectrum = librosa.stft(waves.astype(np.float64), n_fft=size, hop_length=front_end.hop, window=hann, center=False)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of bands narrower than a bin
        mel = librosa.filters.mel(
            sr=front_end.sample_rate,
            n_fft=size,
            n_mels=front_end.mels,
            fmin=front_end.low_hz,
            fmax=front_end.high_hz,
            htk=True,
            norm=None,
            dtype=np.float64,
        )
    return (mel @ np.abs(spectrum) ** 2).swapaxes(1, 2), mel.max(1) >= HEARD


def _is_librosas(waves: np.ndarray, front_end: FrontEnd) -> None:
    with torch.inference_mode():
        found = LogMel(front_end)(torch.from_numpy(waves)).double().numpy()
    power, heard = _reference(waves, front_end)
    assert found.shape == power.shape == (len(waves), front_end.frames, front_end.mels)
    found, power = found[..., heard], power[..., heard]
    loudest = power.max(-1, keepdims=True)
    near = power >= loudest * 10 ** (-NEAR_DB / 10)
    assert np.abs(found - np.log(power + FLOOR))[near].max() < CLOSE
    # the total is bounded by the frame's power, which may lie outside of every band
    frames = np.lib.stride_tricks.sliding_window_view(waves, front_end.window, axis=1)[:, :: front_end.hop].astype(
        np.float64
    )
    whole = (frames**2).mean(-1, keepdims=True)
    assert np.all(np.abs(np.exp(found) - FLOOR - power) <= 2e-3 * power + LEAK * whole + 1e-9)


@pytest.mark.parametrize("name, rate", [("wakewords", 16_000), ("fsdd", 8000)])
def test_the_presets_equal_librosa_on_real_audio(name, rate):
    files = sorted((shared_data(name) / "audio").rglob("*.*"))[::97][:8]
    heard = [soundfile.read(file, dtype="float32") for file in files]
    assert {read for _, read in heard} == {rate}
    waves = np.stack([np.resize(wave, rate) for wave, _ in heard])
    _is_librosas(waves, FrontEnd.preset(rate, rate))


@settings(max_examples=40, deadline=None, derandomize=True)
@given(front_ends())
def test_odd_settings_equal_librosa(front_end):
    _is_librosas(sounds(2, front_end.samples, rate=front_end.sample_rate, seed=front_end.hop), front_end)


@settings(max_examples=80, deadline=None, derandomize=True)
@given(front_ends())
def test_no_band_is_empty_even_where_bands_are_narrower_than_bins(front_end):
    filters, table = mel_filters(front_end), tables(front_end)
    assert (filters.max(axis=0) >= HEARD).all() and (filters >= 0).all() and filters.max() <= 1
    assert ((table.mel_even.any(axis=0)) | (table.mel_odd.any(axis=0))).all()


def test_a_band_that_only_grazes_a_bin_listens_to_it():
    filters = mel_filters(FrontEnd(16_000, 16_000, 32, 320, 128, 0.0, 8000.0))
    assert filters[:, 127].max() == 1  # rounding had left it 1e-14 of the bin at 8 kHz


@settings(max_examples=60, deadline=None, derandomize=True)
@given(front_ends())
def test_blocks_and_their_mirror_rebuild_every_frame(front_end):
    block = np.gcd(front_end.hop, front_end.window // 4)
    wave = np.arange(front_end.samples)
    blocks = wave[: front_end.samples // block * block].reshape(-1, block)
    near, far = frame_blocks(front_end)
    halves = [rows[index].reshape(front_end.frames, -1) for rows, index in ((blocks, near), (blocks[:, ::-1], far))]
    frames = np.lib.stride_tricks.sliding_window_view(wave, front_end.window)[:: front_end.hop]
    assert len(frames) == front_end.frames
    first, second, third, last = np.split(frames, 4, axis=1)
    assert (halves[0] == np.hstack([third, first])).all()
    assert (halves[1] == np.hstack([second[:, ::-1], last[:, ::-1]])).all()


def test_silence_and_full_scale_give_finite_values():
    front_end = FrontEnd.preset(16_000, 4000)
    waves = torch.stack([torch.zeros(4000), torch.ones(4000), torch.tensor([1.0, -1.0]).repeat(2000)])
    found = LogMel(front_end)(waves)
    assert torch.isfinite(found).all()
    assert torch.allclose(found[0], torch.tensor(FLOOR).log().expand_as(found[0]))


def test_a_full_scale_sine_has_the_power_that_the_floor_is_judged_by():
    front_end = FrontEnd.preset(16_000, 16_000)
    loudest = mel_filters(front_end).argmax(axis=0)[20]  # a bin near the middle of band 20
    time = np.arange(16_000) / 16_000
    sine = np.sin(2 * np.pi * loudest * 16_000 / front_end.window * time).astype(np.float32)
    power = LogMel(front_end)(torch.from_numpy(sine)[None]).exp()[0, :, 20]
    filters = mel_filters(front_end)[loudest - 1 : loudest + 2, 20]
    assert np.allclose(power, 0.25 * (filters @ [0.25, 1, 0.25]), rtol=2e-3)  # Hann halves a bin's neighbours


def test_normalisation_is_mean_and_deviation_of_each_band():
    front_end, waves = FrontEnd.preset(8000, 4000), torch.from_numpy(sounds(4, 4000))
    module = LogMel(front_end)
    plain = module(waves)
    module.set_normalisation(plain.mean((0, 1)), plain.std((0, 1)))
    assert torch.allclose(module(waves).mean((0, 1)), torch.zeros(40), atol=1e-4)
    assert torch.allclose(module(waves).std((0, 1)), torch.ones(40), atol=1e-4)


@pytest.mark.parametrize("rate", range(4000, 48_001, 500))
def test_every_sample_rate_has_a_front_end(rate):
    front_end = FrontEnd.preset(rate, rate // 4)
    assert front_end.high_hz <= min(rate / 2, 7600) and front_end.window % 4 == 0 and front_end.frames >= 1
    assert abs(front_end.window / rate - 0.03) < 1e-3 and abs(front_end.hop / rate - 0.02) < 1e-3


def test_given_settings_replace_the_presets():
    assert FrontEnd.preset(16_000, 16_000) == FrontEnd(16_000, 16_000, **PRESETS[16_000])
    given = {"mels": 20, "hop": 100, "window": 200, "low_hz": 0.0, "high_hz": 1000.0}
    assert FrontEnd.preset(8000, 8000, **given) == FrontEnd(8000, 8000, **given)


@pytest.mark.parametrize(
    "wrong", [{"window": 242}, {"window": 8004}, {"high_hz": 4001.0}, {"low_hz": 3900.0}, {"low_hz": -1.0}]
)
def test_settings_that_do_not_fit_are_refused(wrong):
    with pytest.raises(ValueError, match="window"):
        FrontEnd.preset(8000, 8000, **wrong)


def test_only_whole_frames_count():
    assert [FrontEnd.preset(8000, 240 + n).frames for n in (0, 159, 160, 319, 320)] == [1, 1, 2, 2, 3]


def test_folding_saves_three_quarters_of_the_plain_tables_work():
    front_end = FrontEnd.preset(16_000, 16_000)
    used = int(mel_filters(front_end).any(axis=1).sum())
    plain, mel = front_end.window * 2 * used, used * front_end.mels
    assert front_end_macs(front_end) == front_end.frames * (plain // 4 + mel)
