"""Synthetic keyword clips: eSpeak NG speaks ten words and twenty-five others; rooms, noise, gain and shifts are added.

No person speaks here. The speech comes from eSpeak NG (GPL-3, the optional package espeakng-loader), used only to
make this data. Every clip is 1 s of 16 kHz mono FLAC, and metadata.csv says how it was made.

The synthesiser carries state from one call to the next, so the same bytes come only from the same calls in the same
order. The clips are therefore cut into a fixed number of shards, and each shard is spoken by a fresh process: how
many processes run at once changes the time, never the bytes.
"""

from __future__ import annotations

import csv
import ctypes
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
import soxr

from edgecomp.errors import DataError
from edgecomp.progress import track

RATE_HZ = 16_000
WORDS = ("yes", "no", "up", "down", "left", "right", "on", "off", "stop", "go")
PLAIN = (
    "bed",
    "bird",
    "cat",
    "dog",
    "happy",
    "house",
    "marvin",
    "sheila",
    "tree",
    "wow",
    "zero",
    "one",
    "two",
    "three",
    "four",
    "five",
    "six",
    "seven",
    "eight",
    "nine",
)
ALIKE = ("yet", "snow", "town", "light", "goat")
UNKNOWN = (*PLAIN, *ALIKE)
"""Words that are not keywords; the last five sound like one, so that `unknown` is not a class of easy strangers."""
ACCENTS = {
    "gb": "en",
    "scotland": "en-gb-scotland",
    "lancaster": "en-gb-x-gbclan",
    "rp": "en-gb-x-rp",
    "us": "en-us",
    "caribbean": "en-029",
}
CLIPS = {"train": 36, "validation": 10, "test": 20}
"""Clips for each label and accent: 11 labels × 6 accents × 66 = 4,356."""
VOICES = {"train": 60, "validation": 14, "test": 30}
"""Shares of the voices: an audit of a slice is as good as the number of voices in it, so the test split has many."""
RATES_WPM = {"slow": (105, 140), "normal": (155, 195), "fast": (220, 290)}
NOISE_DB = {"clean": (28.0, 40.0), "moderate": (16.0, 26.0), "noisy": (6.0, 14.0)}
NOISES = ("white", "pink", "hum", "babble")
LOUDNESS_DB = (-34.0, -16.0)
LONGEST_S = 0.9
"""A word that takes longer is said again, faster: no word is cut."""
SHARDS = 8
COLUMNS = ("path", "label", "split", "voice", "accent", "voice_kind", "rate", "noise_level", "snr_db")
SAME_SPEAKER = {"anxiousandy": "andy", "anikarobot": "anika", "whisperf": "whisper"}


@dataclass(frozen=True)
class Voice:
    """A variant of eSpeak's voice: one vocal tract, which every accent can borrow.

    kind:   "female" or "male" where the variant's file has a gender line, else "other"
    family: variants that are settings of one speaker; a family stays on one side of the split
    """

    name: str
    kind: str
    family: str


@dataclass(frozen=True)
class Clip:
    """One line of the metadata, and what else is needed to make the same clip again."""

    path: str
    label: str
    split: str
    voice: str
    accent: str
    voice_kind: str
    rate: str
    noise_level: str
    snr_db: float
    word: str
    words_per_minute: int
    pitch: int
    noise: str
    crowd: tuple[str, ...]


def generate(folder: Path, seed: int) -> None:
    """Write metadata.csv and 4,356 clips into a folder.

    raises: DataError where eSpeak NG is not installed or does not start
    """
    clips = plan_clips(seed, voices())
    (folder / "audio").mkdir(parents=True, exist_ok=True)
    with ThreadPoolExecutor(min(SHARDS, os.cpu_count() or 1)) as pool:
        jobs = [pool.submit(_in_fresh_process, folder, seed, shard) for shard in range(SHARDS)]
        try:
            for job in track(as_completed(jobs), "speaking the keywords (parts)", total=SHARDS):
                job.result()
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
    with (folder / "metadata.csv").open("w", newline="", encoding="utf-8") as stream:
        table = csv.writer(stream, lineterminator="\n")
        table.writerow(COLUMNS)
        table.writerows([getattr(clip, column) for column in COLUMNS] for clip in clips)


