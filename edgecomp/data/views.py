"""Views: the seeded variations of the training clips that teacher and student both hear.

A view is drawn once and rendered on demand, so that the teacher's answer to exactly this sound can be kept
(the consistent teacher of Beyer et al. 2022, arXiv:2106.05237). The first view of every clip is the clip itself.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import soxr

from edgecomp.data.audio import fit
from edgecomp.recipe import Augment

NOISES, NOISE_S = 48, 20
"""Recordings of background noise that are drawn, and their length in seconds."""


@dataclass(frozen=True)
class Views:
    """All views of a training split, by row; row = view × clips + clip.

    clip, partner: (n,) indices of the clip and of the clip mixed in
    share:         (n,) the clip's part of a mix, 1 where nothing is mixed in
    shift:         (n, 2) samples that clip and partner move by
    gain:          (n,) amplitude factor
    snr_db:        (n,) of the noise; infinite where there is none
    noise, offset: (n,) which noise and from which sample
    speed:         (n,) how fast it is played, 1 as recorded; voices grow higher with it
    """

    clip: np.ndarray
    partner: np.ndarray
    share: np.ndarray
    shift: np.ndarray
    gain: np.ndarray
    snr_db: np.ndarray
    noise: np.ndarray
    offset: np.ndarray
    speed: np.ndarray
    sample_rate: int
    seed: int

    def __len__(self) -> int:
        return len(self.clip)

    def soft_labels(self, targets: np.ndarray, classes: int) -> np.ndarray:
        """Return each view's label as shares of the classes, (n, classes) float32.

        targets: (clips,) class numbers, -1 for clips without a label; a view that holds any of such a clip is all zero
        """
        hot = np.eye(classes, dtype=np.float32)[targets]
        share = self.share[:, None].astype(np.float32)
        known = (targets[self.clip] >= 0) & ((targets[self.partner] >= 0) | (self.share == 1))
        return (share * hot[self.clip] + (1 - share) * hot[self.partner]) * known[:, None]


def draw_views(clips: int, augment: Augment, sample_rate: int, seed: int) -> Views:
    """Draw the views of a training split of some clips."""
    rng = np.random.default_rng([seed, 7])
    n = clips * augment.views
    varied = np.arange(n) >= clips
    mixed = varied & (rng.random(n) < augment.mix_share)
    noisy = varied & (rng.random(n) < augment.noise_share)
    widest, fastest = round(augment.shift_s * sample_rate), np.log1p(augment.speed)
    return Views(
        clip=np.arange(n) % clips,
        partner=rng.integers(0, clips, n),
        share=np.where(mixed, rng.uniform(0.5, 1.0, n), 1.0),
        shift=np.where(varied[:, None], rng.integers(-widest, widest + 1, (n, 2)), 0),
        gain=np.where(varied, 10 ** (rng.uniform(-1, 1, n) * augment.gain_db / 20), 1.0),
        snr_db=np.where(noisy, rng.uniform(*augment.noise_snr_db, n), np.inf),
        noise=rng.integers(0, NOISES, n),
        offset=rng.integers(0, (NOISE_S - 10) * sample_rate, n),
        speed=np.where(varied, np.exp(rng.uniform(-fastest, fastest, n)), 1.0),
        sample_rate=sample_rate,
        seed=seed,
    )


def noises(views: Views) -> np.ndarray:
    """Return the background noises, (NOISES, samples) float32 of power 1: coloured from rumble to hiss.

    The slopes of their spectra lie evenly between -2 (brown) and 0.5 (bluish).
    """
    rng = np.random.default_rng([views.seed, 11])
    samples = NOISE_S * views.sample_rate
    hz = np.fft.rfftfreq(samples, 1 / views.sample_rate)
    made = np.empty((NOISES, samples), np.float32)
    for row, slope in enumerate(np.linspace(-2, 0.5, NOISES)):
        spectrum = np.fft.rfft(rng.standard_normal(samples)) * np.maximum(hz, 50) ** (slope / 2)
        wave = np.fft.irfft(spectrum, samples)
        made[row] = wave / np.sqrt(np.mean(wave**2))
    return made


def render(waves: np.ndarray, views: Views, rows: np.ndarray, background: np.ndarray) -> np.ndarray:
    """Return the sound of some views.

    waves:      (clips, samples) float32, the training split in order
    background: what `noises` returned
    returns:    (len(rows), samples) float32
    """
    sounds = np.empty((len(rows), waves.shape[1]), np.float32)
    for place, row in enumerate(rows):
        sound = _moved(waves[views.clip[row]], views.shift[row, 0])
        if views.share[row] < 1:
            other = _moved(waves[views.partner[row]], views.shift[row, 1])
            sound = views.share[row] * sound + (1 - views.share[row]) * other
        if views.speed[row] != 1:
            sound = _played(sound, views.speed[row])
        if np.isfinite(views.snr_db[row]):
            level = np.sqrt(np.mean(sound**2)) * 10 ** (-views.snr_db[row] / 20)
            start = views.offset[row]
            sound = sound + level * _span(background[views.noise[row]], start, len(sound))
        is_varied = row >= len(waves)
        sounds[place] = np.clip(views.gain[row] * sound, -1, 1) if is_varied else sound
    return sounds


def _played(wave: np.ndarray, speed: float) -> np.ndarray:
    """Return a sound at another speed, cut or padded at both ends to its length (Ko et al. 2015, Interspeech, section 2)."""
    return fit(soxr.resample(wave, speed, 1.0, quality="HQ").astype(np.float32), len(wave), "centre")


def _span(noise: np.ndarray, start: int, length: int) -> np.ndarray:
    return np.take(noise, np.arange(start, start + length), mode="wrap")


def _moved(wave: np.ndarray, by: int) -> np.ndarray:
    if by == 0:
        return wave
    moved = np.zeros_like(wave)
    if by > 0:
        moved[by:] = wave[:-by]
    else:
        moved[:by] = wave[-by:]
    return moved
