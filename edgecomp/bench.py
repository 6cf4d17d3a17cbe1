"""Bench bundles on a device: time, start, memory, energy and answers there, as lines of a results file."""

from __future__ import annotations

import json
import tempfile
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from edgecomp import __version__, roofline
from edgecomp.bundle import FLOAT_ANSWERS, Bundle, read_bundle
from edgecomp.devices import Answers, Device, Effort, ModelFile, Start, Timing
from edgecomp.errors import BundleError, DeviceError
from edgecomp.evaluate import source_waveforms
from edgecomp.measure import median_interval, median_ratio
from edgecomp.metrics import Estimate, is_constant, proportion
from edgecomp.progress import say
from edgecomp.results import Result
from edgecomp.task import Task

STARTS = 5
MEMORY = {
    "peak_bytes": "peak_memory",
    "pss_bytes": "pss",
    "anonymous_bytes": "anonymous_memory",
    "empty_rss_bytes": "empty_process_resident",
    "empty_pss_bytes": "empty_process_proportional",
}
APP_MEMORY = {"app_peak_pss_bytes": "app_peak_pss", "app_native_heap_bytes": "app_native_heap"}
"""Of a phone's whole app, which has no empty process to be held against."""
FEWEST_FOR_P99 = 100
FEWEST_WINDOWS = 5
"""In a tenth of a sustained run, for an interval of its drift."""
LEAST_AGREEMENT = 0.99
"""Of a file's decisions on a device with the float student's."""


@dataclass(frozen=True)
class Subject:
    """A model file of a bundle, with what its bundle says of it."""

    file: ModelFile
    bundle: Bundle
    bundle_hash: str
    sha256: str
    budget: Mapping[str, float]


@dataclass(frozen=True)
class WholeSplit:
    """The whole test split of the task that some bundles were judged on.

    clips:   (n, samples) float32
    targets: (n,) class numbers
    """

    clips: np.ndarray
    targets: np.ndarray


def subjects(folders: list[Path], device: Device, form: str | None = None) -> list[Subject]:
    """Return the model files of some bundles that a device can run.

    form:   only files of that format
    raises: BundleError where a bundle is damaged, has no file that runs there, or takes another waveform than the first
    """
    found: list[Subject] = []
    twice = next(
        (one for place, one in enumerate(folders) if one.resolve() in [f.resolve() for f in folders[:place]]), None
    )
    if twice is not None:
        raise BundleError("the same bundle is given twice", where=twice, fix="give each bundle once")
    names = [folder.resolve().name for folder in folders]
    if len(set(names)) < len(names):
        names = [str(folder) for folder in folders]
    for name, folder in zip(names, folders, strict=True):
        bundle = read_bundle(folder)
        forms = [one for one in sorted(bundle.facts["models"]) if one in device.forms and form in (None, one)]
        if not forms:
            raise BundleError(
                f"none of its files runs on {device.name}: it has {', '.join(bundle.facts['models'])}",
                where=folder,
                fix=f"{device.name} runs {', '.join(device.forms)}" + (f", and {form} was asked for" if form else ""),
            )
        stated = json.loads((folder / "bundle.json").read_text(encoding="utf-8"))["hash"]  # checked by read_bundle
        budget = json.loads((folder / "report.json").read_text(encoding="utf-8"))["target"].get("budget") or {}
        for one in forms:
            model = bundle.facts["models"][one]
            file = ModelFile(f"{name} {one}", folder / model["file"], one)
            found.append(Subject(file, bundle, stated, model["sha256"], budget))
    told = [one.bundle.facts["preprocessing"] for one in found]
    for what, key, unit in (("lengths", "samples", "samples"), ("rates", "sample_rate", "Hz")):
        if len(values := sorted({one[key] for one in told})) > 1:
            raise BundleError(
                f"these bundles take waveforms of different {what}: {values} {unit}",
                where=folders[0].parent,
                fix="bench them one by one",
            )
    return found