def voices() -> list[Voice]:
    """List eSpeak's variants; a variant's kind is what the gender line of its own file says."""
    folder = Path(_loader().get_data_path()) / "voices" / "!v"
    found = []
    for file in sorted(folder.iterdir(), key=lambda f: f.name):
        lines = [line.split() for line in file.read_text(encoding="utf-8", errors="replace").splitlines()]
        said = next((line[1].lower() for line in lines if len(line) > 1 and line[0] == "gender"), "other")
        stem = file.name.lower()
        numbered_speakers = stem[0] in "fm" and stem[1:].isdigit()  # f1 to f5 and m1 to m8 are different people
        family = stem if numbered_speakers else stem.rstrip("0123456789")
        found.append(
            Voice(file.name, said if said in ("female", "male") else "other", SAME_SPEAKER.get(family, family))
        )
    return found


def plan_clips(seed: int, known: list[Voice], clips: dict[str, int] = CLIPS, again: int = 0) -> list[Clip]:
    """Decide every clip's word, voice, pace and noise; labels, accents, paces and noise levels are balanced.

    clips: for each split, how many clips every label has in every accent
    again: other clips of the same voices on the same sides, for whoever wants to look twice
    """
    rng = np.random.default_rng([seed, 0])
    sides = _split_voices(known, VOICES, rng)
    if again:
        rng = np.random.default_rng([seed, 2, again])
    plan: list[Clip] = []
    for split, count in clips.items():
        for label in (*WORDS, "unknown"):
            n = count * len(ACCENTS)
            speakers = _shuffled(sides[split], n, rng)
            spoken = _shuffled(UNKNOWN, n, rng) if label == "unknown" else [label] * n
            columns = zip(
                speakers,
                spoken,
                list(ACCENTS) * count,
                _shuffled(RATES_WPM, n, rng),
                _shuffled(NOISE_DB, n, rng),
                _shuffled(NOISES, n, rng),
                strict=True,
            )
            for number, (voice, word, accent, rate, level, noise) in enumerate(columns):
                crowd = rng.choice([v.name for v in sides[split]], 4)
                plan.append(
                    Clip(
                        path=f"audio/{split}-{label}-{number:03d}.flac",
                        label=label,
                        split=split,
                        voice=voice.name,
                        accent=accent,
                        voice_kind=voice.kind,
                        rate=rate,
                        noise_level=level,
                        snr_db=round(float(rng.uniform(*NOISE_DB[level])), 1),
                        word=word,
                        words_per_minute=int(rng.integers(*RATES_WPM[rate])),
                        pitch=int(rng.integers(35, 66)),
                        noise=noise,
                        crowd=tuple(map(str, crowd)),
                    )
                )
    return plan


def write_clips(folder: Path, plan: list[Clip], seed: int, shard: int) -> None:
    """Speak one shard of a plan into a folder; the same bytes again only in a process that has not spoken yet."""
    speaker = Speaker()
    for index in range(shard, len(plan), SHARDS):
        clip, rng = plan[index], np.random.default_rng([seed, 1, index])
        speech = _in_room(_spoken(speaker, clip), rng)[:RATE_HZ]
        place = np.zeros(RATE_HZ)
        start = int(rng.integers(0, RATE_HZ - len(speech) + 1))
        place[start : start + len(speech)] = speech
        noise = _babble(speaker, clip, rng) if clip.noise == "babble" else _noise(clip.noise, rng)
        level = np.sqrt(np.mean(speech**2))
        mixed = place / level + noise / np.sqrt(np.mean(noise**2)) * 10 ** (-clip.snr_db / 20)
        mixed *= 10 ** (rng.uniform(*LOUDNESS_DB) / 20)
        mixed *= min(1.0, 0.98 / np.abs(mixed).max())
        samples = np.round(mixed * 32767).astype(np.int16)
        soundfile.write(folder / clip.path, samples, RATE_HZ, subtype="PCM_16", format="FLAC")


