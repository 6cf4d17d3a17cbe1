"""Recipes: every one that ships is whole, and every mistake in one is a message a person can act on."""

from pathlib import Path

import pytest

from edgecomp.errors import RecipeError
from edgecomp.recipe import PASS_TABLES, Recipe, read_recipe
from edgecomp.shipped import shipped

FOLDER = shipped("models")
NAMES = sorted(file.parent.name for file in FOLDER.glob("*/recipe.toml"))
GOOD = """name = "clicks"
summary = "clicks and clacks"
[data]
path = "clips"
labels = ["click", "clack"]
[data.split]
fractions = [0.6, 0.2, 0.2]
[prune]
keep = 0.5
"""


def _read(folder: Path, text: str) -> Recipe:
    (folder / "recipe.toml").write_text(text, encoding="utf-8")
    return read_recipe(folder)


def _refusal(folder: Path, text: str) -> RecipeError:
    with pytest.raises(RecipeError) as caught:
        _read(folder, text)
    assert caught.value.exit_code == 2
    assert "pydantic" not in str(caught.value).lower()
    return caught.value


@pytest.fixture(params=NAMES)
def shipped_recipe(request) -> Recipe:
    return read_recipe(FOLDER / request.param)


def test_keywords_ships():
    assert "keywords" in NAMES


@pytest.mark.parametrize("file", sorted(FOLDER.glob("*/*.toml")), ids=lambda f: f"{f.parent.name}/{f.name}")
def test_every_toml_beside_a_recipe_is_a_recipe_of_the_same_data(file):
    assert set(read_recipe(file).data.labels) == set(read_recipe(file.parent).data.labels)


def test_a_shipped_recipe_is_named_after_its_folder_and_says_what_it_is(shipped_recipe):
    assert shipped_recipe.name == shipped_recipe.folder.name
    assert len(shipped_recipe.summary) > 20
    assert shipped_recipe.file.read_text(encoding="utf-8").startswith("# ")


def test_a_shipped_recipe_states_source_and_licence_of_its_data(shipped_recipe):
    assert shipped_recipe.data.source != "not stated"
    assert shipped_recipe.data.licence != "not stated"


def test_a_shipped_recipe_lists_its_labels_once(shipped_recipe):
    labels = shipped_recipe.data.labels
    assert labels is not None and len(labels) >= 2
    assert len(set(labels)) == len(labels)


def test_a_shipped_recipe_brings_the_python_files_it_names(shipped_recipe):
    if shipped_recipe.data.generator:
        assert (shipped_recipe.folder / shipped_recipe.data.generator).is_file()
    if shipped_recipe.teacher.kind == "torch":
        assert (shipped_recipe.folder / shipped_recipe.teacher.path).is_file()


def test_a_recipe_is_read_from_its_folder_or_its_file(tmp_path):
    recipe = _read(tmp_path, GOOD)
    assert read_recipe(tmp_path / "recipe.toml") == recipe
    assert recipe.folder == tmp_path.resolve()
    assert recipe.data.samples == 16_000
    assert recipe.settings("prune") == {"keep": 0.5}
    assert all(recipe.settings(table) == {} for table in PASS_TABLES if table != "prune")


def test_voices_go_into_a_report_unless_the_recipe_says_no(tmp_path):
    assert _read(tmp_path, GOOD).report.voices
    assert not _read(tmp_path, GOOD + "[report]\nvoices = false\n").report.voices
    assert "voice" in str(_refusal(tmp_path, GOOD + "[report]\nvoice = false\n"))


def test_a_recipe_cannot_be_changed(tmp_path):
    recipe = _read(tmp_path, GOOD)
    with pytest.raises(ValueError, match="frozen"):
        recipe.seed = 1
    settings = recipe.settings("prune")
    settings["keep"] = 1.0
    assert recipe.settings("prune") == {"keep": 0.5}


def test_a_file_with_a_byte_order_mark_is_read(tmp_path):
    assert _read(tmp_path, "\ufeff" + GOOD).name == "clicks"


def test_an_unknown_key_is_answered_with_its_path_and_the_allowed_ones(tmp_path):
    error = _refusal(tmp_path, GOOD.replace("fractions", "fraction"))
    assert str(error) == (
        "unknown key 'fraction'\n"
        f"  where: {tmp_path / 'recipe.toml'} [data.split] fraction\n"
        "  fix:   did you mean 'fractions'? allowed: column, fractions, test, train, validation, validation_from_train"
    )


def test_an_unknown_table_is_answered_with_the_tables_there_are(tmp_path):
    error = _refusal(tmp_path, GOOD + "[quantize]\nbits = 8\n")
    assert error.what == "unknown key 'quantize'"
    assert error.where.endswith("recipe.toml [top level] quantize")
    assert error.fix.startswith("did you mean 'quantise'? allowed: augment, data, deferral, distil, ")
    assert "file" not in error.fix


