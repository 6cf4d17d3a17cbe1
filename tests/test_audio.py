"""Audio files: every format, every way to be broken, resampling and fitting."""

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from edgecomp.data.audio import fit, load_clip, read_audio, resample
from edgecomp.errors import AudioError, DataError
from edgecomp.progress import quiet_libraries
from tests.small_data import write_clip

FORMATS = ("wav", "flac", "ogg", "mp3")
waves = arrays(np.float32, st.integers(1, 300), elements=st.floats(-1, 1, width=32))


@pytest.mark.parametrize("suffix", FORMATS)
@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("rate", [8000, 44_100])
def test_every_format_rate_and_channel_count_is_read(tmp_path, suffix, channels, rate):
    wave, got = read_audio(write_clip(tmp_path / f"a.{suffix}", 1, rate=rate, channels=channels))
    assert (got, wave.shape, wave.dtype) == (rate, (rate // 2,), np.float32)
    assert 0.05 < wave.std() < 0.25


def test_channels_are_averaged(tmp_path):
    soundfile.write(tmp_path / "a.wav", np.tile([0.5, -0.25], (100, 1)), 8000, subtype="FLOAT")
    assert np.allclose(read_audio(tmp_path / "a.wav")[0], 0.125)


@pytest.mark.parametrize("suffix", FORMATS)
@pytest.mark.parametrize("share", [0.3, 0.9])
def test_a_truncated_file_is_an_error_that_names_it(tmp_path, suffix, share):
    file = write_clip(tmp_path / f"a.{suffix}", 1, seconds=3)
    file.write_bytes(file.read_bytes()[: int(file.stat().st_size * share)])
    with pytest.raises(AudioError) as caught:
        read_audio(file)
    assert caught.value.where == str(file) and caught.value.fix
    assert isinstance(caught.value, DataError) and caught.value.exit_code == 2


@pytest.mark.parametrize("suffix", FORMATS)
def test_a_file_of_other_bytes_is_an_error(tmp_path, suffix):
    (tmp_path / f"a.{suffix}").write_bytes(np.random.default_rng(0).bytes(4000))
    with pytest.raises(AudioError, match="cannot be decoded"):
        read_audio(tmp_path / f"a.{suffix}")


def test_an_ogg_file_with_damage_inside_is_an_error(tmp_path):
    file = write_clip(tmp_path / "a.ogg", 1, seconds=8)
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 0xFF
    file.write_bytes(content)
    with pytest.raises(AudioError):
        read_audio(file)


def test_a_wav_written_to_a_pipe_states_no_length_and_is_read(tmp_path):
    file = write_clip(tmp_path / "a.wav", 1)
    content = bytearray(file.read_bytes())
    content[4:8] = content[40:44] = b"\xff\xff\xff\xff"
    file.write_bytes(content)
    assert len(read_audio(file)[0]) == 4000


@pytest.mark.parametrize(
    ("name", "make", "words"),
    [
        ("absent", lambda file: None, "no such audio file"),
        ("empty", lambda file: file.write_bytes(b""), "0 bytes"),
        ("no samples", lambda file: soundfile.write(file, np.zeros(0), 8000), "no samples"),
        (
            "nan",
            lambda file: soundfile.write(file, np.array([0, np.nan, 1]), 8000, subtype="FLOAT"),
            "1 of 3 .* are NaN",
        ),
        ("inf", lambda file: soundfile.write(file, np.array([0, np.inf]), 8000, subtype="FLOAT"), "infinite"),
    ],
)
def test_a_clip_without_usable_sound_is_an_error(tmp_path, name, make, words):
    make(tmp_path / "a.wav")
    with pytest.raises(AudioError, match=words):
        load_clip(tmp_path / "a.wav", sample_rate=8000, samples=100, fit="loudest")


def test_mpg123_remarks_stay_off_the_terminal(tmp_path, capfd):
    file = write_clip(tmp_path / "a.mp3", 1, seconds=3)
    file.write_bytes(file.read_bytes()[:5000])
    with pytest.raises(AudioError):
        load_clip(file, sample_rate=8000, samples=100, fit="start")
    assert capfd.readouterr().err == ""


def test_stderr_works_again_after_quiet_libraries(capfd):
    import os

    with quiet_libraries():
        os.write(2, b"hidden")
    os.write(2, b"seen")
    assert capfd.readouterr().err == "seen"


@pytest.mark.parametrize(("source", "target"), [(48_000, 16_000), (8000, 16_000), (44_100, 16_000)])
def test_resampling_keeps_a_tone(source, target):
    tone = np.sin(2 * np.pi * 440 * np.arange(source) / source).astype(np.float32)
    want = np.sin(2 * np.pi * 440 * np.arange(target) / target)
    got = resample(tone, source, target)
    assert got.dtype == np.float32 and abs(len(got) - target) <= 1
    inner = slice(target // 10, -target // 10)
    assert np.abs(got[:target][inner] - want[inner]).max() < 1e-3


@given(waves, st.integers(1, 300), st.sampled_from(["loudest", "centre", "start"]))
def test_a_fitted_clip_has_the_length_and_only_samples_of_the_clip_or_padding(wave, samples, how):
    got = fit(wave, samples, how)
    assert got.shape == (samples,) and got.dtype == np.float32
    if samples <= len(wave):
        windows = np.lib.stride_tricks.sliding_window_view(wave, samples)
        assert (windows == got).all(1).any()
    else:
        before = (samples - len(wave)) // 2
        assert (got[before : before + len(wave)] == wave).all()
        assert np.count_nonzero(got) == np.count_nonzero(wave)


@given(waves, st.integers(1, 300))
def test_no_window_is_louder_than_the_loudest(wave, samples):
    samples = min(samples, len(wave))
    energy = [
        float(np.square(w, dtype=np.float64).sum()) for w in np.lib.stride_tricks.sliding_window_view(wave, samples)
    ]
    assert np.square(fit(wave, samples, "loudest"), dtype=np.float64).sum() >= max(energy) - 1e-9


def test_an_unknown_way_to_fit_names_those_allowed():
    with pytest.raises(AudioError, match="loudest, centre, start"):
        fit(np.ones(10, np.float32), 5, "middle")
