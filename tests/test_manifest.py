"""Data sets: loaded with faults resolved or refused, fingerprinted, decoded once; and the recipes' real data."""

import time
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from edgecomp.data.audio import load_clip
from edgecomp.data.manifest import load_dataset, waveforms
from edgecomp.errors import DataError
from edgecomp.recipe import read_recipe
from edgecomp.store import Store
from tests.shared_data import shared_data
from tests.small_data import write_clip, write_data, write_recipe, write_table

MODELS = Path(__file__).resolve().parents[1] / "models"
SPEAKERS = {"subject": '"speaker"', "groups": '["place"]'}


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "build")


@pytest.fixture
def data(tmp_path):
    write_data(tmp_path / "data")
    return tmp_path / "data"


def test_targets_are_indices_into_the_labels(tmp_path, data, store):
    got = load_dataset(write_recipe(tmp_path, data, labels='["yes", "no"]'), store)
    assert got.labels == ("yes", "no") and got.targets.dtype == np.int64
    assert [got.labels[t] for t in got.targets] == [clip.label for clip in got.clips]


def test_splits_are_parts_of_the_whole_and_disjoint_by_subject(tmp_path, data, store):
    got = load_dataset(write_recipe(tmp_path, data, **SPEAKERS), store)
    parts = [got.of(side) for side in ("train", "validation", "test")]
    assert sum(len(part.clips) for part in parts) == len(got.clips) == 48
    people = [{clip.subject for clip in part.clips} for part in parts]
    assert not people[0] & people[1] and not people[1] & people[2] and not people[0] & people[2]


def test_an_unknown_split_names_those_allowed(tmp_path, data, store):
    with pytest.raises(DataError, match="test, train, validation"):
        load_dataset(write_recipe(tmp_path, data), store).of("dev")


def test_waveforms_are_the_fitted_clips_in_order(tmp_path, data, store):
    got = load_dataset(write_recipe(tmp_path, data, sample_rate="16000", seconds="0.25"), store)
    waves = waveforms(got, store)
    assert waves.shape == (48, 4000) and waves.dtype == np.float32 and not waves.flags.writeable
    want = load_clip(data / got.clips[7].path, sample_rate=16_000, samples=4000, fit="loudest")
    assert (waves[7] == want).all()


def test_waveforms_are_decoded_once(tmp_path, data, store, monkeypatch):
    got = load_dataset(write_recipe(tmp_path, data), store)
    first = np.array(waveforms(got, store))
    monkeypatch.setattr("edgecomp.data.manifest.load_clip", lambda *_, **__: pytest.fail("decoded again"))
    assert (waveforms(load_dataset(write_recipe(tmp_path, data), store), store) == first).all()


def test_the_fingerprint_repeats_and_follows_rows_audio_and_settings(tmp_path, data, store):
    def fingerprint(**settings):
        return load_dataset(write_recipe(tmp_path, data, **settings), store).fingerprint

    first = fingerprint()
    assert fingerprint() == first and fingerprint(groups='["place"]') != first and fingerprint(seconds="0.3") != first
    write_clip(data / "audio" / "000.wav", 999)
    assert fingerprint() != first


def test_the_data_folder_given_by_hand_wins(tmp_path, data, store):
    recipe = write_recipe(tmp_path, tmp_path / "gone")
    assert load_dataset(recipe, store, data=data).folder == data


@pytest.mark.parametrize(
    ("setting", "choice", "code"),
    [
        ("unreadable", "drop", "unreadable"),
        ("silent", "drop", "silent"),
        ("conflicts", "drop", "conflicting-labels"),
        ("duplicates", "keep-one", "duplicate-across-splits"),
        ("leaks", "keep-test", "subject-across-splits"),
    ],
)
def test_a_fault_stops_the_load_until_the_recipe_resolves_it(tmp_path, store, setting, choice, code):
    import soundfile

    folder = tmp_path / "data"
    rows = write_data(folder, split=True)
    column = '[data.split]\ncolumn = "split"\n'
    match setting:  # clip 0 is a training "no" of s0, clip 7 a "yes" of s3 in test, clip 6 its "no"
        case "unreadable":
            (folder / rows[0]["path"]).write_bytes(b"RIFF")
        case "silent":
            soundfile.write(folder / rows[0]["path"], np.zeros(4000), 8000)
        case "conflicts":
            (folder / rows[0]["path"]).write_bytes((folder / rows[7]["path"]).read_bytes())
        case "duplicates":
            (folder / rows[0]["path"]).write_bytes((folder / rows[6]["path"]).read_bytes())
        case "leaks":
            rows[0]["speaker"] = "s3"
            write_table(folder, rows)
    with pytest.raises(DataError, match=rf"(?s){code}.*000\.wav.*resolve\.{setting} = '{choice}'"):
        load_dataset(write_recipe(tmp_path, folder, column, **SPEAKERS), store)
    resolve = column + f'[data.resolve]\n{setting} = "{choice}"'
    got = load_dataset(write_recipe(tmp_path, folder, resolve, **SPEAKERS), store)
    gone = {row["path"] for row in rows} - {clip.path for clip in got.clips}
    assert gone == {"audio/000.wav"} | ({"audio/007.wav"} if setting == "conflicts" else set())
    [note] = got.notes
    assert (note["code"], note["resolution"], set(note["dropped"])) == (code, choice, gone)


