"""Manifests: what a CSV or an audiofolder may say, and the one message for each way to be wrong."""

import pytest

from edgecomp.data.rows import list_clips
from edgecomp.errors import DataError
from tests.small_data import write_clip, write_recipe, write_table

ROW = {"path": "a.wav", "label": "yes", "speaker": "s1", "age": "31"}


def clips_of(tmp_path, rows, lines="", **settings):
    data = tmp_path / "data"
    data.mkdir(exist_ok=True)
    if rows:
        write_table(data, rows)
    recipe = write_recipe(tmp_path, data, lines, **settings)
    return list_clips(data, recipe.data, recipe.file)


def test_a_row_becomes_a_clip(tmp_path):
    [clip] = clips_of(tmp_path, [ROW], subject='"speaker"', groups='["speaker"]', bins="{ age = [20.0, 40.0] }")
    assert (clip.path, clip.label, clip.split, clip.subject) == ("a.wav", "yes", "", "s1")
    assert clip.groups == {"speaker": "s1", "age": "20 to 40"}


def test_columns_may_have_other_names_and_a_byte_order_mark(tmp_path):
    data = tmp_path / "data"
    data.mkdir()
    (data / "metadata.csv").write_bytes("\ufefffile,word\nä b.wav,no\n".encode())
    [clip] = clips_of(tmp_path, [], path_column='"file"', label_column='"word"')
    assert (clip.path, clip.label) == ("ä b.wav", "no")


@pytest.mark.parametrize(
    ("age", "group"),
    [("19.9", "below 20"), ("20", "20 to 40"), ("40", "40 and above"), ("", "unknown"), ("NaN", "unknown")],
)
def test_numbers_fall_into_half_open_bins(tmp_path, age, group):
    [clip] = clips_of(tmp_path, [ROW | {"age": age}], bins="{ age = [20.0, 40.0] }")
    assert clip.groups["age"] == group


def test_a_missing_value_is_the_group_unknown_and_no_subject(tmp_path):
    [clip] = clips_of(tmp_path, [ROW | {"speaker": ""}], subject='"speaker"', groups='["speaker"]')
    assert clip.groups["speaker"] == "unknown" and clip.subject is None


def test_split_values_are_mapped_by_the_recipe(tmp_path):
    rows = [ROW | {"path": f"{fold}.wav", "fold": str(fold)} for fold in range(4)]
    got = clips_of(tmp_path, rows, '[data.split]\ncolumn = "fold"\ntrain = ["0","1"]\nvalidation = ["2"]\ntest = ["3"]')
    assert [clip.split for clip in got] == ["train", "train", "validation", "test"]


def test_a_split_column_that_the_recipe_does_not_name_is_not_used(tmp_path):
    [clip] = clips_of(tmp_path, [ROW | {"split": "test"}])
    assert clip.split == ""


@pytest.mark.parametrize(
    ("change", "settings", "what", "fix"),
    [
        ({}, {"label_column": '"lable"'}, "no column 'lable'", "did you mean 'label'"),
        ({}, {"subject": '"patient"'}, "no column 'patient'", "age, label, path, speaker"),
        ({}, {"groups": '["sex"]'}, "no column 'sex'", "allowed"),
        ({"label": "yess"}, {"labels": '["no", "yes"]'}, "unknown label 'yess'", "did you mean 'yes'"),
        ({"label": ""}, {}, "label is empty", "label"),
        ({"path": ""}, {}, "path is empty", "audio/clip.wav"),
        ({"path": "../b.wav"}, {}, "leaves the data folder", "below"),
        ({"path": "x/../../b.wav"}, {}, "leaves the data folder", "below"),
        ({"path": "/etc/b.wav"}, {}, "leaves the data folder", "below"),
        ({"path": "C:\\b.wav"}, {}, "leaves the data folder", "below"),
        ({"path": "./a.wav"}, {}, "listed twice", "line 2"),
        ({"age": "old"}, {"bins": "{ age = [20.0] }"}, "'old' in column 'age' is no number", "age"),
    ],
)
def test_a_bad_row_is_named_by_file_and_line(tmp_path, change, settings, what, fix):
    rows = [ROW, ROW | {"path": "b.wav"} | change]
    with pytest.raises(DataError) as caught:
        clips_of(tmp_path, rows, **settings)
    assert what in caught.value.what and fix in caught.value.fix
    assert "metadata.csv" in caught.value.where
    assert "no column" in what or "line 3" in caught.value.where


