"""Lower a student to TFLite: the folded front end in float, the body in float or int8, the softmax in float."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from edgecomp import __version__
from edgecomp.lowering.flatbuffer import TfliteGraph
from edgecomp.lowering.tflite_metadata import (
    LABELS_FILE,
    METADATA_NAME,
    labels_file,
    tflite_metadata,
    with_associated_files,
)
from edgecomp.students.ending import Ending
from edgecomp.students.front_end import FLOOR, FrontEnd, frame_blocks, tables
from edgecomp.students.layers import FEATURES, Layer, shapes
from edgecomp.students.quantisation import bias_in_int32, weights_in_int8
from edgecomp.students.student import Frozen


def lower(model: Frozen, metadata: Mapping[str, str]) -> bytes:
    """Return a TFLite file: waveform (1, samples) → probabilities (1, classes) and uncertainty (1, 1), all float32.

    With scales the body is int8; the front end and the softmax are float always.
    metadata: strings to keep inside the file
    """
    graph = TfliteGraph(f"edgecomp {model.config.family}")
    waveform = graph.tensor("waveform", (1, model.config.front_end.samples))
    features = _front_end(graph, waveform, model)
    logits = _body(graph, features, model)
    probabilities, uncertainty = _ending(graph, logits, model.ending)
    config = model.config
    described = tflite_metadata(
        f"edgecomp {config.family}",
        "an audio classifier that edgecomp compiled; what it is and where it comes from stands under the entry edgecomp",
        version=__version__,
        labels=config.labels,
        sample_rate=config.front_end.sample_rate,
        samples=config.front_end.samples,
        more_outputs={"uncertainty": "0 where it is sure; above the bundle's threshold the teacher is to be asked"},
    )
    made = graph.to_bytes(
        {"waveform": waveform},
        {"probabilities": probabilities, "uncertainty": uncertainty},
        {name: text.encode() for name, text in metadata.items()} | {METADATA_NAME: described},
    )
    return with_associated_files(made, {LABELS_FILE: labels_file(config.labels)})


def _front_end(graph, waveform, model: Frozen):
    """Lower the folded front end; float16 tables are widened once, when the model is loaded."""
    front_end = model.config.front_end
    table, frames, quarter = tables(front_end), front_end.frames, front_end.window // 4
    near, far = _mirrored_frames(graph, waveform, front_end)
    window = graph.constant("window", np.concatenate([table.window_inner, table.window_outer])[None])

    def binary(kind: str, name: str, a, b):
        options = {"ADD": "AddOptions", "SUB": "SubOptions", "MUL": "MulOptions"}[kind]
        return graph.op(kind, [a, b], graph.tensor(f"front/{name}", a.shape), options)

    def half(name: str, of, start: int):
        at = [
            graph.constant(f"front/{name}_{what}", np.array(v, np.int32))
            for what, v in (("begin", (0, start)), ("size", (frames, quarter)))
        ]
        return graph.op("SLICE", [of, *at], graph.tensor(f"front/{name}", (frames, quarter)), "SliceOptions")

    def matmul(name: str, a, matrix: np.ndarray, bias: np.ndarray | None = None):
        stored = graph.constant(f"front/{name}_f16", np.ascontiguousarray(matrix.T.astype(np.float16)))
        wide = graph.op("DEQUANTIZE", [stored], graph.tensor(f"front/{name}_table", stored.shape), "DequantizeOptions")
        inputs = [a, wide] + ([] if bias is None else [graph.constant(f"front/{name}_bias", bias)])
        return graph.op(
            "FULLY_CONNECTED",
            inputs,
            graph.tensor(f"front/{name}", (a.shape[0], matrix.shape[1])),
            "FullyConnectedOptions",
            keepNumDims=True,
        )

    powers = {}
    for part, kind in (("cos", "ADD"), ("sin", "SUB")):
        windowed = binary("MUL", f"{part}_windowed", binary(kind, f"{part}_halves", near, far), window)
        inner, outer = half(f"{part}_inner", windowed, 0), half(f"{part}_outer", windowed, quarter)
        for bins, fold in (("even", "ADD"), ("odd", "SUB")):
            folded = binary(fold, f"{part}_{bins}_in", inner, outer)
            wave = matmul(f"{part}_{bins}", folded, getattr(table, f"{part}_{bins}"))
            powers[part, bins] = binary("MUL", f"{part}_{bins}_squared", wave, wave)
    bands = [
        matmul(f"mel_{bins}", binary("ADD", f"power_{bins}", powers["cos", bins], powers["sin", bins]), mel, bias)
        for bins, mel, bias in (
            ("even", table.mel_even, np.full(front_end.mels, FLOOR, np.float32)),
            ("odd", table.mel_odd, None),
        )
    ]
    log = graph.op("LOG", [binary("ADD", "mel", *bands)], graph.tensor("front/log", (frames, front_end.mels)))
    scaled = binary("MUL", "scaled", log, graph.constant("front/scale", (1 / model.std)[None]))
    normal = binary("ADD", "normal", scaled, graph.constant("front/shift", (-model.mean / model.std)[None]))
    return _reshape(graph, normal, FEATURES, (1, frames, front_end.mels, 1))


def _mirrored_frames(graph, waveform, front_end: FrontEnd):
    """Return each frame's quarters [Q2, Q0], and the mirrored ones that they fold with, [Q1, Q3]: (frames, window / 2)."""
    block = math.gcd(front_end.hop, front_end.window // 4)
    near, far = frame_blocks(front_end)
    used = front_end.samples
    if used % block:
        used = (front_end.frames - 1) * front_end.hop + front_end.window
        at = [
            graph.constant(f"front/used_{what}", np.array(v, np.int32))
            for what, v in (("begin", (0, 0)), ("size", (1, used)))
        ]
        waveform = graph.op("SLICE", [waveform, *at], graph.tensor("front/used", (1, used)), "SliceOptions")
    blocks = _reshape(graph, waveform, "front/blocks", (used // block, block))
    axis = graph.constant("front/axis", np.array([1], np.int32))
    mirrored = graph.op("REVERSE_V2", [blocks, axis], graph.tensor("front/mirrored", blocks.shape), "ReverseV2Options")
    frames = []
    for name, source, index in (("near", blocks, near), ("far", mirrored, far)):
        rows = graph.constant(f"front/{name}_rows", index.reshape(-1).astype(np.int32))
        found = graph.op(
            "GATHER", [source, rows], graph.tensor(f"front/{name}_blocks", (index.size, block)), "GatherOptions"
        )
        frames.append(_reshape(graph, found, f"front/{name}", (front_end.frames, front_end.window // 2)))
    return frames


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
