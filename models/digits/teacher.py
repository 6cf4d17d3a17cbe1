"""The digits teacher: a residual net of 2.4 million parameters on 64 mel bands every 20 ms."""

from torch import nn

from edgecomp.students.front_end import FrontEnd
from edgecomp.teachers.residual_net import residual_net


def build(classes: int, sample_rate: int, samples: int) -> nn.Module:
    """Return the net, waveforms (n, samples) → logits (n, classes)."""
    front_end = FrontEnd.preset(sample_rate, samples, mels=64, hop=sample_rate // 50)
    return residual_net(front_end, classes, blocks=(1, 1, 2))
