"""Inverted residuals with plain ReLU: expand, filter in depth, project, and add where shapes allow.

Without squeeze-excite and hard-swish, which int8 runtimes run slower than float.
source: Sandler et al. 2018, arXiv:1801.04381; ReLU instead of ReLU6, the strides and widths are ours
"""

from edgecomp.students.layers import FEATURES, Layer

WIDTHS = (24, 24, 64, 32, 96, 96, 48, 128, 64)
"""The stem; then for the trunk of each stage its channels, followed by the expansion of each of its blocks."""
STAGES = ((1, 1), (2, 2), (2, 1))
"""For each stage of the trunk: the stride of its first block, and its number of blocks."""


def layers(widths: tuple[int, ...], classes: int) -> tuple[Layer, ...]:
    """Return the layers for some widths, in the order of WIDTHS; the last width is the head's."""
    made = [Layer("stem", "conv", (FEATURES,), widths[0], kernel=(5, 5), stride=(2, 2), relu=True, width=0)]
    index = 1
    for stage, (stride, blocks) in enumerate(STAGES, 1):
        trunk = index
        for block in range(1, blocks + 1):
            made += _block(f"{stage}_{block}", made[-1], widths, trunk, trunk + block, stride if block == 1 else 1)
        index = trunk + blocks + 1
    made.append(Layer("head", "conv", (made[-1].name,), widths[index], relu=True, width=index))
    made.append(Layer("pool", "mean", ("head",), widths[index], width=index))
    made.append(Layer("logits", "dense", ("pool",), classes))
    return tuple(made)


def _block(name: str, before: Layer, widths: tuple[int, ...], trunk: int, wide: int, stride: int) -> list[Layer]:
    expand = Layer(f"expand_{name}", "conv", (before.name,), widths[wide], relu=True, width=wide)
    depth = Layer(f"depthwise_{name}", "depthwise", (expand.name,), widths[wide], (3, 3), (stride, stride), True, wide)
    project = Layer(f"project_{name}", "conv", (depth.name,), widths[trunk], width=trunk)
    if before.width != trunk:
        return [expand, depth, project]
    return [
        expand,
        depth,
        project,
        Layer(f"add_{name}", "add", (before.name, project.name), widths[trunk], width=trunk),
    ]
