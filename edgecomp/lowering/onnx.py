"""Lower a student to ONNX: the folded front end in float, the body in float or int8, the softmax in float."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from edgecomp.students.front_end import FLOOR, frame_blocks, tables
from edgecomp.students.layers import FEATURES, Layer, same_padding, shapes
from edgecomp.students.quantisation import Scale, bias_in_int32, weights_in_int8
from edgecomp.students.student import Frozen

OPSET, IR_VERSION = 17, 8
"""Old enough for the ONNX Runtime of 2022 in an app; nothing newer is needed."""


@dataclass
class _Graph:
    """An ONNX graph that is being written."""

    nodes: list[Any] = field(default_factory=list)
    initialisers: dict[str, Any] = field(default_factory=dict)

    def constant(self, name: str, value: np.ndarray) -> str:
        from onnx import numpy_helper

        self.initialisers.setdefault(name, numpy_helper.from_array(np.asarray(value, order="C"), name))
        return name

    def op(self, kind: str, inputs: list[str], output: str, **attributes: Any) -> str:
        return self.ops(kind, inputs, [output], **attributes)[0]

    def ops(self, kind: str, inputs: list[str], outputs: list[str], **attributes: Any) -> list[str]:
        from onnx import helper

        self.nodes.append(helper.make_node(kind, inputs, outputs, name=outputs[0], **attributes))
        return outputs


def lower(model: Frozen, metadata: Mapping[str, str]) -> bytes:
    """Return an ONNX file: waveform (1, samples) → probabilities (1, classes) and uncertainty (1, 1), all float32.

    With scales the body is int8 by quantise-dequantise pairs; the front end and the softmax are float always.
    metadata: strings to keep in metadata_props
    """
    from onnx import TensorProto, checker, helper

    graph = _Graph()
    logits = _body(graph, _front_end(graph, "waveform", model), model)
    _ending(graph, logits, model)
    ends = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
        for name, shape in (
            ("waveform", (1, model.config.front_end.samples)),
            ("probabilities", (1, len(model.config.labels))),
            ("uncertainty", (1, 1)),
        )
    ]
    made = helper.make_model(
        helper.make_graph(graph.nodes, "main", ends[:1], ends[1:], list(graph.initialisers.values())),
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=IR_VERSION,
        producer_name="edgecomp",
    )
    helper.set_model_props(made, dict(metadata))
    checker.check_model(made, full_check=True)
    return made.SerializeToString(deterministic=True)


def _front_end(graph: _Graph, waveform: str, model: Frozen) -> str:
    """Lower the folded front end; float16 tables are widened once, when the model is loaded."""
    from onnx import TensorProto

    front_end = model.config.front_end
    table, frames, quarter = tables(front_end), front_end.frames, front_end.window // 4
    near, far = _mirrored_frames(graph, waveform, model)
    window = graph.constant("window", np.concatenate([table.window_inner, table.window_outer])[None])

    def matmul(name: str, a: str, matrix: np.ndarray) -> str:
        wide = graph.op(
            "Cast", [graph.constant(f"{name}_f16", matrix.astype(np.float16))], f"{name}_table", to=TensorProto.FLOAT
        )
        return graph.op("MatMul", [a, wide], name)

    powers = {}
    for part, kind in (("cos", "Add"), ("sin", "Sub")):
        windowed = graph.op("Mul", [graph.op(kind, [near, far], f"{part}_halves"), window], f"{part}_windowed")
        inner, outer = graph.ops(
            "Split",
            [windowed, graph.constant("quarters", np.array([quarter, quarter]))],
            [f"{part}_inner", f"{part}_outer"],
            axis=1,
        )
        for bins, fold in (("even", "Add"), ("odd", "Sub")):
            folded = graph.op(fold, [inner, outer], f"{part}_{bins}_in")
            wave = matmul(f"{part}_{bins}", folded, getattr(table, f"{part}_{bins}"))
            powers[part, bins] = graph.op("Mul", [wave, wave], f"{part}_{bins}_squared")
    bands = [
        matmul(f"mel_{bins}", graph.op("Add", [powers["cos", bins], powers["sin", bins]], f"power_{bins}"), mel)
        for bins, mel in (("even", table.mel_even), ("odd", table.mel_odd))
    ]
    mel = graph.op("Add", [graph.op("Add", bands, "mel"), graph.constant("floor", np.float32([FLOOR]))], "mel_floored")
    scaled = graph.op("Mul", [graph.op("Log", [mel], "log"), graph.constant("scale", (1 / model.std)[None])], "scaled")
    normal = graph.op("Add", [scaled, graph.constant("shift", (-model.mean / model.std)[None])], "normal")
    return graph.op("Reshape", [normal, graph.constant("image", np.array([1, 1, frames, front_end.mels]))], FEATURES)


def _mirrored_frames(graph: _Graph, waveform: str, model: Frozen) -> tuple[str, str]:
    """Return each frame's quarters [Q2, Q0], and the mirrored ones that they fold with, [Q1, Q3]: (frames, window / 2)."""
    front_end = model.config.front_end
    block = math.gcd(front_end.hop, front_end.window // 4)
    used = front_end.samples
    if used % block:
        used = (front_end.frames - 1) * front_end.hop + front_end.window
        ends = [
            graph.constant(f"used_{name}", np.array([value]))
            for name, value in (("from", 0), ("to", used), ("axis", 1))
        ]
        waveform = graph.op("Slice", [waveform, *ends], "used")
    blocks = graph.op("Reshape", [waveform, graph.constant("blocks_shape", np.array([used // block, block]))], "blocks")
    ends = [
        graph.constant(f"mirror_{name}", np.array([value]))
        for name, value in (("from", -1), ("to", -block - 1), ("axis", 1), ("step", -1))
    ]
    mirrored = graph.op("Slice", [blocks, *ends], "mirrored")
    shape = graph.constant("frames_shape", np.array([front_end.frames, front_end.window // 2]))
    found = []
    for name, source, rows in zip(("near", "far"), (blocks, mirrored), frame_blocks(front_end), strict=True):
        gathered = graph.op(
            "Gather", [source, graph.constant(f"{name}_rows", rows.astype(np.int64))], f"{name}_blocks", axis=0
        )
        found.append(graph.op("Reshape", [gathered, shape], name))
    return found[0], found[1]


def _body(graph: _Graph, features: str, model: Frozen) -> str:
    """Lower the layers, in int8 where there are scales, and return the logits in float."""
    front_end = model.config.front_end
    size = shapes(model.config.layers, front_end.frames, front_end.mels)
    held = model.quantisation.activations if model.quantisation else {}
    seen = {FEATURES: features}
    for layer in model.config.layers:
        inputs = [seen[name] for name in layer.inputs]
        made = _layer(graph, layer, inputs, size[layer.inputs[0]], model)
        seen[layer.name] = _stored(graph, made, held[layer.name]) if held else made
    return seen[model.config.layers[-1].name]


def _stored(graph: _Graph, x: str, held: Scale) -> str:
    """Store a tensor in a byte and read it back; unsigned, which ONNX Runtime runs faster than signed on x86."""
    ends = [graph.constant(f"{x}_step", np.float32(held.scale)), graph.constant(f"{x}_zero", np.uint8(held.zero + 128))]
    return graph.op("DequantizeLinear", [graph.op("QuantizeLinear", [x, *ends], f"{x}_stored"), *ends], f"{x}_read")


def _ending(graph: _Graph, logits: str, model: Frozen) -> None:
    """Lower calibration, softmax and uncertainty; what would change nothing is left out."""
    ending = model.ending
    calibrated = graph.op(
        "Mul", [logits, graph.constant("inverse_temperature", np.float32(ending.scale))], "calibrated"
    )
    if any(ending.shift):
        calibrated = graph.op("Add", [calibrated, graph.constant("platt_shift", np.float32([ending.shift]))], "shifted")
    shares = graph.op("Softmax", [calibrated], "probabilities", axis=-1)
    if any(ending.boundary):
        turned = graph.op("Add", [calibrated, graph.constant("boundary", np.float32([ending.boundary]))], "turned")
        shares = graph.op("Softmax", [turned], "turned_shares", axis=-1)
    largest = graph.op("ReduceMax", [shares], "largest_share", axes=[1], keepdims=1)
    graph.op("Sub", [graph.constant("one", np.float32([1])), largest], "uncertainty")


def _layer(graph: _Graph, layer: Layer, inputs: list[str], size_in: tuple[int, ...], model: Frozen) -> str:
    name = layer.name
    if layer.op == "mean":
        pooled = graph.op("GlobalAveragePool", inputs, name if model.quantisation else f"{name}_image")
        if model.quantisation:
            return pooled
        return graph.op("Flatten", [pooled], name)
    made = f"{name}_linear" if layer.relu else name
    if layer.op == "add":
        graph.op("Add", inputs, made)
    elif layer.op == "dense":
        if model.quantisation:  # the mean is still an image: flattened here, between stored values
            inputs = [graph.op("Flatten", inputs, f"{name}_flat")]
        graph.op("Gemm", [*inputs, *_constants(graph, layer, model)], made, transB=1)
    else:
        pads = [same_padding(s, k, d) for s, k, d in zip(size_in, layer.kernel, layer.stride, strict=False)]
        graph.op(
            "Conv",
            [*inputs, *_constants(graph, layer, model)],
            made,
            kernel_shape=layer.kernel,
            strides=layer.stride,
            pads=[pads[0][0], pads[1][0], pads[0][1], pads[1][1]],
            group=layer.channels if layer.op == "depthwise" else 1,
        )
    return graph.op("Relu", [made], name) if layer.relu else made


def _constants(graph: _Graph, layer: Layer, model: Frozen) -> list[str]:
    """Add a layer's weight and bias, stored in int8 and int32 where there are scales."""
    w, name = model.weights[layer.name], layer.name
    if model.quantisation is None or layer.inputs[0] not in model.quantisation.activations:
        return [graph.constant(f"{name}_weight", w.weight.numpy()), graph.constant(f"{name}_bias", w.bias.numpy())]
    stored, steps = weights_in_int8(w.weight, model.quantisation.weight_bits)
    step_in = model.quantisation.activations[layer.inputs[0]].scale
    bias = bias_in_int32(w.bias, step_in, steps)
    found = []
    for what, values, scale in (("weight", stored, steps), ("bias", bias, (step_in * steps).astype(np.float32))):
        ends = [
            graph.constant(f"{name}_{what}", values),
            graph.constant(f"{name}_{what}_steps", scale),
            graph.constant(f"{name}_{what}_zeros", np.zeros(len(scale), values.dtype)),
        ]
        found.append(graph.op("DequantizeLinear", ends, f"{name}_{what}_read", axis=0))
    return found
