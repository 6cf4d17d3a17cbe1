"""Cut the int8 body out of a TFLite model file: log-mel features in, logits out, for TensorFlow Lite Micro and NPUs.

The body is cut from the file that ships and not lowered anew from the student: a bundle is what a user has, and what is
cut has the very weights and scales whose answers were proven. The whole file does not run there: TensorFlow Lite Micro
has no tables in float16, was seen to answer wrongly without a word on other files with a float front end before an int8
body, and NPUs have no float. So the front end becomes C (c_front_end.py), and devices/mcu.py holds the
result against the bundle.

Files for microcontrollers read int8 features, and so hold the very body that runs there. In a file for another target the
first layer is float; here it reads int8 features all the same, since NPUs have no float, and answers a little otherwise. Their
range is then not measured but follows from the front end: nothing is lower than digital silence.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from edgecomp.errors import BundleError
from edgecomp.lowering.analysis import analysis_of
from edgecomp.lowering.flatbuffer import TfliteGraph
from edgecomp.lowering.tflite import front_end_tables
from edgecomp.lowering.tflite_file import TfliteFile, foreign
from edgecomp.progress import quiet_libraries
from edgecomp.students.ending import Ending
from edgecomp.students.front_end import FLOOR, FrontEnd, mel_filters, residues_of
from edgecomp.students.layers import FEATURES
from edgecomp.students.quantisation import HIGHEST, LOWEST, Scale, scale_for

LOUDEST = 0.25
"""Power of a full-scale sine in its bin; a Hann window gives each neighbour a quarter of that."""
OUTPUT_AXIS = {"CONV_2D": 0, "DEPTHWISE_CONV_2D": 3}
"""Which axis of a first layer's weight counts its outputs."""


