"""A student's layers in torch: trained as a module, run folded by the passes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from edgecomp.students.layers import FEATURES, Layer, same_padding


@dataclass(frozen=True)
class Weights:
    """One convolution or dense layer with its batch normalisation folded in.

    weight: conv (out, in, k_t, k_f); depthwise (channels, 1, k_t, k_f); dense (classes, in); float32
    bias:   (out,) float32
    """

    weight: Tensor
    bias: Tensor


class Block(nn.Module):
    """A convolution with batch normalisation, or a dense layer."""

    def __init__(self, layer: Layer, channels_in: int):
        super().__init__()
        self.layer = layer
        if layer.op == "dense":
            self.dense = nn.Linear(channels_in, layer.channels)
            return
        groups = channels_in if layer.op == "depthwise" else 1
        self.conv = nn.Conv2d(channels_in, layer.channels, layer.kernel, layer.stride, groups=groups, bias=False)
        self.norm = nn.BatchNorm2d(layer.channels)

    def forward(self, x: Tensor) -> Tensor:
        if self.layer.op == "dense":
            return self.dense(x)
        return self.norm(convolve(x, self.conv.weight, None, self.layer))

    def folded(self) -> Weights:
        """Return weight and bias with the batch normalisation's running statistics folded in."""
        if self.layer.op == "dense":
            return Weights(self.dense.weight.detach(), self.dense.bias.detach())
        scale = (self.norm.weight / torch.sqrt(self.norm.running_var + self.norm.eps)).detach()
        bias = (self.norm.bias - self.norm.running_mean * scale).detach()
        return Weights(self.conv.weight.detach() * scale[:, None, None, None], bias)

    @torch.no_grad()
    def hold(self, weights: Weights) -> None:
        """Take folded weights; `folded` gives back the same bits, from a normalisation that changes nothing."""
        if self.layer.op == "dense":
            self.dense.weight.copy_(weights.weight)
            self.dense.bias.copy_(weights.bias)
            return
        self.conv.weight.copy_(weights.weight)
        self.norm.running_mean.zero_()
        self.norm.running_var.fill_(1)
        self.norm.weight.copy_(torch.sqrt(self.norm.running_var + self.norm.eps))
        self.norm.bias.copy_(weights.bias)


class Body(nn.Module):
    """The layers as a module: features (n, frames, mels) → logits (n, classes)."""

    def __init__(self, layers: tuple[Layer, ...]):
        super().__init__()
        self.layers = layers
        channels = {FEATURES: 1} | {layer.name: layer.channels for layer in layers}
        self.blocks = nn.ModuleDict(
            {
                layer.name: Block(layer, channels[layer.inputs[0]])
                for layer in layers
                if layer.op in ("conv", "depthwise", "dense")
            }
        )

    def forward(self, features: Tensor) -> Tensor:
        seen = {FEATURES: features.unsqueeze(1)}
        for layer in self.layers:
            inputs = [seen[name] for name in layer.inputs]
            x = self.blocks[layer.name](inputs[0]) if layer.name in self.blocks else combine(layer, inputs)
            seen[layer.name] = torch.relu(x) if layer.relu else x
        return seen[self.layers[-1].name]

    def folded(self) -> dict[str, Weights]:
        """Return every layer's weights with batch normalisation folded in."""
        return {name: block.folded() for name, block in self.blocks.items()}

    def hold(self, weights: Mapping[str, Weights]) -> None:
        """Take every layer's folded weights."""
        for name, block in self.blocks.items():
            block.hold(weights[name])


def activations(layers: tuple[Layer, ...], weights: Mapping[str, Weights], features: Tensor) -> dict[str, Tensor]:
    """Run the folded layers and return every tensor by its layer's name, and the features."""
    seen = {FEATURES: features.unsqueeze(1)}
    for layer in layers:
        seen[layer.name] = apply(layer, weights.get(layer.name), [seen[name] for name in layer.inputs])
    return seen


def apply(layer: Layer, weights: Weights | None, inputs: list[Tensor]) -> Tensor:
    """Run one folded layer."""
    if layer.op == "dense":
        x = functional.linear(inputs[0], weights.weight, weights.bias)
    elif layer.op in ("conv", "depthwise"):
        x = convolve(inputs[0], weights.weight, weights.bias, layer)
    else:
        x = combine(layer, inputs)
    return torch.relu(x) if layer.relu else x


def combine(layer: Layer, inputs: list[Tensor]) -> Tensor:
    """Run a layer without weights."""
    return inputs[0] + inputs[1] if layer.op == "add" else inputs[0].mean((2, 3))


def convolve(x: Tensor, weight: Tensor, bias: Tensor | None, layer: Layer) -> Tensor:
    """Convolve (n, channels, time, mel) with TensorFlow's SAME padding."""
    pads = [same_padding(size, k, s) for size, k, s in zip(x.shape[2:], layer.kernel, layer.stride, strict=True)]
    if any(before != after for before, after in pads):
        x = functional.pad(x, (*pads[1], *pads[0]))
        pads = [(0, 0), (0, 0)]
    groups = weight.shape[0] if layer.op == "depthwise" else 1
    return functional.conv2d(x, weight, bias, layer.stride, (pads[0][0], pads[1][0]), groups=groups)
