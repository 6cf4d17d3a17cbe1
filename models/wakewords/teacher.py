"""The wakewords teacher: a residual net of 3.6 million parameters on 64 mel bands every 10 ms."""

from torch import nn

from edgecomp.students.front_end import FrontEnd
from edgecomp.teachers.residual_net import residual_net


def build(classes: int, sample_rate: int, samples: int) -> nn.Module:
    """Return the net, waveforms (n, samples) → logits (n, classes)."""
    return residual_net(FrontEnd.preset(sample_rate, samples, mels=64, hop=sample_rate // 100), classes)