def bench(
    found: list[Subject],
    device: Device,
    efforts: list[Effort],
    starts: int = STARTS,
    given: WholeSplit | None = None,
    limit: bool = False,
) -> Iterator[Result]:
    """Measure some files on a device; a line as soon as it is known, so that what breaks off keeps what it had.

    efforts: one interleaved run for each, such as 1, 2 and 4 threads
    given:   the whole test split that all these bundles were judged on; None for their golden clips alone
    limit:   also say how far front end and body are from what one core can do, where the device can tell
    raises:  BundleError where a file answers every clip alike or with what is no number, DeviceError where the device is lost
    """
    at, run = datetime.now(UTC).isoformat(timespec="seconds"), uuid.uuid4().hex[:12]
    lines = {one.file.name: _line(one, device, at, run) for one in found}
    facts = device.describe()
    yield replace(
        next(iter(lines.values())),
        name="device",
        method="as the device describes itself",
        facts=facts,
        **dict.fromkeys(("task", "bundle", "bundle_hash", "target", "form", "model_sha256"), ""),
    )
    threads, delegate = efforts[0].threads, efforts[0].delegate
    for one in found:
        names, golden = golden_clips(one.bundle)
        said = device.answers(one.file, golden, threads, delegate)
        how = {"runtime": said.runtime, "threads": threads, "delegate": delegate}
        yield from _golden(one, names, said, replace(lines[one.file.name], **how))
        if given is not None:
            said = device.answers(one.file, given.clips, threads, delegate)
            yield from _whole_split(one, given, said, replace(lines[one.file.name], **how))
        size = one.file.path.stat().st_size
        yield replace(
            lines[one.file.name],
            name="bytes",
            value=size,
            unit="bytes",
            method="size of the file",
            how="measured",
            bound=one.budget.get("model_bytes"),
        )
    if hasattr(device, "measure"):  # a stand-in without a clock: its own figures are instead of time, start and memory
        for one in found:
            told = device.measure(one.bundle, None if given is None else given.clips)
            yield from (replace(lines[one.file.name], **asdict(figure)) for figure in told.figures)
            for why in told.skipped:
                say(f"{device.name}: skipped {why}")
        return
    _, clips = golden_clips(found[0].bundle)
    peaks = roofline.peaks_of(device) if limit else ()
    yield from roofline.peak_results(peaks, next(iter(lines.values())))
    for effort in efforts:
        say(f"{device.name}: timing {len(found)} files side by side, threads: {effort.threads}")
        with tempfile.TemporaryDirectory() as folder:
            fronts = {
                one.file.name: roofline.front_end_file(one.bundle, one.file, Path(folder))
                for one in (found if peaks and effort.threads == 1 else [])
            }
            timing = device.time([one.file for one in found] + list(fronts.values()), clips, effort)
        for one in found:
            yield from _timed(one, timing, found[0].file.name, device, lines[one.file.name])
            if one.file.name in fronts:
                parts, line = roofline.parts(one.bundle, one.file.form), lines[one.file.name]
                yield from roofline.results(parts, timing, (one.file, fronts[one.file.name]), peaks, line)
        if timing.lost:
            raise DeviceError(
                f"{device.name} was lost after {len(timing.windows)} windows: {timing.lost}",
                where="bench",
                fix="what was measured is in the results; connect it again and run the same command",
            )
    for one in found if starts else []:
        samples = one.bundle.facts["preprocessing"]["samples"]
        taken = device.starts(one.file, samples, efforts[0].threads, starts)
        yield from _started(one, taken, replace(lines[one.file.name], threads=efforts[0].threads))


def whole_split(bundles: list[Bundle], task: Task) -> WholeSplit:
    """Return the test split that some bundles were judged on.

    raises: BundleError where the task's data is not what each of them was compiled from
    """
    for bundle in bundles:
        if task.dataset.fingerprint != bundle.facts["data_fingerprint"]:
            raise BundleError(
                "the data is not what this bundle was compiled from",
                where=f"{bundle.folder}, {task.dataset.folder}",
                fix="give the same data with --data, bench bundles of other data one by one, or leave --test out",
            )
    rate = bundles[0].facts["preprocessing"]["sample_rate"]  # of all of them, see subjects
    source_hz = None if rate == task.dataset.sample_rate else rate
    return WholeSplit(np.array(source_waveforms(task, "test", source_hz)), task.targets("test"))


def float_answers(bundle: Bundle) -> np.ndarray:
    """Return what a bundle's float student answered to the test split in the compile, (n, classes) float32."""
    told = json.loads((bundle.folder / FLOAT_ANSWERS).read_text(encoding="utf-8"))
    return np.array(told["probabilities"], np.float32)


