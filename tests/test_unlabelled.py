"""Clips without a label: they only train, the teacher's answers teach about them, and nothing judged is among them."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest

from edgecomp.data.manifest import load_dataset
from edgecomp.data.views import draw_views
from edgecomp.errors import DataError
from edgecomp.recipe import Augment
from edgecomp.schedule import Objective
from edgecomp.store import Store
from edgecomp.training import _Inputs
from tests.small_data import write_data, write_recipe, write_table
from tests.small_students import SmallTask, lively_student
from tests.small_task import call, edgecomp, refused, write_target, write_task

TEACH = 'resolve = { unlabelled = "teach" }'


def _blanked(folder: Path, is_blank) -> None:
    """Take the labels of some rows away."""
    with (folder / "metadata.csv").open(newline="", encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    write_table(folder, [row | ({"label": ""} if is_blank(number, row) else {}) for number, row in enumerate(rows)])


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    """Write the tones task with one labelled training clip a label, and 57 without."""
    folder = tmp_path_factory.mktemp("unlabelled")
    write_target(folder)
    write_task(folder / "task")
    _blanked(folder / "task" / "data", lambda number, row: row["split"] == "train" and number >= 3)
    recipe = folder / "task" / "recipe.toml"
    recipe.write_text(recipe.read_text().replace("[data.split]", f"{TEACH}\n\n[data.split]"))
    return folder


def test_an_empty_label_is_an_error_that_names_the_setting(tmp_path):
    write_data(tmp_path / "data", split=True)
    _blanked(tmp_path / "data", lambda number, row: number == 0)
    with pytest.raises(DataError, match="the label is empty") as caught:
        load_dataset(write_recipe(tmp_path, tmp_path / "data"), Store(tmp_path / "build"))
    assert "resolve.unlabelled = 'teach'" in caught.value.fix and "line 2" in caught.value.where


@pytest.mark.parametrize("split", [True, False], ids=["stated", "drawn"])
def test_they_train_and_are_never_judged_even_by_their_subject(tmp_path, split):
    write_data(tmp_path / "data", split=split)
    _blanked(tmp_path / "data", lambda number, row: number % 5 == 0)
    lines = TEACH + ('\n[data.split]\ncolumn = "split"' if split else "")
    recipe = write_recipe(tmp_path, tmp_path / "data", lines, subject='"speaker"', labels='["no", "yes"]')
    dataset = load_dataset(recipe, Store(tmp_path / "build"))
    bare = [clip for clip in dataset.clips if not clip.label]
    judged = {clip.subject for clip in dataset.clips if clip.split != "train"}
    assert bare and all(clip.split == "train" and clip.subject not in judged for clip in bare)
    assert dataset.labels == ("no", "yes") and set(dataset.of("train").targets) == {-1, 0, 1}
    assert len(dataset.of("train").labelled().clips) == (dataset.of("train").targets >= 0).sum()
    assert {-1} & set(dataset.of("test").targets) == set()
    note = next(note for note in dataset.notes if note["code"] == "unlabelled")
    assert note["found"] == 10 and len(note["dropped"]) == 10 - len(bare)


def test_a_view_that_holds_an_unlabelled_clip_has_no_label():
    views = draw_views(6, Augment(views=4, mix_share=0.6), 8000, 0)
    targets = np.array([0, 1, -1, 1, -1, 0])
    shares = views.soft_labels(targets, 2)
    unknown = (targets[views.clip] < 0) | ((targets[views.partner] < 0) & (views.share < 1))
    assert np.allclose(shares.sum(1), ~unknown) and unknown.any() and not unknown.all()
    assert np.array_equal(shares[~unknown], views.soft_labels(np.maximum(targets, 0), 2)[~unknown])


def test_the_teacher_stands_in_for_the_label_and_labels_alone_learn_from_labelled_clips():
    class Bare(SmallTask):
        def targets(self, split):
            known = super().targets(split).copy()
            known[::3] = -1 if split == "train" else known[::3]
            return known

    task = Bare()
    bare = task.targets("train")
    student = lively_student("ds_cnn", samples=task.samples, widths=(4, 4, 4, 4, 4))
    taught = _Inputs.of(student, task, Objective(0.5, 2.0))
    missing = task.views.soft_labels(bare, len(task.dataset.labels)).sum(1) == 0
    assert missing.any() and np.array_equal(taught.labels[missing], taught.answers[missing])
    assert (taught.labels.sum(1) > 0).all() and len(taught.taught) == len(bare)
    alone = _Inputs.of(student, task, Objective(1.0, 2.0))
    assert set(bare[alone.taught]) == set(bare) - {-1} and alone.batches(4) == taught.batches(4)


def test_where_labels_are_scarce_the_teachers_answers_beat_labels_alone(place):
    words = ("compile", place / "task", "-t", place / "anything.toml", "--build", place / "build")
    done = edgecomp(*words, quick=True)
    assert done.returncode == 0, done.stderr
    report = json.loads((Path(done.stdout.strip()) / "report.json").read_text())
    accuracy = {
        stage["name"]: stage["files"][0]["measurements"]["accuracy"]["value"]
        for stage in report["stages"]
        if stage["files"]
    }
    assert accuracy["distilled"] >= accuracy["labels only"] + 0.2
    assert any(note["code"] == "unlabelled" and note["found"] == 57 for note in report["data"]["notes"])


def test_check_says_how_many_there_are(place):
    done = call("check", place / "task", "--build", place / "build", "--json")
    found = {row["code"]: row for row in map(json.loads, done.out.splitlines())}
    assert "57 clips without a label" in found["unlabelled"]["message"] and found["unlabelled"]["severity"] == "note"
    assert done.code == 0


def test_another_site_without_labels_cannot_be_audited(place, tmp_path):
    write_task(tmp_path / "site")
    _blanked(tmp_path / "site" / "data", lambda number, row: number == 0)
    built = next((place / "build" / "bundles").glob("tones-anything*"))
    words = ("--recipe", place / "task", "--build", place / "build", "--out", tmp_path / "out")
    refused(call("audit", built, "--data", tmp_path / "site" / "data", *words), "the label is empty")
