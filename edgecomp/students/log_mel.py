"""The log-mel front end in torch, computed the plain way: what the lowered ones are held against."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor, nn

from edgecomp.students.front_end import FLOOR, FrontEnd, hann, mel_table


class LogMel(nn.Module):
    """Waveforms to normalised log-mel frames, (n, samples) → (n, frames, mels), float32.

    mean, std: (mels,) buffers, of log-mel values over the training split; 0 and 1 until they are set
    """

    def __init__(self, front_end: FrontEnd):
        super().__init__()
        self.front_end = front_end
        mel = mel_table(front_end)
        used = np.flatnonzero(mel.any(axis=1))
        self.register_buffer("wave", torch.from_numpy(_windowed_dft(front_end.window, used)), persistent=False)
        self.register_buffer("mel", torch.from_numpy(mel[used]), persistent=False)
        self.register_buffer("mean", torch.zeros(front_end.mels))
        self.register_buffer("std", torch.ones(front_end.mels))

    def set_normalisation(self, mean: Tensor, std: Tensor) -> None:
        """Set each band's mean and standard deviation, as measured on the training split."""
        self.mean.copy_(mean)
        self.std.copy_(std)

    def forward(self, waveforms: Tensor) -> Tensor:
        frames = waveforms.unfold(1, self.front_end.window, self.front_end.hop)
        real, imaginary = (frames @ self.wave).chunk(2, dim=-1)
        power = (real * real + imaginary * imaginary) @ self.mel
        # log(power + FLOOR), written so that no exporter takes the floor for a zero: onnxscript 0.7 drops "+ 1e-8"
        log = torch.log(power / FLOOR + 1) + math.log(FLOOR)
        return (log - self.mean) / self.std


def _windowed_dft(size: int, bins: np.ndarray) -> np.ndarray:
    """Return the cosines, then the sines, of some bins, windowed: (size, 2 × bins) float32."""
    turns = 2 * np.pi * np.outer(np.arange(size), bins) / size
    return (hann(size)[:, None] * np.concatenate([np.cos(turns), np.sin(turns)], axis=1)).astype(np.float32)