@dataclass(frozen=True)
class FeatureBody:
    """A model file in its parts.

    content:   a TFLite file, int8 from end to end: features (1, frames, mels, 1) → logits (1, classes)
    operators: the kinds of operator in it, as a resolver has to know them
    front:     a TFLite file of the front end as the bundle has it, float32: waveform (1, samples) → features
    features, logits: how the body's ends are stored
    scale, shift: (mels,) float32; a normalised feature is log-mel × scale + shift
    """

    content: bytes
    operators: tuple[str, ...]
    front: bytes
    front_end: FrontEnd
    features: Scale
    logits: Scale
    scale: np.ndarray
    shift: np.ndarray
    ending: Ending
    classes: int

    def quantise(self, features: np.ndarray) -> np.ndarray:
        """Return float features as the body reads them, int8 of the same shape."""
        steps = np.floor(features / np.float32(self.features.scale) + np.float32(0.5)) + self.features.zero
        return np.clip(steps, LOWEST, HIGHEST).astype(np.int8)

    def answers(self, logits: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return probabilities (n, classes) and uncertainties (n,), float32, of stored logits (n, classes) int8."""
        return self.ending((logits.astype(np.float64) - self.logits.zero) * self.logits.scale)


def cut_bundle(folder: Path, facts: Mapping[str, Any]) -> FeatureBody:
    """Cut the body out of a bundle's TFLite file; the front end's settings come from the trail.

    facts:  bundle.json
    raises: BundleError where there is no int8 TFLite file, it takes a source of another rate, or its trail does not say how its
            front end was built
    """
    model = facts["models"].get("tflite")
    if model is None:
        raise BundleError(
            "this bundle has no TFLite file, and a microcontroller's body is cut out of one",
            where=folder,
            fix="compile the bundle again with this edgecomp",
        )
    if model.get("numerics") != "int8":
        raise _float(f"{model.get('numerics')}", folder)
    steps = facts["trail"].get("tflite", [])
    built = [step for step in steps if step["name"] == "build"]
    sources = [step["settings"].get("source_hz") for step in steps if step["name"] == "export"]
    if sources and sources[-1] is not None:
        raise BundleError(
            f"this bundle's files take {sources[-1]} Hz and resample inside, and the front end in C does not",
            where=folder,
            fix="compile for a target without [source]; the firmware then records or resamples at the recipe's rate",
        )
    try:
        front_end = FrontEnd(**built[0]["settings"]["front_end"])
    except (IndexError, KeyError, TypeError, ValueError) as why:
        raise BundleError(
            f"the trail of this bundle does not say how its front end was built: {type(why).__name__}: {why}",
            where=folder / "bundle.json",
            fix="compile the bundle again with this edgecomp",
        ) from None
    return cut_body((folder / model["file"]).read_bytes(), front_end)


def cut_body(content: bytes, front_end: FrontEnd) -> FeatureBody:
    """Cut a TFLite file that edgecomp wrote into its front end, its body in int8, and its ending.

    front_end: the settings that it was built with; they are held against the tables in the file
    raises:    BundleError where the body is float, or where edgecomp did not write the file like this
    """
    file = TfliteFile(content)
    start = file.maker(FEATURES) + 1
    if "logits_float" not in file.names:
        raise _float("float32", "model.tflite")
    end = file.maker("logits_float")
    _check_front_end(file, front_end)
    scale, shift = (file.constant(f"front/{name}").reshape(-1) for name in ("scale", "shift"))
    logits = file.tensors[file.operators[end].inputs[0]]
    body = file.operators[start:end]
    if is_whole := file.kind(body[0]) == "QUANTIZE":
        features = _scale_of(file.tensors[body[0].outputs[0]])
    else:
        features = feature_scale(front_end, scale, shift)
    return FeatureBody(
        content=_whole_body(file, body, features) if is_whole else _body(file, body, features),
        operators=tuple(sorted({file.kind(operator) for operator in body} - {"QUANTIZE"})),
        front=_front(file, start),
        front_end=front_end,
        features=features,
        logits=_scale_of(logits),
        scale=scale,
        shift=shift,
        ending=_ending(file),
        classes=int(logits.shape[-1]),
    )


def run_part(content: bytes, given: np.ndarray) -> np.ndarray:
    """Run a part in LiteRT, one row after the other: (n, …) → (n, …), as the part stores its ends."""
    from ai_edge_litert.interpreter import Interpreter

    with quiet_libraries():  # it says on stderr that it made its delegate
        interpreter = Interpreter(model_content=content, num_threads=1)
        interpreter.allocate_tensors()
    source, target = interpreter.get_input_details()[0], interpreter.get_output_details()[0]["index"]
    found = []
    for row in given:
        interpreter.set_tensor(source["index"], np.asarray(row, source["dtype"]).reshape(source["shape"]))
        interpreter.invoke()
        found.append(interpreter.get_tensor(target)[0])
    return np.stack(found)


def feature_scale(front_end: FrontEnd, scale: np.ndarray, shift: np.ndarray) -> Scale:
    """Return how normalised features are stored: from digital silence to a full-scale sine in each band.

    What is louder still, such as a full-scale square wave, is stored as the loudest.
    scale, shift: (mels,) of the normalisation
    """
    mel = np.pad(mel_filters(front_end), ((1, 1), (0, 0)))
    loudest = LOUDEST * (mel[1:-1] + (mel[:-2] + mel[2:]) / 4).max(axis=0)
    low, high = (np.log(power + FLOOR) * scale + shift for power in (0.0, loudest))
    return scale_for(float(low.min()), float(high.max()))


def _scale_of(tensor: Any) -> Scale:
    return Scale(float(tensor.quantization.scale[0]), int(tensor.quantization.zeroPoint[0]))


def _whole_body(file: TfliteFile, operators: list[Any], features: Scale) -> bytes:
    """Write the operators between the stored features and the logits, as they are."""
    graph, made = TfliteGraph("edgecomp body on features"), {}
    source = graph.tensor(FEATURES, file.shape(FEATURES), "INT8", scale=features.scale, zero=features.zero)
    made[operators[0].outputs[0]] = source
    for operator in operators[1:]:
        logits = file.copy_operator(operator, graph, made)
    return graph.to_bytes({FEATURES: source}, {"logits": logits}, {})


def _body(file: TfliteFile, operators: list[Any], features: Scale) -> bytes:
    """Write the operators between the features and the logits, the first of them in int8 too."""
    first, stored = operators[:2]
    kind = file.kind(first)
    if kind not in OUTPUT_AXIS or file.kind(stored) != "QUANTIZE":
        raise foreign(f"it begins with {kind} and {file.kind(stored)}, and not with a float convolution and QUANTIZE")
    graph = TfliteGraph("edgecomp body on features")
    source = graph.tensor(FEATURES, file.shape(FEATURES), "INT8", scale=features.scale, zero=features.zero)
    axis = OUTPUT_AXIS[kind]
    weight, steps = _in_int8(file.values(first.inputs[1]), axis)
    unit = np.float64(features.scale) * steps
    bias = np.round(file.values(first.inputs[2]) / unit).astype(np.int32)
    inputs = [
        source,
        graph.constant("first_weight", weight, scale=steps, axis=axis),
        graph.constant("first_bias", bias, scale=unit.astype(np.float32)),
    ]
    made = {}
    made[first.outputs[0]] = file.copy(stored.outputs[0], graph, made)  # what QUANTIZE gave, the convolution gives
    file.copy_operator(first, graph, made, inputs)
    for operator in operators[2:]:
        logits = file.copy_operator(operator, graph, made)
    return graph.to_bytes({FEATURES: source}, {"logits": logits}, {})


def _front(file: TfliteFile, end: int) -> bytes:
    """Write the operators from the waveform to the features, as they are."""
    graph, made = TfliteGraph("edgecomp front end"), {}
    for operator in file.operators[:end]:
        features = file.copy_operator(operator, graph, made)
    return graph.to_bytes({"waveform": made[file.graph.inputs[0]]}, {FEATURES: features}, {})


def _in_int8(weight: np.ndarray, axis: int) -> tuple[np.ndarray, np.ndarray]:
    """Return a weight as int8 and one step for each output, chosen as students/quantisation.py does for tensors."""
    others = tuple(i for i in range(weight.ndim) if i != axis)
    steps = (np.maximum(np.abs(weight).max(axis=others), 1e-12) / HIGHEST).astype(np.float32)
    along = [-1 if i == axis else 1 for i in range(weight.ndim)]
    return np.clip(np.round(weight / steps.reshape(along)), -HIGHEST, HIGHEST).astype(np.int8), steps


def _check_front_end(file: TfliteFile, front_end: FrontEnd) -> None:
    """Hold the settings against the file's tables: C is made from the settings, and must hear what the file hears."""
    if file.shape(FEATURES) != (1, front_end.frames, front_end.mels, 1):
        raise foreign(f"its features are {file.shape(FEATURES)}, its trail says {front_end.frames} × {front_end.mels}")
    if file.shape("waveform") != (1, front_end.samples):
        raise foreign(f"its waveform is {file.shape('waveform')}, its trail says {front_end.samples} samples")
    for name, values in front_end_tables(analysis_of(front_end)).items():
        if not np.array_equal(file.constant(name), values):
            raise foreign(f"its table {name!r} is not that of the front end in its trail")
    if "front/hops" in file.names:
        step = file.shape("front/hops")[1]
    else:
        step = file.operators[file.maker("front/first")].builtinOptions.strideH * residues_of(front_end)
    if step != front_end.hop:
        raise foreign(f"its features are {step} samples apart, its trail says {front_end.hop}")


def _ending(file: TfliteFile) -> Ending:
    """Read the calibration back from the constants at the end of the file."""

    def values(name: str) -> tuple[float, ...]:
        return tuple(map(float, file.constant(name).reshape(-1))) if name in file.names else ()

    return Ending(*values("calibrated_by"), shift=values("shifted_by"), boundary=values("turned_by"))


def _float(numerics: str, where: object) -> BundleError:
    return BundleError(
        f"the model of this bundle is {numerics}, and a microcontroller's body must be int8",
        where=where,
        fix="compile for a target that is a microcontroller, such as stm32h747: there int8 ships, however fast float is here",
    )
