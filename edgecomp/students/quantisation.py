"""int8 arithmetic: one choice of scales that every file format lowers, so that all of them agree.

real = scale × (stored − zero). Activations are int8 with one scale a tensor, weights int8 with one scale an
output channel and zero 0, biases int32 at scale(input) × scale(weight).
source: Jacob et al. 2018, arXiv:1712.05877, eq. 1 and section 2.4
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

import numpy as np

from edgecomp.artifact import to_json
from edgecomp.students.layers import FEATURES, Layer

if TYPE_CHECKING:
    from torch import Tensor

    from edgecomp.students.net import Weights

LOWEST, HIGHEST = -128, 127


@dataclass(frozen=True)
class Scale:
    """How one activation tensor is stored in int8."""

    scale: float
    zero: int


@dataclass(frozen=True)
class Quantisation:
    """All choices of an int8 model but the weights' scales, which follow from the weights.

    activations: by tensor name; a layer runs in int8 where what it reads has a scale: the first one where the features have
    weight_bits: 8, or 7 where products of unsigned and signed bytes saturate in pairs (x86 without VNNI)
    """

    activations: Mapping[str, Scale]
    weight_bits: int = 8

    def to_json(self) -> str:
        """Write the scales as JSON."""
        return to_json(
            {"weight_bits": self.weight_bits, "activations": {k: asdict(v) for k, v in self.activations.items()}}
        )

    @staticmethod
    def from_json(text: str) -> Quantisation:
        """Read what `to_json` wrote."""
        raw = json.loads(text)
        return Quantisation({k: Scale(**v) for k, v in raw["activations"].items()}, raw["weight_bits"])


def scale_for(low: float, high: float) -> Scale:
    """Return the scale that covers a range, widened to hold zero exactly."""
    low, high = min(low, 0.0), max(high, 0.0)
    step = float(np.float32(max((high - low) / (HIGHEST - LOWEST), 1e-8)))
    return Scale(step, int(np.clip(round(LOWEST - low / step), LOWEST, HIGHEST)))


def weight_steps(weight: Tensor, bits: int = 8) -> np.ndarray:
    """Return each output channel's step, (out,) float32, for symmetric weights of some bits."""
    largest = weight.detach().reshape(len(weight), -1).abs().amax(1).numpy()
    return (np.maximum(largest, 1e-12) / (2 ** (bits - 1) - 1)).astype(np.float32)


def weights_in_int8(weight: Tensor, bits: int = 8) -> tuple[np.ndarray, np.ndarray]:
    """Return stored weights (as given, int8) and their steps (out,) float32."""
    steps = weight_steps(weight, bits)
    shape = (-1,) + (1,) * (weight.ndim - 1)
    top = 2 ** (bits - 1) - 1
    stored = np.clip(np.round(weight.detach().numpy() / steps.reshape(shape)), -top, top)
    return stored.astype(np.int8), steps


def bias_in_int32(bias: Tensor, input_scale: float, steps: np.ndarray) -> np.ndarray:
    """Return the stored bias, (out,) int32, at scale input × weight."""
    limit = 2**31 - 1
    return np.clip(np.round(bias.detach().numpy() / (np.float64(input_scale) * steps)), -limit, limit).astype(np.int32)


def fake(x: Tensor, scale: Scale) -> Tensor:
    """Return the values that int8 storage would give back."""
    stored = ((x / scale.scale).round() + scale.zero).clamp(LOWEST, HIGHEST)
    return (stored - scale.zero) * scale.scale


def fake_layer(held: Weights, input_scale: float, bits: int) -> Weights:
    """Return weight and bias as int8 and int32 storage would give them back."""
    import torch

    from edgecomp.students.net import Weights

    stored, steps = weights_in_int8(held.weight, bits)
    weight = stored.astype(np.float32) * steps.reshape((-1,) + (1,) * (held.weight.ndim - 1))
    bias = bias_in_int32(held.bias, input_scale, steps) * (np.float64(input_scale) * steps)
    return Weights(torch.from_numpy(weight), torch.from_numpy(bias.astype(np.float32)))


def simulate(
    layers: tuple[Layer, ...], weights: Mapping[str, Weights], quantisation: Quantisation, features: Tensor
) -> Tensor:
    """Run the body as int8 would, in float: features (n, frames, mels) → logits (n, classes).

    Rounds what int8 rounds, biases too: a bias off by a part of a step tips values that lie between two bytes.
    """
    from edgecomp.students.net import apply

    scales = quantisation.activations
    seen = {FEATURES: fake(features, scales[FEATURES]).unsqueeze(1) if FEATURES in scales else features.unsqueeze(1)}
    for layer in layers:
        held = weights.get(layer.name)
        if held is not None and layer.inputs[0] in scales:
            held = fake_layer(held, scales[layer.inputs[0]].scale, quantisation.weight_bits)
        seen[layer.name] = fake(apply(layer, held, [seen[name] for name in layer.inputs]), scales[layer.name])
    return seen[layers[-1].name]
