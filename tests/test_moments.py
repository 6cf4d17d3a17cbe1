"""Moments: windows judged by heads that never saw the clip, carried over to views, and learnt step by step."""

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import pytest
import torch

from edgecomp.data.views import draw_views
from edgecomp.data.windows import of_views, steps_in
from edgecomp.recipe import Augment
from edgecomp.schedule import Objective, Schedule, unfit
from edgecomp.students.families import families
from edgecomp.teachers.head import fit_one
from edgecomp.teachers.moments import FOLDS, Moments, answers_apart, folds
from edgecomp.training import distillation_loss, fit, softened_divergence
from tests.small_students import SmallTask, lively_student

torch.set_num_threads(1)
STARTS, WINDOW, SAMPLES = (0, 500, 1000, 1200), 800, 2000
RNG = np.random.default_rng(5)
ANSWERS = RNG.dirichlet(np.ones(3), (8, len(STARTS)))
STILL = draw_views(8, Augment(views=3, shift_s=0.0, mix_share=0.0), 1000, 0)


# windows of views


def test_a_view_that_is_the_clip_has_the_clips_answers():
    assert np.allclose(of_views(ANSWERS, STARTS, STILL), ANSWERS[STILL.clip], atol=1e-7)


def test_a_sound_that_moves_takes_its_answers_along():
    later = replace(STILL, shift=np.full((len(STILL), 2), 500))
    found = of_views(ANSWERS, STARTS, later)
    assert np.allclose(found[:8, 1], ANSWERS[:, 0], atol=1e-7) and np.allclose(found[:8, 2], ANSWERS[:, 1], atol=1e-7)
    assert np.allclose(found[:8, 0], ANSWERS[:, 0], atol=1e-7)  # what begins before the clip is as its beginning
    half = of_views(ANSWERS, STARTS, replace(STILL, shift=np.full((len(STILL), 2), -250)))
    assert np.allclose(half[:8, 0], (ANSWERS[:, 0] + ANSWERS[:, 1]) / 2, atol=1e-7)
    assert np.allclose(half[:8, 3], ANSWERS[:, 3], atol=1e-7)


def test_a_mix_has_both_clips_answers_by_their_shares_and_sums_to_one():
    drawn = draw_views(8, Augment(views=4, shift_s=0.3, mix_share=1.0), 1000, 1)
    found = of_views(ANSWERS, STARTS, drawn)
    assert found.shape == (32, 4, 3) and found.dtype == np.float32 and (found >= 0).all()
    assert np.allclose(found.sum(2), 1, atol=1e-6)
    plain = replace(drawn, shift=np.zeros_like(drawn.shift))
    wanted = (
        drawn.share[:, None, None] * ANSWERS[drawn.clip] + (1 - drawn.share[:, None, None]) * ANSWERS[drawn.partner]
    )
    assert np.allclose(of_views(ANSWERS, STARTS, plain), wanted, atol=1e-6)


def test_one_window_is_the_clip_wherever_it_moves():
    moved = replace(STILL, shift=np.full((len(STILL), 2), 300))
    assert np.allclose(of_views(ANSWERS[:, :1], (0,), moved), ANSWERS[STILL.clip, :1])


@pytest.mark.parametrize("steps", [1, 2, 5, 32, 249])
def test_every_window_is_made_of_the_steps_inside_it(steps):
    parts = steps_in(STARTS, WINDOW, SAMPLES, steps)
    assert parts.shape == (4, steps) and np.allclose(parts.sum(1), 1)
    middle = (np.arange(steps) + 0.5) * SAMPLES / steps
    for row, start in zip(parts, STARTS, strict=True):
        inside = (middle >= start) & (middle < start + WINDOW)
        assert ((row > 0) == inside).all() if inside.any() else (row > 0).sum() == 1


# heads that never saw the clip


