"""A microcontroller, as far as it can be known without one: answers in TensorFlow Lite Micro, its arena, and Vela's cycles.

`mcu`, or with an Arm NPU's configuration `mcu:ethos-u55-256`. The generated C front end runs compiled for this host, its
features go through the int8 body in TensorFlow Lite Micro's interpreter, and the ending is computed in float. Kernels are
the reference ones: answers are `emulated`, bytes and cycles `estimated`, and no latency of a processor is told.
"""

from __future__ import annotations

import json
import platform
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

import numpy as np

from edgecomp.devices import Answers, Effort, How, ModelFile, Start, Timing
from edgecomp.devices._mcu_tools import (
    INSTALL,
    MEMORY_MODE,
    SYSTEM,
    arena_bytes,
    front_end,
    run_body,
    tflm,
    vela,
    version,
)
from edgecomp.errors import DeviceError, GateError, nearest
from edgecomp.metrics import agreement, proportion

if TYPE_CHECKING:
    from edgecomp.lowering.feature_body import FeatureBody

NEEDS = 'a C compiler, and pip install "edgecomp[mcu]"'
PACKAGES = {"TensorFlow Lite Micro": "tflite_micro", "Vela": "ethosu"}
ACCELERATORS = ("ethos-u55-32", "ethos-u55-64", "ethos-u55-128", "ethos-u55-256")
KB = 1024
"""Vela tells memory in KiB."""
LEAST_AGREEMENT, LARGEST_MEAN = 0.99, 0.02
"""Of decisions with the bundle's own, and of the mean difference of probabilities: what audit/parity.py asks of int8."""


class Shipped(Protocol):
    """What is needed of a bundle; edgecomp.bundle.Bundle is one."""

    folder: Path
    facts: Mapping[str, Any]

    def session(self, form: str | None = None, threads: int = 1) -> Callable[[np.ndarray], Any]: ...

    def label(self, probabilities: np.ndarray) -> str: ...


@dataclass(frozen=True)
class Figure:
    """One figure and how it was obtained, as in results.Result.

    bound: what the bundle's target allows at most (of the agreement: at least); None without a rule
    """

    name: str
    value: float
    unit: str
    method: str
    how: How
    low: float | None = None
    high: float | None = None
    n: int | None = None
    bound: float | None = None


@dataclass(frozen=True)
class McuResult:
    """What a bundle answers and costs on a microcontroller.

    front_end: which one made the features: the generated C compiled here, or the bundle's own where there is no compiler
    skipped:   what could not be estimated, each with its reason
    """

    device: str
    clips: int
    front_end: str
    figures: tuple[Figure, ...]
    skipped: tuple[str, ...]

    def value(self, name: str) -> float:
        """Return one figure's value."""
        return next(figure.value for figure in self.figures if figure.name == name)


class Mcu:
    """TensorFlow Lite Micro on this host, and Vela for an NPU."""

    how: ClassVar[How] = "emulated"
    forms: tuple[str, ...] = ("tflite",)

    def __init__(self, accelerator: str = "ethos-u55-128"):
        self.accelerator = accelerator
        self.name = f"mcu ({tflm()}, reference kernels, on {platform.machine()}; Vela for {accelerator})"

    def __enter__(self) -> Mcu:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def describe(self) -> dict[str, Any]:
        """Say what stands in for a microcontroller here; there is none to ask."""
        unknown = dict.fromkeys(
            ("model", "soc", "features", "governor", "temperature_c", "battery", "free_bytes", "os")
        )
        told = {"name": self.name, "isa": platform.machine(), "cores": 1, "runtime": tflm()}
        return {**unknown, **told, "accelerator": self.accelerator, "vela": version("ethos-u-vela")}

    def answers(self, model: ModelFile, clips: np.ndarray, threads: int = 1, delegate: str = "default") -> Answers:
        """Run every clip, (n, samples) float32, through C front end, int8 body and ending."""
        body = _cut(model.path.parent, _facts(model.path.parent))
        with front_end(body) as (features, _):
            probabilities, uncertainty = body.answers(run_body(body, features(clips)))
        return Answers(probabilities, uncertainty, tflm())

    def measure(self, bundle: Shipped, clips: np.ndarray | None = None) -> McuResult:
        """Hold a bundle's path against its TFLite file, and estimate what it costs here; see the function `measure`."""
        return measure(bundle, clips, self.accelerator)

    def time(self, models: list[ModelFile], clips: np.ndarray, effort: Effort) -> Timing:
        """Refuse: what reference kernels take on this host says nothing about a microcontroller."""
        raise DeviceError(
            "no latency of a microcontroller can be told from here",
            where=self.name,
            fix="look at the NPU's estimated cycles, or run the generated C on the board",
        )

    def starts(self, model: ModelFile, samples: int, threads: int = 1, starts: int = 5) -> tuple[Start, ...]:
        """Start nothing: there is no process on a microcontroller."""
        return ()

    def close(self) -> None:
        """Let go of nothing."""


