"""A body is a list of layers: counts, shapes and folding are what torch computes; families keep the contract."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils.flop_counter import FlopCounterMode

from edgecomp.errors import RecipeError
from edgecomp.students import StudentConfig
from edgecomp.students.families import families, import_family
from edgecomp.students.front_end import FrontEnd
from edgecomp.students.layers import FEATURES, Layer, macs, parameters, same_padding, shapes
from edgecomp.students.net import Body, activations, apply, convolve
from edgecomp.students.student import Student, load_student, random_student, save_student
from tests.small_students import lively_student, probabilities, sounds

torch.set_num_threads(1)


@given(st.integers(1, 200), st.integers(1, 9), st.integers(1, 5))
def test_same_padding_is_the_least_that_gives_one_output_a_stride(size, kernel, stride):
    wanted = -(-size // stride)
    least = next(
        total
        for total in range(kernel + stride)
        if size + total >= kernel and (size + total - kernel) // stride + 1 >= wanted
    )
    before, after = same_padding(size, kernel, stride)
    assert before + after == least and after - before in (0, 1)
    assert (size + before + after - kernel) // stride + 1 == wanted


@settings(max_examples=40, deadline=None)
@given(
    st.integers(1, 12),
    st.integers(1, 12),
    st.tuples(st.integers(1, 5), st.integers(1, 5)),
    st.tuples(st.integers(1, 3), st.integers(1, 3)),
    st.booleans(),
)
def test_convolve_is_the_sum_over_a_zero_padded_window(time, mel, kernel, stride, is_depthwise):
    layer = Layer("l", "depthwise" if is_depthwise else "conv", (FEATURES,), 2, kernel, stride)
    draws = torch.Generator().manual_seed(time * 13 + mel)
    x, weight = (
        torch.randn(1, 2, time, mel, generator=draws),
        torch.randn(2, 1 if is_depthwise else 2, *kernel, generator=draws),
    )
    found = convolve(x, weight, None, layer)[0]
    top, left = same_padding(time, kernel[0], stride[0])[0], same_padding(mel, kernel[1], stride[1])[0]
    padded = np.zeros((2, time + 9, mel + 9))
    padded[:, top : top + time, left : left + mel] = x[0]
    for c, t, f in np.ndindex(*found.shape):
        window = padded[:, t * stride[0] : t * stride[0] + kernel[0], f * stride[1] : f * stride[1] + kernel[1]]
        assert found[c, t, f].item() == pytest.approx(
            ((window[c : c + 1] if is_depthwise else window) * weight[c].numpy()).sum(), abs=1e-4
        )


@pytest.mark.parametrize("family", families())
@pytest.mark.parametrize("samples", [4000, 4321])
def test_folded_weights_compute_what_the_module_does_in_evaluation(family, samples):
    student = lively_student(family, samples=samples)
    with torch.inference_mode():
        features = student.front_end(torch.from_numpy(sounds(6, samples, seed=5)))
        folded = activations(student.config.layers, student.body.folded(), features)
        wanted = student.body(features)
    assert wanted.std(0).min() > 0.01
    assert torch.allclose(folded[student.config.layers[-1].name], wanted, atol=1e-4)


@pytest.mark.parametrize("family", families())
@pytest.mark.parametrize("frames, mels", [(24, 40), (17, 13), (1, 8)])
def test_shapes_and_macs_are_what_torch_computes(family, frames, mels):
    layers = import_family(family).layers(import_family(family).WIDTHS, 7)
    body = Body(layers).eval()
    weights, size, count = body.folded(), shapes(layers, frames, mels), macs(layers, frames, mels)
    seen = {FEATURES: torch.randn(1, 1, frames, mels)}
    for layer in layers:
        with torch.inference_mode(), FlopCounterMode(display=False) as counter:
            seen[layer.name] = apply(layer, weights.get(layer.name), [seen[name] for name in layer.inputs])
        found = seen[layer.name].shape
        assert size[layer.name] == ((found[2], found[3], found[1]) if len(found) == 4 else (found[1],)), layer.name
        assert count[layer.name] == counter.get_total_flops() // 2, layer.name
    assert sum(count.values()) > 0


@pytest.mark.parametrize("family", families())
def test_a_family_keeps_the_contract_at_any_widths(family):
    module = import_family(family)
    rng = np.random.default_rng(0)
    for trial in range(4):
        widths = module.WIDTHS if trial == 0 else tuple(rng.integers(1, 33, len(module.WIDTHS)).tolist())
        layers = module.layers(widths, 5)
        names = [FEATURES, *(layer.name for layer in layers)]
        assert len(set(names)) == len(names)
        for place, layer in enumerate(layers):
            assert set(layer.inputs) <= set(names[: place + 1])  # a layer reads what came before it
            assert layer.op in ("conv", "depthwise", "add", "mean", "dense")
            assert layer.width is None or layer.channels == widths[layer.width]
        assert {layer.width for layer in layers} - {None} == set(range(len(widths)))
        channels = {FEATURES: (1, None)} | {layer.name: (layer.channels, layer.width) for layer in layers}
        for layer in layers:
            if layer.op in ("depthwise", "add", "mean"):  # these lose the channels that they read, and no others
                assert {channels[name] for name in layer.inputs} == {(layer.channels, layer.width)}, layer.name
        assert (
            layers[-1].op == "dense" and layers[-1].channels == 5 and not layers[-1].relu and layers[-1].width is None
        )
        assert [layer.op for layer in layers].count("mean") == 1 and layers[-2].op == "mean"
        assert Body(layers).eval()(torch.randn(3, 20, 16)).shape == (3, 5)


@pytest.mark.parametrize("family", families())
def test_a_saved_student_answers_the_same_and_no_code_is_unpickled(family, tmp_path):
    student = lively_student(family)
    student.body.to(memory_format=torch.channels_last)  # as training leaves it
    save_student(student, tmp_path)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["config.json", "weights.safetensors"]
    again = load_student(tmp_path)
    assert again.config == student.config and not again.training
    waves = sounds(4, 4000, seed=3)
    assert np.allclose(probabilities(again, waves), probabilities(student, waves), atol=1e-6)
    twice = tmp_path / "twice"
    twice.mkdir()
    save_student(again, twice)
    assert all((twice / p.name).read_bytes() == p.read_bytes() for p in tmp_path.iterdir() if p.is_file())


def test_random_students_follow_their_seed_and_leave_torchs_own_randomness_alone():
    config = lively_student("ds_cnn").config
    torch.manual_seed(1)
    wanted = torch.rand(3)
    torch.manual_seed(1)
    first, second, other = (random_student(config, seed).state_dict() for seed in (4, 4, 5))
    assert torch.equal(torch.rand(3), wanted)
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert not torch.equal(first["body.blocks.stem.conv.weight"], other["body.blocks.stem.conv.weight"])


@pytest.mark.parametrize("family", families())
def test_parameters_count_what_is_stored_after_folding(family):
    student = lively_student(family)
    channels = {FEATURES: 1} | {layer.name: layer.channels for layer in student.config.layers}
    wanted = 0
    for layer in student.config.layers:
        reads = {"conv": channels[layer.inputs[0]], "dense": channels[layer.inputs[0]], "depthwise": 1}.get(layer.op)
        wanted += 0 if reads is None else layer.channels * (reads * layer.kernel[0] * layer.kernel[1] + 1)
    assert parameters(student.config.layers) == wanted


def test_an_unknown_family_is_refused_with_the_nearest_name():
    with pytest.raises(RecipeError) as error:
        StudentConfig("ds_cn", (8,), ("a", "b"), FrontEnd.preset(8000, 8000))
    assert str(error.value) == (
        "unknown student family 'ds_cn'\n  where: [student] family\n"
        "  fix:   did you mean 'ds_cnn'? allowed: " + ", ".join(families())
    )


def test_a_student_takes_waveforms_and_gives_logits():
    student = lively_student("ds_cnn")
    assert isinstance(student, Student) and student(torch.zeros(2, 4000)).shape == (2, 3)
