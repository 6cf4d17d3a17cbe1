"""Sounds that are none of the task's: what a model should be unsure about, made from nothing, its clips, or another's."""

from __future__ import annotations

import zlib
from collections.abc import Callable

import numpy as np

from edgecomp.data.audio import fit
from edgecomp.data.corruptions import check_waves, coloured_noise

CLIPS = 64
"""Sounds of each kind; fewer where a kind is made of clips and there are fewer of them."""

FOREIGN = {
    "silence": "No sound at all: a muted microphone, of which at most the last bit of 16 flickers.",
    "rumble": "A room with a deep rumble, such as wind or an engine (brown noise), faint to loud.",
    "murmur": "A room with an even murmur, such as a far-off street (pink noise), faint to loud.",
    "hiss": "A room with a hiss, such as a fan or rain (white noise), faint to loud.",
    "hum": "The hum of the mains at 50 or 60 Hz with its overtones.",
    "tone": "One steady pure tone, deep to high.",
    "sweep": "One tone that glides from a pitch to another.",
    "alarm": "The beeps of an alarm, one or two tones in turn.",
    "clicks": "Short clicks and knocks with silence between them.",
    "reversed": "The task's own clips played backwards; rain or a fan sounds the same that way, speech and coughs do not.",
    "scrambled": "Steady noise with the pitch and loudness of the task's own clips, but nothing of what happens in them.",
    "other-task": "Clips that belong to another task, cut or repeated to this one's length.",
}
"""Each kind of foreign sound, and a sentence about it for readers."""


def foreign_sounds(
    waves: np.ndarray, sample_rate: int, seed: int = 0, other: np.ndarray | None = None
) -> dict[str, np.ndarray]:
    """Make foreign sounds of every kind in FOREIGN; "other-task" only where other is given.

    waves:   (n, samples) float32, clips of the task, full scale is -1 to 1
    other:   (k, any length) float32, clips of another task at the same sample rate; other clips change no other kind
    returns: name → (m, samples) float32 within -1 to 1; m is CLIPS, or fewer where n or k are fewer
    raises:  DataError if waves or other are no finite array of that shape
    """
    check_waves(waves, "foreign_sounds")
    samples = waves.shape[1]
    made = {}
    for name, make in _MADE.items():
        rng = _rng(seed, name)
        made[name] = np.stack([make(rng, row, samples, sample_rate) for row in range(CLIPS)])
    made["reversed"] = _drawn(waves, _rng(seed, "reversed"))[:, ::-1]
    rng = _rng(seed, "scrambled")
    chosen = _drawn(waves, rng)
    made["scrambled"] = np.stack([_scrambled(wave, rng) for wave in chosen]) if len(chosen) else chosen
    if other is not None:
        check_waves(other, "foreign_sounds, other")
        chosen = _drawn(other, _rng(seed, "other-task"))
        made["other-task"] = np.array([_to_length(wave, samples) for wave in chosen]).reshape(-1, samples)
    return {name: np.clip(made[name], -1, 1).astype(np.float32) for name in FOREIGN if name in made}


def _silence(rng: np.random.Generator, row: int, samples: int, sample_rate: int) -> np.ndarray:
    """The first is digital zero; the others flicker by one step of 16 bits, each more often than the one before."""
    return rng.choice([-1, 1], samples) * (rng.random(samples) < row / CLIPS) / 2**15


def _room(slope: float) -> Callable[[np.random.Generator, int, int, int], np.ndarray]:
    """Return the maker of noise of one colour, from -60 to -15 dB of full scale."""

    def make(rng: np.random.Generator, row: int, samples: int, sample_rate: int) -> np.ndarray:
        return _amplitude(-60 + 45 * row / (CLIPS - 1)) * coloured_noise(rng, samples, sample_rate, slope)

    return make


def _hum(rng: np.random.Generator, row: int, samples: int, sample_rate: int) -> np.ndarray:
    """50 Hz in even rows and 60 Hz in odd ones, with overtones that fall at random; as many as the rate can hold."""
    time = np.arange(samples) / sample_rate
    base = (50.0, 60.0)[row % 2]
    wave = np.zeros(samples)
    for overtone in range(1, 11):
        strength, phase = rng.uniform(0.2, 1.0) / overtone, rng.uniform(0, 2 * np.pi)
        if base * overtone < 0.45 * sample_rate:
            wave += strength * np.sin(2 * np.pi * base * overtone * time + phase)
    return _at_peak(wave, rng.uniform(-40, -6))