def missing(cache: Path) -> str:
    """Say what is not ready here; empty where nothing is."""
    absent = [name for name, module in PACKAGES.items() if find_spec(module) is None]
    return f"not installed here: {', '.join(absent)}" if absent else ""


def open_device(argument: str, cache: Path = Path("build")) -> Mcu:
    """Open the stand-in for a microcontroller.

    argument: an NPU's configuration, or nothing for ethos-u55-128
    raises:   DeviceError for an unknown one, or where TensorFlow Lite Micro is not installed
    """
    accelerator = argument or "ethos-u55-128"
    if accelerator not in ACCELERATORS:
        fix = nearest(accelerator, ACCELERATORS)
        raise DeviceError(f"unknown accelerator {accelerator!r}", where=f"mcu:{argument}", fix=fix)
    return Mcu(accelerator)


def measure(bundle: Shipped, clips: np.ndarray | None = None, accelerator: str = "ethos-u55-128") -> McuResult:
    """Hold a bundle's microcontroller path against its TFLite file, and estimate what it costs.

    clips:  (n, samples) float32; None for the golden clips
    raises: BundleError where it has no int8 TFLite file; GateError where the path answers otherwise than the bundle, or
            constantly; DeviceError where TensorFlow Lite Micro is not installed
    """
    device, body = Mcu(accelerator), _cut(bundle.folder, bundle.facts)
    clips = _golden_clips(bundle.folder) if clips is None else clips
    with front_end(body) as (features, made_by):
        stored = features(clips)
    found, _ = body.answers(run_body(body, stored))
    ask = bundle.session("tflite")
    wanted = np.stack([ask(clip).probabilities for clip in clips])
    figures = [
        *_parity(bundle, wanted, found, made_by),
        *_features(body, clips, stored, made_by),
        *_memory(body, bundle.folder),
    ]
    npu, skipped = _npu(body, accelerator)
    return McuResult(device.name, len(clips), made_by, (*figures, *npu), skipped)


def _parity(bundle: Shipped, wanted: np.ndarray, found: np.ndarray, made_by: str) -> list[Figure]:
    """Compare decisions and probabilities, and refuse a path that does not answer as the bundle does."""
    near = agreement(wanted, found, of="the microcontroller's path against the bundle's TFLite file")
    same = [bundle.label(a) == bundle.label(b) for a, b in zip(wanted, found, strict=True)]
    share = proportion(sum(same), len(same))
    if not (share.value >= LEAST_AGREEMENT and near.mean_difference <= LARGEST_MEAN):
        raise GateError(
            f"on a microcontroller this bundle decides alike on {sum(same)} of {len(same)} clips, and probabilities differ "
            f"by {near.mean_difference:.3f} in the mean, by {near.largest_difference:.3f} at most",
            where=bundle.folder,
            fix=f"do not ship it there: at least {LEAST_AGREEMENT:g} of decisions alike and at most {LARGEST_MEAN:g} are "
            "asked; check with more clips, or compile with another seed",
        )
    how, n = f"{made_by}, {tflm()} with reference kernels; against the bundle's TFLite file in LiteRT", len(same)
    alike = Figure(
        "agreement_bundle", share.value, "share", f"same decision; {how}", "emulated", share.low, share.high, n
    )
    mean = Figure(
        "mean_difference_bundle", near.mean_difference, "probability", how, "emulated", n=n, bound=LARGEST_MEAN
    )
    largest = Figure("largest_difference_bundle", near.largest_difference, "probability", how, "emulated", n=n)
    return [replace(alike, bound=LEAST_AGREEMENT), mean, largest]


