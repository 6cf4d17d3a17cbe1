"""Parity: each pair keeps its own bounds, and outputs that agree with anything are refused."""

import numpy as np
import pytest

from edgecomp.audit.parity import Verify, parities
from edgecomp.errors import InputError

RNG = np.random.default_rng(0)
TORCH = RNG.dirichlet(np.ones(4) * 0.3, 200)


def _off(by: float) -> np.ndarray:
    """Return the answers with one probability moved by so much, no decision changed."""
    moved = TORCH.copy()
    row = int(np.argmin(np.abs(TORCH.max(axis=1) - 0.95)))
    top, low = TORCH[row].argmax(), TORCH[row].argmin()
    moved[row, top] -= by
    moved[row, low] += by
    return moved


def _swapped(rows: int) -> np.ndarray:
    """Return the answers with the decisions of some clips changed."""
    moved = TORCH.copy()
    moved[:rows] = np.roll(moved[:rows], 1, axis=1)
    return moved


def _all(**changed: np.ndarray) -> dict[str, np.ndarray]:
    names = {
        "torch": "torch",
        "float_onnx": "float onnx",
        "float_tflite": "float tflite",
        "int8_onnx": "int8 onnx",
        "int8_tflite": "int8 tflite",
    }
    return {name: changed.get(key, TORCH) for key, name in names.items()}


def test_every_file_is_held_against_torch_and_the_int8_files_against_each_other():
    found = parities(_all(), Verify())
    assert [(p.a, p.b) for p in found] == [
        ("float onnx", "torch"),
        ("float tflite", "torch"),
        ("int8 onnx", "torch"),
        ("int8 tflite", "torch"),
        ("int8 onnx", "int8 tflite"),
    ]
    assert all(p.passed and p.agreement == 1 and p.largest_difference == 0 and p.n == 200 for p in found)
    assert [set(p.bounds) for p in found] == [{"largest"}] * 2 + [{"agreement", "mean"}] * 2 + [{"agreement"}]


def test_without_int8_files_only_the_float_ones_are_compared():
    answers = {name: value for name, value in _all().items() if "int8" not in name}
    assert [(p.a, p.b) for p in parities(answers, Verify())] == [("float onnx", "torch"), ("float tflite", "torch")]


@pytest.mark.parametrize("by, passed", [(0.9e-4, True), (1.1e-4, False)])
def test_a_float_file_is_bound_by_its_largest_difference(by, passed):
    first, second, *_ = parities(_all(float_onnx=_off(by)), Verify())
    assert first.passed is passed and second.passed and first.largest_difference == pytest.approx(by)


@pytest.mark.parametrize("rows, passed", [(2, True), (3, False)])
def test_an_int8_file_is_bound_by_its_decisions(rows, passed):
    """Two of 200 clips are just 99 %; both comparisons of that file say so."""
    *_, onnx, tflite, both = parities(_all(int8_onnx=_swapped(rows)), Verify(int8_mean=1.0))
    assert (
        onnx.agreement == pytest.approx(1 - rows / 200)
        and onnx.passed is passed
        and both.passed is passed
        and tflite.passed
    )


@pytest.mark.parametrize("bound, passed", [(1.01, True), (0.99, False)])
def test_an_int8_file_is_bound_by_its_mean_difference(bound, passed):
    moved = 0.9 * TORCH + 0.1 / 4
    mean = float(np.abs(moved - TORCH).mean())
    *_, onnx, tflite, both = parities(_all(int8_onnx=moved), Verify(int8_mean=bound * mean))
    assert onnx.mean_difference == pytest.approx(mean) and onnx.passed is passed
    assert tflite.passed and both.passed  # against each other, the decisions alone count


@pytest.mark.parametrize("broken", ["torch", "float_onnx", "int8_tflite"])
@pytest.mark.parametrize("kind", ["constant", "nan"])
def test_outputs_that_agree_with_anything_are_refused(broken, kind):
    bad = np.tile(TORCH[:1], (200, 1)) if kind == "constant" else np.where(np.arange(200)[:, None] == 7, np.nan, TORCH)
    pairs = parities(_all(**{broken: bad}), Verify())
    name = broken.replace("_", " ")
    touched = [pair for pair in pairs if name in (pair.a, pair.b)]
    assert touched and all(not pair.passed and np.isnan(pair.agreement) for pair in touched)
    assert all(("same answer" if kind == "constant" else "NaN") in pair.refused for pair in touched)
    assert all(pair.passed for pair in pairs if pair not in touched)


def test_answers_to_different_clips_are_not_compared():
    with pytest.raises(InputError, match="shapes"):
        parities(_all(float_onnx=TORCH[:100]), Verify())
