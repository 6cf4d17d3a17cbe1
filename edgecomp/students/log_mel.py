"""The log-mel front end in torch, computed the plain way: what the lowered ones are held against."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor, nn

from edgecomp.students.front_end import FLOOR, FrontEnd, Tables, tables


class LogMel(nn.Module):
    """Waveforms to normalised log-mel frames, (n, samples) → (n, frames, mels), float32.

    mean, std: (mels,) buffers, of log-mel values over the training split; 0 and 1 until they are set
    """

    def __init__(self, front_end: FrontEnd):
        super().__init__()
        self.front_end = front_end
        table = tables(front_end)
        self.register_buffer(
            "even", torch.from_numpy(_unfolded(table, table.cos_even, table.sin_even, 1)), persistent=False
        )
        self.register_buffer(
            "odd", torch.from_numpy(_unfolded(table, table.cos_odd, table.sin_odd, -1)), persistent=False
        )
        self.register_buffer("mel_even", torch.from_numpy(table.mel_even), persistent=False)
        self.register_buffer("mel_odd", torch.from_numpy(table.mel_odd), persistent=False)
        self.register_buffer("mean", torch.zeros(front_end.mels))
        self.register_buffer("std", torch.ones(front_end.mels))

    def set_normalisation(self, mean: Tensor, std: Tensor) -> None:
        """Set each band's mean and standard deviation, as measured on the training split."""
        self.mean.copy_(mean)
        self.std.copy_(std)

    def forward(self, waveforms: Tensor) -> Tensor:
        frames = waveforms.unfold(1, self.front_end.window, self.front_end.hop)
        power = _power(frames @ self.even) @ self.mel_even + _power(frames @ self.odd) @ self.mel_odd
        # log(power + FLOOR), written so that no exporter takes the floor for a zero: onnxscript 0.7 drops "+ 1e-8"
        log = torch.log(power / FLOOR + 1) + math.log(FLOOR)
        return (log - self.mean) / self.std


def _power(parts: Tensor) -> Tensor:
    real, imaginary = parts.chunk(2, dim=-1)
    return real * real + imaginary * imaginary


def _unfolded(table: Tables, cos: np.ndarray, sin: np.ndarray, sign: int) -> np.ndarray:
    """Write a pair of quarter tables out over the whole window, windowed: (window, 2 × bins), real then imaginary.

    sign: 1 for even bins and -1 for odd ones: how the outer quarters mirror the inner ones
    """
    inner, outer = table.window_inner[:, None], table.window_outer[:, None]
    real = np.concatenate([sign * outer * cos, (inner * cos)[::-1], inner * cos, (sign * outer * cos)[::-1]])
    imaginary = np.concatenate([sign * outer * sin, -(inner * sin)[::-1], inner * sin, -(sign * outer * sin)[::-1]])
    return np.concatenate([real, imaginary], axis=1).astype(np.float32)
