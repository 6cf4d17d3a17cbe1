"""Equalise channels before int8: the same function, with every channel of a tensor as large as its bytes allow.

One scale holds a whole tensor, so a channel that never grows as large as the largest one uses few of the 256 steps.
Between two layers a channel may be divided by any positive number that the next layer's weights are multiplied by: ReLU,
the mean and every convolution pass it on. Where the next layer is depthwise this is free, since its weights have a scale a
channel; elsewhere the channels of one weight move apart, so only a part of it is done.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from edgecomp.students.layers import Layer

if TYPE_CHECKING:
    from torch import Tensor

    from edgecomp.students.net import Weights

SMALLEST = 1e-3
"""Of the largest channel: a channel below it is as good as silent, and is not blown up."""


def equalised(
    layers: tuple[Layer, ...], weights: Mapping[str, Weights], seen: Mapping[str, Tensor], share: float
) -> dict[str, Weights]:
    """Return weights of the same function whose channels are closer in size.

    weights: folded, by layer
    seen:    every tensor of some clips, (n, channels, …), under the weights as they are
    share:   the power of a channel's size that it is divided by where the next layer is not depthwise; 0: only there
    source:  Nagel et al. 2019, arXiv:1906.04721, section 4.1; the share as in Xiao et al. 2023, arXiv:2211.10438, eq. 4
    """
    from edgecomp.students.net import Weights

    found = dict(weights)
    for layer in layers:
        reader = _reader(layer, layers)
        if layer.name not in weights or reader is None:
            continue
        largest = seen[layer.name].transpose(0, 1).flatten(1).abs().amax(1)
        if not largest.max() > 0:
            continue
        size = (largest / largest.max()).clamp_min(SMALLEST) ** (1.0 if reader.op == "depthwise" else share)
        ours, theirs = found[layer.name], found[reader.name]
        found[layer.name] = Weights(ours.weight / _along(size, ours.weight, 0), ours.bias / size)
        axis = 0 if reader.op == "depthwise" else 1
        found[reader.name] = Weights(theirs.weight * _along(size, theirs.weight, axis), theirs.bias)
    return found


def _reader(layer: Layer, layers: tuple[Layer, ...]) -> Layer | None:
    """Return the only layer with weights that reads this one's channels, through a mean or not; None where it is not alone."""
    readers = [one for one in layers if layer.name in one.inputs]
    if len(readers) != 1 or readers[0].op == "add":
        return None
    return _reader(readers[0], layers) if readers[0].op == "mean" else readers[0]


def _along(size: Tensor, weight: Tensor, axis: int) -> Tensor:
    return size.reshape([-1 if place == axis else 1 for place in range(weight.ndim)])
