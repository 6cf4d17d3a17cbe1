"""How far a bundle's parts are from what one core could do at best: a roofline for its front end and its body.

No file can be faster than its arithmetic takes at the fastest that the core was seen to multiply, nor than it takes to
move its weights, its input and its output once. What is counted is the work of the formulation that ships: a front end
that needs fewer products would have another limit.
source: Williams, Waterman and Patterson 2009, doi:10.1145/1498765.1498785
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from edgecomp.bundle import Bundle
from edgecomp.devices import Device, How, ModelFile, Timing
from edgecomp.errors import BundleError
from edgecomp.lowering.analysis import Analysis, analysis_of
from edgecomp.metrics import Estimate
from edgecomp.portable.peaks import Peak
from edgecomp.progress import say
from edgecomp.results import Result
from edgecomp.spread import repeated
from edgecomp.students import StudentConfig
from edgecomp.students.front_end import FrontEnd
from edgecomp.students.layers import FEATURES, Layer, macs, shapes

BYTES = {"float32": 4, "int8": 1}
"""Of one stored weight."""
PEAKS = {"float32": ("peak_float32", "MAC/s"), "int8": ("peak_int8", "MAC/s"), "bandwidth": ("bandwidth", "bytes/s")}
"""What a device's peak is called in the results, and its unit."""


@dataclass(frozen=True)
class Part:
    """A part of a model file, and the least that it has to do for one clip.

    name:  "front_end" or "body"
    macs:  multiply-accumulates, by the numerics that they run in: "float32", "int8"
    bytes: weights as they are stored, input and output, each moved once
    """

    name: str
    macs: Mapping[str, int]
    bytes: int

    def products_ms(self, peaks: Mapping[str, float]) -> float:
        """Return how long the arithmetic takes at least; peaks in multiply-accumulates a second, by numerics."""
        return 1e3 * sum(count / peaks[numerics] for numerics, count in self.macs.items())

    def moves_ms(self, peaks: Mapping[str, float]) -> float:
        """Return how long moving the bytes takes at least; peaks["bandwidth"] in bytes a second."""
        return 1e3 * self.bytes / peaks["bandwidth"]

    def limit_ms(self, peaks: Mapping[str, float]) -> float:
        """Return the shortest time that the core allows: arithmetic and moving may overlap, so the longer of the two."""
        return max(self.products_ms(peaks), self.moves_ms(peaks))


def parts(bundle: Bundle, form: str) -> tuple[Part, Part]:
    """Return the front end and the body of a model file, counted from the layers in its trail.

    form:   "onnx" or "tflite"
    raises: BundleError where the trail does not say how the student was built
    """
    config, source_hz = _config(bundle, form), _source_hz(bundle, form)
    is_int8 = bundle.facts["models"][form].get("numerics") == "int8"
    return _front_end(analysis_of(config.front_end, source_hz)), _body(config, is_int8)


def front_end_file(bundle: Bundle, whole: ModelFile, folder: Path) -> ModelFile:
    """Write the front end of a bundle's file as a file of its own, in the same format; it has no normalisation."""
    from importlib import import_module

    front_end, source_hz = _config(bundle, whole.form).front_end, _source_hz(bundle, whole.form)
    content = import_module(f"edgecomp.lowering.{whole.form}").lower_front_end(front_end, source_hz)
    place = folder / f"front-end-{len(list(folder.iterdir()))}{whole.path.suffix}"
    place.write_bytes(content)
    return ModelFile(f"{whole.name}, its front end alone", place, whole.form)


def peaks_of(device: Device) -> tuple[Peak, ...]:
    """Measure what one core of a device reaches at best; nothing, and a line of progress, where it cannot."""
    if hasattr(device, "peaks"):
        say(f"{device.name}: measuring what one core reaches at best")
        return device.peaks()
    say(f"{device.name}: skipped the limit: it cannot measure what its core reaches at best")
    return ()


def peak_results(peaks: Iterable[Peak], line: Result) -> Iterator[Result]:
    """Turn what a core reaches at best into lines about the device."""
    line = replace(line, **dict.fromkeys(("task", "bundle", "bundle_hash", "target", "form", "model_sha256"), ""))
    for one in peaks:
        name, unit = PEAKS[one.name]
        how = f"best of many short runs on one core; {one.by}"
        yield replace(line, name=name, value=one.value, unit=unit, method=how)


def results(
    found: Iterable[Part], timing: Timing, files: tuple[ModelFile, ModelFile], peaks: Iterable[Peak], line: Result
) -> Iterator[Result]:
    """Turn an interleaved run of a whole file and its front end alone into lines about the file's parts.

    files: the whole file, and its front end
    """
    whole, front = (np.array([window.median_ms[one.name] for window in timing.windows]) for one in files)
    processes = [window.process for window in timing.windows]
    taken = {"front_end": repeated(front, processes), "body": repeated(whole - front, processes)}
    runtime, delegate = timing.runtimes.get(files[0].name, ""), timing.effort.delegate
    yield from part_results(found, peaks, taken, replace(line, runtime=runtime, delegate=delegate))


