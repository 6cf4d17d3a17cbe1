"""int8 arithmetic: errors are at most half a step, zero is exact, and the simulation does what it says."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from edgecomp.students.families import families
from edgecomp.students.layers import FEATURES, Layer
from edgecomp.students.net import Weights, activations
from edgecomp.students.quantisation import (
    HIGHEST,
    LOWEST,
    Quantisation,
    Scale,
    bias_in_int32,
    fake,
    fake_layer,
    scale_for,
    simulate,
    weight_steps,
    weights_in_int8,
)
from tests.small_students import lively_student, scales, sounds

torch.set_num_threads(1)
ends = st.floats(-1e4, 1e4, width=32)


@given(ends, ends)
def test_int8_error_is_at_most_half_a_step_inside_the_range(a, b):
    low, high = min(a, b), max(a, b)
    scale = scale_for(low, high)
    x = torch.linspace(low, high, 301)
    assert (fake(x, scale) - x).abs().max() <= 0.5 * scale.scale * (1 + 1e-3) + 1e-6 * abs(high - low)


@given(ends, ends)
def test_zero_is_held_exactly_and_its_byte_exists(a, b):
    scale = scale_for(min(a, b), max(a, b))
    assert LOWEST <= scale.zero <= HIGHEST and scale.scale > 0
    assert fake(torch.zeros(1), scale).item() == 0


@given(ends, ends)
def test_a_range_of_256_values_is_used_whole(a, b):
    low, high = min(a, b, 0.0), max(a, b, 0.0)
    scale = scale_for(low, high)
    if high - low > 1e-5:
        assert scale.scale * 255 == pytest.approx(high - low, rel=1e-6)


def test_values_beyond_the_range_are_clipped():
    scale = scale_for(-1.0, 2.0)
    far = fake(torch.tensor([-9.0, 9.0]), scale)
    assert far[0] == pytest.approx(-1.0, abs=scale.scale) and far[1] == pytest.approx(2.0, abs=scale.scale)


def test_an_empty_range_does_not_divide_by_zero():
    assert torch.isfinite(fake(torch.zeros(3), scale_for(0.0, 0.0))).all()


@pytest.mark.parametrize("bits, top", [(7, 63), (8, 127)])
@pytest.mark.parametrize("shape", [(6, 4, 3, 3), (6, 1, 3, 3), (6, 9)])
def test_weights_are_symmetric_per_channel_and_off_by_half_a_step(bits, top, shape):
    weight = torch.randn(shape, generator=torch.Generator().manual_seed(0)) * torch.logspace(-4, 3, 6).reshape(
        -1, *[1] * (len(shape) - 1)
    )
    stored, steps = weights_in_int8(weight, bits)
    assert stored.dtype == np.int8 and stored.shape == shape and steps.shape == (6,) and steps.dtype == np.float32
    assert (np.abs(stored).reshape(6, -1).max(1) == top).all()  # every channel uses its whole range
    wide = steps.reshape(-1, *[1] * (len(shape) - 1))
    assert (np.abs(stored * wide - weight.numpy()) <= 0.5 * wide * (1 + 1e-5)).all()
    bias = torch.linspace(-1, 1, 6)
    held = fake_layer(Weights(weight, bias), 0.01, bits)
    assert torch.equal(held.weight, torch.from_numpy(stored.astype(np.float32) * wide))
    assert ((held.bias - bias).abs().numpy() <= 0.5 * 0.01 * steps + 1e-6).all() and not torch.equal(held.bias, bias)
    assert (weight_steps(weight, bits) == steps).all()


def test_a_channel_of_zeros_stays_zero():
    stored, steps = weights_in_int8(torch.zeros(2, 3), 8)
    assert not stored.any() and (steps > 0).all()


def test_seven_bits_cannot_saturate_a_pair_of_products():
    stored, _ = weights_in_int8(torch.randn(8, 64), 7)
    assert 2 * 255 * int(np.abs(stored.astype(int)).max()) < 2**15 <= 2 * 255 * 127


@given(st.floats(-100, 100), st.floats(1e-4, 1), st.floats(1e-4, 1))
def test_a_bias_is_off_by_half_a_product_of_steps(bias, input_scale, step):
    steps = np.float32([step])
    stored = bias_in_int32(torch.tensor([bias]), input_scale, steps)
    assert stored.dtype == np.int32
    limit = (2**31 - 1) * input_scale * float(steps[0])
    wanted = np.clip(np.float32(bias), -limit, limit)
    assert abs(stored[0] * input_scale * float(steps[0]) - wanted) <= 0.5001 * input_scale * float(
        steps[0]
    ) + 1e-6 * abs(bias)


def test_a_bias_too_large_for_int32_is_clipped_and_does_not_turn_its_sign():
    assert bias_in_int32(torch.tensor([1e9, -1e9]), 1e-6, np.float32([1e-6, 1e-6])).tolist() == [
        2**31 - 1,
        -(2**31 - 1),
    ]


def test_simulation_is_exact_where_every_value_lies_on_the_grid():
    layers = (
        Layer("a", "conv", (FEATURES,), 2, width=0),
        Layer("b", "conv", ("a",), 2, relu=True, width=0),
        Layer("pool", "mean", ("b",), 2, width=0),
        Layer("logits", "dense", ("pool",), 2),
    )
    weights = {
        "a": Weights(torch.tensor([1.0, -1.0]).reshape(2, 1, 1, 1), torch.zeros(2)),
        "b": Weights(torch.tensor([[127.0, -64.0], [3.0, 127.0]]).reshape(2, 2, 1, 1) / 128, torch.zeros(2)),
        "logits": Weights(torch.eye(2) * 127 / 128, torch.tensor([0.25, -0.5])),
    }
    features = torch.full((1, 2, 2), 64.0)
    float_logits = activations(layers, weights, features)["logits"]
    # b: 64 × (127 + 64) / 128 = 95.5 and -62 → 0; logits: 95.5 × 127 / 128 + 0.25
    held = {"a": Scale(1.0, 0), "b": Scale(0.5, -128), "pool": Scale(0.5, -128), "logits": Scale(2.0**-8, 0)}
    assert fake(torch.tensor([95.5]), held["b"]) == 95.5
    held["logits"] = scale_for(-0.5, float_logits.max().item())
    found = simulate(layers, weights, Quantisation(held), features)
    assert (found - float_logits).abs().max() <= held["logits"].scale / 2
    assert torch.equal(found, fake(float_logits, held["logits"]))


@pytest.mark.parametrize("family", families())
def test_simulation_is_close_to_float_and_eight_bits_are_closer_than_seven(family):
    student, waves = lively_student(family), sounds(16, 4000, seed=9)
    with torch.inference_mode():
        features = student.front_end(torch.from_numpy(waves))
        wanted, weights = student.body(features), student.body.folded()
        off = {
            bits: (
                simulate(student.config.layers, weights, scales(student, waves, weight_bits=bits), features) - wanted
            )
            .abs()
            .mean()
            .item()
            for bits in (4, 7, 8)
        }
    assert off[8] < 0.1 * wanted.std() and off[7] < 0.1 * wanted.std()
    assert off[7] < off[4] and off[8] < off[4]


def test_scales_survive_being_written():
    held = Quantisation({"a": scale_for(-0.1, 0.7), "b": Scale(1e-8, -128)}, 7)
    assert Quantisation.from_json(held.to_json()) == held
