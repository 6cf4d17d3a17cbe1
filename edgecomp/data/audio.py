"""One audio file → one waveform: decode, mix to mono, resample, fit to a length. Knows nothing of data sets."""

from __future__ import annotations

import re
import zlib
from pathlib import Path

import numpy as np

from edgecomp.errors import AudioError
from edgecomp.progress import quiet_libraries

SUFFIXES = (".wav", ".flac", ".ogg", ".oga", ".opus", ".mp3")
"""What libsndfile decodes for us (MP3 through its own mpg123, since libsndfile 1.1)."""

MEND = 'record or copy the file again, or set resolve.unreadable = "drop" under [data] to leave it out'
_WAV_LENGTH = re.compile(r"^\s*data\s*: (\d+) \(should be (\d+)\)", re.MULTILINE)
_REVERSED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))


def read_audio(path: Path) -> tuple[np.ndarray, int]:
    """Decode one file, all channels averaged into one.

    returns: (frames,) float32, full scale is -1 to 1; and the file's own rate in Hz
    raises:  AudioError if the file is absent, corrupt, truncated, empty, or holds a NaN or an infinity
    """
    import soundfile

    if not path.is_file():
        raise AudioError("there is no such audio file", where=path, fix="check the path and the manifest")
    if path.stat().st_size == 0:
        raise AudioError("the file is empty (0 bytes)", where=path, fix=MEND)
    try:
        with soundfile.SoundFile(path) as file:
            promised, rate, kind, log = file.frames, file.samplerate, file.format, file.extra_info
            sound = file.read(dtype="float32", always_2d=True)
    except soundfile.LibsndfileError as why:
        said = why.error_string.rstrip(".").removeprefix("Error : ")
        if path.suffix.lower() == ".mp3" and "does not exist" in said:  # libsndfile's words for an MP3 without a frame
            said = "no MPEG frame in it"
        raise AudioError(f"cannot be decoded: {said}", where=path, fix=_or_convert(path)) from None
    except (OSError, RuntimeError) as why:
        raise AudioError(f"cannot be read: {why}", where=path, fix=MEND) from None
    if (fault := _truncation(path, kind, promised, len(sound), log)) is not None:
        raise AudioError(fault, where=path, fix=MEND)
    if len(sound) == 0:
        raise AudioError("the clip has no samples", where=path, fix=MEND)
    if not np.isfinite(sound).all():
        bad = int(np.count_nonzero(~np.isfinite(sound)))
        raise AudioError(f"{bad} of {sound.size} samples are NaN or infinite", where=path, fix=MEND)
    return np.ascontiguousarray(sound.mean(axis=1, dtype=np.float32)), rate


def resample(wave: np.ndarray, source_hz: int, target_hz: int) -> np.ndarray:
    """Change the sample rate with soxr's very high quality: (n,) float32 → (about n · target / source,) float32."""
    if source_hz == target_hz:
        return wave
    import soxr

    return soxr.resample(wave, source_hz, target_hz, quality="VHQ").astype(np.float32, copy=False)


def fit(wave: np.ndarray, samples: int, how: str) -> np.ndarray:
    """Crop or pad to a length; a shorter clip stands in the middle of zeros.

    wave:    (n,) float32
    how:     which part of a longer clip stays: "loudest" (the window of highest energy), "centre" or "start"
    returns: (samples,) float32
    """
    spare = len(wave) - samples
    if spare <= 0:
        before = -spare // 2
        return np.pad(wave, (before, -spare - before)).astype(np.float32, copy=False)
    start = {"loudest": _loudest, "centre": lambda w, n: (len(w) - n) // 2, "start": lambda w, n: 0}
    if how not in start:
        raise AudioError(f"cannot fit a clip by {how!r}", where="fit", fix=f"allowed: {', '.join(start)}")
    first = start[how](wave, samples)
    return np.ascontiguousarray(wave[first : first + samples], dtype=np.float32)


def load_clip(path: Path, *, sample_rate: int, samples: int, fit: str) -> np.ndarray:
    """Read one file as a model wants it: (samples,) float32 at sample_rate Hz; raises AudioError."""
    with quiet_libraries():
        wave, rate = read_audio(path)
    return _fit(resample(wave, rate, sample_rate), samples, fit)


_fit = fit  # load_clip has a parameter of that name


def _loudest(wave: np.ndarray, samples: int) -> int:
    """Return where the window of highest energy begins; the first of equals."""
    energy = np.concatenate([[0.0], np.cumsum(np.square(wave, dtype=np.float64))])
    return int(np.argmax(energy[samples:] - energy[:-samples]))


def _truncation(path: Path, kind: str, promised: int, read: int, log: str) -> str | None:
    """Say how a file ends too early, or None; libsndfile itself says nothing for WAV and Ogg."""
    if read < promised:
        return f"truncated: {read} of {promised} frames decode"
    if kind in ("WAV", "WAVEX") and (found := _WAV_LENGTH.search(log)):
        declared, present = int(found[1]), int(found[2])
        unknown = declared == 0 or declared >= 0x7FFFF000  # written to a pipe: the length was never known
        if present < declared and not unknown:
            return f"truncated: {present} of {declared} bytes of sound are there"
    if kind == "OGG":
        return _ogg_fault(path.read_bytes())
    return None


def _ogg_fault(content: bytes) -> str | None:
    """Walk the pages of an Ogg file (RFC 3533, section 6) and check their checksums and the end."""
    place, last = 0, False
    while content[place : place + 4] == b"OggS" and len(content) >= place + 27:
        lengths = content[place + 27 : place + 27 + content[place + 26]]
        end = place + 27 + len(lengths) + sum(lengths)
        if end > len(content):
            return f"truncated: the page at byte {place} is cut off"
        page = content[place : place + 22] + bytes(4) + content[place + 26 : end]
        if _ogg_checksum(page) != int.from_bytes(content[place + 22 : place + 26], "little"):
            return f"corrupt: the page at byte {place} fails its checksum"
        last = bool(content[place + 5] & 4)
        place = end
    return None if last else f"truncated: no last page (bytes read: {place} of {len(content)})"


def _ogg_checksum(page: bytes) -> int:
    """CRC-32 with polynomial 0x04c11db7, not reflected, from 0: zlib's on reversed bits."""
    value = zlib.crc32(page.translate(_REVERSED), 0xFFFFFFFF) ^ 0xFFFFFFFF
    return int(f"{value:032b}"[::-1], 2)


def _or_convert(path: Path) -> str:
    if path.suffix.lower() in SUFFIXES:
        return MEND
    return f"convert it: edgecomp reads {', '.join(SUFFIXES)}"