def test_a_misspelt_key_is_told_before_the_key_it_leaves_missing(tmp_path):
    assert _refusal(tmp_path, GOOD.replace("name =", "nmae =")).what == "unknown key 'nmae'"


def test_a_missing_key_is_named_with_the_keys_of_its_table(tmp_path):
    error = _refusal(tmp_path, "[data]\npath = 'clips'\n")
    assert error.what == "missing key 'name'"
    assert error.where.endswith("recipe.toml [top level] name")
    assert error.fix.startswith("add it; keys of this table are name, summary, seed, data")


@pytest.mark.parametrize(
    ("good", "bad", "what", "fix"),
    [
        ('path = "clips"', "path = 3", "data.path is 3", "give a text in quotes"),
        ('path = "clips"', 'path = "clips"\nsample_rate = "16k"', "data.sample_rate is '16k'", "give a whole number"),
        (
            'path = "clips"',
            'path = "clips"\nsample_rate = 100',
            "data.sample_rate is 100",
            "give a value greater than or equal to 4000",
        ),
        (
            'path = "clips"',
            'path = "clips"\nfit = "loudset"',
            "data.fit is 'loudset'",
            "did you mean 'loudest'? allowed: centre, loudest, start",
        ),
        ('path = "clips"', 'path = "clips"\ngroups = "age"', "data.groups is 'age'", "give a list in [ ]"),
        (
            "[0.6, 0.2, 0.2]",
            "[0.6, 0.2, 0.1]",
            "data.split.fractions is [0.6, 0.2, 0.1]",
            "three positive shares that sum to 1",
        ),
        ('name = "clicks"', 'name = "My Clicks"', "name is 'My Clicks'", "use a to z, 0 to 9, _ and - only"),
        ('name = "clicks"', 'name = "clicks"\nseed = true', "seed is True", "give a whole number"),
        ("keep = 0.5", "keep = 0.5\n[teacher]\nhead = 1", "teacher.head is 1", "give true or false"),
        (
            "[prune]\nkeep = 0.5",
            "[augment]\nnoise_snr_db = [10.0]",
            "augment.noise_snr_db is [10.0]",
            "at least 2 items",
        ),
    ],
)
def test_a_wrong_value_is_answered_with_itself_and_what_is_allowed(tmp_path, good, bad, what, fix):
    error = _refusal(tmp_path, GOOD.replace(good, bad))
    assert error.what == what
    assert fix in error.fix


def test_a_text_in_place_of_a_table_is_refused(tmp_path):
    error = _refusal(tmp_path, 'name = "clicks"\ndata = "clips"\n')
    assert (error.what, error.fix) == ("data is 'clips'", "give a table")


@pytest.mark.parametrize("line", ["", 'path = "clips"\ngenerator = "data.py"'])
def test_data_comes_from_exactly_one_place(tmp_path, line):
    error = _refusal(tmp_path, GOOD.replace('path = "clips"', line))
    assert error.what == "[data] give either path or generator"
    assert error.where.endswith("recipe.toml [data]")
    assert "path, generator" in error.fix


def test_the_users_file_cannot_set_where_it_lies(tmp_path):
    assert _refusal(tmp_path, 'file = "elsewhere"\n' + GOOD).what == "unknown key 'file'"


def test_bad_toml_is_answered_with_its_line(tmp_path):
    error = _refusal(tmp_path, "name = clicks\n")
    assert error.what == "not valid TOML: Invalid value (at line 1, column 8)"
    assert error.where == str(tmp_path / "recipe.toml")


def test_a_file_that_is_no_text_is_refused(tmp_path):
    (tmp_path / "recipe.toml").write_bytes(b'name = "\xff\xfe"\n')
    with pytest.raises(RecipeError) as caught:
        read_recipe(tmp_path)
    assert caught.value.what == "not UTF-8 text: byte 8 is 0xff"


@pytest.mark.parametrize("place", [".", "nowhere", "nowhere/recipe.toml"])
def test_a_missing_recipe_is_an_input_error(tmp_path, place):
    with pytest.raises(RecipeError) as caught:
        read_recipe(tmp_path / place)
    assert caught.value.what in ("there is no recipe.toml", "there is no nowhere")
    assert str(tmp_path) in caught.value.where
    assert caught.value.exit_code == 2


def test_a_file_in_place_of_a_folder_is_an_input_error(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(RecipeError, match="cannot read: Not a directory"):
        read_recipe(tmp_path / "file" / "recipe.toml")
