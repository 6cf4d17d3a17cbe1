"""Pruning: removing what was dead changes nothing, and what is kept fits the device and the work asked for."""

import numpy as np
import pytest
import torch

from edgecomp.students.families import families, import_family
from edgecomp.students.layers import FEATURES, macs
from edgecomp.students.pruning import channel_importance, kept_channels, without_channels
from edgecomp.students.student import Student
from tests.small_students import lively_student, probabilities, sounds

torch.set_num_threads(1)
WAVES = sounds(24, 4000, seed=2)
FAMILIES = pytest.mark.parametrize("family", families())


def _work(student: Student) -> int:
    front_end = student.config.front_end
    return sum(macs(student.config.layers, front_end.frames, front_end.mels).values())


def _importance(student: Student) -> dict[int, torch.Tensor]:
    with torch.no_grad():
        features = student.front_end(torch.from_numpy(WAVES))
    return channel_importance(student, features, torch.arange(len(WAVES)) % 3)


def _with_dead_channels(family: str, dead: dict[int, list[int]]) -> Student:
    """Return a student some of whose channels are zero wherever they are computed."""
    student = lively_student(family)
    with torch.no_grad():
        for layer in student.config.layers:
            if layer.op in ("conv", "depthwise") and layer.width in dead:
                norm = student.body.blocks[layer.name].norm
                norm.weight[dead[layer.width]] = 0
                norm.bias[dead[layer.width]] = 0
    return student


