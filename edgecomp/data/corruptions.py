"""What happens to sound outside the lab: named, seeded corruptions of waveforms, each a plain sentence and a number."""

from __future__ import annotations

import io
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, lru_cache

import numpy as np

from edgecomp.data.audio import fit, resample
from edgecomp.errors import AudioError, DataError, nearest
from edgecomp.progress import quiet_libraries

RANGES = {
    "noise": (-40.0, 100.0),
    "telephone": (600.0, 20_000.0),
    "lowpass": (100.0, 20_000.0),
    "clipping": (0.0, 0.9),
    "vorbis": (0.0, 1.0),
    "mp3": (8.0, 320.0),
    "gain": (-120.0, 60.0),
    "resampling": (1000.0, 96_000.0),
    "speed": (0.5, 2.0),
    "bits": (2.0, 16.0),
}
"""The kinds, and which levels each allows.

noise:      signal to noise in dB, both as powers over the whole clip
telephone:  upper edge in Hz of a band that begins at 300 Hz
lowpass:    upper edge in Hz
clipping:   share of the samples that are flattened, counted without digital zeros; the others keep their level
vorbis:     the encoder's quality, 0 (worst) to 1
mp3:        constant bit rate in kbit/s, or the nearest that MP3 has at this sample rate
gain:       dB; what leaves full scale is clipped
resampling: the rate in Hz that the sound passes through, or half its own where that is lower
speed:      playing speed, 1 is true
bits:       bits a sample
"""


@dataclass(frozen=True)
class Corruption:
    """One way for sound to arrive damaged: its name, its kind, how strong (unit: RANGES), and a sentence for readers.

    raises: DataError for an unknown kind or a level out of its range
    """

    name: str
    kind: str
    level: float
    text: str

    def __post_init__(self) -> None:
        where = f"Corruption {self.name!r}"
        if self.kind not in RANGES:
            raise DataError(f"unknown kind {self.kind!r}", where=where, fix=nearest(self.kind, RANGES))
        low, high = RANGES[self.kind]
        if not low <= self.level <= high:
            raise DataError(f"level {self.level:g} of {self.kind}", where=where, fix=f"allowed: {low:g} to {high:g}")


CORRUPTIONS = (
    Corruption("noise-20db", "noise", 20, "Faint background noise, with a hundredth of the sound's power."),
    Corruption("noise-10db", "noise", 10, "Clear background noise, with a tenth of the sound's power."),
    Corruption("noise-0db", "noise", 0, "Background noise as strong as the sound itself."),
    Corruption("telephone", "telephone", 3400, "Heard through a telephone line, which keeps 300 to 3400 Hz."),
    Corruption("pocket", "lowpass", 1000, "Muffled, as by a phone in a pocket: nothing above 1000 Hz is left."),
    Corruption("clipped", "clipping", 0.1, "Overdriven microphone: the loudest tenth of the samples is cut flat."),
    Corruption("ogg-vorbis", "vorbis", 0.0, "Saved as a small OGG Vorbis file, at the encoder's lowest quality."),
    Corruption(
        "mp3", "mp3", 16, "Saved as a small MP3 file of 16 kbit/s (32 where the sample rate is 32 kHz or more)."
    ),
    Corruption("quiet", "gain", -20, "Recorded too softly or from afar: a tenth of the amplitude."),
    Corruption("loud", "gain", 12, "Recorded too loudly: four times the amplitude, and cut off at full scale."),
    Corruption(
        "resampled", "resampling", 8000, "Recorded at 8000 Hz, or at half of the usual rate where that is lower."
    ),
    Corruption("fast", "speed", 1.03, "Recorder out of step: everything is 3 % faster and higher."),
    Corruption("slow", "speed", 0.97, "Recorder out of step: everything is 3 % slower and lower."),
    Corruption("8-bit", "bits", 8, "Stored with 8 bits a sample instead of 16, which adds a crackling hiss."),
)
"""What the audit applies, in the order of the report."""

_SKIRT_OCTAVES, _STOP_DB = 0.5, 60.0
"""A band edge falls to this attenuation within this many octaves."""
_MP3_RATES = (8000, 11_025, 12_000, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000)
"""Sample rates of MPEG-1, 2 and 2.5 Layer III (ISO/IEC 11172-3 and 13818-3, and Fraunhofer's 2.5) in Hz."""