class Speaker:
    """eSpeak NG through ctypes; one for each process, because the library has one state."""

    def __init__(self) -> None:
        loader = _loader()
        path = loader.get_data_path()
        if len(path) > 120:  # the library keeps its path in a short buffer and forgets a longer one
            self._link = tempfile.TemporaryDirectory()
            Path(self._link.name, "data").symlink_to(path, target_is_directory=True)
            path = f"{self._link.name}/data"
        self._library = ctypes.CDLL(loader.get_library_path())
        # 2: give samples to the callback before Synth returns; 0x8000: return an error instead of leaving the process
        rate = self._library.espeak_Initialize(2, 0, path.encode(), 0x8000)
        if rate <= 0:
            raise DataError(
                f"eSpeak NG does not start (code {rate})", where=loader.get_data_path(), fix="reinstall espeakng-loader"
            )
        self.rate_hz, self._blocks = rate, []
        kind = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.c_void_p)
        self._callback = kind(self._take)  # kept: the library holds only a bare pointer
        self._library.espeak_SetSynthCallback(self._callback)

    def say(self, words: str, voice: str, words_per_minute: int, pitch: int) -> np.ndarray:
        """Return words as eSpeak says them, -1 to 1 at its own rate."""
        self._blocks = []
        library, text = self._library, words.encode() + b"\0"
        if library.espeak_SetVoiceByName(voice.encode()) != 0:
            raise DataError(f"eSpeak NG has no voice {voice!r}", fix="reinstall espeakng-loader 0.2.4 or newer")
        library.espeak_SetParameter(1, words_per_minute, 0)
        library.espeak_SetParameter(3, pitch, 0)
        library.espeak_ng_SetRandSeed(ctypes.c_long(1))
        library.espeak_Synth(text, ctypes.c_size_t(len(text)), 0, 1, 0, 1, None, None)  # 1: characters; 1: UTF-8
        if not self._blocks:
            raise DataError(f"eSpeak NG said nothing for {words!r} as {voice}", fix="reinstall espeakng-loader")
        return np.concatenate(self._blocks) / 32768

    def _take(self, samples: ctypes.Array, count: int, _events: int) -> int:
        if count > 0:
            self._blocks.append(np.ctypeslib.as_array(samples, (count,)).astype(np.float64))
        return 0


def _in_fresh_process(folder: Path, seed: int, shard: int) -> None:
    command = [sys.executable, "-P", __file__, str(folder), str(seed), str(shard)]
    paths = os.pathsep.join(p for p in sys.path if p)
    done = subprocess.run(command, env=os.environ | {"PYTHONPATH": paths}, capture_output=True, text=True, check=False)
    if done.returncode:
        said = [line for line in done.stderr.splitlines() if line and not line.startswith(" ")]
        raise DataError(
            f"speaking the keywords failed: {said[-1] if said else f'code {done.returncode}'}",
            where=folder,
            fix="mend what it says and run the same command again",
        )


def _loader():
    try:
        import espeakng_loader
    except ImportError:
        raise DataError(
            "the keywords data needs eSpeak NG, which is not installed",
            where="models/keywords/data.py",
            fix='pip install "edgecomp[keywords]"',
        ) from None
    return espeakng_loader


def _split_voices(known: list[Voice], shares: dict[str, int], rng: np.random.Generator) -> dict[str, list[Voice]]:
    """Share out families of voices, each kind by itself, always to the split that is furthest behind."""
    sides: dict[str, list[Voice]] = {split: [] for split in shares}
    for kind in ("female", "male", "other"):
        taken = dict.fromkeys(shares, 0)
        placed = {voice.family for side in sides.values() for voice in side}
        families = sorted({v.family for v in known if v.kind == kind} - placed)
        for family in rng.permutation(families):
            split = min(shares, key=lambda s: taken[s] / shares[s])
            members = [v for v in known if v.family == family]
            sides[split] += members
            taken[split] += len(members)
    return sides


