"""Shortcuts: the AUROC of a column equals scikit-learn's, and its interval tells chance from more."""

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from edgecomp.data.rows import Clip
from edgecomp.data.shortcuts import score_column


def make(n, labels, strength, seed, subjects=False):
    """Draw clips whose value is their label with a given probability, else any."""
    rng = np.random.default_rng(seed)
    y = rng.integers(0, labels, n)
    v = np.where(rng.random(n) < strength, y, rng.integers(0, labels, n))
    sides = rng.choice(["train", "validation", "test"], n, p=[0.6, 0.2, 0.2])
    clips = [Clip(f"{i}.wav", f"l{y[i]}", str(sides[i]), f"s{i // 4}" if subjects else None, {}) for i in range(n)]
    return [f"v{i}" for i in v], clips


@pytest.mark.parametrize("labels", [2, 4])
@pytest.mark.parametrize("strength", [0.0, 0.3, 0.9])
def test_the_auroc_is_that_of_scikit_learn(labels, strength):
    values, clips = make(500, labels, strength, seed=labels)
    counts = {value: np.ones(labels) for value in values}
    for value, clip in zip(values, clips, strict=True):
        if clip.split == "train":
            counts[value][int(clip.label[1])] += 1
    held = [
        (counts[v] / counts[v].sum(), int(c.label[1])) for v, c in zip(values, clips, strict=True) if c.split != "train"
    ]
    chance, y = np.array([c for c, _ in held]), np.array([t for _, t in held])
    want = roc_auc_score(y, chance[:, 1]) if labels == 2 else roc_auc_score(np.eye(labels)[y], chance, average="macro")
    got = score_column("column", values, clips)
    assert got.auroc == pytest.approx(want, abs=1e-12)
    assert got.low <= got.auroc <= got.high and got.clips == len(y)


@pytest.mark.parametrize("subjects", [False, True])
def test_a_column_that_says_the_label_is_suspicious_and_one_that_does_not_is_not(subjects):
    assert score_column("column", *make(400, 2, 0.6, 1, subjects)).is_suspicious
    assert not score_column("column", *make(400, 2, 0.0, 1, subjects)).is_suspicious


def test_a_high_score_on_a_handful_of_clips_is_not_suspicious_by_itself():
    sides = ["train"] * 6 + ["test"] * 4
    clips = [Clip(f"{i}.wav", "ab"[i % 2], side, None, {}) for i, side in enumerate(sides)]
    values = ["x", "y", "x", "y", "x", "y", "x", "y", "y", "y"]
    got = score_column("column", values, clips)
    assert got.auroc >= 0.65 and got.low <= 0.5 and not got.is_suspicious


def test_values_that_training_never_met_score_as_chance():
    clips = [Clip(f"{i}.wav", "ab"[i % 2], "train" if i < 20 else "test", None, {}) for i in range(40)]
    assert score_column("column", [f"v{i}" for i in range(40)], clips).auroc == 0.5


def test_one_label_in_the_held_out_splits_gives_no_score():
    clips = [
        Clip(f"{i}.wav", "a" if i >= 20 else "ab"[i % 2], "train" if i < 20 else "test", None, {}) for i in range(40)
    ]
    assert score_column("column", ["x"] * 40, clips) is None


def test_the_interval_holds_the_truth_about_as_often_as_it_says():
    truth = 0.5 + 0.3 / 2  # P(value = label) = 0.65 for two equally frequent labels
    scores = [score_column("column", *make(400, 2, 0.3, seed)) for seed in range(100)]
    assert 88 <= sum(score.low <= truth <= score.high for score in scores) <= 100