def golden_clips(bundle: Bundle) -> tuple[list[str], np.ndarray]:
    """Return the golden clips' names and waveforms (n, samples) float32."""
    import soundfile

    files = sorted((bundle.folder / "golden").glob("*.wav"))
    return [file.name for file in files], np.stack([soundfile.read(file, dtype="float32")[0] for file in files])


def _line(one: Subject, device: Device, at: str, run: str) -> Result:
    """Return what all lines of a file have in common."""
    return Result(
        at=at,
        run=run,
        edgecomp=__version__,
        task=one.bundle.facts["name"],
        bundle=one.file.name.rpartition(" ")[0],
        bundle_hash=one.bundle_hash,
        target=one.bundle.facts["target"]["name"],
        form=one.file.form,
        model_sha256=one.sha256,
        device=device.name,
        runtime="",
        threads=1,
        delegate="default",
        name="",
        value=None,
        unit="",
        method="",
        how=device.how,
    )


def _golden(one: Subject, names: list[str], said: Answers, line: Result) -> Iterator[Result]:
    """Hold the golden answers against those that the bundle recorded."""
    told = json.loads((one.bundle.folder / "golden" / "golden.json").read_text(encoding="utf-8"))
    expected = told["expected"][one.file.form]
    _refuse_nonsense(one, said, line)
    wanted = np.array([expected["probabilities"][name] for name in names])
    apart = np.abs(said.probabilities - wanted)
    unsure = np.abs(said.uncertainty - np.array([expected["uncertainty"][name] for name in names]))
    worst = float(max(apart.max(), unsure.max()))
    yield replace(
        line,
        name="golden_difference",
        value=worst,
        unit="probability",
        n=len(names),
        method="largest difference of a probability or an uncertainty from what the bundle recorded",
        bound=expected["tolerance"],
    )
    label = one.bundle.label
    same = sum(label(ours) == label(theirs) for ours, theirs in zip(said.probabilities, wanted, strict=True))
    yield _share(line, "agreement_golden", proportion(same, len(names)), "same decision as the bundle recorded")


def _whole_split(one: Subject, given: WholeSplit, said: Answers, line: Result) -> Iterator[Result]:
    """Judge the whole test split: accuracy there, and how alike the float student's answers are."""
    _refuse_nonsense(one, said, line)
    decided = np.array([one.bundle.labels.index(one.bundle.label(row)) for row in said.probabilities])
    in_float = float_answers(one.bundle)
    reference = np.array([one.bundle.labels.index(one.bundle.label(row)) for row in in_float])
    n = len(decided)
    yield _share(
        line,
        "accuracy",
        proportion(int((decided == given.targets).sum()), n),
        "whole test split; Wilson's interval, clips taken as independent",
    )
    yield replace(
        _share(
            line, "agreement", proportion(int((decided == reference).sum()), n), "decisions like the float student's"
        ),
        bound=LEAST_AGREEMENT,
    )
    worst = float(np.abs(said.probabilities - in_float).max())
    yield replace(
        line,
        name="largest_difference",
        value=worst,
        unit="probability",
        n=n,
        method="from the float student, test split",
    )


def _refuse_nonsense(one: Subject, said: Answers, line: Result) -> None:
    """Refuse answers that any comparison would let pass: no numbers, or the same to every clip."""
    why = ""
    if not (np.isfinite(said.probabilities).all() and np.isfinite(said.uncertainty).all()):
        why = "answers with what is no number"
    elif is_constant(said.probabilities):
        why = "answers the same to every clip"
    if why:
        raise BundleError(f"{line.device} {why}", where=one.file.path, fix="do not use this file there")


