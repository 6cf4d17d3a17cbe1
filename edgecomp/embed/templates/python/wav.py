"""Read WAV files without a library: 8, 16, 24 and 32-bit PCM and 32 or 64-bit floats, any number of channels."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np

from .facts import ModelError

PCM, FLOAT, EXTENSIBLE = 1, 3, 0xFFFE
UNKNOWN_LENGTH = 0x7FFFF000
"""A length from here on was written to a pipe: it was never known."""


def read_wav(path: str | Path) -> tuple[np.ndarray, int]:
    """Return a file as (n,) float32, its channels averaged, and its rate in Hz.

    raises: ModelError where it cannot be read, is truncated or empty, or holds a sample that is no finite number
    """
    try:
        content = Path(path).read_bytes()
    except OSError as why:
        raise ModelError(f"{path} cannot be read: {why.strerror or why}") from None
    try:
        return _read(content)
    except ModelError as why:
        raise ModelError(f"{path}: {why}") from None


def pcm16(content: bytes) -> np.ndarray:
    """Return little-endian 16-bit samples as float32 from -1 to 1."""
    return np.frombuffer(content, "<i2").astype(np.float32) / np.float32(32768)


def _read(content: bytes) -> tuple[np.ndarray, int]:
    if len(content) < 12 or content[:4] != b"RIFF" or content[8:12] != b"WAVE":
        raise ModelError("this is no WAV file; convert it to 16-bit PCM WAV")
    shape, place = None, 12
    while place + 8 <= len(content):
        kind, (length,) = content[place : place + 4], struct.unpack_from("<I", content, place + 4)
        body = content[place + 8 : place + 8 + length]
        if kind == b"fmt ":
            shape = _shape(body)
        elif kind == b"data":
            if shape is None:
                raise ModelError("the WAV file is damaged: its sound comes before its format")
            if len(body) < length and 0 < length < UNKNOWN_LENGTH:
                raise ModelError(f"truncated: {len(body)} of {length} bytes of sound are there")
            return _mono(content[place + 8 :] if length == 0 else body, *shape[:3]), shape[3]
        place += 8 + length + length % 2
    raise ModelError("the WAV file is damaged: it has no sound")


def _shape(body: bytes) -> tuple[int, int, int, int]:
    """Return format, channels, bits and rate."""
    if len(body) < 16:
        raise ModelError("the WAV file is damaged: its format is cut off")
    form, channels, rate, _, _, bits = struct.unpack_from("<HHIIHH", body)
    if form == EXTENSIBLE and len(body) >= 26:
        (form,) = struct.unpack_from("<H", body, 24)
    if (form, bits) not in {(PCM, 8), (PCM, 16), (PCM, 24), (PCM, 32), (FLOAT, 32), (FLOAT, 64)} or channels < 1:
        raise ModelError(f"WAV format {form} with {bits} bits and {channels} channels is not read; use 16-bit PCM")
    return form, channels, bits, rate


def _mono(sound: bytes, form: int, channels: int, bits: int) -> np.ndarray:
    frame = channels * bits // 8
    sound = sound[: len(sound) // frame * frame]
    if not sound:
        raise ModelError("the recording has no samples")
    if form == FLOAT:
        with np.errstate(over="ignore"):
            wave = np.frombuffer(sound, f"<f{bits // 8}").astype(np.float32)
    elif bits == 8:
        wave = (np.frombuffer(sound, np.uint8).astype(np.float32) - 128) / 128
    elif bits == 24:
        parts = np.frombuffer(sound, np.uint8).reshape(-1, 3).astype(np.int32)
        whole = parts[:, 0] << 8 | parts[:, 1] << 16 | parts[:, 2] << 24
        wave = (whole >> 8).astype(np.float32) / np.float32(1 << 23)
    else:
        full = 1 << (bits - 1)
        wave = (np.frombuffer(sound, f"<i{bits // 8}").astype(np.float64) / full).astype(np.float32)
    if not np.isfinite(wave).all():
        raise ModelError(f"{int(np.count_nonzero(~np.isfinite(wave)))} of {wave.size} samples are NaN or infinite")
    return np.ascontiguousarray(wave.reshape(-1, channels).mean(axis=1, dtype=np.float32))
