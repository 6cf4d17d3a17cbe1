"""Corruptions: each does to the sound what its sentence says, to every clip by itself, and nothing else."""

from dataclasses import replace

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from edgecomp.data.corruptions import (
    CORRUPTIONS,
    RANGES,
    Corruption,
    coloured_noise,
    corrupt,
    refusal,
)
from edgecomp.errors import AudioError, DataError
from tests.shared_data import shared_data

RATE, SAMPLES = 16_000, 12_345
NAMED = {corruption.name: corruption for corruption in CORRUPTIONS}
CODECS = ("ogg-vorbis", "mp3")
KEEPS_TIME = [name for name in NAMED if name not in ("fast", "slow")]


def _clips(clips: int, samples: int = SAMPLES, rate: int = RATE, rms: float = 0.1, slope: float = -1) -> np.ndarray:
    """Return pink noise that swells and fades, (clips, samples) float32: sound at every frequency and no period."""
    rng = np.random.default_rng(5)
    swell = np.sin(np.pi * np.arange(samples) / samples) ** 2
    made = np.stack([coloured_noise(rng, samples, rate, slope) * swell for _ in range(clips)])
    made *= rms / np.sqrt((made**2).mean(axis=1, keepdims=True))
    return np.clip(made, -1, 1).astype(np.float32)


CLIPS = _clips(4)


@pytest.fixture(params=CORRUPTIONS, ids=lambda corruption: corruption.name)
def corruption(request) -> Corruption:
    return request.param


def _power_db(waves: np.ndarray, low_hz: float, high_hz: float, rate: int = RATE) -> np.ndarray:
    """Return the power of each clip within a band; the window keeps loud bands from leaking into it."""
    hz = np.fft.rfftfreq(waves.shape[1], 1 / rate)
    spectrum = np.abs(np.fft.rfft(waves.astype(float) * np.hanning(waves.shape[1]))) ** 2
    return 10 * np.log10(spectrum[:, (hz >= low_hz) & (hz <= high_hz)].sum(axis=1) + 1e-30)