def test_an_unknown_split_value_lists_those_allowed(tmp_path):
    with pytest.raises(DataError, match=r"(?s)unknown split 'tset'.*line 2.*did you mean 'test'"):
        clips_of(tmp_path, [ROW | {"split": "tset"}], '[data.split]\ncolumn = "split"')


def test_falling_cut_points_are_an_error(tmp_path):
    with pytest.raises(DataError, match="rising order"):
        clips_of(tmp_path, [ROW], bins="{ age = [40.0, 20.0] }")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"path,label\na.wav,caf\xe9\n", "not UTF-8: byte 0xe9"),
        (b"path,label\na.wav,yes,more\n", "3 values under 2 columns"),
        (b"path,label\na.wav\n", "1 values under 2 columns"),
        (b"path,label,label\na.wav,yes,no\n", "two columns are called 'label'"),
        (b'path,label\n"a.wav"x,yes\n', "not a valid CSV"),
    ],
)
def test_a_broken_csv_is_one_message(tmp_path, content, words):
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "metadata.csv").write_bytes(content)
    with pytest.raises(DataError, match=words) as caught:
        clips_of(tmp_path, [])
    assert "two columns" in words or "line 2" in caught.value.where


@pytest.mark.parametrize("content", [b"", b"path,label\n"])
def test_an_empty_manifest_is_an_error(tmp_path, content):
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "metadata.csv").write_bytes(content)
    with pytest.raises(DataError, match=r"no clips|no column"):
        clips_of(tmp_path, [])


def test_a_missing_folder_says_where_the_data_come_from_and_under_which_licence(tmp_path):
    recipe = write_recipe(tmp_path, tmp_path / "gone", source='"example.org/coughs"', licence='"CC0-1.0"')
    with pytest.raises(DataError, match=r"(?s)does not exist.*example\.org/coughs.*CC0-1\.0.*--data"):
        list_clips(tmp_path / "gone", recipe.data, recipe.file)


def test_a_missing_csv_says_how_to_name_it(tmp_path):
    with pytest.raises(DataError, match=r"(?s)no metadata\.csv.*audiofolder"):
        clips_of(tmp_path, [])


def test_an_audiofolder_takes_labels_from_folders(tmp_path):
    for name in ("yes/1.wav", "no/deep/2.flac", "no/.hidden.wav", "no/notes.txt"):
        write_clip(tmp_path / "data" / name, 1) if name.endswith(("wav", "flac")) else (
            tmp_path / "data" / name
        ).write_text("x")
    got = clips_of(tmp_path, [], manifest='"audiofolder"')
    assert [(clip.path, clip.label, clip.split) for clip in got] == [
        ("no/deep/2.flac", "no", ""),
        ("yes/1.wav", "yes", ""),
    ]


def test_an_audiofolder_takes_splits_from_the_folders_above(tmp_path):
    for name in ("train/yes/1.wav", "val/no/2.wav", "test/yes/3.wav"):
        write_clip(tmp_path / "data" / name, 1)
    got = {clip.path: (clip.label, clip.split) for clip in clips_of(tmp_path, [], manifest='"audiofolder"')}
    assert got == {
        "train/yes/1.wav": ("yes", "train"),
        "val/no/2.wav": ("no", "validation"),
        "test/yes/3.wav": ("yes", "test"),
    }


def test_an_audiofolder_reads_a_metadata_csv_by_file_name(tmp_path):
    write_clip(tmp_path / "data" / "1.wav", 1)
    got = clips_of(
        tmp_path,
        [{"file_name": "1.wav", "label": "yes", "speaker": "s9"}],
        manifest='"audiofolder"',
        subject='"speaker"',
    )
    assert [(clip.path, clip.label, clip.subject) for clip in got] == [("1.wav", "yes", "s9")]


def test_an_audiofolder_clip_without_a_label_is_an_error_that_names_it(tmp_path):
    write_clip(tmp_path / "data" / "1.wav", 1)
    with pytest.raises(DataError, match=r"(?s)no 'label' for this clip.*1\.wav.*folder per label"):
        clips_of(tmp_path, [], manifest='"audiofolder"')
