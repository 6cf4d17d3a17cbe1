"""A task: a recipe with its examples loaded and its teacher at hand, asked once and never twice."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from edgecomp.artifact import text_hash
from edgecomp.code import code_hash
from edgecomp.data.manifest import Dataset, load_dataset, waveforms
from edgecomp.data.views import Views, draw_views, noises, render
from edgecomp.progress import track
from edgecomp.recipe import Recipe
from edgecomp.store import Store, new_array
from edgecomp.students.front_end import FrontEnd
from edgecomp.teachers import Teacher, load_teacher
from edgecomp.threads import one_thread

FRONT_END = ("students/front_end.py", "students/log_mel.py")
"""The code that log-mel frames depend on."""
CHUNK = 256
"""Views rendered at once; bounds the memory, whatever the size of the data."""


@dataclass(frozen=True)
class Task:
    """What is to be learnt, and everything that can be computed once and kept.

    What is large (waveforms, what belongs to the views) comes memory-mapped from the store and is read-only.
    """

    recipe: Recipe
    dataset: Dataset
    store: Store
    known: Teacher | None = None
    """A teacher from elsewhere: for clips that it was not trained beside."""

    @cached_property
    def teacher(self) -> Teacher:
        """Return the teacher, trained first where the recipe has no weights for it."""
        return self.known or load_teacher(self.recipe, self.dataset, self.store)

    @cached_property
    def fingerprint(self) -> str:
        """Return the hash of everything that the task's arrays depend on."""
        return text_hash(self.dataset.fingerprint, self.teacher.fingerprint, self.recipe.augment, self.recipe.seed)

    @cached_property
    def views(self) -> Views:
        """Return the views of the training split."""
        clips = len(self.dataset.of("train").clips)
        return draw_views(clips, self.recipe.augment, self.dataset.sample_rate, self.recipe.seed)

    def waveforms(self, split: str) -> np.ndarray:
        """Return a split's clips, (n, samples) float32."""
        return waveforms(self.dataset.of(split), self.store)

    def targets(self, split: str) -> np.ndarray:
        """Return a split's labels, (n,) int64."""
        return self.dataset.of(split).targets

    def answers(self, split: str) -> np.ndarray:
        """Return the teacher's probabilities for a split's clips, (n, classes) float32."""
        key = text_hash("answers", self.dataset.of(split).fingerprint, self.teacher.fingerprint)

        def ask(folder: Path) -> None:
            np.save(folder / "answers.npy", self.teacher.probabilities(self.waveforms(split)).astype(np.float32))

        return np.load(self.store.make("answers", key, ask) / "answers.npy")

    def view_answers(self) -> np.ndarray:
        """Return the teacher's probabilities for every view, (views, classes) float32."""
        shape = len(self.views), len(self.dataset.labels)
        return self._over_views(
            "view-answers",
            text_hash(self.teacher.fingerprint),
            shape,
            np.float32,
            "asking the teacher",
            self.teacher.probabilities,
        )

    def view_features(self, front_end: FrontEnd) -> np.ndarray:
        """Return the log-mel frames of every view, not normalised, (views, frames, mels) float16."""
        shape = len(self.views), front_end.frames, front_end.mels
        return self._over_views(
            "view-features",
            repr(front_end) + code_hash(*FRONT_END),
            shape,
            np.float16,
            "computing log-mel frames",
            log_mel(front_end),
        )

    def features(self, split: str, front_end: FrontEnd) -> np.ndarray:
        """Return the log-mel frames of a split's clips, not normalised, (n, frames, mels) float32."""
        key = text_hash(
            "features",
            self.dataset.of(split).fingerprint,
            repr(front_end),
            code_hash(*FRONT_END),
        )

        def compute(folder: Path) -> None:
            frames, waves = log_mel(front_end), self.waveforms(split)
            parts = [frames(np.asarray(waves[i : i + CHUNK])) for i in range(0, len(waves), CHUNK)]
            np.save(
                folder / "features.npy",
                np.concatenate(parts) if parts else np.zeros((0, front_end.frames, front_end.mels), np.float32),
            )

        return np.load(self.store.make("features", key, compute) / "features.npy")

    def _over_views(self, name: str, what: str, shape: tuple[int, ...], dtype: type, said: str, answer) -> np.ndarray:
        """Keep what a function gives for the sound of every view."""
        key = text_hash(
            name,
            self.dataset.of("train").fingerprint,
            self.recipe.augment,
            self.recipe.seed,
            what,
            code_hash("data/views.py"),
        )

        def compute(folder: Path) -> None:
            waves, background = self.waveforms("train"), noises(self.views)
            made = new_array(folder / "views.npy", shape, dtype)
            starts = range(0, len(self.views), CHUNK)
            for start in track(starts, said, len(starts)):
                rows = np.arange(start, min(start + CHUNK, len(self.views)))
                made[rows] = answer(render(waves, self.views, rows, background))
            made.flush()

        return np.load(self.store.make(name, key, compute) / "views.npy", mmap_mode="r")


def load_task(recipe: Recipe, store: Store, *, data: Path | None = None) -> Task:
    """Load a recipe's examples; the teacher is loaded when it is first asked."""
    return Task(recipe, load_dataset(recipe, store, data=data), store)


def log_mel(front_end: FrontEnd):
    """Return a function from waveforms (n, samples) to log-mel frames (n, frames, mels), both float32."""
    import torch

    from edgecomp.students.log_mel import LogMel

    module = LogMel(front_end).eval()

    def frames(waves: np.ndarray) -> np.ndarray:
        with torch.inference_mode(), one_thread():
            return module(torch.from_numpy(np.array(waves))).numpy()

    return frames
