"""Checks before training: each planted fault is found with its files, and the real faults of real data too."""

from pathlib import Path

import numpy as np
import pytest
import soundfile

from edgecomp.data.check import check
from edgecomp.recipe import read_recipe
from edgecomp.store import Store
from tests.shared_data import shared_data
from tests.small_data import write_clip, write_data, write_recipe, write_table

MODELS = Path(__file__).resolve().parents[1] / "models"
SPLIT = '[data.split]\ncolumn = "split"\n'
GOOD = {"subject": '"speaker"', "groups": '["place"]'}


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "data"


def findings(tmp_path, lines="", **settings):
    return check(write_recipe(tmp_path, tmp_path / "data", lines, **(GOOD | settings)), Store(tmp_path / "build"))


def only(found, code):
    [finding] = [finding for finding in found if finding.code == code]
    return finding


def test_sound_data_have_no_errors_and_no_warnings(tmp_path, folder):
    write_data(folder, clips=240, split=True)
    assert {finding.severity for finding in findings(tmp_path, SPLIT)} <= {"note"}


@pytest.mark.parametrize(
    ("code", "files", "plant"),
    [
        (
            "unreadable",
            {"000", "001"},
            lambda audio: [(audio / "000.wav").write_bytes(b""), (audio / "001.wav").write_bytes(b"no audio")],
        ),
        ("silent", {"000"}, lambda audio: soundfile.write(audio / "000.wav", np.zeros(4000), 8000)),
        (
            "conflicting-labels",
            {"000", "007"},
            lambda audio: (audio / "000.wav").write_bytes((audio / "007.wav").read_bytes()),
        ),
        (
            "duplicate-across-splits",
            {"000", "006"},
            lambda audio: (audio / "000.wav").write_bytes((audio / "006.wav").read_bytes()),
        ),
    ],
)
def test_a_planted_fault_is_an_error_with_its_files_and_a_fix(tmp_path, folder, code, files, plant):
    write_data(folder, clips=240, split=True)
    plant(folder / "audio")
    found = only(findings(tmp_path, SPLIT), code)
    assert found.severity == "error" and {Path(file).stem for file in found.files} == files
    assert "resolve." in found.fix and found.message


def test_a_subject_on_two_sides_is_an_error(tmp_path, folder):
    rows = write_data(folder, clips=240, split=True)
    rows[0]["speaker"] = "s3"
    write_table(folder, rows)
    found = only(findings(tmp_path, SPLIT), "subject-across-splits")
    assert found.severity == "error" and "audio/000.wav" in found.files and "'s3' in train and test" in found.message


@pytest.mark.parametrize(
    ("code", "write"),
    [
        ("equal-bytes", lambda one, two: two.write_bytes(one.read_bytes())),
        ("equal-audio", lambda one, two: soundfile.write(two, soundfile.read(one)[0], 8000, format="FLAC")),
    ],
)
def test_equal_clips_on_one_side_are_a_warning(tmp_path, folder, code, write):
    write_data(folder, clips=240, split=True)
    write(folder / "audio" / "000.wav", folder / "audio" / "002.wav")
    found = only(findings(tmp_path, SPLIT), code)
    assert found.severity == "warning" and found.files == ("audio/000.wav", "audio/002.wav")


def test_equal_audio_is_found_between_formats(tmp_path, folder):
    rows = write_data(folder, clips=240, split=True)
    wave, rate = soundfile.read(folder / "audio" / "007.wav")
    soundfile.write(folder / "audio" / "x.flac", wave, rate)
    write_table(folder, [*rows, rows[0] | {"path": "audio/x.flac"}])
    assert only(findings(tmp_path, SPLIT), "conflicting-labels").files == ("audio/007.wav", "audio/x.flac")


def test_a_resolved_fault_is_a_note_that_says_what_is_done(tmp_path, folder):
    write_data(folder, clips=240, split=True)
    (folder / "audio" / "000.wav").write_bytes(b"")
    found = only(findings(tmp_path, SPLIT + '[data.resolve]\nunreadable = "drop"'), "unreadable")
    assert found.severity == "note" and found.fix == "resolve.unreadable = 'drop': 1 of these clips are left out"


