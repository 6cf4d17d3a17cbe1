"""What the students of stacked_students.py learn from, as arrays small enough to travel to another machine."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

HEAVY = {"mix_share": 0.6, "speed": 0.3, "noise_share": 0.8, "noise_snr_db": (0.0, 20.0)}
OTHERS = {
    "wakewords": {"keywords": 900, "sounds": 160, "cough": 400},
    "sounds": {"wakewords": 500, "cough": 500, "keywords": 200},
}
"""For each task, how many clips of which others are heard besides."""
LEVELS = 63
"""Steps of a log-mel value in a lesson, over the training split's range: a lesson travels to the machine that learns."""


def lesson_of(name: str, build: Path) -> dict[str, Any]:
    """Return a task's views, the teacher's answers and the labels, as arrays.

    frames of views and clips are bytes, in LEVELS steps; rows of a pool are view × clips + clip, as in data/views.py
    """
    from edgecomp.cli import recipe_named
    from edgecomp.data.views import draw_views, noises, render
    from edgecomp.plan import plan
    from edgecomp.shipped import shipped
    from edgecomp.store import Store
    from edgecomp.target import read_target
    from edgecomp.task import CHUNK, load_task, log_mel

    task = load_task(recipe_named(name), Store(build))
    front_end = plan(task.recipe, read_target("host", shipped("targets"))).stages[0].passes[0].front_end
    frames, teacher = log_mel(front_end), task.teacher
    train, targets, classes = task.features("train", front_end), task.targets("train"), len(task.dataset.labels)
    low, high = float(train.min()), float(train.max())

    def coded(given: np.ndarray) -> np.ndarray:
        return np.clip(np.round((given.astype(np.float32) - low) / (high - low) * LEVELS), 0, LEVELS).astype(np.uint8)

    heavy = task.recipe.augment.model_copy(update=HEAVY | {"views": task.recipe.augment.views + 1})
    views = draw_views(len(targets), heavy, task.dataset.sample_rate, task.recipe.seed + 1)
    waves, background, rows = task.waveforms("train"), noises(views), np.arange(len(targets), len(views))
    heard, answered = [], []
    for part in np.array_split(rows, -(-len(rows) // CHUNK)):
        sound = render(waves, views, part, background)
        heard.append(coded(frames(sound)))
        answered.append(teacher.probabilities(sound))
    others = _other_sounds(task, OTHERS.get(name, {}), build)
    other_answers = teacher.probabilities(others) if len(others) else np.zeros((0, classes))
    other_frames = coded(frames(others)) if len(others) else np.zeros((0, *train.shape[1:]), np.uint8)
    arrays: dict[str, Any] = {
        "low": low,
        "step": (high - low) / LEVELS,
        "mean": train.mean((0, 1)),
        "std": np.maximum(train.std((0, 1)), 0.1),
    }
    arrays["frames"] = np.concatenate([coded(np.asarray(task.view_features(front_end))), *heard, other_frames])
    arrays["answers"] = np.concatenate([task.view_answers(), *answered, other_answers]).astype(np.float32)
    labels = [task.views.soft_labels(targets, classes), views.soft_labels(targets, classes)[rows], other_answers]
    arrays["labels"] = np.concatenate(labels).astype(np.float32)
    arrays["counts"] = np.array([len(targets), len(labels[0]), len(rows), len(others)])
    for split in ("validation", "test"):
        arrays[split], arrays[f"{split}_targets"] = coded(task.features(split, front_end)), task.targets(split)
    return arrays


def _other_sounds(task: Any, others: dict[str, int], build: Path) -> np.ndarray:
    """Return other tasks' training clips at this task's rate and length: a piece of longer ones, shorter ones repeated."""
    import soxr

    from edgecomp.cli import recipe_named
    from edgecomp.store import Store
    from edgecomp.task import load_task

    rng, made = np.random.default_rng(5), []
    rate, samples = task.dataset.sample_rate, task.recipe.data.samples
    for name, most in others.items():
        other = load_task(recipe_named(name), Store(build))
        waves = other.waveforms("train")
        for row in rng.permutation(len(waves))[:most]:
            wave = soxr.resample(np.asarray(waves[row]), other.dataset.sample_rate, rate).astype(np.float32)
            start = int(rng.integers(0, max(1, len(wave) - samples)))
            made.append(np.resize(wave[start : start + samples], samples))
    return np.array(made, np.float32).reshape(-1, samples)
