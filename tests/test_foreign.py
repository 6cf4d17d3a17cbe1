"""Foreign sounds: every kind sounds as its sentence says, and the same seed gives the same bytes."""

import numpy as np
import pytest

from edgecomp.data.foreign import CLIPS, FOREIGN, foreign_sounds
from edgecomp.errors import DataError
from tests.small_students import sounds

RATE, SAMPLES = 8000, 6001
WAVES = sounds(80, SAMPLES, rate=RATE) * 0.2
OTHER = sounds(70, 9000, rate=RATE) * 0.3
MADE, AGAIN, ANOTHER = (foreign_sounds(WAVES, RATE, seed, OTHER) for seed in (3, 3, 4))


@pytest.fixture(params=FOREIGN)
def kind(request) -> str:
    return request.param


def _spectra(waves: np.ndarray) -> np.ndarray:
    return np.abs(np.fft.rfft(waves.astype(float) * np.hanning(waves.shape[1]))) ** 2


HZ = np.fft.rfftfreq(SAMPLES, 1 / RATE)


def test_every_kind_is_made_and_said_in_one_sentence():
    assert list(MADE) == list(FOREIGN)
    assert all(text[0].isupper() and text.endswith(".") and ". " not in text for text in FOREIGN.values())


def test_without_another_task_every_other_kind_is_the_same():
    alone = foreign_sounds(WAVES, RATE, 3)
    assert list(alone) == [name for name in FOREIGN if name != "other-task"]
    assert all((alone[name] == MADE[name]).all() for name in alone)


def test_shape_type_and_range(kind):
    made = MADE[kind]
    assert made.shape == (CLIPS, SAMPLES) and made.dtype == np.float32
    assert np.isfinite(made).all() and np.abs(made).max() <= 1


def test_no_two_sounds_are_the_same(kind):
    assert len({row.tobytes() for row in MADE[kind]}) == CLIPS


def test_one_seed_gives_the_same_bytes_and_another_gives_others(kind):
    assert AGAIN[kind].tobytes() == MADE[kind].tobytes() and (ANOTHER[kind] != MADE[kind]).any()


@pytest.mark.parametrize("rate", [4000, 16_000, 48_000])
@pytest.mark.parametrize("samples", [1, 2, 999, 4000])
def test_any_length_and_rate_gives_finite_sounds(rate, samples):
    made = foreign_sounds(WAVES[:, :samples], rate, 0, OTHER)
    assert all(sound.shape == (CLIPS, samples) and np.isfinite(sound).all() for sound in made.values())
    assert all(np.abs(sound).max() <= 1 for sound in made.values())


def test_the_first_silence_is_digital_zero_and_no_other_is_louder_than_one_bit():
    assert not MADE["silence"][0].any() and MADE["silence"][1:].any(axis=1).all()
    assert set(np.unique(MADE["silence"] * 2**15)) == {-1, 0, 1}


@pytest.mark.parametrize(("kind", "slope"), [("rumble", -2), ("murmur", -1), ("hiss", 0)])
def test_a_room_has_its_colour_and_goes_from_faint_to_loud(kind, slope):
    level_db = 20 * np.log10(np.sqrt((MADE[kind].astype(float) ** 2).mean(axis=1)))
    assert np.allclose(level_db, np.linspace(-60, -15, CLIPS), atol=0.5)
    spectrum, inner = _spectra(MADE[kind])[20:].mean(axis=0), (HZ > 100) & (HZ < 3500)
    assert np.polyfit(np.log(HZ[inner]), np.log(spectrum[inner]), 1)[0] == pytest.approx(slope, abs=0.15)


def test_a_hum_holds_only_multiples_of_50_or_60_hz():
    spectra = _spectra(MADE["hum"])
    for row, spectrum in enumerate(spectra):
        base = (50, 60)[row % 2]
        near = np.abs(HZ - base * np.round(HZ / base)) < 4
        assert spectrum[near].sum() > 0.999 * spectrum.sum() and np.median(spectrum) < 1e-6 * spectrum.max()


def test_a_tone_has_one_pitch_and_tones_go_from_deep_to_high():
    spectra = _spectra(MADE["tone"])
    peaks = spectra.argmax(axis=1)
    assert all(s[max(0, p - 4) : p + 5].sum() > 0.999 * s.sum() for s, p in zip(spectra, peaks, strict=True))
    assert (np.diff(peaks) >= 0).all() and HZ[peaks[0]] < 50 and HZ[peaks[-1]] > 3500


