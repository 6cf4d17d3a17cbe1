"""Views: the clip itself first, the same seed gives the same bytes, and what is drawn is what is heard."""

from dataclasses import replace

import numpy as np
import pytest

from edgecomp.data.views import NOISE_S, NOISES, Views, draw_views, noises, render
from edgecomp.recipe import Augment
from tests.small_students import sounds

CLIPS, SAMPLES, RATE = 12, 3000, 4000
AUGMENT = Augment(views=5, shift_s=0.05, gain_db=6.0, noise_snr_db=[5.0, 30.0], noise_share=0.5, mix_share=0.5, speed=0.2)
WAVES = sounds(CLIPS, SAMPLES, rate=RATE) * 0.2
VIEWS = draw_views(CLIPS, AUGMENT, RATE, 3)
BACKGROUND = noises(VIEWS)


def _heard(views: Views = VIEWS, rows: np.ndarray | None = None) -> np.ndarray:
    return render(WAVES, views, np.arange(len(views)) if rows is None else rows, BACKGROUND)


def _plain(**changed: np.ndarray) -> Views:
    """Return views that do nothing but what is given."""
    n = len(VIEWS)
    still = replace(VIEWS, share=np.ones(n), shift=np.zeros((n, 2), int), gain=np.ones(n), snr_db=np.full(n, np.inf))
    still = replace(still, speed=np.ones(n))
    return replace(still, **changed)


def test_the_first_view_of_every_clip_is_the_clip_itself():
    assert len(VIEWS) == 5 * CLIPS and (VIEWS.clip == np.tile(np.arange(CLIPS), 5)).all()
    heard = _heard()
    assert (heard[:CLIPS] == WAVES).all() and heard.dtype == np.float32
    assert all((heard[view * CLIPS : (view + 1) * CLIPS] != WAVES).any(axis=1).mean() > 0.9 for view in range(1, 5))


def test_one_seed_gives_the_same_bytes_and_another_gives_others():
    again, other = draw_views(CLIPS, AUGMENT, RATE, 3), draw_views(CLIPS, AUGMENT, RATE, 4)
    assert _heard(again).tobytes() == _heard().tobytes()
    assert (other.gain != VIEWS.gain).any() and (
        noises(replace(other, sample_rate=100)) != noises(replace(VIEWS, sample_rate=100))
    ).any()


def test_one_seed_gives_the_same_noises():
    assert noises(replace(VIEWS, sample_rate=100)).tobytes() == noises(replace(VIEWS, sample_rate=100)).tobytes()


def test_a_view_does_not_depend_on_what_is_rendered_beside_it():
    whole = _heard()
    order = np.random.default_rng(0).permutation(len(VIEWS))
    parts = np.concatenate([_heard(rows=rows) for rows in np.array_split(order, 7)])
    assert (parts == whole[order]).all()


def test_rendering_changes_neither_clips_nor_noises():
    waves, background = WAVES.copy(), BACKGROUND.copy()
    _heard()
    assert (waves == WAVES).all() and (background == BACKGROUND).all()


def test_the_noise_stands_as_far_below_the_sound_as_was_drawn():
    drawn = np.linspace(5, 30, len(VIEWS))
    noise = _heard(_plain(snr_db=drawn)).astype(float) - _heard(_plain())
    power = [(x.astype(float) ** 2).mean(axis=1) for x in (_heard(_plain()), noise)]
    found = 10 * np.log10(power[0] / power[1])
    assert np.abs(found - drawn).max() < 1.5  # a noise has power 1 as a whole; a span of it a little more or less
    assert abs((found - drawn).mean()) < 0.3


def test_noises_have_power_one_and_go_from_rumble_to_hiss():
    assert BACKGROUND.shape == (NOISES, NOISE_S * RATE) and BACKGROUND.dtype == np.float32
    assert np.allclose((BACKGROUND.astype(float) ** 2).mean(axis=1), 1, atol=1e-4)
    changes = np.abs(np.diff(BACKGROUND[:, :SAMPLES], axis=1)).mean(axis=1)
    assert changes[0] < 0.5 * changes[-1] and np.corrcoef(changes, np.arange(NOISES))[0, 1] > 0.9


def test_a_clip_longer_than_the_noise_hears_it_again():
    silent_gap = np.full((1, (NOISE_S + 1) * RATE), 0.1, np.float32)
    views = replace(
        draw_views(1, AUGMENT, RATE, 0), snr_db=np.full(5, 0.0), share=np.ones(5), shift=np.zeros((5, 2), int)
    )
    assert np.isfinite(render(silent_gap, views, np.arange(5), BACKGROUND)).all()