def _likeness(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Return the correlation at every lag from 0 on, and from the end for negative ones."""
    size = 2 * len(a)
    return np.fft.irfft(np.fft.rfft(a, size) * np.conj(np.fft.rfft(b, size)), size)


@pytest.mark.parametrize("rate", [4000, 8000, 11_025, 16_000, 44_100, 96_000])
def test_shape_and_type_stay_and_samples_are_finite_and_within_full_scale(corruption, rate):
    waves = _clips(2, 3001, rate, rms=0.4)
    got = corrupt(waves, corruption, rate)
    assert got.shape == waves.shape and got.dtype == np.float32
    assert np.isfinite(got).all() and np.abs(got).max() <= 1 and (got != waves).any(axis=1).all()


def test_one_seed_gives_the_same_bytes(corruption):
    assert corrupt(CLIPS, corruption, RATE, 3).tobytes() == corrupt(CLIPS, corruption, RATE, 3).tobytes()


def test_another_seed_gives_another_noise_and_changes_nothing_else(corruption):
    changed = (corrupt(CLIPS, corruption, RATE, 3) != corrupt(CLIPS, corruption, RATE, 4)).any(axis=1)
    assert changed.all() if corruption.kind == "noise" else not changed.any()


def test_a_clip_is_corrupted_alike_whatever_is_beside_it(corruption):
    whole, order = corrupt(CLIPS, corruption, RATE), [2, 0, 3]
    assert (corrupt(CLIPS[order], corruption, RATE) == whole[order]).all()
    assert (corrupt(CLIPS[1:2], corruption, RATE) == whole[1:2]).all()


def test_the_clips_given_stay_as_they_are(corruption):
    waves = CLIPS.copy()
    waves.flags.writeable = False
    corrupt(waves, corruption, RATE)
    assert (waves == CLIPS).all()


def test_silence_stays_all_but_silent(corruption):
    got = corrupt(np.zeros((2, SAMPLES), np.float32), corruption, RATE)
    assert np.isfinite(got).all() and np.abs(got).max() < 1e-3
    assert corruption.name in CODECS or not got.any()


def test_no_clips_give_no_clips(corruption):
    assert corrupt(np.zeros((0, 100), np.float32), corruption, RATE).shape == (0, 100)


@settings(max_examples=15, deadline=None)
@given(
    waves=arrays(np.float32, st.tuples(st.integers(1, 2), st.integers(1, 700)), elements=st.floats(-1.5, 1.5, width=32))
)
@pytest.mark.parametrize("name", NAMED)
def test_any_clip_however_short_or_odd_gives_a_finite_one_of_its_length(name, waves):
    got = corrupt(waves, NAMED[name], 8000)
    assert got.shape == waves.shape and np.isfinite(got).all() and np.abs(got).max() <= 1


@pytest.mark.parametrize("name", KEEPS_TIME)
@pytest.mark.parametrize("rate", [8000, 11_025, 16_000, 44_100])
@pytest.mark.parametrize("samples", [4000, 22_050])
def test_what_keeps_time_moves_nothing(name, rate, samples):
    wave = _clips(1, samples, rate)
    likeness = _likeness(corrupt(wave, NAMED[name], rate)[0], wave[0])
    assert np.argmax(likeness) == 0


@pytest.mark.parametrize("name", CODECS)
@pytest.mark.parametrize("rate", [8000, 16_000, 44_100, 96_000])
def test_a_codec_changes_the_sound_but_one_can_still_recognise_it(name, rate):
    waves = _clips(2, rate, rate, slope=-2)
    got = corrupt(waves, NAMED[name], rate)
    likeness = [np.corrcoef(a, b)[0, 1] for a, b in zip(got, waves, strict=True)]
    assert min(likeness) > 0.7 and max(likeness) < 0.9999


def test_a_codec_of_higher_quality_is_closer_to_the_original():
    for name, better in (("ogg-vorbis", 1.0), ("mp3", 96)):
        errors = [
            np.square(corrupt(CLIPS, c, RATE) - CLIPS).mean() for c in (NAMED[name], replace(NAMED[name], level=better))
        ]
        assert errors[1] < 0.3 * errors[0]


@pytest.mark.parametrize("snr_db", [30, 20, 10, 0])
@pytest.mark.parametrize("rms", [0.001, 0.1, 0.4])
def test_the_noise_stands_as_far_below_the_sound_as_its_level_says(snr_db, rms):
    clips = _clips(4, rms=rms).astype(float)
    got = corrupt(clips.astype(np.float32), replace(NAMED["noise-0db"], level=snr_db), RATE).astype(float)
    for clip, mix in zip(clips, got, strict=True):
        noise_power, share = _noise_power(clip, mix)
        assert 10 * np.log10(share**2 * (clip**2).mean() / noise_power) == pytest.approx(snr_db, abs=0.5)
        assert share == pytest.approx(1, abs=0.1) or np.abs(mix).max() == 1  # softer only where it had to be


def _noise_power(clip: np.ndarray, mix: np.ndarray) -> tuple[float, float]:
    """Split a mix into the clip's share and the power of what is left."""
    share = (clip @ mix) / (clip @ clip)
    return float(((mix - share * clip) ** 2).mean()), float(share)


def test_the_noise_is_pink():
    noise = corrupt(CLIPS, NAMED["noise-0db"], RATE).astype(float) - CLIPS
    octaves = np.array([_power_db(noise, low, 2 * low).mean() for low in (125, 250, 500, 1000, 2000)])
    assert np.ptp(octaves) < 2.5  # every octave holds the same power


def test_two_clips_get_two_noises():
    noise = corrupt(CLIPS, NAMED["noise-0db"], RATE) - CLIPS
    assert abs(np.corrcoef(noise[0], noise[1])[0, 1]) < 0.3


@pytest.mark.parametrize(("name", "kept", "gone"), [
    ("telephone", (330, 3300), [(0, 200), (5000, 8000)]),
    ("pocket", (20, 950), [(1450, 8000)]),
    ("resampled", (20, 3500), [(4200, 8000)]),
])  # fmt: skip
def test_what_lies_outside_a_band_is_gone_and_what_lies_inside_stays(name, kept, gone):
    waves = _clips(4, slope=0)
    got = corrupt(waves, NAMED[name], RATE)
    assert np.abs(_power_db(got, *kept) - _power_db(waves, *kept)).max() < 0.3
    for band in gone:
        assert (_power_db(waves, *band) - _power_db(got, *band)).min() >= 30


def test_a_rate_of_8000_hz_or_less_is_halved_instead():
    waves = _clips(4, rate=8000, slope=0)
    lost = _power_db(waves, 2200, 4000, 8000) - _power_db(corrupt(waves, NAMED["resampled"], 8000), 2200, 4000, 8000)
    assert lost.min() >= 30


@pytest.mark.parametrize("silent_share", [0.0, 0.95])
def test_clipping_flattens_its_share_of_the_sounding_samples_and_leaves_the_rest(silent_share):
    waves = CLIPS.copy()
    waves[:, : round(silent_share * SAMPLES)] = 0
    got = corrupt(waves, NAMED["clipped"], RATE)
    for clip, cut in zip(waves, got, strict=True):
        flat = np.abs(clip) > np.abs(cut).max()
        assert flat.sum() / np.count_nonzero(clip) == pytest.approx(0.1, abs=0.005)
        assert (cut[~flat] == clip[~flat]).all()


def test_gain_is_an_amplitude_and_ends_at_full_scale():
    assert np.allclose(corrupt(CLIPS, NAMED["quiet"], RATE), 0.1 * CLIPS)
    assert np.allclose(corrupt(CLIPS, NAMED["loud"], RATE), np.clip(3.981072 * CLIPS, -1, 1), atol=1e-6)
    assert np.abs(corrupt(CLIPS, NAMED["loud"], RATE)).max() == 1


@pytest.mark.parametrize("name", ["fast", "slow"])
def test_a_wrong_speed_changes_the_pitch_by_3_percent(name):
    tone = 0.5 * np.sin(2 * np.pi * 1000 * np.arange(RATE) / RATE).astype(np.float32)[None]
    got = corrupt(tone, NAMED[name], RATE)[0]
    peak_hz = np.argmax(np.abs(np.fft.rfft(got * np.hanning(RATE))))
    assert peak_hz == pytest.approx(1000 * NAMED[name].level, abs=1)
    assert np.count_nonzero(got[:200]) == (0 if name == "fast" else 200)  # silence at the ends, or none


def test_8_bits_leave_256_levels_and_an_error_of_at_most_half_a_step():
    waves = np.linspace(-1, 1, 9999, dtype=np.float32)[None]
    got = corrupt(waves, NAMED["8-bit"], RATE)
    assert len(np.unique(got)) == 256
    inner = waves < 127 / 128
    assert np.abs(got - waves)[inner].max() <= 0.5 / 128 + 1e-6


def test_names_are_unique_and_every_kind_is_used_and_said_in_one_sentence():
    assert len(NAMED) == len(CORRUPTIONS) and {c.kind for c in CORRUPTIONS} == set(RANGES)
    assert len({c.text for c in CORRUPTIONS}) == len(CORRUPTIONS)
    assert all(c.text[0].isupper() and c.text.endswith(".") and ". " not in c.text for c in CORRUPTIONS)


def test_an_unknown_kind_or_a_level_out_of_range_names_what_is_allowed():
    with pytest.raises(DataError, match="unknown kind 'nois'") as caught:
        Corruption("a", "nois", 1, "")
    assert "did you mean 'noise'" in caught.value.fix
    with pytest.raises(DataError, match="level 2 of clipping") as caught:
        Corruption("a", "clipping", 2, "")
    assert "0 to 0.9" in caught.value.fix
    with pytest.raises(DataError):
        Corruption("a", "gain", float("nan"), "")


@pytest.mark.parametrize("waves", [
    np.zeros(10, np.float32), np.zeros((2, 0), np.float32), np.zeros((2, 10), np.int16),
    np.array([[0, np.nan]], np.float32), np.array([[0, np.inf]], np.float32),
])  # fmt: skip
def test_what_is_no_finite_sound_is_refused(waves, corruption):
    with pytest.raises(DataError, match="waves"):
        corrupt(waves, corruption, RATE)


def test_a_libsndfile_without_mp3_is_said_and_stops_only_the_mp3(monkeypatch):
    assert [refusal(c) for c in CORRUPTIONS] == [None] * len(CORRUPTIONS)
    formats = soundfile.available_formats()
    monkeypatch.setattr(soundfile, "available_formats", lambda: {k: v for k, v in formats.items() if k != "MP3"})
    assert [c.name for c in CORRUPTIONS if refusal(c)] == ["mp3"]
    with pytest.raises(AudioError, match="cannot write MP3"):
        corrupt(CLIPS, NAMED["mp3"], RATE)
    assert corrupt(CLIPS, NAMED["ogg-vorbis"], RATE).any()


@pytest.mark.parametrize("name", KEEPS_TIME)
def test_real_speech_stays_in_its_place(name):
    from edgecomp.data.audio import load_clip

    files = sorted(shared_data("fsdd").rglob("*.flac"))[::400]
    waves = np.stack([load_clip(file, sample_rate=8000, samples=8000, fit="centre") for file in files])
    got = corrupt(waves, NAMED[name], 8000)
    lags = [np.argmax(_likeness(a, b)) for a, b in zip(got, waves, strict=True)]
    assert len(files) >= 3 and lags == [0] * len(files)