def _shuffled(items: Iterable, n: int, rng: np.random.Generator) -> list:
    """Return n items, each as often as any other (give or take one), in a random order."""
    items = list(items)
    order = [i for _ in range(-(-n // len(items))) for i in rng.permutation(len(items))][:n]
    return [items[i] for i in rng.permutation(order)]


def _spoken(speaker: Speaker, clip: Clip) -> np.ndarray:
    """Return a clip's word at 16 kHz without the silence around it (below a hundredth of the peak)."""
    pace = clip.words_per_minute
    while True:
        said = speaker.say(clip.word, f"{ACCENTS[clip.accent]}+{clip.voice}", pace, clip.pitch)
        speech = soxr.resample(said, speaker.rate_hz, RATE_HZ)
        loud = np.nonzero(np.abs(speech) > np.abs(speech).max() / 100)[0]
        speech = speech[loud[0] : loud[-1] + 1]
        if len(speech) <= LONGEST_S * RATE_HZ or pace >= RATES_WPM["fast"][1]:
            return speech
        pace = round(pace * 1.15)


def _in_room(speech: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Tilt the spectrum as a cheap microphone does and, in half of the clips, add a short decaying tail."""
    size = 1 << int(np.ceil(np.log2(len(speech) + RATE_HZ // 4)))
    hz = np.fft.rfftfreq(size, 1 / RATE_HZ)
    low, high, tilt = rng.uniform(60, 250), rng.uniform(3_500, 7_500), rng.uniform(-3, 3)
    response = (hz / np.hypot(hz, low)) * (high / np.hypot(hz, high)) * (np.maximum(hz, 50) / 1_000) ** (tilt / 6)
    seconds, share = rng.uniform(0.1, 0.35), rng.uniform(0.1, 0.6) * rng.integers(0, 2)
    t = np.arange(RATE_HZ // 4) / RATE_HZ
    tail = rng.standard_normal(len(t)) * np.exp(-6.9 * t / seconds)  # 6.9: 60 dB after `seconds`
    tail *= share / np.sqrt(np.sum(tail**2))
    tail[0] += 1
    heard = np.fft.irfft(np.fft.rfft(speech, size) * response * np.fft.rfft(tail, size), size)
    return heard[: len(speech) + len(t) // 2]


def _noise(kind: str, rng: np.random.Generator) -> np.ndarray:
    """Return one second of noise: white, pink, or the hum of mains or a motor over pink noise."""
    if kind == "white":
        return rng.standard_normal(RATE_HZ)
    spectrum = np.fft.rfft(rng.standard_normal(RATE_HZ)) / np.sqrt(np.maximum(np.arange(RATE_HZ // 2 + 1), 20))
    pink = np.fft.irfft(spectrum, RATE_HZ)
    if kind == "pink":
        return pink
    base, t = rng.uniform(45, 130), np.arange(RATE_HZ) / RATE_HZ
    tones = sum(rng.uniform(0.2, 1) / k * np.sin(2 * np.pi * (base * k * t + rng.random())) for k in range(1, 11))
    return tones / tones.std() + 0.3 * pink / pink.std()


def _babble(speaker: Speaker, clip: Clip, rng: np.random.Generator) -> np.ndarray:
    """Return one second of four voices of the same split that talk at once, none of them in keywords."""
    samples, crowd = speaker.rate_hz, np.zeros(speaker.rate_hz)
    for voice in clip.crowd:
        talk = speaker.say(" ".join(rng.choice(PLAIN, 4)), f"{ACCENTS[clip.accent]}+{voice}", 200, 50)
        talk = np.roll(np.resize(talk, samples), int(rng.integers(samples)))
        crowd += talk / max(talk.std(), 1e-6)
    return soxr.resample(crowd, samples, RATE_HZ)


if __name__ == "__main__":
    write_clips(Path(sys.argv[1]), plan_clips(int(sys.argv[2]), voices()), int(sys.argv[2]), int(sys.argv[3]))