def _scores(clips: int = 60) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Return scores of 4 windows and 12 outputs that tell three classes apart, labels, and subjects of two clips each."""
    rng = np.random.default_rng(1)
    targets = np.arange(clips) // 2 % 3
    odds = 2 * np.random.default_rng(99).standard_normal((3, 12))[targets][:, None] - 3
    odds = odds + 1.5 * rng.standard_normal((clips, 4, 12))
    return (1 / (1 + np.exp(-odds))).astype(np.float32), targets, [f"subject {clip // 2}" for clip in range(clips)]


def test_what_is_said_of_a_clip_does_not_depend_on_its_label_or_its_subjects():
    scores, targets, subjects = _scores()
    head = fit_one(scores.mean(1), targets, 3, "sqrt", 1e-2)
    before = answers_apart(scores, targets, subjects, head)
    changed = targets.copy()
    changed[:2] = (changed[:2] + 1) % 3  # both clips of one subject
    after = answers_apart(scores, changed, subjects, head)
    own = folds(subjects) == folds(subjects)[0]
    assert (before[own] == after[own]).all() and not (before[~own] == after[~own]).all()
    assert before.shape == (60, 4, 3) and np.allclose(before.sum(2), 1, atol=1e-5)


def test_a_head_is_surer_of_the_clips_that_it_was_fitted_on():
    scores, targets, subjects = _scores()
    head = fit_one(scores.mean(1), targets, 3, "sqrt", 1e-4)
    apart = answers_apart(scores, targets, subjects, head)
    own = np.take_along_axis(head(scores.reshape(-1, 12)).reshape(60, 4, 3), targets[:, None, None], 2).mean()
    assert np.take_along_axis(apart, targets[:, None, None], 2).mean() < own
    assert (apart.mean(1).argmax(1) == targets).mean() > 0.9  # and yet they know what they hear


def test_folds_keep_a_subjects_clips_together_and_are_even():
    found = folds([f"s{number // 3}" for number in range(90)])
    assert all(len(set(found[start : start + 3])) == 1 for start in range(0, 90, 3))
    assert set(np.bincount(found, minlength=FOLDS)) == {18}
    assert (found == folds([f"s{number // 3}" for number in range(90)])).all()


def test_clips_without_a_label_and_classes_in_one_fold_alone_are_the_heads():
    scores, targets, subjects = _scores()
    head = fit_one(scores.mean(1), targets, 3, "sqrt", 1e-2)
    alone = head(scores.reshape(-1, 12)).reshape(60, 4, 3)
    bare = targets.copy()
    bare[::7] = -1
    assert (answers_apart(scores, bare, subjects, head)[::7] == alone[::7]).all()
    assert (answers_apart(scores, targets, ["one"] * 60, head) == alone).all()


# learning step by step


@pytest.mark.parametrize("family", families())
def test_the_mean_over_steps_is_what_a_student_says_of_the_clip(family):
    student = lively_student(family)
    features = torch.randn(3, student.config.front_end.frames, 40)
    with torch.no_grad():
        steps = student.body.steps(features)
        assert steps.ndim == 3 and steps.shape[1] > 1
        assert torch.allclose(steps.mean(1), student.body(features), atol=1e-4)


def test_the_loss_weighs_label_clip_and_windows():
    logits, labels = torch.randn(5, 1 + 4, 3), torch.eye(3)[[0, 1, 2, 0, 1]]
    answers = torch.softmax(torch.randn(5, 1 + 4, 3), 2)
    whole = distillation_loss(logits[:, 0], labels, answers[:, 0], Objective(1.0, 2.0))
    clip = softened_divergence(logits[:, 0], answers[:, 0], 2.0)
    windows = torch.stack([softened_divergence(logits[:, k], answers[:, k], 2.0) for k in range(1, 5)]).mean()
    wanted = 0.3 * whole + 0.7 * (0.4 * clip + 0.6 * windows)
    assert distillation_loss(logits, labels, answers, Objective(0.3, 2.0, 0.6)).item() == pytest.approx(wanted.item())


def test_a_share_of_moments_that_means_nothing_is_named():
    schedule = Schedule(1, 8, 0.01, 0.0)
    assert "moments is 1.5" in unfit(Objective(0.5, 1.0, 1.5), schedule)
    assert unfit(Objective(0.5, 1.0, 1.0), schedule) is None


@dataclass(frozen=True)
class _Halves(SmallTask):
    """Tones that sound in one half of the clip alone; the teacher calls the other half unknown."""

    def waveforms(self, split: str) -> np.ndarray:
        waves = np.array(super().waveforms(split))
        waves[:, self.samples // 2 :] = 0.1 * np.random.default_rng(9).standard_normal((len(waves), self.samples // 2))
        return waves

    @property
    def dataset(self):
        found = super().dataset
        found.samples = self.samples
        return found

    @cached_property
    def moments(self) -> Moments:
        heard = np.eye(3)[self.targets("train")]
        answers = np.stack([0.97 * heard + 0.01, np.full_like(heard, 1 / 3)], axis=1)
        return Moments(answers.astype(np.float32), (0, self.samples // 2), self.samples // 2)

    def view_moments(self) -> np.ndarray:
        return of_views(self.moments.answers, self.moments.starts, self.views)

    def view_answers(self) -> np.ndarray:
        raise AssertionError("nobody may ask about the views")


def test_a_student_learns_where_the_sound_is_and_nobody_asks_about_views():
    task = _Halves()
    student = lively_student("ds_cnn", samples=task.samples, widths=(4, 4, 4, 4, 4))
    schedule = Schedule(epochs=40, batch=6, learning_rate=0.02, weight_decay=1e-3)
    fitted = fit(student, task, Objective(0.1, 1.0, moments=1.0), schedule, seed=0, said="test")
    front_end = student.front_end
    heard = (torch.from_numpy(task.features("validation", student.config.front_end)) - front_end.mean) / front_end.std
    with torch.no_grad():
        steps = student.body.steps(heard)
        sure = torch.softmax(torch.from_numpy(steps_in(task.moments.starts, 1000, 2000, steps.shape[1])) @ steps, 2)
    right = sure.gather(2, torch.from_numpy(task.targets("validation"))[:, None, None].expand(-1, 2, 1)).mean(0)
    assert fitted.validation_accuracy > 0.8 and right[0] > right[1] + 0.2
