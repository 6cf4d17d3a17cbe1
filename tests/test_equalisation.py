"""Equalising channels changes no answer, evens out what one scale has to hold, and is kept bit for bit by a student."""

import numpy as np
import pytest
import torch

from edgecomp.students.equalisation import SMALLEST, equalised
from edgecomp.students.families import families
from edgecomp.students.layers import FEATURES
from edgecomp.students.net import activations
from edgecomp.students.student import Student, load_student, save_student
from tests.small_students import lively_student, sounds

torch.set_num_threads(1)


def _seen(student):
    features = student.front_end(torch.from_numpy(sounds(24, student.config.front_end.samples)))
    weights = student.body.folded()
    rng = torch.Generator().manual_seed(3)
    first = next(iter(weights))  # channels of very different size, as batch normalisation leaves them
    weights[first].weight.mul_(10 ** (2 * torch.rand(len(weights[first].bias), generator=rng) - 1).reshape(-1, 1, 1, 1))
    return features, weights, activations(student.config.layers, weights, features)


@pytest.mark.parametrize("family", families())
@pytest.mark.parametrize("share", [0.0, 0.3, 0.5, 1.0])
def test_the_function_stays_the_same(family, share):
    student = lively_student(family)
    features, weights, seen = _seen(student)
    alike = equalised(student.config.layers, weights, seen, share)
    last = student.config.layers[-1].name
    got = activations(student.config.layers, alike, features)[last]
    assert (got - seen[last]).abs().max() <= 1e-4 * seen[last].abs().max()


@pytest.mark.parametrize("family", families())
def test_channels_before_a_depthwise_layer_reach_equally_far(family):
    student = lively_student(family)
    features, weights, seen = _seen(student)
    layers = student.config.layers
    after = activations(layers, equalised(layers, weights, seen, 0.5), features)
    found = 0
    for layer in layers:
        if layer.op != "depthwise" or layer.inputs[0] == FEATURES:
            continue
        if sum(layer.inputs[0] in one.inputs for one in layers) > 1:
            continue
        size = after[layer.inputs[0]].abs().amax((0, 2, 3))
        alive = seen[layer.inputs[0]].abs().amax((0, 2, 3)) > 1e-6
        whole = size[alive].max()
        assert (size[alive] >= 0.999 * whole).float().mean() > 0.5 and size.max() <= 1.001 * whole
        assert (size[alive] > SMALLEST * whole).all()
        found += 1
    assert found


@pytest.mark.parametrize("family", families())
def test_a_tensor_that_is_added_to_another_keeps_its_channels(family):
    student = lively_student(family)
    features, weights, seen = _seen(student)
    layers = student.config.layers
    after = activations(layers, equalised(layers, weights, seen, 0.5), features)
    for layer in layers:
        if layer.op == "add":
            for name in layer.inputs:
                assert torch.allclose(after[name], seen[name], rtol=1e-4, atol=1e-5)


def test_a_silent_channel_is_not_blown_up():
    student = lively_student("ds_cnn")
    _, weights, seen = _seen(student)
    layers = student.config.layers
    seen = dict(seen) | {layers[0].name: torch.zeros_like(seen[layers[0].name])}
    alike = equalised(layers, weights, seen, 0.5)
    assert np.array_equal(alike[layers[0].name].weight, weights[layers[0].name].weight)
    assert all(torch.isfinite(one.weight).all() and torch.isfinite(one.bias).all() for one in alike.values())


@pytest.mark.parametrize("family", families())
def test_a_student_holds_folded_weights_bit_for_bit(family, tmp_path):
    student = lively_student(family)
    _, weights, seen = _seen(student)
    alike = equalised(student.config.layers, weights, seen, 0.3)
    student.body.hold(alike)
    save_student(student, tmp_path)
    again = load_student(tmp_path)
    assert isinstance(again, Student)
    for name, held in again.body.folded().items():
        assert torch.equal(held.weight, alike[name].weight) and torch.equal(held.bias, alike[name].bias)
