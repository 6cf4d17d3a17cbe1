"""Lower a student to TFLite: the front end in float, the body in float or int8, the softmax in float."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from edgecomp import __version__
from edgecomp.lowering.analysis import Analysis, analysis_of
from edgecomp.lowering.flatbuffer import TfliteGraph
from edgecomp.lowering.tflite_metadata import (
    LABELS_FILE,
    METADATA_NAME,
    labels_file,
    tflite_metadata,
    with_associated_files,
)
from edgecomp.students.ending import Ending
from edgecomp.students.front_end import FLOOR, FrontEnd
from edgecomp.students.layers import FEATURES, Layer, shapes
from edgecomp.students.quantisation import bias_in_int32, weights_in_int8
from edgecomp.students.student import Frozen

GROUPED_CONV_2D = 6
"""The operator version that a convolution in groups asks for (lite/tools/versioning/op_version.cc)."""


def lower(model: Frozen, metadata: Mapping[str, str], source_hz: int | None = None) -> bytes:
    """Return a TFLite file: waveform (1, samples) → probabilities (1, classes) and uncertainty (1, 1), all float32.

    With scales the body is int8; the front end and the softmax are float always.
    metadata:  strings to keep inside the file
    source_hz: the waveform's sample rate; None for the student's own
    """
    graph = TfliteGraph(f"edgecomp {model.config.family}")
    front_end = model.config.front_end
    analysis = analysis_of(front_end, source_hz)
    waveform = graph.tensor("waveform", (1, analysis.samples))
    log_mel = _front_end(graph, waveform, analysis)
    scaled = _binary(graph, "MUL", "front/scaled", log_mel, graph.constant("front/scale", (1 / model.std)[None]))
    shift = graph.constant("front/shift", (-model.mean / model.std)[None])
    normal = _binary(graph, "ADD", "front/normal", scaled, shift)
    features = _reshape(graph, normal, FEATURES, (1, front_end.frames, front_end.mels, 1))
    logits = _body(graph, features, model)
    probabilities, uncertainty = _ending(graph, logits, model.ending)
    config = model.config
    described = tflite_metadata(
        f"edgecomp {config.family}",
        "an audio classifier that edgecomp compiled; what it is and where it comes from stands under the entry edgecomp",
        version=__version__,
        labels=config.labels,
        sample_rate=analysis.sample_rate,
        samples=analysis.samples,
        more_outputs={"uncertainty": "0 where it is sure; above the bundle's threshold the teacher is to be asked"},
    )
    made = graph.to_bytes(
        {"waveform": waveform},
        {"probabilities": probabilities, "uncertainty": uncertainty},
        {name: text.encode() for name, text in metadata.items()} | {METADATA_NAME: described},
    )
    return with_associated_files(made, {LABELS_FILE: labels_file(config.labels)})


def lower_front_end(front_end: FrontEnd, source_hz: int | None = None) -> bytes:
    """Return a TFLite file of the front end alone: waveform (1, samples) → log_mel (frames, mels), not normalised."""
    graph, analysis = TfliteGraph("edgecomp front end"), analysis_of(front_end, source_hz)
    waveform = graph.tensor("waveform", (1, analysis.samples))
    return graph.to_bytes({"waveform": waveform}, {"log_mel": _front_end(graph, waveform, analysis)}, {})


def front_end_tables(analysis: Analysis) -> dict[str, np.ndarray]:
    """Return the tables that a file has of its front end, by the name of their tensor, as they are stored."""
    table = analysis.tables
    residues, parts, run = table.first.shape
    real, imaginary = np.split(table.second, 2)
    by_band = table.mel.transpose(2, 1, 0).reshape(analysis.mels, -1)
    return {
        "front/first_table": table.first.reshape(residues * parts, run, 1, 1),
        "front/real_table": real,
        "front/imaginary_table": imaginary,
        "front/mel_f16": by_band.astype(np.float16),
    }


def _front_end(graph, waveform, analysis: Analysis):
    """Lower the front end; the first factor is a convolution in groups, one for each residue, which does the framing too.

    The mel table is stored in float16 and widened once, when the model is loaded.
    """
    stored = {name: graph.constant(name, values) for name, values in front_end_tables(analysis).items()}
    frames, residues, half = analysis.frames, analysis.residues, analysis.half
    parts = _first_factor(graph, waveform, analysis, stored["front/first_table"])
    turned = _transpose(graph, _reshape(graph, parts, "front/first_parts", (frames, 2 * residues, half)), (0, 2, 1))
    rows = _reshape(graph, turned, "front/parts", (frames * half, 2 * residues))
    squares = []
    for name in ("front/real", "front/imaginary"):
        part = _dense(graph, name, rows, stored[f"{name}_table"])
        squares.append(_binary(graph, "MUL", f"{name}_squared", part, part))
    power = _reshape(
        graph, _binary(graph, "ADD", "front/power", *squares), "front/bins", (frames, half * analysis.kept)
    )
    by_band = stored["front/mel_f16"]
    wide = graph.op("DEQUANTIZE", [by_band], graph.tensor("front/mel_table", by_band.shape), "DequantizeOptions")
    floor = graph.constant("front/floor", np.full(analysis.mels, FLOOR, np.float32))
    mel = _dense(graph, "front/mel", power, wide, floor)
    return graph.op("LOG", [mel], graph.tensor("front/log", mel.shape))


def _first_factor(graph, waveform, analysis: Analysis, filters):
    """Return each frame's first factor, (1, frames, 1, residues × 2 × half)."""
    from ai_edge_litert import schema_py_generated as schema

    residues, channels = analysis.residues, filters.shape[0]
    step, samples = analysis.hop, analysis.samples
    if step % residues:  # frames do not begin at one residue: they are cut out, and laid end to end
        waveform, step = _cut_frames(graph, waveform, analysis), analysis.window
        samples = analysis.frames * analysis.window
    elif samples % residues:
        samples -= samples % residues
        waveform = _slice(graph, waveform, "front/used", (0, 0), (1, samples))
    image = _reshape(graph, waveform, "front/residues", (1, samples // residues, 1, residues))
    bias = graph.constant("front/first_bias", np.zeros(channels, np.float32))
    return graph.op(
        "CONV_2D",
        [image, filters, bias],
        graph.tensor("front/first", (1, analysis.frames, 1, channels)),
        "Conv2DOptions",
        version=GROUPED_CONV_2D,
        padding=schema.Padding.VALID,
        strideH=step // residues,
        strideW=1,
        dilationHFactor=1,
        dilationWFactor=1,
    )


def _cut_frames(graph, waveform, analysis: Analysis):
    """Return the frames as rows, (frames, window)."""
    frames, window, hop = analysis.frames, analysis.window, analysis.hop
    hops = -(-window // hop)
    rows = frames - 1 + hops
    missing = rows * hop - analysis.samples
    if missing > 0:
        ends = graph.constant("front/padding", np.array([[0, 0], [0, missing]], np.int32))
        padded = graph.tensor("front/padded", (1, rows * hop))
        waveform = graph.op("PAD", [waveform, ends], padded, "PadOptions")
    elif missing < 0:
        waveform = _slice(graph, waveform, "front/used", (0, 0), (1, rows * hop))
    in_hops = _reshape(graph, waveform, "front/hops", (rows, hop))
    runs = [
        _slice(graph, in_hops, f"front/hop_{at}", (at, 0), (frames, min(hop, window - at * hop))) for at in range(hops)
    ]
    if hops == 1:
        return runs[0]
    framed = graph.tensor("front/framed", (frames, window))
    return graph.op("CONCATENATION", runs, framed, "ConcatenationOptions", axis=1)


def _dense(graph, name: str, x, matrix, bias=None):
    inputs = [x, matrix] if bias is None else [x, matrix, bias]
    made = graph.tensor(name, (x.shape[0], matrix.shape[0]))
    return graph.op("FULLY_CONNECTED", inputs, made, "FullyConnectedOptions", keepNumDims=True)


def _binary(graph, kind: str, name: str, a, b):
    options = {"ADD": "AddOptions", "MUL": "MulOptions"}[kind]
    return graph.op(kind, [a, b], graph.tensor(name, a.shape), options)


def _transpose(graph, x, order: tuple[int, ...]):
    by = graph.constant("front/order", np.array(order, np.int32))
    made = graph.tensor("front/turned", tuple(x.shape[axis] for axis in order))
    return graph.op("TRANSPOSE", [x, by], made, "TransposeOptions")


def _slice(graph, x, name: str, begin: tuple[int, ...], size: tuple[int, ...]):
    at = [graph.constant(f"{name}_{what}", np.array(v, np.int32)) for what, v in (("begin", begin), ("size", size))]
    return graph.op("SLICE", [x, *at], graph.tensor(name, size), "SliceOptions")


def _reshape(graph, x, name: str, shape: tuple[int, ...]):
    to = graph.constant(f"{name}_shape", np.array(shape, np.int32))
    return graph.op("RESHAPE", [x, to], graph.tensor(name, shape), "ReshapeOptions", newShape=list(shape))


def _body(graph, features, model: Frozen):
    """Lower the layers, in int8 where there are scales, and return the logits in float."""
    front_end = model.config.front_end
    size = shapes(model.config.layers, front_end.frames, front_end.mels)

    scales = model.quantisation.activations if model.quantisation else {}

    def stored(name: str):
        held = scales[name]
        return graph.tensor(f"{name}_int8", (1, *size[name]), "INT8", scale=held.scale, zero=held.zero)

    seen = {FEATURES: features}
    if FEATURES in scales:
        seen[FEATURES] = graph.op("QUANTIZE", [features], stored(FEATURES), "QuantizeOptions")
    for layer in model.config.layers:
        inputs = [seen[name] for name in layer.inputs]
        if layer.inputs[0] in scales:
            seen[layer.name] = _layer(graph, layer, inputs, stored(layer.name), model)
            continue
        seen[layer.name] = _layer(graph, layer, inputs, graph.tensor(layer.name, (1, *size[layer.name])), model)
        if scales:
            seen[layer.name] = graph.op("QUANTIZE", [seen[layer.name]], stored(layer.name), "QuantizeOptions")
    logits = seen[model.config.layers[-1].name]
    if model.quantisation is None:
        return logits
    return graph.op("DEQUANTIZE", [logits], graph.tensor("logits_float", logits.shape), "DequantizeOptions")


def _ending(graph, logits, ending: Ending):
    """Lower calibration, softmax and uncertainty; what would change nothing is left out."""

    def moved(kind: str, name: str, x, values) -> object:
        options = {"ADD": "AddOptions", "MUL": "MulOptions"}[kind]
        by = graph.constant(f"{name}_by", np.float32(values).reshape(1, -1))
        return graph.op(kind, [x, by], graph.tensor(name, x.shape), options)

    def shares(name: str, x) -> object:
        return graph.op("SOFTMAX", [x], graph.tensor(name, x.shape), "SoftmaxOptions", beta=1.0)

    calibrated = moved("MUL", "calibrated", logits, ending.scale)
    if any(ending.shift):
        calibrated = moved("ADD", "shifted", calibrated, ending.shift)
    probabilities = turned = shares("probabilities", calibrated)
    if any(ending.boundary):
        turned = shares("turned_shares", moved("ADD", "turned", calibrated, ending.boundary))
    axis = graph.constant("largest_axis", np.array([1], np.int32))
    largest = graph.op(
        "REDUCE_MAX", [turned, axis], graph.tensor("largest_share", (1, 1)), "ReducerOptions", keepDims=True
    )
    one = graph.constant("one", np.float32([1]))
    return probabilities, graph.op("SUB", [one, largest], graph.tensor("uncertainty", (1, 1)), "SubOptions")


def _layer(graph, layer: Layer, inputs: list, output, model: Frozen):
    from ai_edge_litert import schema_py_generated as schema

    active = schema.ActivationFunctionType.RELU if layer.relu else schema.ActivationFunctionType.NONE
    if layer.op == "add":
        return graph.op("ADD", inputs, output, "AddOptions", fusedActivationFunction=active)
    if layer.op == "mean":
        axes = graph.constant(f"{layer.name}_axes", np.array([1, 2], np.int32))
        return graph.op("MEAN", [*inputs, axes], output, "ReducerOptions", keepDims=False)
    constants = _constants(graph, layer, model)
    if layer.op == "dense":
        return graph.op("FULLY_CONNECTED", [*inputs, *constants], output, "FullyConnectedOptions")
    kind, extra = ("DEPTHWISE_CONV_2D", {"depthMultiplier": 1}) if layer.op == "depthwise" else ("CONV_2D", {})
    options = "DepthwiseConv2DOptions" if layer.op == "depthwise" else "Conv2DOptions"
    return graph.op(
        kind,
        [*inputs, *constants],
        output,
        options,
        padding=schema.Padding.SAME,
        strideH=layer.stride[0],
        strideW=layer.stride[1],
        fusedActivationFunction=active,
        dilationHFactor=1,
        dilationWFactor=1,
        **extra,
    )


def _constants(graph, layer: Layer, model: Frozen) -> list:
    """Add a layer's weight and bias; TFLite's order is (out, k_t, k_f, in), depthwise (1, k_t, k_f, channels)."""
    w = model.weights[layer.name]
    order = {"conv": (0, 2, 3, 1), "depthwise": (1, 2, 3, 0), "dense": (0, 1)}[layer.op]
    if model.quantisation is None or layer.inputs[0] not in model.quantisation.activations:
        return [
            graph.constant(f"{layer.name}_weight", w.weight.numpy().transpose(order)),
            graph.constant(f"{layer.name}_bias", w.bias.numpy()),
        ]
    stored, steps = weights_in_int8(w.weight, model.quantisation.weight_bits)
    held = model.quantisation.activations[layer.inputs[0]]
    axis = 3 if layer.op == "depthwise" else 0
    return [
        graph.constant(f"{layer.name}_weight", stored.transpose(order), scale=steps, axis=axis),
        graph.constant(f"{layer.name}_bias", bias_in_int32(w.bias, held.scale, steps), scale=held.scale * steps),
    ]