def _features(body: FeatureBody, clips: np.ndarray, stored: np.ndarray, made_by: str) -> list[Figure]:
    """Say how the features differ from those of the bundle's own front end."""
    from edgecomp.lowering.feature_body import run_part

    own = body.quantise(run_part(body.front, clips)).reshape(stored.shape)
    method = f"int8 features by {made_by}, and by the bundle's own front end in LiteRT"
    steps = np.abs(own.astype(int) - stored)
    return [
        Figure("features_alike", float((steps == 0).mean()), "share", method, "emulated", n=steps.size),
        Figure("largest_feature_difference", int(steps.max()), "int8 steps", method, "emulated", n=steps.size),
    ]


def _memory(body: FeatureBody, folder: Path) -> list[Figure]:
    """Return what the parts take of flash and RAM, but for code and the runtime; the budget for memory is the arena's."""
    from edgecomp.lowering.c_front_end import listener_bytes, table_bytes

    method = f"{tflm()} on this host, whose 64-bit pointers take more than a microcontroller's: an upper bound"
    return [
        Figure("arena", arena_bytes(body), "bytes", method, "estimated", bound=_arena_budget_bytes(folder)),
        Figure("body", len(body.content), "bytes", "size of the TFLite file", "estimated"),
        Figure("front_end_tables", table_bytes(body.front_end), "bytes", "constants in the generated C", "estimated"),
        Figure("listener", listener_bytes(body.front_end), "bytes", "the generated C's state, 32-bit", "estimated"),
    ]


def _arena_budget_bytes(folder: Path) -> float | None:
    """Return what the target that a bundle was compiled for allows of memory, as its report tells."""
    try:
        told = json.loads((folder / "report.json").read_text(encoding="utf-8"))
        return told["target"]["budget"]["peak_memory_mb"] * 1e6
    except (OSError, ValueError, KeyError, TypeError):  # the report is evidence for people; nothing hangs on it here
        return None


def _npu(body: FeatureBody, accelerator: str) -> tuple[list[Figure], tuple[str, ...]]:
    """Return what Vela says of the body on an NPU; where it is not installed, say so."""
    if (found := version("ethos-u-vela")) is None:
        return [], (f"cycles on {accelerator}: Vela is not installed ({INSTALL})",)
    told = vela(body.content, accelerator)
    method = f"Vela {found}, {accelerator}, {SYSTEM}, {MEMORY_MODE}; the body alone"
    at = f"{method}, at {told['core_clock'] / 1e6:g} MHz"
    return [
        Figure("npu_cycles", told["cycles_total"], "cycles", method, "estimated"),
        Figure("npu_time", told["inference_time"] * 1e3, "ms", at, "estimated"),
        Figure("npu_sram", told["sram_memory_used"] * KB, "bytes", method, "estimated"),
        Figure("npu_flash", told["off_chip_flash_memory_used"] * KB, "bytes", method, "estimated"),
        Figure("npu_operators_on_cpu", told["cpu_operators"], "operators", method, "estimated"),
    ], ()


def _cut(folder: Path, facts: Mapping[str, Any]) -> FeatureBody:
    from edgecomp.lowering.feature_body import cut_bundle

    return cut_bundle(folder, facts)


def _facts(folder: Path) -> Mapping[str, Any]:
    try:
        return json.loads((folder / "bundle.json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as why:
        raise DeviceError(
            f"a microcontroller's body is cut out of a bundle, and there is none here: {why}",
            where=folder,
            fix="give a bundle that edgecomp compile wrote",
        ) from None


def _golden_clips(folder: Path) -> np.ndarray:
    import soundfile

    return np.stack([soundfile.read(file, dtype="float32")[0] for file in sorted((folder / "golden").glob("*.wav"))])