def corrupt(waves: np.ndarray, corruption: Corruption, sample_rate: int, seed: int = 0) -> np.ndarray:
    """Apply one corruption to each clip; a clip's result depends on its samples and the seed, not on the other clips.

    waves:   (n, samples) float32, full scale is -1 to 1
    returns: (n, samples) float32 within -1 to 1; silence stays silence, except for what a codec makes of it
    raises:  DataError if waves are no finite array of that shape; AudioError if libsndfile cannot write the codec
    """
    check_waves(waves, "corrupt")
    if (why := refusal(corruption)) is not None:
        raise AudioError(why, where=f"corruption {corruption.name!r}", fix="install soundfile's own wheel with pip")
    apply = _KINDS[corruption.kind]
    made = np.empty(waves.shape, np.float32)
    with quiet_libraries():
        for row, wave in enumerate(waves):
            wave = np.asarray(wave, np.float32)
            made[row] = np.clip(apply(wave, corruption.level, sample_rate, seed), -1, 1)
    return made


def refusal(corruption: Corruption) -> str | None:
    """Say why this machine cannot apply a corruption, or None; a report lists what was left out for this reason."""
    import soundfile

    container, subtype = _CODECS.get(corruption.kind, ("WAV", "PCM_16"))
    if container in soundfile.available_formats() and subtype in soundfile.available_subtypes(container):
        return None
    version = soundfile.__libsndfile_version__
    return f"libsndfile {version} cannot write {container} ({subtype}); MP3 needs 1.1 or newer, built with LAME"


def check_waves(waves: np.ndarray, where: str) -> None:
    """Raise DataError unless waves are (n, samples) finite floats, with at least one sample each."""
    fix = "give (n, samples) float32 of full scale -1 to 1, as `waveforms` returns them"
    if waves.ndim != 2 or waves.shape[1] == 0 or waves.dtype.kind != "f":
        raise DataError(f"waves of shape {waves.shape} and type {waves.dtype}", where=where, fix=fix)
    if not all(np.isfinite(wave).all() for wave in waves):
        raise DataError("waves hold a NaN or an infinity", where=where, fix=fix)


def coloured_noise(rng: np.random.Generator, samples: int, sample_rate: int, slope: float) -> np.ndarray:
    """Draw noise of power 1 whose power falls as frequency ** slope above 50 Hz: -2 brown, -1 pink, 0 white.

    returns: (samples,) float64; a single sample is 1 or -1
    """
    spectrum = np.fft.rfft(rng.standard_normal(samples)) * _tilt(samples, sample_rate, slope)
    wave = np.fft.irfft(spectrum, samples)
    return wave / _rms(wave)


@lru_cache(maxsize=8)
def _tilt(samples: int, sample_rate: int, slope: float) -> np.ndarray:
    return np.maximum(np.fft.rfftfreq(samples, 1 / sample_rate), 50) ** (slope / 2)


def _noise(wave: np.ndarray, snr_db: float, sample_rate: int, seed: int) -> np.ndarray:
    """Add pink noise; a mix beyond full scale is made softer as a whole, which leaves its ratio as it was."""
    rng = np.random.default_rng([seed, zlib.crc32(wave.tobytes())])
    level = _rms(wave) * 10 ** (-snr_db / 20)
    mix = wave + level * coloured_noise(rng, len(wave), sample_rate, -1)
    return mix / max(1.0, np.abs(mix).max())


def _telephone(wave: np.ndarray, upper_hz: float, sample_rate: int, seed: int) -> np.ndarray:
    return _band(wave, 300.0, upper_hz, sample_rate)


def _lowpass(wave: np.ndarray, upper_hz: float, sample_rate: int, seed: int) -> np.ndarray:
    return _band(wave, 0.0, upper_hz, sample_rate)


def _clipping(wave: np.ndarray, share: float, sample_rate: int, seed: int) -> np.ndarray:
    sounding = np.abs(wave[wave != 0])
    limit = np.quantile(sounding, 1 - share) if len(sounding) else 0.0
    return np.clip(wave, -limit, limit)


def _vorbis(wave: np.ndarray, quality: float, sample_rate: int, seed: int) -> np.ndarray:
    return _coded(wave, "vorbis", 1 - quality, sample_rate)


def _mp3(wave: np.ndarray, kbit_s: float, sample_rate: int, seed: int) -> np.ndarray:
    """Pass through MP3, at the nearest rate above that it knows; libsndfile wants the bit rate as a share of its range."""
    rate = next((known for known in _MP3_RATES if known >= sample_rate), _MP3_RATES[-1])
    lowest, highest = (32, 320) if rate >= 32_000 else (8, 160) if rate >= 16_000 else (8, 64)
    share = (highest - kbit_s) / (highest - lowest)
    coded = _coded(resample(wave, sample_rate, rate), "mp3", min(max(share, 0.0), 0.999), rate)  # refuses 1.0 itself
    return _length(resample(coded, rate, sample_rate), len(wave))


def _gain(wave: np.ndarray, gain_db: float, sample_rate: int, seed: int) -> np.ndarray:
    return wave * np.float32(10 ** (gain_db / 20))


