"""The front end equals librosa's log-mel, on real audio and at odd settings, and its two factors make the DFT."""

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
    front_end_macs,
    hann,
    mel_filters,
    mel_table,
    residues_of,
    tables,
)
from edgecomp.students.log_mel import LogMel
from tests.shared_data import shared_data
from tests.small_students import sounds

torch.set_num_threads(1)
CLOSE = 1e-3
"""Largest difference of a log-mel value, natural logarithm, from the same front end in float64."""


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
    window = np.sin(np.pi * (np.arange(size) + 0.5) / size) ** 2 * (2 / size)
    spectrum = librosa.stft(waves.astype(np.float64), n_fft=size, hop_length=front_end.hop, window=window, center=False)
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
    assert np.abs(found - np.log(power + FLOOR))[..., heard].max() < CLOSE


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
    filters = mel_filters(front_end)
    assert (filters.max(axis=0) >= HEARD).all() and (filters >= 0).all() and filters.max() <= 1
    assert mel_table(front_end).any(axis=0).all() and tables(front_end).mel.any(axis=(0, 1)).all()


def test_a_band_that_only_grazes_a_bin_listens_to_it():
    filters = mel_filters(FrontEnd(16_000, 16_000, 32, 320, 128, 0.0, 8000.0))
    assert filters[:, 127].max() == 1  # rounding had left it 1e-14 of the bin at 8 kHz


@settings(max_examples=60, deadline=None, derandomize=True)
@given(front_ends())
def test_the_two_factors_make_the_windowed_dft(front_end):
    table, size = tables(front_end), front_end.window
    residues, half, mels = table.mel.shape
    frame = np.random.default_rng(size).standard_normal(size)
    first = table.first.astype(np.float64) @ frame.reshape(-1, residues).T[..., None]
    second = table.second.astype(np.float64) @ first.reshape(2 * residues, half)
    found = second[:residues] + 1j * second[residues:]
    wanted = np.fft.fft(frame * hann(size))[np.arange(half) + size // residues * np.arange(residues)[:, None]]
    assert np.abs(found - wanted).max() < 1e-6 * np.abs(wanted).max() + 1e-7
    mel = (np.abs(found) ** 2).reshape(-1) @ table.mel.reshape(-1, mels)
    assert np.allclose(mel, np.abs(np.fft.rfft(frame * hann(size))) ** 2 @ mel_table(front_end), rtol=1e-5, atol=1e-9)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(front_ends())
def test_residues_divide_the_window_and_where_it_is_cheap_the_hop(front_end):
    residues = residues_of(front_end)
    assert front_end.window % residues == 0 and tables(front_end).first.shape[0] == residues


def test_the_presets_residues_divide_their_hops():
    assert [FrontEnd.preset(rate, rate).hop % residues_of(FrontEnd.preset(rate, rate)) for rate in PRESETS] == [0, 0]


@pytest.mark.parametrize("rate, most_bytes", [(8000, 35_000), (16_000, 90_000)])
def test_the_presets_tables_are_small(rate, most_bytes):
    """100 kB is what the front end may take of a file; the mel table is stored in float16."""
    table = tables(FrontEnd.preset(rate, rate))
    assert table.first.nbytes + table.second.nbytes + table.mel.nbytes // 2 < most_bytes
    assert (table.mel == table.mel.astype(np.float16)).all()


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


@pytest.mark.parametrize("rate, saved", [(8000, 3), (16_000, 5)])
def test_the_factors_save_most_of_the_plain_tables_work(rate, saved):
    front_end = FrontEnd.preset(rate, rate)
    used = int(mel_filters(front_end).any(axis=1).sum())
    plain = front_end.frames * used * (front_end.window * 2 + front_end.mels)
    assert front_end_macs(front_end) < plain / saved
