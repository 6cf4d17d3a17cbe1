"""Parity: files that come from one student must answer alike, on the whole test split."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from edgecomp.errors import GateError
from edgecomp.metrics import agreement


@dataclass(frozen=True)
class Verify:
    """How far two forms of one student may differ.

    float_largest:  a float file against torch: largest probability difference
    int8_agreement: an int8 file against the float student, and the int8 files against each other: share of equal decisions
    int8_mean:      an int8 file against the float student: mean absolute probability difference
    """

    float_largest: float = 1e-4
    int8_agreement: float = 0.99
    int8_mean: float = 0.02


@dataclass(frozen=True)
class Parity:
    """Two answers to the same clips, compared, and the bounds they had to keep.

    refused: why they cannot be compared: constant or non-finite outputs agree with anything, so they never pass
    """

    a: str
    b: str
    agreement: float
    mean_difference: float
    largest_difference: float
    n: int
    bounds: dict[str, float]
    passed: bool
    refused: str | None = None


def parities(answers: Mapping[str, np.ndarray], verify: Verify) -> tuple[Parity, ...]:
    """Compare every file with the float student, and the int8 files with each other.

    answers: by name: "torch", "float onnx", "float tflite", and where there are any "int8 onnx", "int8 tflite"
    """
    exact = {"largest": verify.float_largest}
    close = {"agreement": verify.int8_agreement, "mean": verify.int8_mean}
    alike = {"agreement": verify.int8_agreement}
    int8 = [name for name in answers if name.startswith("int8")]
    pairs = [(name, "torch", exact) for name in answers if name.startswith("float")]
    pairs += [(name, "torch", close) for name in int8]
    pairs += [(first, second, alike) for i, first in enumerate(int8) for second in int8[i + 1 :]]
    return tuple(_compare(a, b, answers, bounds) for a, b, bounds in pairs)


def _compare(a: str, b: str, answers: Mapping[str, np.ndarray], bounds: dict[str, float]) -> Parity:
    n = len(answers[a])
    try:
        found = agreement(answers[b], answers[a], of=f"{a} against {b}")
    except GateError as why:
        return Parity(a, b, np.nan, np.nan, np.nan, n, bounds, False, why.what)
    passed = (
        found.decisions.value >= bounds.get("agreement", 0)
        and found.mean_difference <= bounds.get("mean", np.inf)
        and found.largest_difference <= bounds.get("largest", np.inf)
    )
    return Parity(a, b, found.decisions.value, found.mean_difference, found.largest_difference, n, bounds, bool(passed))