def part_results(
    found: Iterable[Part], peaks: Iterable[Peak], taken: Mapping[str, Estimate], line: Result
) -> Iterator[Result]:
    """Turn a file's parts into lines: what each has to do, how long that takes at least, how long it took, the share.

    taken: by part, measured ms
    """
    best = {one.name: one.value for one in peaks}
    how: How = "emulated" if line.how == "emulated" else "estimated"  # what is counted or calculated is not measured
    for part in found:
        told, limit = taken[part.name], part.limit_ms(best)
        split = " and ".join(f"{count:,} in {numerics}" for numerics, count in part.macs.items())
        longer = "arithmetic" if part.products_ms(best) >= part.moves_ms(best) else "bytes"
        share = _share(limit, told)
        yield replace(line, name=f"macs_{part.name}", value=sum(part.macs.values()), unit="MAC", how=how, method=split)
        told_bytes = "weights as stored, input and output, each once"
        yield replace(line, name=f"bytes_{part.name}", value=part.bytes, unit="bytes", how=how, method=told_bytes)
        told_limit = f"arithmetic at the core's peaks or bytes at its bandwidth, whichever takes longer: {longer}"
        yield replace(line, name=f"limit_{part.name}", value=limit, unit="ms", how=how, method=told_limit)
        yield replace(line, name=f"time_{part.name}", unit="ms", **_interval(told), method=METHODS[part.name])
        told_share = f"limit_{part.name} over time_{part.name}"
        yield replace(line, name=f"share_{part.name}", unit="share", how=how, **share, method=told_share)


METHODS = {
    "front_end": "the front end alone, as a file of its own, interleaved with the whole file; interval as latency_p50's",
    "body": "the whole file minus the front end alone, window by window; with normalisation, softmax and the call itself",
}


def _front_end(analysis: Analysis) -> Part:
    ends = 4 * (analysis.samples + analysis.frames * analysis.mels)
    return Part("front_end", {"float32": analysis.macs}, analysis.table_bytes + ends)


def _body(config: StudentConfig, is_int8: bool) -> Part:
    front_end, layers = config.front_end, config.layers
    counts: dict[str, int] = {}
    stored = 0
    for layer in layers:
        # as passes/quantise.py has it: what reads the features stays in float
        numerics = "int8" if is_int8 and FEATURES not in layer.inputs else "float32"
        if done := macs(layers, front_end.frames, front_end.mels)[layer.name]:
            counts[numerics] = counts.get(numerics, 0) + done
        stored += _stored_bytes(layer, config, numerics)
    ends = 4 * (front_end.frames * front_end.mels + len(config.labels) + 1)  # the uncertainty is one more
    return Part("body", counts, stored + ends)


def _stored_bytes(layer: Layer, config: StudentConfig, numerics: str) -> int:
    """Return the bytes of a layer's weights and biases; int8 keeps biases in int32 and a step for every output."""
    if layer.op in ("add", "mean"):
        return 0
    channels = shapes(config.layers, config.front_end.frames, config.front_end.mels)[layer.inputs[0]][-1]
    reads = (1 if layer.op == "depthwise" else channels) * layer.kernel[0] * layer.kernel[1]
    return layer.channels * (reads * BYTES[numerics] + 4 + (4 if numerics == "int8" else 0))


def _config(bundle: Bundle, form: str) -> StudentConfig:
    """Read a student's family, widths and front end back from a trail; the last step that gave widths counts."""
    steps = bundle.facts["trail"].get(form, [])
    try:
        built = next(step for step in steps if step["name"] == "build")
        widths = [step["facts"]["widths"] for step in steps if "widths" in step["facts"]][-1]
        front_end = FrontEnd(**built["settings"]["front_end"])
        return StudentConfig(built["settings"]["family"], tuple(widths), tuple(bundle.labels), front_end)
    except (StopIteration, IndexError, KeyError, TypeError, ValueError) as why:
        raise BundleError(
            f"the trail of this bundle does not say how its student was built: {type(why).__name__}: {why}",
            where=bundle.folder / "bundle.json",
            fix="compile the bundle again with this edgecomp, or leave --limit out",
        ) from None


def _source_hz(bundle: Bundle, form: str) -> int | None:
    """Return the rate of the waveform that a file was exported for, or None for its student's own."""
    exported = [step["settings"] for step in bundle.facts["trail"].get(form, []) if step["name"] == "export"]
    return exported[-1].get("source_hz") if exported else None


def _share(limit_ms: float, taken: Estimate) -> dict[str, Any]:
    """Return the limit as a share of the time, with its interval; nothing where the time cannot be told from noise."""
    if not taken.low > 0:
        return {"value": None, "low": None, "high": None, "n": taken.n}
    ends = {"value": limit_ms / taken.value, "low": limit_ms / taken.high, "high": limit_ms / taken.low}
    return ends | {"n": taken.n}


def _interval(estimate: Estimate) -> dict[str, Any]:
    return {"value": estimate.value, "low": estimate.low, "high": estimate.high, "n": estimate.n}
