"""Facts of files: what counts as equal, what as silent, and when a file is read again."""

import numpy as np
import pytest
import soundfile

from edgecomp.data.scan import look, scan
from edgecomp.store import Store
from tests.small_data import write_clip


def test_equal_sound_is_seen_through_formats_channels_and_silence_at_the_ends(tmp_path):
    steps = np.random.default_rng(1).integers(-9000, 9000, 4000) / 32768
    for name, wave in {
        "a.wav": steps,
        "b.flac": steps,
        "c.wav": np.stack([steps, steps], 1),
        "d.wav": np.pad(steps, (500, 900)),
    }.items():
        soundfile.write(tmp_path / name, wave, 8000)
    soundfile.write(tmp_path / "float.wav", steps, 8000, subtype="FLOAT")
    facts = [look(file) for file in sorted(tmp_path.iterdir())]
    assert len({fact.sound for fact in facts}) == 1 and len({fact.content for fact in facts}) == 5


def test_the_same_samples_at_another_rate_are_another_sound(tmp_path):
    wave = np.random.default_rng(1).standard_normal(4000) / 5
    soundfile.write(tmp_path / "a.wav", wave, 8000)
    soundfile.write(tmp_path / "b.wav", wave, 16_000)
    assert look(tmp_path / "a.wav").sound != look(tmp_path / "b.wav").sound


@pytest.mark.parametrize(
    ("wave", "is_silent"),
    [
        (np.zeros(800), True),
        (np.full(800, 0.3), True),
        (np.tile([2, -2], 400) / 32768, True),
        (np.tile([9, -9], 400) / 32768, False),
    ],
)
def test_silence_is_what_stays_within_three_steps_of_16_bits(tmp_path, wave, is_silent):
    soundfile.write(tmp_path / "a.wav", wave, 8000)
    assert look(tmp_path / "a.wav").is_silent is is_silent


def test_a_file_is_read_again_only_when_it_changed(tmp_path, monkeypatch):
    store, read = Store(tmp_path / "build"), []
    for name in ("a.wav", "b.wav"):
        write_clip(tmp_path / name, 1)
    monkeypatch.setattr("edgecomp.data.scan.look", lambda file: read.append(file.name) or look(file))
    first = scan(tmp_path, ["a.wav", "b.wav"], store)
    write_clip(tmp_path / "b.wav", 2, seconds=0.6)
    second = scan(tmp_path, ["a.wav", "b.wav"], store)
    assert sorted(read) == ["a.wav", "b.wav", "b.wav"]
    assert second["a.wav"] == first["a.wav"] and second["b.wav"] != first["b.wav"]


@pytest.mark.parametrize(
    "damage", ["", "{", "[]", '{"format": 0, "files": {}}', '{"format": 1, "files": {"a.wav": 3}}']
)
def test_a_damaged_memory_is_read_anew(tmp_path, damage):
    store = Store(tmp_path / "build")
    write_clip(tmp_path / "a.wav", 1)
    first = scan(tmp_path, ["a.wav"], store)
    [memory] = (store.folder / "scans").iterdir()
    memory.write_text(damage)
    assert scan(tmp_path, ["a.wav"], store) == first
