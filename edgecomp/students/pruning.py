"""Which channels a student can do without, and the smaller student without them.

Layers that share a width index lose the same channels, so that additions and depthwise filters stay whole.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor
from torch.nn import functional

from edgecomp.students import StudentConfig
from edgecomp.students.layers import FEATURES, Layer, macs
from edgecomp.students.net import apply
from edgecomp.students.student import Student


def channel_importance(student: Student, features: Tensor, targets: Tensor) -> dict[int, Tensor]:
    """Score every channel of every width by what the loss would change without it.

    features: (n, frames, mels), normalised; targets: (n,) int64
    returns:  by width index, (channels,) float32, >= 0; larger means keep
    A channel that a depthwise filter follows is gated behind it, where its bias is seen too.
    source:   Molchanov et al. 2019, arXiv:1906.10771, eq. 8: the squared first-order Taylor term of a gate on each
              channel, summed over examples
    """
    config = student.config
    gates = {
        width: torch.ones(len(features), channels, requires_grad=True) for width, channels in enumerate(config.widths)
    }
    weights = student.body.folded()
    filtered = {layer.inputs[0] for layer in config.layers if layer.op == "depthwise"}
    seen = {FEATURES: features.unsqueeze(1)}
    for layer in config.layers:
        x = apply(layer, weights.get(layer.name), [seen[name] for name in layer.inputs])
        if layer.op in ("conv", "depthwise") and layer.width is not None and layer.name not in filtered:
            x = x * gates[layer.width][:, :, None, None]
        seen[layer.name] = x
    loss = functional.cross_entropy(seen[config.layers[-1].name], targets, reduction="sum")
    grads = torch.autograd.grad(loss, list(gates.values()))
    return {width: (grad**2).sum(0) for width, grad in zip(gates, grads, strict=True)}


def kept_channels(
    config: StudentConfig, importance: dict[int, Tensor], *, keep: float, round_to: int
) -> dict[int, list[int]]:
    """Choose the channels to keep, so that at most a share of the body's multiply-accumulates is left.

    Again and again the `round_to` least important channels of one width go: those that cost the least importance
    for the work that they save. Every width keeps a multiple of round_to, and at least that.
    keep:    share of the body's multiply-accumulates
    returns: by width index, sorted channel numbers
    """
    order = {width: torch.argsort(score).tolist() for width, score in importance.items()}
    left = {width: len(score) for width, score in importance.items()}
    goal = keep * _work(config, left)
    while _work(config, left) > goal:
        offers = []
        for width, size in left.items():
            cut = size % round_to or round_to
            if size - cut < round_to:
                continue
            going = order[width][len(order[width]) - size :][:cut]
            saved = _work(config, left) - _work(config, left | {width: size - cut})
            offers.append((float(importance[width][going].sum()) / max(saved, 1), width, cut))
        if not offers:
            break
        _, width, cut = min(offers)
        left[width] -= cut
    return {width: sorted(order[width][len(order[width]) - size :]) for width, size in left.items()}


def without_channels(student: Student, kept: dict[int, list[int]]) -> Student:
    """Return the student of the same family with smaller widths that has only the channels kept."""
    config = replace(student.config, widths=tuple(len(kept[width]) for width in range(len(student.config.widths))))
    smaller = Student(config)
    smaller.front_end.load_state_dict(student.front_end.state_dict())
    widths = {layer.name: layer.width for layer in student.config.layers}
    state = student.body.state_dict()
    cut = {}
    for layer in student.config.layers:
        inputs = widths.get(layer.inputs[0])
        for name, value in state.items():
            if name.startswith(f"blocks.{layer.name}."):
                cut[name] = _cut(value, layer, kept, inputs)
    smaller.body.load_state_dict(cut)
    return smaller.eval()


def _cut(value: Tensor, layer: Layer, kept: dict[int, list[int]], inputs: int | None) -> Tensor:
    if value.ndim == 0:  # the batch counter of a normalisation
        return value
    if layer.width is not None:
        value = value[kept[layer.width]]
    if value.ndim >= 2 and layer.op != "depthwise" and inputs is not None:
        value = value[:, kept[inputs]]
    return value.clone()


def _work(config: StudentConfig, widths: dict[int, int]) -> int:
    smaller = replace(config, widths=tuple(widths[i] for i in range(len(config.widths))))
    return sum(macs(smaller.layers, config.front_end.frames, config.front_end.mels).values())