def test_small_classes_and_groups_are_named_with_the_rule(tmp_path, folder):
    write_data(folder, clips=32, split=True)
    found = findings(tmp_path, SPLIT)
    small = [finding for finding in found if finding.code == "small-class"]
    assert any("test split: 'no' (4), 'yes' (4)" in finding.message for finding in small)
    assert all("fewer than 10 clips" in finding.fix for finding in small)
    assert "'hall' (4), 'street' (4)" in only(found, "small-group").message


def test_a_group_without_one_of_the_labels_is_named(tmp_path, folder):
    rows = write_data(folder, clips=240, split=True)
    write_table(folder, [row | {"place": "ward" if row["label"] == "yes" else "hall"} for row in rows])
    found = findings(tmp_path, SPLIT)
    assert "'hall' has no 'yes', 'ward' has no 'no'" in only(found, "one-sided-group").message
    shortcut = only(found, "shortcut")
    assert shortcut.severity == "warning" and "'place'" in shortcut.message and "AUROC 1.00" in shortcut.message


@pytest.mark.parametrize(
    ("column", "change"),
    [("sample rate", {"rate": 16_000}), ("channels", {"channels": 2}), ("duration", {"seconds": 0.8})],
)
def test_a_fact_of_the_files_that_gives_the_label_away_is_a_shortcut(tmp_path, folder, column, change):
    for number, row in enumerate(write_data(folder, clips=240, split=True)):
        if row["label"] == "yes":
            write_clip(folder / row["path"], number, **change)
    assert repr(column) in only(findings(tmp_path, SPLIT), "shortcut").message


def test_clips_of_odd_length_are_named(tmp_path, folder):
    write_data(folder, clips=240, split=True)
    write_clip(folder / "audio" / "000.wav", 0, seconds=1.5)
    write_clip(folder / "audio" / "001.wav", 1, seconds=0.1)
    found = findings(tmp_path, SPLIT)
    assert only(found, "too-long").files == ("audio/000.wav",) and only(found, "too-long").severity == "note"
    assert only(found, "too-short").files == ("audio/001.wav",)


def test_missing_subjects_are_a_warning_and_missing_groups_a_note(tmp_path, folder):
    rows = write_data(folder, clips=240, split=True)
    rows[0] |= {"speaker": "", "place": ""}
    write_table(folder, rows)
    found = findings(tmp_path, SPLIT)
    assert only(found, "no-subjects").files == only(found, "unknown-group").files == ("audio/000.wav",)
    assert "no column says whose voice" in only(findings(tmp_path, SPLIT, subject=""), "no-subjects").message


def test_errors_come_first(tmp_path, folder):
    write_data(folder, clips=32, split=True)
    (folder / "audio" / "000.wav").write_bytes(b"")
    order = [finding.severity for finding in findings(tmp_path, SPLIT)]
    assert order == sorted(order, key=["error", "warning", "note"].index) and order[0] == "error"


@pytest.fixture(scope="module")
def cough_store(tmp_path_factory):
    return Store(tmp_path_factory.mktemp("build"))


def test_the_real_coughs_reveal_their_faults(cough_store):
    recipe = read_recipe(MODELS / "cough")
    found = check(recipe, cough_store, shared_data("covid19cough"))
    conflicts = only(found, "conflicting-labels")
    assert conflicts.message.startswith("96 sets of equal audio (200 clips; 96 equal byte for byte)")
    assert len(conflicts.files) == 200
    assert [Path(file).stem[:8] for file in only(found, "unreadable").files] == ["098d66e5", "a9ecaf03"]
    columns = {finding.message.split("'")[1] for finding in found if finding.code == "shortcut"}
    assert {"source", "sample rate"} <= columns
    assert not [finding for finding in found if finding.severity == "error"]


def test_the_real_coughs_are_an_error_where_nothing_is_resolved(cough_store):
    recipe = read_recipe(MODELS / "cough")
    bare = recipe.model_copy(update={"data": recipe.data.model_copy(update={"resolve": type(recipe.data.resolve)()})})
    found = check(bare, cough_store, shared_data("covid19cough"))
    assert {finding.code for finding in found if finding.severity == "error"} == {"conflicting-labels", "unreadable"}
