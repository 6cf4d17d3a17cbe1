"""A student's body as a list of layers: what is trained, counted, pruned and lowered are the same few lines.

Only plain convolutions, additions and a mean, so that int8 stays fast and every layer lowers one to one.
Tensors are (time, mel) images; strides and zero padding are TensorFlow's SAME, so that both formats agree.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Op = Literal["conv", "depthwise", "add", "mean", "dense"]
FEATURES = "features"
"""The name of a body's input: (n, 1, frames, mels)."""


@dataclass(frozen=True)
class Layer:
    """One layer, named, and the layers it reads.

    channels: what it gives
    width:    index into the config's widths, where pruning may change `channels`; layers that share an
              index are cut together
    """

    name: str
    op: Op
    inputs: tuple[str, ...]
    channels: int
    kernel: tuple[int, int] = (1, 1)
    stride: tuple[int, int] = (1, 1)
    relu: bool = False
    width: int | None = None


def same_padding(size: int, kernel: int, stride: int) -> tuple[int, int]:
    """Return how many zeros stand before and after one axis under TensorFlow's SAME rule."""
    total = max((-(-size // stride) - 1) * stride + kernel - size, 0)
    return total // 2, total - total // 2


def shapes(layers: tuple[Layer, ...], frames: int, mels: int) -> dict[str, tuple[int, ...]]:
    """Return every tensor's shape without its batch: (time, mel, channels), or (channels,) after the mean."""
    found: dict[str, tuple[int, ...]] = {FEATURES: (frames, mels, 1)}
    for layer in layers:
        before = found[layer.inputs[0]]
        if layer.op in ("mean", "dense"):
            found[layer.name] = (layer.channels,)
        else:
            found[layer.name] = (-(-before[0] // layer.stride[0]), -(-before[1] // layer.stride[1]), layer.channels)
    return found


def macs(layers: tuple[Layer, ...], frames: int, mels: int) -> dict[str, int]:
    """Return the multiply-accumulates of every layer for one clip."""
    size = shapes(layers, frames, mels)
    counts = {}
    for layer in layers:
        channels_in = size[layer.inputs[0]][-1]
        reads = {
            "conv": channels_in * layer.kernel[0] * layer.kernel[1],
            "depthwise": layer.kernel[0] * layer.kernel[1],
            "dense": channels_in,
        }.get(layer.op, 0)
        outputs = 1
        for side in size[layer.name]:
            outputs *= side
        counts[layer.name] = reads * outputs
    return counts


def parameters(layers: tuple[Layer, ...]) -> int:
    """Return the number of trained parameters, batch normalisation folded: weights and biases."""
    channels = {FEATURES: 1} | {layer.name: layer.channels for layer in layers}
    count = 0
    for layer in layers:
        inputs = {"conv": channels[layer.inputs[0]], "depthwise": 1, "dense": channels[layer.inputs[0]]}
        if layer.op in inputs:
            count += layer.channels * (inputs[layer.op] * layer.kernel[0] * layer.kernel[1] + 1)
    return count