def _timed(one: Subject, timing: Timing, first: str, device: Device, line: Result) -> Iterator[Result]:
    """Turn an interleaved run into latency, ratio, energy and drift of one file."""
    name, effort = one.file.name, timing.effort
    line = replace(line, threads=effort.threads, delegate=effort.delegate, runtime=timing.runtimes.get(name, ""))
    medians = np.array([window.median_ms[name] for window in timing.windows])
    runs_ms = np.concatenate([window.ms[name] for window in timing.windows])
    runs = sum(window.runs[name] for window in timing.windows)
    others = len(timing.windows[0].median_ms) - 1
    held = f"{timing.clock}; {timing.held}; {len(medians)} windows, interleaved with {others} others"
    if timing.lost:
        held += "; the run broke off"
    quantiles = np.quantile(runs_ms, np.linspace(0, 1, 101))
    latency = replace(line, unit="ms", n=runs, method=held)
    yield replace(
        latency,
        **{**_interval(median_interval(medians)), "n": runs},
        name="latency_p50",
        bound=one.budget.get("latency_ms"),
        quantiles=[round(float(q), 5) for q in quantiles],
        method=f"{held}; median of the windows' medians, 95 % by block bootstrap over windows",
        series=_series(timing, name) if effort.sustained_s else (),
    )
    yield replace(latency, name="latency_p90", value=float(quantiles[90]))
    if runs >= FEWEST_FOR_P99:
        yield replace(latency, name="latency_p99", value=float(quantiles[99]))
    if name != first:
        base = np.array([window.median_ms[first] for window in timing.windows])
        yield replace(
            line,
            **_interval(median_ratio(medians, base)),
            name="latency_ratio",
            unit="ratio of medians",
            method=f"to {first}, {held}",
        )
    energy = [window.energy_uj[name] for window in timing.windows if name in window.energy_uj]
    if energy:
        told = "processor's energy counter around each window, divided by its runs; all of the processor, not this process alone"
        yield replace(line, **_interval(median_interval(np.array(energy) / 1e3)), name="energy", unit="mJ", method=told)
    if effort.sustained_s:
        yield _drift(medians, timing, line)


def _drift(medians: np.ndarray, timing: Timing, line: Result) -> Result:
    """Say how much slower the last tenth of a sustained run is than the first: heat, or other work."""
    tenth = max(1, len(medians) // 10)
    heat = [w.temperature_c for w in timing.windows if w.temperature_c is not None]
    warm = f"; {heat[0]:.0f} °C at first, {max(heat):.0f} °C at most" if heat else "; no temperature can be read"
    drift = median_ratio(medians[-tenth:], medians[:tenth])
    told = _interval(drift) if tenth >= FEWEST_WINDOWS else {"value": drift.value, "n": tenth}
    return replace(
        line,
        **told,
        name="drift",
        unit="ratio of medians",
        method=f"last tenth of {timing.windows[-1].at_s:.0f} s to the first{warm}",
    )


def _series(timing: Timing, name: str) -> list[list[float | None]]:
    return [[round(w.at_s, 2), round(w.median_ms[name], 5), w.temperature_c] for w in timing.windows]


def _started(one: Subject, taken: tuple[Start, ...], line: Result) -> Iterator[Result]:
    """Turn fresh processes into cold start and memory; medians, with the fastest and the slowest as the range."""
    if not taken:
        return
    line = replace(line, n=len(taken))
    for name, values in (("cold_start", [s.cold_ms for s in taken]), ("load", [s.load_ms for s in taken])):
        method = "process start to first answer" if name == "cold_start" else "load to first answer"
        yield replace(
            line,
            name=name,
            value=float(np.median(values)),
            low=min(values),
            high=max(values),
            unit="ms",
            method=f"{method}, fresh processes; median, fastest and slowest",
        )
    for key, name in {**MEMORY, **APP_MEMORY}.items():
        values = [start.memory[key] for start in taken if key in start.memory]
        if values:
            allowed = one.budget.get("peak_memory_mb") if name == "peak_memory" else None
            yield replace(
                line,
                name=name,
                value=float(np.median(values)),
                low=min(values),
                high=max(values),
                unit="bytes",
                bound=None if allowed is None else allowed * 1e6,
                method=taken[0].reason
                if key in APP_MEMORY
                else f"VmHWM and smaps_rollup {'of' if name.startswith('empty') else 'above'} the process with only the "
                "runtime imported; median, least and most",
            )


def _share(line: Result, name: str, estimate: Estimate, method: str) -> Result:
    return replace(line, **_interval(estimate), name=name, unit="share", method=method)


def _interval(estimate: Estimate) -> dict[str, Any]:
    return {"value": estimate.value, "low": estimate.low, "high": estimate.high, "n": estimate.n}
