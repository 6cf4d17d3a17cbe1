"""Lower a student to ONNX: the front end in float, the body in float or int8, the softmax in float."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from edgecomp.lowering.analysis import Analysis, analysis_of
from edgecomp.students.front_end import FLOOR, FrontEnd
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


def lower(model: Frozen, metadata: Mapping[str, str], source_hz: int | None = None) -> bytes:
    """Return an ONNX file: waveform (1, samples) → probabilities (1, classes) and uncertainty (1, 1), all float32.

    With scales the body is int8 by quantise-dequantise pairs; the front end and the softmax are float always.
    metadata:  strings to keep in metadata_props
    source_hz: the waveform's sample rate; None for the student's own
    """
    graph, config = _Graph(), model.config
    analysis = analysis_of(config.front_end, source_hz)
    log_mel = _front_end(graph, "waveform", analysis)
    scaled = graph.op("Mul", [log_mel, graph.constant("scale", (1 / model.std)[None])], "scaled")
    normal = graph.op("Add", [scaled, graph.constant("shift", (-model.mean / model.std)[None])], "normal")
    image = graph.constant("image", np.array([1, 1, config.front_end.frames, config.front_end.mels]))
    logits = _body(graph, graph.op("Reshape", [normal, image], FEATURES), model)
    _ending(graph, logits, model)
    outputs = {"probabilities": (1, len(config.labels)), "uncertainty": (1, 1)}
    return _file(graph, analysis.samples, outputs, metadata)


def lower_front_end(front_end: FrontEnd, source_hz: int | None = None) -> bytes:
    """Return an ONNX file of the front end alone: waveform (1, samples) → log_mel (frames, mels), not normalised."""
    graph, analysis = _Graph(), analysis_of(front_end, source_hz)
    graph.op("Identity", [_front_end(graph, "waveform", analysis)], "log_mel")
    return _file(graph, analysis.samples, {"log_mel": (front_end.frames, front_end.mels)}, {})


def _file(graph: _Graph, samples: int, outputs: Mapping[str, tuple[int, ...]], metadata: Mapping[str, str]) -> bytes:
    from onnx import TensorProto, checker, helper

    ends = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
        for name, shape in {"waveform": (1, samples), **outputs}.items()
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


def _front_end(graph: _Graph, waveform: str, analysis: Analysis) -> str:
    """Lower the front end, frames in columns: so every product reads and writes whole rows, and reshapes cost nothing.

    The mel table is stored in float16 and widened once, when the model is loaded.
    """
    from onnx import TensorProto

    table, residues, half, kept = analysis.tables, analysis.residues, analysis.half, analysis.kept
    framed, columns = _frames_in_columns(graph, waveform, analysis)
    by_sample = _reshape(graph, framed, "by_sample", (analysis.window // residues, residues, columns))
    # ONNX Runtime reads the residues in place: it fuses this transpose into the product
    by_residue = graph.op("Transpose", [by_sample], "by_residue", perm=[1, 0, 2])
    first = graph.op("MatMul", [graph.constant("first_table", table.first), by_residue], "first")
    parts = _reshape(graph, first, "first_parts", (2 * residues, half * columns))
    second = graph.op("MatMul", [graph.constant("second_table", table.second), parts], "second")
    squares = graph.op("Mul", [second, second], "squares")
    both = graph.constant("halves", np.array([kept, kept]))
    real, imaginary = graph.ops("Split", [squares, both], ["real_squared", "imaginary_squared"], axis=0)
    power = graph.op("Add", [real, imaginary], "power")
    bins = _reshape(graph, power, "bins", (kept * half, columns))
    stored = graph.constant("mel_f16", table.mel.reshape(kept * half, -1).astype(np.float16))
    mel_table = graph.op("Cast", [stored], "mel_table", to=TensorProto.FLOAT)
    mel = graph.op("Gemm", [bins, mel_table, graph.constant("floor", np.float32([FLOOR]))], "mel", transA=1)
    if columns > analysis.frames:
        mel = _slice(graph, mel, "mel_frames", 0, analysis.frames)
    return graph.op("Log", [mel], "log")


def _frames_in_columns(graph: _Graph, waveform: str, analysis: Analysis) -> tuple[str, int]:
    """Return every frame as a column, (window × columns,), and the number of columns, of which the last few are no frames.

    Hops are laid out as columns first. A frame's next hop is then the same rows one column on: the same numbers, read
    from one place later. So frames are made by copying long runs, and the columns at the end hold what is left over.
    """
    window, hop = analysis.window, analysis.hop
    hops = -(-window // hop)
    columns = analysis.frames - 1 + hops
    samples = columns * hop
    if samples < analysis.samples:
        waveform = _slice(graph, waveform, "used", 0, samples, axis=1)
    elif samples > analysis.samples:
        ends = graph.constant("padding", np.array([0, 0, 0, samples - analysis.samples]))
        waveform = graph.op("Pad", [waveform, ends], "padded")
    in_columns = graph.op("Transpose", [_reshape(graph, waveform, "hops", (columns, hop))], "hops_turned", perm=[1, 0])
    flat = _reshape(graph, in_columns, "flat", (samples,))
    runs = []
    for at in range(hops):
        start, length = at, min(hop, window - at * hop) * columns
        runs.append(_slice(graph, flat, f"hop_{at}", start, min(start + length, samples)))
        if start + length > samples:  # only columns that are left out
            runs.append(_slice(graph, flat, f"hop_{at}_end", 0, start + length - samples))
    framed = graph.op("Concat", runs, "framed", axis=0) if len(runs) > 1 else runs[0]
    return framed, columns


def _reshape(graph: _Graph, x: str, name: str, shape: tuple[int, ...]) -> str:
    return graph.op("Reshape", [x, graph.constant(f"{name}_shape", np.array(shape))], name)


def _slice(graph: _Graph, x: str, name: str, start: int, end: int, axis: int = 0) -> str:
    at = [graph.constant(f"{name}_{what}", np.array([v])) for what, v in (("from", start), ("to", end), ("axis", axis))]
    return graph.op("Slice", [x, *at], name)


def _body(graph: _Graph, features: str, model: Frozen) -> str:
    """Lower the layers, in int8 where there are scales, and return the logits in float."""
    front_end = model.config.front_end
    size = shapes(model.config.layers, front_end.frames, front_end.mels)
    held = model.quantisation.activations if model.quantisation else {}
    seen = {FEATURES: _stored(graph, features, held[FEATURES]) if FEATURES in held else features}
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
