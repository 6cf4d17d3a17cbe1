"""A first recipe for one's own data: what is written loads, and says what was guessed."""

import pytest

from edgecomp.data.manifest import load_dataset
from edgecomp.data.scaffold import scaffold
from edgecomp.errors import DataError
from edgecomp.recipe import read_recipe
from edgecomp.store import Store
from tests.shared_data import shared_data
from tests.small_data import write_clip, write_data, write_table


def loaded(tmp_path, source, name="mine"):
    (tmp_path / "recipe.toml").write_text(scaffold(source, name), encoding="utf-8")
    recipe = read_recipe(tmp_path)
    return recipe, load_dataset(recipe, Store(tmp_path / "build"))


def table(folder, *rows):
    folder.mkdir()
    write_table(folder, list(rows))


@pytest.mark.parametrize("split", [False, True])
def test_a_csv_becomes_a_recipe_that_loads(tmp_path, split):
    write_data(tmp_path / "data", split=split)
    recipe, data = loaded(tmp_path, tmp_path / "data" / "metadata.csv")
    assert (recipe.data.subject, recipe.data.groups, recipe.data.split.column) == (
        "speaker",
        ["place"],
        "split" if split else None,
    )
    assert (recipe.data.sample_rate, recipe.data.seconds) == (8000, 0.5)
    assert data.labels == ("no", "yes") and len(data.clips) == 48 and len(data.of("test").clips) > 3


def test_columns_of_other_names_are_found(tmp_path):
    rows = write_data(tmp_path / "data")
    (tmp_path / "data" / "metadata.csv").unlink()
    write_table(
        tmp_path / "data",
        [
            {
                "id": str(n),
                "clip": row["path"],
                "diagnosis": row["label"],
                "patient_id": row["speaker"],
                "age": row["age"],
                "duration_s": "0.5",
            }
            for n, row in enumerate(rows)
        ],
        "list.csv",
    )
    recipe, data = loaded(tmp_path, tmp_path / "data")
    assert (recipe.data.manifest, recipe.data.path_column, recipe.data.label_column, recipe.data.subject) == (
        "list.csv",
        "clip",
        "diagnosis",
        "patient_id",
    )
    assert '# bins = { "age"' in (tmp_path / "recipe.toml").read_text() and len(data.clips) == 48


def test_numbered_folds_become_splits(tmp_path):
    rows = write_data(tmp_path / "data")
    write_table(tmp_path / "data", [row | {"fold": str(int(row["speaker"][1]) % 4 + 8)} for row in rows])
    recipe, data = loaded(tmp_path, tmp_path / "data")
    split = recipe.data.split
    assert (split.column, split.train, split.validation, split.test) == ("fold", ["8", "9"], ["10"], ["11"])
    assert len(data.of("train").clips) == 24


def test_a_split_without_validation_holds_some_training_clips_out(tmp_path):
    rows = write_data(tmp_path / "data", split=True)
    write_table(tmp_path / "data", [row | {"split": row["split"].replace("validation", "train")} for row in rows])
    recipe, data = loaded(tmp_path, tmp_path / "data")
    assert recipe.data.split.validation_from_train == 0.15 and data.of("validation").clips


@pytest.mark.parametrize("above", ["", "train/", "sides"])
def test_folders_of_audio_become_a_recipe_that_loads(tmp_path, above):
    for number in range(40):
        side = ("train/" if number % 4 else "test/") if above == "sides" else ""
        write_clip(
            tmp_path / "data" / f"{side}{('cough', 'talk')[number % 2 == number // 4 % 2]}" / f"{number}.flac",
            number,
            rate=44_100,
            seconds=0.7,
        )
    recipe, data = loaded(tmp_path, tmp_path / "data", "My Coughs (2)")
    assert recipe.name == "my-coughs-2" and recipe.data.manifest == "audiofolder"
    assert (recipe.data.sample_rate, recipe.data.seconds, data.labels) == (16_000, 1.0, ("cough", "talk"))
    assert all(data.of(side).clips for side in ("train", "validation", "test"))


def test_awkward_names_are_quoted(tmp_path):
    rows = write_data(tmp_path / "data")
    write_table(
        tmp_path / "data",
        [{"path": row["path"], 'la"bel': {"no": 'n\\o "é"', "yes": "j,a"}[row["label"]]} for row in rows],
    )
    assert loaded(tmp_path, tmp_path / "data")[1].labels == ("j,a", 'n\\o "é"')


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda folder: None, "no such folder or CSV"),
        (lambda folder: folder.mkdir(), "no audio below this folder"),
        (lambda folder: write_clip(folder / "only" / "a.wav", 1), "1 labels found"),
        (lambda folder: table(folder, {"text": "hello", "label": "x"}), "no column holds the names"),
        (lambda folder: table(folder, {"path": "a.wav", "label": "x"}), "looks like a label"),
        (
            lambda folder: table(folder, {"path": "a.wav", "label": "x"}, {"path": "b.wav", "label": "y"}),
            "none of the 2 audio files can be read",
        ),
    ],
)
def test_data_that_cannot_become_a_recipe_are_one_message(tmp_path, make, words):
    make(tmp_path / "data")
    with pytest.raises(DataError, match=words) as caught:
        scaffold(tmp_path / "data", "mine")
    assert caught.value.fix and caught.value.where


@pytest.mark.parametrize(
    ("folder", "seconds", "subject"), [("wakewords", 2.0, "voice_cluster"), ("esc10", 5.0, "subject")]
)
def test_real_data_become_a_recipe_that_loads(tmp_path, folder, seconds, subject):
    recipe, data = loaded(tmp_path, shared_data(folder), folder)
    assert (recipe.data.seconds, recipe.data.subject, recipe.data.split.column) == (seconds, subject, "fold")
    assert len(data.of("test").clips) in (456, 80)
