"""DS-CNN: one strided convolution, then depthwise-separable blocks.

source: Zhang et al. 2017, arXiv:1711.07128; the strides and widths are ours
"""

from edgecomp.students.layers import FEATURES, Layer

WIDTHS = (32, 48, 48, 64, 64)
"""Channels of the stem and of each block."""
STRIDED = (1, 3)
"""Blocks that halve time and frequency, counted from 1 as the widths are."""


def layers(widths: tuple[int, ...], classes: int) -> tuple[Layer, ...]:
    """Return the layers for some widths: the stem's, then one for each block."""
    made = [Layer("stem", "conv", (FEATURES,), widths[0], kernel=(5, 5), stride=(2, 2), relu=True, width=0)]
    for block, width in enumerate(widths[1:], 1):
        before = made[-1]
        stride = (2, 2) if block in STRIDED else (1, 1)
        made.append(
            Layer(
                f"depthwise_{block}",
                "depthwise",
                (before.name,),
                before.channels,
                (3, 3),
                stride,
                relu=True,
                width=before.width,
            )
        )
        made.append(Layer(f"pointwise_{block}", "conv", (f"depthwise_{block}",), width, relu=True, width=block))
    made.append(Layer("pool", "mean", (made[-1].name,), made[-1].channels, width=made[-1].width))
    made.append(Layer("logits", "dense", ("pool",), classes))
    return tuple(made)