def test_a_sweep_glides_up_or_down():
    third = SAMPLES // 3
    first, last = (_spectra(MADE["sweep"][:, part]).argmax(axis=1) for part in (slice(third), slice(-third, None)))
    assert (last[::2] > first[::2]).all() and (last[1::2] < first[1::2]).all()


def test_an_alarm_pauses_or_changes_between_two_tones():
    loudness = np.abs(MADE["alarm"]).max(axis=1)
    silent = (np.abs(MADE["alarm"]) < 1e-7).mean(axis=1)
    assert (loudness > 0).all() and (silent[::2] > 0.2).all() and (silent[1::2] < 0.05).all()


def test_clicks_stand_in_silence():
    faint = (np.abs(MADE["clicks"]) < 0.001).mean(axis=1)
    assert (np.abs(MADE["clicks"]).max(axis=1) > 0.05).all() and faint.min() > 0.4 and faint[::12].min() > 0.9


def test_reversed_clips_are_the_tasks_own_each_at_most_once():
    own = {wave.tobytes(): row for row, wave in enumerate(WAVES)}
    rows = [own[np.ascontiguousarray(sound[::-1]).tobytes()] for sound in MADE["reversed"]]
    assert len(set(rows)) == CLIPS and rows == sorted(rows)


def test_scrambled_clips_keep_the_strength_of_every_frequency_and_nothing_of_the_course():
    own, made = (np.abs(np.fft.rfft(waves.astype(float))) for waves in (WAVES, MADE["scrambled"]))
    for sound, spectrum in zip(MADE["scrambled"], made, strict=True):
        distance = np.abs(own[:, 1:] - spectrum[1:]).max(axis=1) / spectrum.max()
        assert distance.min() < 1e-4
        source = WAVES[distance.argmin()]
        likeness = np.fft.irfft(np.fft.rfft(sound) * np.conj(np.fft.rfft(source)), SAMPLES)
        assert np.abs(likeness).max() < 0.9 * (source.astype(float) ** 2).sum()


def test_clips_of_another_task_are_cut_or_repeated():
    for sound in MADE["other-task"]:
        places = np.argwhere(OTHER[:, : 9000 - SAMPLES + 1] == sound[0])
        assert any((OTHER[row, start : start + SAMPLES] == sound).all() for row, start in places)
    short = foreign_sounds(WAVES, RATE, 0, OTHER[:5, :2500])["other-task"]
    assert short.shape == (5, SAMPLES)
    assert (short == np.tile(OTHER[:5, :2500], 3)[:, :SAMPLES]).all()


def test_few_clips_are_not_used_twice():
    made = foreign_sounds(WAVES[:7], RATE, 0, OTHER[:3])
    assert [len(made[name]) for name in ("reversed", "scrambled", "other-task", "hiss")] == [7, 7, 3, CLIPS]


def test_no_clips_leave_the_kinds_made_of_clips_empty():
    made = foreign_sounds(WAVES[:0], RATE, 0, OTHER[:0])
    assert all(made[name].shape == (0, SAMPLES) for name in ("reversed", "scrambled", "other-task"))


def test_silent_and_loud_clips_stay_finite_and_within_full_scale():
    for level in (0, 1):
        made = foreign_sounds(np.full((3, 500), level, np.float32), RATE)
        assert all(np.isfinite(sound).all() and np.abs(sound).max() <= 1 for sound in made.values())


def test_the_clips_given_stay_as_they_are():
    waves, other = WAVES.copy(), OTHER.copy()
    waves.flags.writeable = other.flags.writeable = False
    foreign_sounds(waves, RATE, 0, other)
    assert (waves == WAVES).all() and (other == OTHER).all()


@pytest.mark.parametrize("bad", [np.zeros(5, np.float32), np.full((2, 5), np.nan, np.float32), np.zeros((2, 5), int)])
def test_what_is_no_finite_sound_is_refused(bad):
    with pytest.raises(DataError, match="waves") as caught:
        foreign_sounds(bad, RATE)
    assert caught.value.where == "foreign_sounds"
    with pytest.raises(DataError) as caught:
        foreign_sounds(WAVES, RATE, 0, bad)
    assert caught.value.where == "foreign_sounds, other"