def _tone(rng: np.random.Generator, row: int, samples: int, sample_rate: int) -> np.ndarray:
    """The pitch rises from row to row, by equal musical steps."""
    pitch = _pitch(row / (CLIPS - 1), sample_rate)
    wave = np.sin(2 * np.pi * pitch * np.arange(samples) / sample_rate + rng.uniform(0, 2 * np.pi))
    return _at_peak(wave, rng.uniform(-40, -3))


def _sweep(rng: np.random.Generator, row: int, samples: int, sample_rate: int) -> np.ndarray:
    """Glide by equal musical steps: up in even rows, down in odd ones, over at least a third of the range."""
    low = rng.uniform(0, 2 / 3)
    ends = low, rng.uniform(low + 1 / 3, 1)
    place = np.linspace(*(ends if row % 2 == 0 else ends[::-1]), samples)
    wave = np.sin(2 * np.pi * np.cumsum(_pitch(place, sample_rate)) / sample_rate)
    return _at_peak(wave, rng.uniform(-30, -3))


def _alarm(rng: np.random.Generator, row: int, samples: int, sample_rate: int) -> np.ndarray:
    """Beep two to eight times a second: tone and pause in even rows, two tones in turn in odd ones."""
    time = np.arange(samples) / sample_rate + rng.uniform(0, 1)
    first = (time * rng.uniform(2, 8)) % 1 < 0.5
    pitch = rng.uniform(0.06, 0.2) * sample_rate
    wave = np.sin(2 * np.pi * np.cumsum(np.where(first, pitch, 0.75 * pitch)) / sample_rate)
    return _at_peak(wave if row % 2 else wave * first, rng.uniform(-30, -3))


def _clicks(rng: np.random.Generator, row: int, samples: int, sample_rate: int) -> np.ndarray:
    """One to twelve bursts of noise that die away within 0.1 to 5 ms."""
    wave = np.zeros(samples)
    for _ in range(1 + row % 12):
        start = rng.integers(0, samples)
        decay = rng.uniform(0.0001, 0.005) * sample_rate
        burst = rng.standard_normal(samples - start) * np.exp(-np.arange(samples - start) / decay)
        wave[start:] += rng.uniform(0.1, 1.0) * burst / np.abs(burst).max()
    return wave / max(1.0, np.abs(wave).max())


_MADE: dict[str, Callable[[np.random.Generator, int, int, int], np.ndarray]] = {
    "silence": _silence, "rumble": _room(-2), "murmur": _room(-1), "hiss": _room(0), "hum": _hum, "tone": _tone,
    "sweep": _sweep, "alarm": _alarm, "clicks": _clicks,
}  # fmt: skip


def _scrambled(wave: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Keep the strength of every frequency and draw its phase anew; softer as a whole where full scale is too small."""
    strength = np.abs(np.fft.rfft(wave))
    phase = rng.uniform(0, 2 * np.pi, len(strength))
    phase[0] = 0
    if len(wave) % 2 == 0:
        phase[-1] = 0  # the highest frequency of an even length has no phase, and would lose strength
    mixed = np.fft.irfft(strength * np.exp(1j * phase), len(wave))
    return mixed / max(1.0, np.abs(mixed).max())


def _drawn(waves: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Draw at most CLIPS clips, each once, in their order."""
    return np.asarray(waves[np.sort(rng.permutation(len(waves))[:CLIPS])])


def _to_length(wave: np.ndarray, samples: int) -> np.ndarray:
    """Cut the loudest part out, or repeat a shorter clip."""
    if len(wave) < samples:
        return np.resize(wave, samples)
    return fit(wave, samples, "loudest")


def _pitch(share: float | np.ndarray, sample_rate: int) -> float | np.ndarray:
    """Return the pitch in Hz at a share of the range: from 1/200 of the sample rate to 9/20 of it, evenly in octaves."""
    return sample_rate / 200 * 90.0**share


def _at_peak(wave: np.ndarray, peak_db: float) -> np.ndarray:
    """Scale to a peak in dB of full scale; a wave without any stays as it is."""
    peak = np.abs(wave).max()
    return wave * (_amplitude(peak_db) / peak if peak > 0 else 0)


def _amplitude(level_db: float) -> float:
    return 10 ** (level_db / 20)


def _rng(seed: int, name: str) -> np.random.Generator:
    return np.random.default_rng([seed, zlib.crc32(name.encode())])