@FAMILIES
def test_removing_dead_channels_changes_no_answer(family):
    widths = lively_student(family).config.widths
    rng = np.random.default_rng(1)
    dead = {width: sorted(rng.choice(size, size // 3, replace=False).tolist()) for width, size in enumerate(widths)}
    student = _with_dead_channels(family, dead)
    kept = {width: [c for c in range(size) if c not in dead[width]] for width, size in enumerate(widths)}
    smaller = without_channels(student, kept)
    assert smaller.config.widths == tuple(size - size // 3 for size in widths)
    assert _work(smaller) < 0.7 * _work(student) and not smaller.training
    wanted = probabilities(student, WAVES)
    assert wanted.std(0).max() > 0.02
    assert np.abs(probabilities(smaller, WAVES) - wanted).max() < 1e-5


@FAMILIES
def test_removing_one_width_alone_keeps_every_reader_whole(family):
    widths = lively_student(family).config.widths
    for width, size in enumerate(widths):
        student = _with_dead_channels(family, {width: [0, size - 1]})
        kept = {w: list(range(s)) for w, s in enumerate(widths)} | {width: list(range(1, size - 1))}
        assert (
            np.abs(probabilities(without_channels(student, kept), WAVES) - probabilities(student, WAVES)).max() < 1e-5
        )


@FAMILIES
def test_keeping_every_channel_keeps_every_weight(family):
    student = lively_student(family)
    same = without_channels(student, {w: list(range(s)) for w, s in enumerate(student.config.widths)})
    state = student.state_dict()
    assert same.config == student.config
    assert all(torch.equal(value, state[name]) for name, value in same.state_dict().items())


@FAMILIES
def test_pruning_leaves_the_student_it_was_given_alone(family):
    student = lively_student(family)
    before = {name: value.clone() for name, value in student.state_dict().items()}
    kept = kept_channels(student.config, _importance(student), keep=0.5, round_to=4)
    smaller = without_channels(student, kept)
    with torch.no_grad():
        for value in smaller.parameters():
            value.zero_()
    assert all(torch.equal(value, before[name]) for name, value in student.state_dict().items())


@FAMILIES
def test_a_dead_channel_has_no_importance_and_a_live_one_has_some(family):
    widths = lively_student(family).config.widths
    for width in range(len(widths)):
        scores = _importance(_with_dead_channels(family, {width: [3]}))
        assert scores.keys() == set(range(len(widths)))
        assert all(
            score.shape == (size,) and (score >= 0).all() for score, size in zip(scores.values(), widths, strict=True)
        )
        assert scores[width][3] == 0 and scores[width].max() > 0


@FAMILIES
def test_importance_is_the_squared_slope_of_the_loss_along_each_channels_gate(family):
    """By finite differences: scale what a width's convolutions give, and see what each example's loss does."""
    student = lively_student(family)
    features = student.front_end(torch.from_numpy(WAVES[:4])).double()
    targets = torch.arange(4) % 3
    found = channel_importance(student, features.float(), targets)
    student = student.double()
    filtered = {layer.inputs[0] for layer in student.config.layers if layer.op == "depthwise"}
    for width in (0, len(student.config.widths) - 1):
        for channel in (0, 5):
            losses = []
            for step in (-1e-4, 1e-4):
                hooks = [
                    student.body.blocks[layer.name].register_forward_hook(
                        lambda _m, _i, out, s=step, c=channel: (
                            out * (1 + s * (torch.arange(out.shape[1]) == c)[:, None, None])
                        )
                    )
                    for layer in student.config.layers
                    if layer.op in ("conv", "depthwise") and layer.width == width and layer.name not in filtered
                ]
                with torch.no_grad():
                    losses.append(torch.nn.functional.cross_entropy(student.body(features), targets, reduction="none"))
                for hook in hooks:
                    hook.remove()
            slope = (losses[1] - losses[0]) / 2e-4
            assert found[width][channel].item() == pytest.approx((slope**2).sum().item(), rel=2e-2, abs=1e-7)


@FAMILIES
@pytest.mark.parametrize("keep", [0.9, 0.5, 0.2])
@pytest.mark.parametrize("round_to", [1, 8])
def test_what_is_kept_fits_the_work_and_the_channel_multiple(family, keep, round_to):
    student = lively_student(family, widths=import_family(family).WIDTHS)
    kept = kept_channels(student.config, _importance(student), keep=keep, round_to=round_to)
    for width, size in enumerate(student.config.widths):
        assert kept[width] == sorted(set(kept[width])) and kept[width][0] >= 0 and kept[width][-1] < size
        assert len(kept[width]) % round_to == 0 and len(kept[width]) >= round_to
    smaller = without_channels(student, kept)
    assert 0.5 * keep * _work(student) < _work(smaller) <= keep * _work(student)
    assert smaller(torch.from_numpy(WAVES[:2])).shape == (2, 3)


@FAMILIES
def test_a_share_that_cannot_be_reached_stops_at_the_narrowest_student(family):
    student = lively_student(family, widths=import_family(family).WIDTHS)
    kept = kept_channels(student.config, _importance(student), keep=1e-6, round_to=8)
    assert {len(channels) for channels in kept.values()} == {8}


@FAMILIES
def test_the_least_important_channels_go_first(family):
    student = lively_student(family, widths=import_family(family).WIDTHS)
    importance = _importance(student)
    for width, channels in kept_channels(student.config, importance, keep=0.4, round_to=4).items():
        gone = sorted(set(range(len(importance[width]))) - set(channels))
        assert not gone or importance[width][gone].max() <= importance[width][channels].min()


def test_a_width_that_is_no_multiple_becomes_one_when_it_is_cut():
    student = lively_student("ds_cnn", widths=(13, 13, 13, 13, 13))
    kept = kept_channels(student.config, _importance(student), keep=0.01, round_to=4)
    assert {len(channels) for channels in kept.values()} == {4}


@FAMILIES
def test_everything_stays_where_all_the_work_may_stay(family):
    student = lively_student(family)
    kept = kept_channels(student.config, _importance(student), keep=1.0, round_to=8)
    assert [len(kept[w]) for w in range(len(kept))] == list(student.config.widths)


@FAMILIES
def test_the_layers_of_one_width_lose_the_same_channels(family):
    student = lively_student(family)
    kept = {w: list(range(1, s)) for w, s in enumerate(student.config.widths)}
    smaller = without_channels(student, kept)
    channels = {FEATURES: None} | {layer.name: layer.width for layer in student.config.layers}
    for layer in student.config.layers:
        if layer.op not in ("conv", "depthwise"):
            continue
        old, new = student.body.blocks[layer.name], smaller.body.blocks[layer.name]
        weight = old.conv.weight[kept[layer.width]]
        read = channels[layer.inputs[0]]
        if layer.op == "conv" and read is not None:
            weight = weight[:, kept[read]]
        assert torch.equal(new.conv.weight, weight) and torch.equal(
            new.norm.running_var, old.norm.running_var[kept[layer.width]]
        )
