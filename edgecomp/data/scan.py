"""What the audio files are: hashes, length, loudness, format, or why one cannot be read. Read once, then remembered."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from edgecomp.artifact import text_hash
from edgecomp.data.audio import read_audio
from edgecomp.errors import AudioError
from edgecomp.progress import quiet_libraries, track
from edgecomp.store import Store, clear_errors, write_atomically

FORMAT = 1
"""Raise it when Facts or what they mean change: older memories are then read anew."""

SILENT_PEAK = 1e-4
"""A clip that stays below this (-80 dB of full scale, three steps of 16 bits) about its mean has no sound in it."""


@dataclass(frozen=True)
class Facts:
    """One file as it lies there.

    content: SHA-256 of its bytes, hex
    sound:   SHA-256 of what is heard: mono, in 16 bits, rate included, digital silence at both ends left out
    peak:    largest distance from the mean, full scale is 1
    error:   why it cannot be used, or None; then sound, peak and seconds mean nothing
    """

    content: str
    sound: str = ""
    peak: float = 0.0
    seconds: float = 0.0
    rate_hz: int = 0
    channels: int = 0
    kind: str = ""
    error: str | None = None

    @property
    def is_silent(self) -> bool:
        """Claim that nothing can be heard."""
        return self.error is None and self.peak < SILENT_PEAK


def scan(folder: Path, paths: Iterable[str], store: Store) -> dict[str, Facts]:
    """Return the facts of each file, by path; a file is read again only when its size or time has changed."""
    paths = list(paths)
    memory_file = store.folder / "scans" / f"{text_hash(folder.resolve())[:32]}.json"
    memory = _recall(memory_file)
    stamps = {path: _stamp(folder / path) for path in paths}
    known = {path: memory[path][1] for path in paths if path in memory and memory[path][0] == stamps[path]}
    fresh = [path for path in paths if path not in known]
    if fresh:
        with quiet_libraries(), ThreadPoolExecutor(os.cpu_count()) as pool:
            read = pool.map(lambda path: look(folder / path), fresh)
            known |= dict(zip(fresh, track(read, "reading audio", len(fresh)), strict=True))
        rows = {path: [stamps[path], asdict(known[path])] for path in paths}
        with clear_errors(store.folder):
            memory_file.parent.mkdir(exist_ok=True)
            write_atomically(memory_file, json.dumps({"format": FORMAT, "files": rows}))
    return {path: known[path] for path in paths}


def look(file: Path) -> Facts:
    """Read one file and say what it is; never raises for a bad file."""
    import soundfile

    try:
        content = hashlib.sha256(file.read_bytes()).hexdigest()
    except OSError as why:
        return Facts("", error="there is no such file" if isinstance(why, FileNotFoundError) else str(why.strerror))
    try:
        wave, rate = read_audio(file)
        info = soundfile.info(file)
    except AudioError as why:
        return Facts(content, error=why.what)
    peak = float(np.abs(wave - wave.mean()).max())
    return Facts(
        content, _heard(wave, rate), peak, len(wave) / rate, rate, info.channels, f"{info.format} {info.subtype}"
    )


def _heard(wave: np.ndarray, rate: int) -> str:
    steps = np.round(wave * 32767.0).astype("<i4")
    loud = np.flatnonzero(steps)
    heard = steps[loud[0] : loud[-1] + 1] if len(loud) else steps[:0]
    return hashlib.sha256(f"{rate}:".encode() + heard.tobytes()).hexdigest()


def _stamp(file: Path) -> list[int]:
    try:
        status = file.stat()
    except OSError:
        return []
    return [status.st_size, status.st_mtime_ns]


def _recall(file: Path) -> dict[str, tuple[list[int], Facts]]:
    """Read what was remembered; a memory that is absent, damaged or of another format counts as empty."""
    try:
        memory = json.loads(file.read_text(encoding="utf-8"))
        if memory["format"] != FORMAT:
            return {}
        return {path: (stamp, Facts(**facts)) for path, (stamp, facts) in memory["files"].items()}
    except (OSError, ValueError, KeyError, TypeError):
        return {}
