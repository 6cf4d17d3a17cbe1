"""The synthetic keywords: who speaks where, balance, and the same bytes twice."""

import csv
import importlib.util
import subprocess
import sys
from collections import Counter
from itertools import combinations
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import soundfile

from edgecomp.errors import DataError
from edgecomp.recipe import read_recipe

SCRIPT = Path(__file__).parents[1] / "models" / "keywords" / "data.py"
SMALL = {"train": 1, "validation": 1, "test": 1}


@pytest.fixture(scope="module")
def data() -> ModuleType:
    spec = importlib.util.spec_from_file_location("keywords_data", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their own module up
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def plan(data):
    return data.plan_clips(0, data.voices())


def test_no_voice_family_stands_on_two_sides(data, plan):
    family = {voice.name: voice.family for voice in data.voices()}
    sides = [{family[v] for c in plan if c.split == split for v in (c.voice, *c.crowd)} for split in data.CLIPS]
    assert all(len(side) > 8 for side in sides)
    assert all(not (one & other) for one, other in combinations(sides, 2))


def test_every_label_has_the_same_accents_paces_and_noise_in_every_split(data, plan):
    for split, count in data.CLIPS.items():
        for label in (*data.WORDS, "unknown"):
            clips = [c for c in plan if (c.split, c.label) == (split, label)]
            assert Counter(c.accent for c in clips) == dict.fromkeys(data.ACCENTS, count)
            for column in ("rate", "noise_level", "noise"):
                counts = Counter(getattr(c, column) for c in clips).values()
                assert max(counts) - min(counts) <= 1
            assert {c.voice_kind for c in clips} == {"female", "male", "other"}


def test_a_plan_has_4356_clips_with_names_of_their_own(plan):
    assert len(plan) == 4356 == len({clip.path for clip in plan})
    assert Counter(c.split for c in plan) == {"train": 2376, "validation": 660, "test": 1320}


def test_the_same_seed_makes_the_same_plan_and_another_seed_another(data, plan):
    assert data.plan_clips(0, data.voices()) == plan
    assert data.plan_clips(1, data.voices()) != plan


def test_unknown_words_are_no_keywords(data, plan):
    assert not set(data.UNKNOWN) & set(data.WORDS)
    assert {c.word for c in plan if c.label == "unknown"} == set(data.UNKNOWN)
    assert all(c.word == c.label for c in plan if c.label != "unknown")


def test_a_voice_kind_is_what_its_file_says(data):
    kinds = {voice.name: voice.kind for voice in data.voices()}
    assert len(kinds) >= 100
    assert (kinds["f2"], kinds["m2"], kinds["robosoft"]) == ("female", "male", "other")


def _speak(data: ModuleType, folder: Path, shard: int) -> Path:
    """Speak one shard of a small plan in a process of its own."""
    (folder / "audio").mkdir(parents=True)
    code = (
        "import importlib.util, pathlib, sys\n"
        f"spec = importlib.util.spec_from_file_location('keywords_data', {str(SCRIPT)!r})\n"
        "m = importlib.util.module_from_spec(spec); sys.modules[spec.name] = m; spec.loader.exec_module(m)\n"
        f"m.write_clips(pathlib.Path({str(folder)!r}), m.plan_clips(3, m.voices(), {SMALL!r}), 3, {shard})\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)
    return folder


@pytest.fixture(scope="module")
def shard(data, tmp_path_factory) -> Path:
    return _speak(data, tmp_path_factory.mktemp("one") / "data", 2)


def test_a_shard_has_the_same_bytes_twice(data, shard, tmp_path):
    again = _speak(data, tmp_path / "again", 2)
    names = sorted(p.name for p in (shard / "audio").iterdir())
    assert len(names) > 20
    assert names == sorted(p.name for p in (again / "audio").iterdir())
    assert all((shard / "audio" / n).read_bytes() == (again / "audio" / n).read_bytes() for n in names)


def test_every_clip_is_one_audible_second_without_clipping(shard):
    for file in (shard / "audio").iterdir():
        samples, rate_hz = soundfile.read(file)
        assert (rate_hz, samples.shape) == (16_000, (16_000,))
        assert -45 < 20 * np.log10(np.sqrt(np.mean(samples**2))) < -10
        assert np.abs(samples).max() < 0.99


def test_no_word_is_cut(data, plan):
    speaker = data.Speaker()
    slow = sorted((c for c in plan if c.rate == "slow"), key=lambda c: c.words_per_minute)[:60]
    lengths_s = [len(data._spoken(speaker, clip)) / data.RATE_HZ for clip in slow]
    assert max(lengths_s) <= data.LONGEST_S
    assert min(lengths_s) > 0.05


def test_the_synthesiser_starts_from_a_long_path(data, tmp_path, monkeypatch):
    loader = data._loader()
    deep = tmp_path.joinpath(*["deep" * 10] * 6)
    deep.mkdir(parents=True)
    (deep / "data").symlink_to(loader.get_data_path(), target_is_directory=True)
    monkeypatch.setattr(loader, "get_data_path", lambda: str(deep / "data"))
    assert len(data.Speaker().say("yes", "en-us+f1", 170, 50)) > 2_000


def test_generate_writes_the_clips_its_metadata_names(data, tmp_path, monkeypatch):
    monkeypatch.setattr(data, "_in_fresh_process", lambda folder, seed, shard: None)  # the speaking itself: see above
    data.generate(tmp_path, 0)
    with (tmp_path / "metadata.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert list(rows[0]) == list(data.COLUMNS)
    assert len(rows) == 4356
    recipe = read_recipe(SCRIPT.parent)
    assert {row["label"] for row in rows} == set(recipe.data.labels)
    assert {*recipe.data.groups, recipe.data.subject, recipe.data.split.column} <= set(rows[0])


def test_a_missing_synthesiser_says_what_to_install(data, monkeypatch):
    monkeypatch.setitem(sys.modules, "espeakng_loader", None)
    with pytest.raises(DataError) as caught:
        data.voices()
    assert str(caught.value) == (
        "the keywords data needs eSpeak NG, which is not installed\n"
        "  where: models/keywords/data.py\n"
        '  fix:   pip install "edgecomp[keywords]"'
    )


def test_a_shard_that_fails_is_one_clear_error(data, tmp_path):
    with pytest.raises(DataError, match="speaking the keywords failed"):
        data._in_fresh_process(tmp_path / "missing", 0, 0)
