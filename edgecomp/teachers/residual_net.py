"""The residual net that our own tasks use as teacher: log-mel in 64 bands, three stages of 3 × 3 convolutions.

No kind of teacher itself: a task's teacher.py calls residual_net with its widths.
source: He et al. 2016, arXiv:1512.03385 (basic blocks); masking after Park et al. 2019, arXiv:1904.08779
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from edgecomp.students.front_end import FrontEnd
from edgecomp.students.log_mel import LogMel

TIME_MASK, BAND_MASK = 0.2, 0.15
"""Longest mask as a share of the frames and of the bands; two of each are drawn for a clip."""


def residual_net(
    front_end: FrontEnd, classes: int, *, widths: tuple[int, ...] = (64, 128, 256), blocks: tuple[int, ...] = (1, 1, 3)
) -> nn.Module:
    """Return waveforms (n, samples) → logits (n, classes); 3.6 million parameters with these widths and blocks."""
    return ResidualNet(front_end, classes, widths, blocks)


class ResidualNet(nn.Module):
    """A front end, masking while training, residual stages (all but the first halve time and bands), a linear layer."""

    def __init__(self, front_end: FrontEnd, classes: int, widths: tuple[int, ...], blocks: tuple[int, ...]):
        super().__init__()
        self.log_mel = LogMel(front_end)
        self.bands = nn.BatchNorm1d(front_end.mels)  # learns the normalisation from the training clips
        half = widths[0] // 2
        self.stem = nn.Sequential(  # two strides before the first block: blocks at full size cost most and add least
            nn.Conv2d(1, half, 3, 2, 1, bias=False),
            nn.BatchNorm2d(half),
            nn.ReLU(),
            nn.Conv2d(half, widths[0], 3, 2, 1, bias=False),
            nn.BatchNorm2d(widths[0]),
            nn.ReLU(),
        )
        stages, channels = [], widths[0]
        for stage, (width, count) in enumerate(zip(widths, blocks, strict=True)):
            for block in range(count):
                stages.append(Block(channels, width, stride=2 if stage and not block else 1))
                channels = width
        self.stages = nn.Sequential(*stages)
        self.dropout = nn.Dropout(0.2)
        self.classify = nn.Linear(channels, classes)

    def forward(self, waveforms: Tensor) -> Tensor:
        bands = self.bands(self.log_mel(waveforms).transpose(1, 2))
        if self.training:
            bands = masked(masked(bands, 1, BAND_MASK), 2, TIME_MASK)
        features = self.stages(self.stem(bands.unsqueeze(1)))
        return self.classify(self.dropout(features.mean((2, 3))))


class Block(nn.Module):
    """Two convolutions beside a short cut; begins as the short cut alone."""

    def __init__(self, channels: int, width: int, stride: int):
        super().__init__()
        self.straight = nn.Sequential(
            nn.Conv2d(channels, width, 3, stride, 1, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(),
            nn.Conv2d(width, width, 3, 1, 1, bias=False),
            nn.BatchNorm2d(width),
        )
        nn.init.zeros_(self.straight[-1].weight)
        self.short = (
            nn.Identity()
            if channels == width and stride == 1
            else nn.Sequential(nn.Conv2d(channels, width, 1, stride, bias=False), nn.BatchNorm2d(width))
        )

    def forward(self, features: Tensor) -> Tensor:
        return torch.relu(self.straight(features) + self.short(features))


def masked(values: Tensor, axis: int, longest: float, count: int = 2) -> Tensor:
    """Set `count` random spans of an axis to 0, drawn for each clip alone; (n, bands, frames) → the same shape."""
    clips, size = values.shape[0], values.shape[axis]
    places = torch.arange(size)
    for _ in range(count):
        length = torch.rand(clips, 1) * longest * size
        start = torch.rand(clips, 1) * (size - length)
        hidden = (places >= start) & (places < start + length)
        values = values.masked_fill(hidden[:, :, None] if axis == 1 else hidden[:, None, :], 0.0)
    return values