def _resampling(wave: np.ndarray, through_hz: float, sample_rate: int, seed: int) -> np.ndarray:
    through = min(round(through_hz), sample_rate // 2)
    return _length(resample(resample(wave, sample_rate, through), through, sample_rate), len(wave))


def _speed(wave: np.ndarray, speed: float, sample_rate: int, seed: int) -> np.ndarray:
    """Play faster (and pad with silence) or slower (and lose both ends)."""
    import soxr

    return fit(soxr.resample(wave, sample_rate * speed, sample_rate, quality="VHQ"), len(wave), "centre")


def _bits(wave: np.ndarray, bits: float, sample_rate: int, seed: int) -> np.ndarray:
    steps = 2 ** (round(bits) - 1)
    return np.clip(np.round(wave * steps), -steps, steps - 1) / steps


_KINDS: dict[str, Callable[[np.ndarray, float, int, int], np.ndarray]] = {
    "noise": _noise, "telephone": _telephone, "lowpass": _lowpass, "clipping": _clipping, "vorbis": _vorbis,
    "mp3": _mp3, "gain": _gain, "resampling": _resampling, "speed": _speed, "bits": _bits,
}  # fmt: skip
_CODECS = {"vorbis": ("OGG", "VORBIS"), "mp3": ("MP3", "MPEG_LAYER_III")}


def _band(wave: np.ndarray, lower_hz: float, upper_hz: float, sample_rate: int) -> np.ndarray:
    size = len(wave) + sample_rate // 4  # silence at the end, so that the filter's ringing does not come round
    kept = _band_gain(size, lower_hz, upper_hz, sample_rate)
    return np.fft.irfft(np.fft.rfft(wave, size) * kept, size)[: len(wave)]


@lru_cache(maxsize=8)
def _band_gain(size: int, lower_hz: float, upper_hz: float, sample_rate: int) -> np.ndarray:
    """Return the amplitude kept at each frequency: 1 inside, outside falling evenly in dB per octave to the stop band."""
    hz = np.fft.rfftfreq(size, 1 / sample_rate)
    octaves = np.zeros(len(hz))
    octaves[1:] = np.maximum(np.log2(hz[1:] / upper_hz), 0)
    if lower_hz:
        octaves[1:] = np.maximum(octaves[1:], np.log2(lower_hz / hz[1:]))
        octaves[0] = np.inf
    return 10 ** (-_STOP_DB * np.minimum(octaves / _SKIRT_OCTAVES, 1) / 20)


def _coded(wave: np.ndarray, codec: str, compression: float, sample_rate: int) -> np.ndarray:
    """Encode and decode one clip in memory and take the codec's delay away: (n,) → (n,)."""
    decoded = _through_file(wave, codec, compression, sample_rate)
    return _length(decoded[_delay(codec, compression, sample_rate) :], len(wave))


@cache
def _delay(codec: str, compression: float, sample_rate: int) -> int:
    """Measure in samples how much later a sound leaves a codec; small MP3 files do not say it in their header."""
    probe = np.zeros(sample_rate, np.float32)
    middle = slice(sample_rate // 4, sample_rate // 2)
    probe[middle] = 0.1 * coloured_noise(np.random.default_rng(0), sample_rate // 2 - sample_rate // 4, sample_rate, -1)
    decoded = _through_file(probe, codec, compression, sample_rate)
    size = len(probe) + len(decoded)
    likeness = np.fft.irfft(np.fft.rfft(decoded, size) * np.conj(np.fft.rfft(probe, size)), size)
    return int(np.argmax(likeness[: len(decoded)]))


def _through_file(wave: np.ndarray, codec: str, compression: float, sample_rate: int) -> np.ndarray:
    """Return what libsndfile decodes from what it encoded; MP3 may be longer than the clip and begin later."""
    import soundfile

    container, subtype = _CODECS[codec]
    how = {"compression_level": compression} | ({"bitrate_mode": "CONSTANT"} if codec == "mp3" else {})
    file = io.BytesIO()
    try:
        soundfile.write(file, wave, sample_rate, subtype=subtype, format=container, **how)
        file.seek(0)
        return soundfile.read(file, dtype="float32")[0]
    except soundfile.LibsndfileError as why:
        raise AudioError(
            f"libsndfile cannot pass {len(wave)} samples at {sample_rate} Hz through {codec}: {why.error_string}",
            where="corrupt",
            fix="use another sample rate, or leave this corruption out",
        ) from None


def _length(wave: np.ndarray, samples: int) -> np.ndarray:
    """Cut the end off, or fill it with silence."""
    return np.pad(wave[:samples], (0, max(0, samples - len(wave))))


def _rms(wave: np.ndarray) -> float:
    return float(np.sqrt(np.mean(np.square(wave, dtype=np.float64))))
