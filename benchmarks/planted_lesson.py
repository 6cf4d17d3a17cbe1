"""What the students of planted_students.py learn from, as plain arrays, with or without one accent."""

from __future__ import annotations

import json
import types
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

RECIPE, COLUMN = "keywords", "accent"


@dataclass(frozen=True)
class Lesson:
    """What a student learns from; it stands in for the task in training.fit.

    train:      (clips, frames, mels) float16, not normalised, as every other features here
    views:      (views × clips, frames, mels) float16; rows as in data/views.py
    answers, soft: (views × clips, classes): the teacher's probabilities, and the labels as shares
    clip, partner, mixed: (views × clips,): which clips a view holds, and whether it holds two
    accents:    (clips,) names
    """

    train: np.ndarray
    views_: np.ndarray
    answers: np.ndarray
    soft: np.ndarray
    clip: np.ndarray
    partner: np.ndarray
    mixed: np.ndarray
    accents: np.ndarray
    train_targets: np.ndarray
    validation: np.ndarray
    validation_accents: np.ndarray
    validation_targets: np.ndarray
    mean: np.ndarray
    std: np.ndarray

    @staticmethod
    def of(task: Any, config: Any) -> Lesson:
        """Read a task's arrays."""
        import torch

        from edgecomp.passes.build import SMALLEST_STD

        train, views = task.features("train", config.front_end), task.views
        frames = torch.from_numpy(train)
        accents = {
            split: np.array([clip.groups[COLUMN] for clip in task.dataset.of(split).clips])
            for split in ("train", "validation")
        }
        targets = task.targets("train")
        return Lesson(
            train=train.astype(np.float16),
            views_=np.asarray(task.view_features(config.front_end)),
            answers=np.asarray(task.view_answers()),
            soft=views.soft_labels(targets, len(task.dataset.labels)),
            clip=views.clip,
            partner=views.partner,
            mixed=views.share < 1,
            accents=accents["train"],
            train_targets=targets,
            validation=task.features("validation", config.front_end),
            validation_accents=accents["validation"],
            validation_targets=task.targets("validation"),
            mean=frames.mean((0, 1)).numpy(),
            std=frames.std((0, 1)).clamp_min(SMALLEST_STD).numpy(),
        )

    def accent(self, seed: int) -> str:
        """Return the accent that this seed harms: one after the other."""
        values = sorted(set(self.accents.tolist()))
        return values[seed % len(values)]

    def without(self, accent: str) -> Lesson:
        """Return the lesson without an accent; a clip's view that held it as well gives way to another of the clip's views."""
        clips, inside = len(self.accents), self.accents == accent
        good = ~(inside[self.clip] | (self.mixed & inside[self.partner])).reshape(-1, clips)
        place = np.empty(good.shape, int)
        for clip in np.flatnonzero(~inside):  # view 0 is the clip alone, so there is always one
            able = np.flatnonzero(good[:, clip])
            place[:, clip] = np.where(good[:, clip], np.arange(len(good)), able[np.arange(len(good)) % len(able)])
        rows = (place * clips + np.arange(clips))[:, ~inside].ravel()
        heard = self.validation_accents != accent
        return replace(
            self,
            train=self.train[~inside],
            views_=self.views_[rows],
            answers=self.answers[rows],
            soft=self.soft[rows],
            accents=self.accents[~inside],
            train_targets=self.train_targets[~inside],
            validation=self.validation[heard],
            validation_targets=self.validation_targets[heard],
        )

    @property
    def views(self) -> Any:
        """Return what training.fit asks for labels."""
        return types.SimpleNamespace(soft_labels=lambda *_: self.soft)

    @property
    def dataset(self) -> Any:
        """Return what training.fit asks for the number of labels."""
        return types.SimpleNamespace(labels=range(self.soft.shape[1]))

    def targets(self, split: str) -> np.ndarray:
        """Return a split's class numbers."""
        return self.train_targets if split == "train" else self.validation_targets

    def view_answers(self) -> np.ndarray:
        """Return the teacher's answers to every view."""
        return self.answers

    def view_features(self, _front_end: Any) -> np.ndarray:
        """Return every view's features."""
        return self.views_

    def features(self, _split: str, _front_end: Any) -> np.ndarray:
        """Return the validation split's features."""
        return self.validation


def plan_of(build: Path) -> tuple[Any, Any, Any]:
    """Return the task, the student's config and the distil pass."""
    from edgecomp.cli import recipe_named
    from edgecomp.plan import plan
    from edgecomp.shipped import shipped
    from edgecomp.store import Store
    from edgecomp.students import StudentConfig
    from edgecomp.target import read_target
    from edgecomp.task import load_task

    task = load_task(recipe_named(RECIPE), Store(build))
    chosen = plan(task.recipe, read_target("host", shipped("targets")))
    built, learn = next(stage for stage in chosen.stages if stage.name == "distilled").passes
    return task, StudentConfig(built.family, built.widths, task.dataset.labels, built.front_end), learn


def write_lesson(build: Path, folder: Path) -> None:
    """Write the lesson and what a student is built and taught with."""
    task, config, learn = plan_of(build)
    lesson = Lesson.of(task, config)
    folder.mkdir(parents=True, exist_ok=True)
    np.savez(folder / "lesson.npz", **{name: getattr(lesson, name) for name in Lesson.__dataclass_fields__})
    (folder / "config.json").write_text(config.to_json(), encoding="utf-8")
    (folder / "learn.json").write_text(json.dumps(asdict(learn)), encoding="utf-8")
