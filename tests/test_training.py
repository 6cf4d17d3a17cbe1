"""Training: Hinton's loss on numbers, repetition bit for bit, the best epoch kept, a clear end where it diverges."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from edgecomp.errors import EdgecompError
from edgecomp.schedule import Objective, Schedule, unfit
from edgecomp.students.student import Student
from edgecomp.training import Fitted, _Inputs, _masked, _rate, distillation_loss, fit
from tests.small_students import SmallTask, lively_student

torch.set_num_threads(1)
TASK = SmallTask()
SCHEDULE = Schedule(epochs=3, batch=8, learning_rate=0.01, weight_decay=1e-3)
BOTH = Objective(0.3, 2.0)


def _student(seed: int = 0) -> Student:
    return lively_student("ds_cnn", seed=seed, samples=TASK.samples, widths=(4, 4, 4, 4, 4))


def _fit(
    student: Student, task: SmallTask = TASK, objective: Objective = BOTH, schedule: Schedule = SCHEDULE, seed: int = 0
) -> Fitted:
    return fit(student, task, objective, schedule, seed=seed, said="test")


def _softmax(x: np.ndarray) -> np.ndarray:
    return np.exp(x) / np.exp(x).sum(axis=1, keepdims=True)


LOGITS = np.random.default_rng(0).normal(size=(5, 4))
LABELS = _softmax(3 * np.random.default_rng(1).normal(size=(5, 4)))
TEACHER = 2 * np.random.default_rng(2).normal(size=(5, 4))
"""The teacher's logits: Hinton's formula softens these, edgecomp only sees their softmax."""


@pytest.mark.parametrize("label_weight", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("temperature", [1.0, 2.0, 7.0])
def test_the_loss_is_hintons_by_hand(label_weight, temperature):
    soft = _softmax(TEACHER / temperature)
    hard = -(LABELS * np.log(_softmax(LOGITS))).sum(axis=1).mean()
    divergence = (soft * np.log(soft / _softmax(LOGITS / temperature))).sum(axis=1).mean()
    wanted = label_weight * hard + (1 - label_weight) * temperature**2 * divergence
    found = distillation_loss(
        *map(torch.tensor, (LOGITS, LABELS, _softmax(TEACHER))), Objective(label_weight, temperature)
    )
    assert found.item() == pytest.approx(wanted, rel=1e-6)


def test_temperature_squared_keeps_the_gradients_size():
    """At high temperatures the gradient nears (z - v) / N, with both logits centred: Hinton et al. 2015, eq. 4."""
    logits = torch.tensor(LOGITS, requires_grad=True)
    distillation_loss(logits, torch.tensor(LABELS), torch.tensor(_softmax(TEACHER)), Objective(0.0, 200.0)).backward()
    centred = [x - x.mean(axis=1, keepdims=True) for x in (LOGITS, TEACHER)]
    assert np.allclose(logits.grad.numpy() * len(LOGITS), (centred[0] - centred[1]) / 4, atol=0.01)


def test_a_student_that_answers_as_its_teacher_has_no_loss_and_no_gradient():
    logits = torch.tensor(TEACHER, requires_grad=True)
    loss = distillation_loss(logits, torch.tensor(LABELS), torch.tensor(_softmax(TEACHER)), Objective(0.0, 3.0))
    loss.backward()
    assert abs(loss.item()) < 1e-6 and logits.grad.abs().max() < 1e-6


def test_a_teacher_that_is_certain_gives_a_finite_loss():
    certain = torch.eye(4)[:3]
    assert torch.isfinite(distillation_loss(torch.randn(3, 4), certain, certain, Objective(0.1, 2.0)))


def test_labels_alone_do_not_look_at_the_teacher():
    class Alone(SmallTask):
        def view_answers(self) -> np.ndarray:
            raise AssertionError("nobody may ask the teacher")

    assert 0 <= _fit(_student(), Alone(), Objective(1.0, 2.0)).validation_accuracy <= 1


def test_fitting_repeats_bit_for_bit_under_one_seed_and_not_under_another():
    made = {}
    for name, seed in (("first", 1), ("second", 1), ("other", 2)):
        student = _student()
        torch.manual_seed(99 + len(made))  # whatever went before
        fitted = _fit(student, schedule=replace(SCHEDULE, mask=0.2), seed=seed)
        made[name] = (fitted, {key: value.clone() for key, value in student.state_dict().items()})
    assert made["first"][0] == made["second"][0]
    assert all(torch.equal(value, made["second"][1][key]) for key, value in made["first"][1].items())
    assert not all(torch.equal(value, made["other"][1][key]) for key, value in made["first"][1].items())


def test_a_student_learns_the_tones_and_its_front_end_stays_as_it_was():
    student = _student()
    before = {key: value.clone() for key, value in student.front_end.state_dict().items()}
    fitted = _fit(student, schedule=replace(SCHEDULE, epochs=25, batch=6))
    assert fitted.validation_accuracy > 0.9 and not student.training
    assert all(torch.equal(value, before[key]) for key, value in student.front_end.state_dict().items())


@pytest.mark.parametrize(
    "scores, best",
    [
        ([(0.5, -1.0), (0.8, -0.5), (0.7, -0.1)], 2),
        ([(0.5, -1.0), (0.5, -0.4), (0.5, -0.6)], 2),
        ([(0.9, -1.0), (0.5, -0.1), (0.1, -0.1)], 1),
        ([(0.5, -1.0), (0.9, float("nan")), (0.4, -0.1)], 1),
    ],
)
def test_with_patience_the_best_epoch_by_accuracy_then_loss_is_kept(monkeypatch, scores, best):
    seen = []

    def validate(_inputs: _Inputs, student: Student) -> tuple[float, float]:
        seen.append(student.body.blocks["logits"].dense.weight.detach().clone())
        return scores[len(seen) - 1]

    monkeypatch.setattr(_Inputs, "validate", validate)
    student = _student()
    fitted = _fit(student, schedule=replace(SCHEDULE, patience=3))
    assert fitted == Fitted(best, 3, scores[best - 1][0], -scores[best - 1][1])
    assert torch.equal(student.body.blocks["logits"].dense.weight, seen[best - 1])


def test_without_patience_the_last_epoch_is_kept_and_no_other_is_looked_at(monkeypatch):
    seen = []

    def validate(_inputs: _Inputs, student: Student) -> tuple[float, float]:
        seen.append(student.body.blocks["logits"].dense.weight.detach().clone())
        return 0.4, -2.0

    monkeypatch.setattr(_Inputs, "validate", validate)
    student = _student()
    assert _fit(student, schedule=replace(SCHEDULE, epochs=5)) == Fitted(5, 5, 0.4, 2.0)
    assert len(seen) == 1 and torch.equal(student.body.blocks["logits"].dense.weight, seen[0])


def test_patience_stops_epochs_after_the_best(monkeypatch):
    scores = iter([(0.5, -1.0), (0.6, -1.0)] + [(0.4, -1.0)] * 10)
    monkeypatch.setattr(_Inputs, "validate", lambda _inputs, _student: next(scores))
    fitted = _fit(_student(), schedule=replace(SCHEDULE, epochs=12, patience=3))
    assert (fitted.kept_epoch, fitted.epochs) == (2, 5)


def test_the_score_that_is_returned_is_the_kept_students(monkeypatch):
    student = _student()
    fitted = _fit(student)
    inputs = _Inputs.of(student, TASK, BOTH)
    accuracy, minus_loss = inputs.validate(student)
    assert (accuracy, -minus_loss) == pytest.approx((fitted.validation_accuracy, fitted.validation_loss), rel=1e-5)


def test_a_fit_that_diverges_is_a_clear_error():
    class Broken(SmallTask):
        def view_answers(self) -> np.ndarray:
            return np.full_like(super().view_answers(), np.nan)

    with pytest.raises(EdgecompError) as error:
        _fit(_student(), Broken())
    assert str(error.value) == (
        "the training diverged: the loss is not a number\n  where: test\n  fix:   lower learning_rate, which is 0.01"
    )


def test_every_epoch_hears_every_clip_once_as_another_view():
    inputs = _Inputs.of(_student(), TASK, BOTH)
    marked = replace(inputs, answers=torch.arange(len(TASK.views)))
    seen = [
        sorted(torch.cat([rows for _, _, rows in marked.epoch(epoch, SCHEDULE, np.random.default_rng(epoch))]).tolist())
        for epoch in range(1, 4)
    ]
    assert all(sorted(row % TASK.clips for row in rows) == list(range(TASK.clips)) for rows in seen)
    assert sorted(row for rows in seen for row in rows) == list(range(3 * TASK.clips))  # three epochs, three views


@pytest.mark.parametrize("batch, batches", [(8, 3), (24, 1), (100, 1), (10, 2)])
def test_no_batch_is_left_with_a_few_clips(batch, batches):
    inputs = _Inputs.of(_student(), TASK, BOTH)
    sizes = [len(rows) for rows, _, _ in inputs.epoch(1, replace(SCHEDULE, batch=batch), np.random.default_rng(0))]
    assert len(sizes) == inputs.batches(batch) == batches and max(sizes) - min(sizes) <= 1


def test_masks_hide_one_stripe_of_each_axis_at_most_so_wide():
    features = torch.ones(200, 30, 20)
    assert _masked(features, 0.0, np.random.default_rng(0)) is features
    kept = _masked(features, 0.2, np.random.default_rng(0)).bool()
    for hidden, most in ((~kept.any(2), 6), (~kept.any(1), 4)):
        assert hidden.sum(1).max() == most and hidden.sum(1).min() == 0
        assert (hidden.int().diff(dim=1).abs().sum(1) <= 2).all()  # a stripe: it begins and ends once


def test_the_rate_rises_for_a_twentieth_and_falls_to_nothing():
    rates = [_rate(step / 200) for step in range(201)]
    assert 0 < rates[0] < 0.01 and max(rates) > 0.95 and rates[200] < 1e-9
    top = rates.index(max(rates))
    assert 8 <= top <= 12 and rates[:top] == sorted(rates[:top]) and rates[top:] == sorted(rates[top:], reverse=True)


@pytest.mark.parametrize(
    "wrong",
    [
        {"label_weight": 1.1},
        {"label_weight": -0.1},
        {"temperature": 0.0},
        {"temperature": float("nan")},
        {"temperature": float("inf")},
    ],
)
def test_objectives_that_mean_nothing_are_named(wrong):
    assert next(iter(wrong)) in unfit(replace(BOTH, **wrong), SCHEDULE)


@pytest.mark.parametrize(
    "wrong",
    [
        {"epochs": 0},
        {"batch": 0},
        {"learning_rate": 0.0},
        {"learning_rate": float("nan")},
        {"weight_decay": -1.0},
        {"patience": -1},
        {"mask": 1.5},
        {"mask": -0.1},
    ],
)
def test_schedules_that_cannot_be_followed_are_named(wrong):
    said = unfit(BOTH, replace(SCHEDULE, **wrong))
    assert next(iter(wrong)) in said and str(next(iter(wrong.values()))) in said


def test_sensible_settings_are_fit():
    assert (
        unfit(BOTH, SCHEDULE) is None
        and unfit(Objective(1.0, 1.0), replace(SCHEDULE, mask=1.0, weight_decay=0.0)) is None
    )