def test_silence_stays_silent_whatever_the_noise():
    assert not render(WAVES * 0, replace(VIEWS, snr_db=np.zeros(len(VIEWS))), np.arange(len(VIEWS)), BACKGROUND).any()


def test_a_mix_is_heard_and_labelled_by_the_same_shares():
    share = np.linspace(0.5, 1, len(VIEWS))
    mixed, targets = _plain(share=share), np.arange(CLIPS) % 4
    wanted = share[:, None] * WAVES[mixed.clip] + (1 - share[:, None]) * WAVES[mixed.partner]
    assert np.allclose(_heard(mixed), wanted, atol=1e-6)
    labels = mixed.soft_labels(targets, 4)
    assert labels.dtype == np.float32 and np.allclose(labels.sum(axis=1), 1) and (labels >= 0).all()
    for row, label in enumerate(labels):
        if targets[mixed.clip[row]] != targets[mixed.partner[row]]:
            assert label[targets[mixed.clip[row]]] == pytest.approx(share[row])
            assert label[targets[mixed.partner[row]]] == pytest.approx(1 - share[row], abs=1e-6)
        else:
            assert label[targets[mixed.clip[row]]] == pytest.approx(1)


@pytest.mark.parametrize("by", [0, 1, 7, -1, -7, 2999, 3000, 5000, -3000, -5000])
def test_a_shift_moves_the_sound_and_fills_with_silence(by):
    moved = _heard(_plain(shift=np.full((len(VIEWS), 2), by)))[0]
    wanted = np.zeros(SAMPLES, np.float32)
    for place in range(SAMPLES):
        if 0 <= place - by < SAMPLES:
            wanted[place] = WAVES[0][place - by]
    assert (moved == wanted).all()


def test_gain_is_an_amplitude_and_sounds_stay_within_full_scale():
    loud = _heard(_plain(gain=np.full(len(VIEWS), 100.0)))
    soft = _heard(_plain(gain=np.full(len(VIEWS), 0.5)))
    varied = np.arange(len(VIEWS)) >= len(WAVES)
    assert np.abs(loud[varied]).max() == 1 and np.allclose(soft[varied], 0.5 * WAVES[VIEWS.clip][varied])
    assert np.array_equal(loud[~varied], WAVES)  # the first view is the clip itself


@pytest.mark.parametrize("speed", [0.8, 1.25])
def test_a_faster_view_is_higher_and_shorter_and_stays_as_long(speed):
    time = np.arange(SAMPLES) / RATE
    tone = np.where(np.abs(time - time.mean()) < 0.2, np.sin(2 * np.pi * 400 * time), 0).astype(np.float32)
    heard = render(np.tile(tone, (CLIPS, 1)), _plain(speed=np.full(len(VIEWS), speed)), np.array([CLIPS]), BACKGROUND)[0]
    assert heard.shape == (SAMPLES,) and heard.dtype == np.float32
    strength = np.abs(np.fft.rfft(heard))
    assert strength.argmax() * RATE / SAMPLES == pytest.approx(400 * speed, abs=5)
    loud = np.flatnonzero(np.abs(heard) > 0.3) / RATE
    assert np.ptp(loud) == pytest.approx(0.4 / speed, abs=0.01) and loud.mean() == pytest.approx(time.mean(), abs=0.01)


def test_what_is_drawn_lies_within_what_was_asked():
    views = draw_views(400, AUGMENT, RATE, 0)
    varied = np.arange(len(views)) >= 400
    assert np.abs(views.shift).max() == 0.05 * RATE
    assert 0.97 < 20 * np.log10(views.gain).max() / 6 <= 1 and -1 <= 20 * np.log10(views.gain).min() / 6 < -0.97
    noisy, mixed = np.isfinite(views.snr_db), views.share < 1
    assert not noisy[~varied].any() and not mixed[~varied].any()
    assert abs(noisy[varied].mean() - 0.5) < 0.05 and abs(mixed[varied].mean() - 0.5) < 0.05
    assert 5 <= views.snr_db[noisy].min() < 6 and 29 < views.snr_db[noisy].max() <= 30
    assert views.share.min() >= 0.5 and views.partner.min() >= 0 and views.partner.max() < 400
    assert (views.speed[~varied] == 1).all() and 1 / 1.2 <= views.speed.min() < 0.85 < 1.17 < views.speed.max() <= 1.2
    assert abs(np.log(views.speed[varied]).mean()) < 0.01


def test_nothing_varies_where_nothing_is_asked():
    views = draw_views(CLIPS, Augment(views=3, shift_s=0.0, gain_db=0.0, noise_share=0.0, mix_share=0.0), RATE, 0)
    assert (_heard(views) == np.tile(WAVES, (3, 1))).all()