def test_a_listed_file_that_is_absent_is_unreadable(tmp_path, data, store):
    (data / "audio" / "003.wav").unlink()
    with pytest.raises(DataError, match=r"(?s)003\.wav: there is no such file"):
        load_dataset(write_recipe(tmp_path, data), store)


def test_silent_clips_may_be_kept(tmp_path, data, store):
    import soundfile

    for name in ("000", "001"):  # equal, and of both labels: silence is no conflict
        soundfile.write(data / "audio" / f"{name}.wav", np.zeros(4000), 8000)
    got = load_dataset(write_recipe(tmp_path, data, '[data.resolve]\nsilent = "keep"'), store)
    assert len(got.clips) == 48 and got.notes[0]["dropped"] == []


def test_a_label_without_training_clips_is_an_error(tmp_path, data, store):
    with pytest.raises(DataError, match="no training clip has the label 'maybe'"):
        load_dataset(write_recipe(tmp_path, data, labels='["no", "yes", "maybe"]'), store)


def test_one_label_is_not_enough(tmp_path, store):
    folder = tmp_path / "data"
    write_table(folder, [row | {"label": "yes"} for row in write_data(folder)])
    with pytest.raises(DataError, match="one label, 'yes'"):
        load_dataset(write_recipe(tmp_path, folder), store)


GENERATOR = """
from tests.small_data import write_data
def generate(folder, seed):
    (folder.parent / "calls").open("a").write("x")
    write_data(folder)
"""


def test_a_generator_runs_once_and_again_when_its_code_changes(tmp_path, store):
    def load():
        return load_dataset(write_recipe(tmp_path, tmp_path, path="", generator='"make.py"'), store)

    (tmp_path / "make.py").write_text(GENERATOR)
    assert len(load().clips) == 48
    load()
    calls = store.folder / "making" / "calls"
    assert calls.read_text() == "x"
    (tmp_path / "make.py").write_text(GENERATOR + "# changed")
    load()
    assert calls.read_text() == "xx"


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("import no_such_package_here", "a package that is not installed: no_such_package_here"),
        ("x = 1", r"no function generate\(folder, seed\)"),
        ("def generate(folder, seed):\n    raise ZeroDivisionError('by hand')", "ZeroDivisionError: by hand"),
    ],
)
def test_a_bad_generator_is_one_message_and_leaves_no_data(tmp_path, store, code, words):
    (tmp_path / "make.py").write_text(code)
    with pytest.raises(DataError, match=words):
        load_dataset(write_recipe(tmp_path, tmp_path, path="", generator='"make.py"'), store)
    assert not list((store.folder / "done").iterdir()) and not list((store.folder / "making").iterdir())


def test_a_missing_generator_is_an_error(tmp_path, store):
    with pytest.raises(DataError, match="cannot read the generator"):
        load_dataset(write_recipe(tmp_path, tmp_path, path="", generator='"make.py"'), store)


@pytest.fixture(scope="session")
def real_store(tmp_path_factory):
    return Store(tmp_path_factory.mktemp("build"))


@pytest.mark.parametrize(
    ("recipe", "folder", "sizes"),
    [
        ("wakewords", "wakewords", {"train": 912, "validation": 456, "test": 456}),
        ("digits", "fsdd", {"train": 1620, "validation": 180, "test": 200}),
        ("digits/leave-one-speaker-out.toml", "fsdd", {"train": 1000, "validation": 500, "test": 500}),
        ("sounds", "esc10", {"train": 160, "validation": 80, "test": 80}),
        ("cough", "covid19cough", {"train": 536, "validation": 178, "test": 178}),
    ],
)
def test_a_shipped_recipe_loads_its_real_data(real_store, recipe, folder, sizes):
    got = load_dataset(read_recipe(MODELS / recipe), real_store, data=shared_data(folder))
    assert Counter(clip.split for clip in got.clips) == sizes
    people = {side: {clip.subject for clip in got.of(side).clips} - {None} for side in sizes}
    assert not people["train"] & people["test"] and not people["validation"] & people["test"]
    sounds = {side: {clip.content for clip in got.of(side).clips} for side in sizes}
    assert not sounds["train"] & sounds["test"] and not sounds["validation"] & sounds["test"]


def test_a_repeated_load_of_2000_files_reads_no_audio_and_takes_under_a_second(real_store, monkeypatch):
    recipe, folder = read_recipe(MODELS / "digits"), shared_data("fsdd")
    first = load_dataset(recipe, real_store, data=folder).fingerprint
    monkeypatch.setattr("edgecomp.data.scan.look", lambda file: pytest.fail("read again"))
    start = time.perf_counter()
    assert load_dataset(recipe, real_store, data=folder).fingerprint == first
    assert time.perf_counter() - start < 1
