"""The benchmark that trains many students at once: its stack is the product's network, its arms and rows are as told."""

import argparse
import json

import numpy as np
import pytest
import torch

from benchmarks import stacked_students
from benchmarks.stacked_students import Arm, Lesson, Stack
from edgecomp.students.families.ds_cnn import layers
from edgecomp.students.net import Body

WIDTHS, CLASSES, CLIPS = (3, 4, 4, 5, 5), 3, 8


def bodies(count=4):
    made = []
    for seed in range(count):
        torch.manual_seed(seed)
        made.append(Body(layers(WIDTHS, CLASSES)))
        for name, value in made[-1].named_buffers():
            if "running" in name:
                value.copy_(torch.rand(value.shape) + 0.5)
    return made


@pytest.mark.parametrize("frames, mels", [(25, 40), (24, 39)])
def test_every_student_of_a_stack_answers_as_it_would_alone(frames, mels):
    alone, features = bodies(), torch.randn(6, 4, frames, mels)
    together = Stack(alone, "cpu")(features, train=False)
    for place, body in enumerate(alone):
        torch.testing.assert_close(together[:, place], body.eval()(features[:, place]), atol=1e-5, rtol=1e-4)


def test_every_student_of_a_stack_has_its_own_batch_statistics_and_gradients():
    alone, features = bodies(), torch.randn(6, 4, 25, 40)
    stack = Stack(alone, "cpu")
    stack(features, train=True)[..., 0].sum().backward()
    for place, body in enumerate(alone):
        body.train()(features[:, place])[..., 0].sum().backward()
        for name, weight in body.named_parameters():
            torch.testing.assert_close(stack.weights[name].grad[place], weight.grad, atol=1e-4, rtol=1e-3)
        for name, value in body.named_buffers():
            if "running" in name:
                torch.testing.assert_close(stack.buffers[name][place], value, atol=1e-5, rtol=1e-4)


def lesson_file(folder):
    random = np.random.default_rng(0)
    rows = CLIPS * 6 + 5  # two plain views, four heavy ones, five other sounds
    answers = random.dirichlet(np.ones(CLASSES), rows).astype(np.float32)
    targets = np.arange(CLIPS) % CLASSES
    arrays = {
        "low": -10.0,
        "step": 10 / 63,
        "mean": np.full(40, -5.0, np.float32),
        "std": np.ones(40, np.float32),
        "frames": random.integers(0, 64, (rows, 25, 40)).astype(np.uint8),
        "answers": answers,
        "labels": answers,
        "counts": np.array([CLIPS, CLIPS * 2, CLIPS * 4, 5]),
    }
    for split in ("validation", "test"):
        arrays |= {split: arrays["frames"][:CLIPS], f"{split}_targets": targets}
    np.savez_compressed(folder / "tones.npz", **arrays)
    return folder / "tones.npz"


def test_an_epoch_hears_every_clip_once_from_its_arms_pool(tmp_path):
    lesson = Lesson.read(lesson_file(tmp_path), "cpu")
    arms = [Arm(1.0, pool=pool) for pool in ("plain", "heavy", "both")]
    order = torch.stack([torch.randperm(CLIPS) for _ in arms])
    epochs = torch.stack([lesson.rows(arms, order, epoch) for epoch in range(6)])
    assert (epochs % CLIPS == order).all()
    views = [sorted(set((epochs[:, place] // CLIPS).flatten().tolist())) for place in range(3)]
    assert views == [[0, 1], [2, 3, 4, 5], [0, 1, 2, 3, 4, 5]]
    assert all(len(set(epochs[:, 2, clip].tolist())) == 6 for clip in range(CLIPS))


def test_an_arm_is_read_from_its_text_and_a_wrong_pool_is_refused():
    assert Arm.of("1") == Arm(1.0) and Arm.of("0.5:4") == Arm(0.5, 4.0)
    assert Arm.of("0:2:both:0.3") == Arm(0.0, 2.0, "both", 0.3)
    with pytest.raises(argparse.ArgumentTypeError, match="allowed: plain, heavy, both"):
        Arm.of("0:2:all")


def test_it_prints_a_row_for_every_arm(tmp_path, monkeypatch, capsys):
    given = ["--learn", str(lesson_file(tmp_path)), "--widths", *map(str, WIDTHS), "--epochs", "2", "--batch", "4"]
    monkeypatch.setattr(
        "sys.argv", ["stacked_students.py", *given, "--seeds", "2", "--device", "cpu", "--arms", "1", "0:4:both:0.5"]
    )
    stacked_students.main()
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [(row["label_weight"], row["pool"], row["students"]) for row in rows] == [
        (1.0, "plain", 2),
        (0.0, "both", 2),
    ]
    assert all(0 <= row[name]["mean"] <= 1 for row in rows for name in ("validation_last", "test_last", "test_best"))
