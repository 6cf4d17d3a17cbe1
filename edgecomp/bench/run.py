"""Bench some files on a device: what it is, what they answer there, what they cost there; a line as soon as it is known."""

from __future__ import annotations

import tempfile
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path

from edgecomp import __version__, roofline
from edgecomp.bench.answers import answered
from edgecomp.bench.costs import started, timed
from edgecomp.bench.subject import Subject, WholeSplit, golden_clips
from edgecomp.devices import BrokenOffError, Device, Effort
from edgecomp.errors import DeviceError
from edgecomp.portable.peaks import Peak
from edgecomp.progress import say
from edgecomp.results import Result

STARTS = 5
Lines = Mapping[str, Result]
"""By a file's name, what all of its lines have in common."""


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
    lines = {one.file.name: line_of(one, device, at, run) for one in found}
    yield described(device, next(iter(lines.values())))
    for one in found:
        line = lines[one.file.name]
        yield from answered(one, device, efforts[0], given, line)
        yield _size(one, line)
    if hasattr(device, "measure"):  # a stand-in without a clock: its own figures are instead of time, start and memory
        yield from _own_figures(found, device, given, lines)
        return
    peaks = roofline.peaks_of(device) if limit else ()
    yield from roofline.peak_results(peaks, next(iter(lines.values())))
    for effort in efforts:
        yield from _timed(found, device, effort, peaks, lines)
    for one in found if starts else []:
        samples, threads = one.bundle.facts["preprocessing"]["samples"], efforts[0].threads
        line = replace(lines[one.file.name], threads=threads)
        try:
            yield from started(one, device.starts(one.file, samples, threads, starts), line)
        except BrokenOffError as why:
            yield from started(one, why.kept, line)
            raise


def line_of(one: Subject, device: Device, at: str, run: str) -> Result:
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


def described(device: Device, line: Result) -> Result:
    """Return the line about the device itself, from any line about a file there."""
    facts = device.describe()
    return replace(
        line,
        name="device",
        method="as the device describes itself",
        facts=facts,
        **dict.fromkeys(("task", "bundle", "bundle_hash", "target", "form", "model_sha256"), ""),
    )


def _size(one: Subject, line: Result) -> Result:
    return replace(
        line,
        name="bytes",
        value=one.file.path.stat().st_size,
        unit="bytes",
        method="size of the file",
        how="measured",
        bound=one.budget.get("model_bytes"),
    )


def _own_figures(found: list[Subject], device: Device, given: WholeSplit | None, lines: Lines) -> Iterator[Result]:
    for one in found:
        told = device.measure(one.bundle, None if given is None else given.clips)
        yield from (replace(lines[one.file.name], **asdict(figure)) for figure in told.figures)
        for why in told.skipped:
            say(f"{device.name}: skipped {why}")


def _timed(
    found: list[Subject], device: Device, effort: Effort, peaks: Sequence[Peak], lines: Lines
) -> Iterator[Result]:
    """Time all files in one interleaved run, with their front ends alone where the limit is asked for.

    raises: DeviceError where the device was lost on the way, after the lines of what it had measured
    """
    say(f"{device.name}: timing {len(found)} files side by side, threads: {effort.threads}")
    _, clips = golden_clips(found[0].bundle)
    with tempfile.TemporaryDirectory() as folder:
        fronts = {
            one.file.name: roofline.front_end_file(one.bundle, one.file, Path(folder))
            for one in (found if peaks and effort.threads == 1 else [])
        }
        timing = device.time([one.file for one in found] + list(fronts.values()), clips, effort)
    for one in found:
        name, line = one.file.name, lines[one.file.name]
        yield from timed(one, timing, found[0].file.name, line)
        if name in fronts:
            parts = roofline.parts(one.bundle, one.file.form)
            yield from roofline.results(parts, timing, (one.file, fronts[name]), peaks, line)
    if timing.lost:
        raise DeviceError(
            f"{device.name} was lost after {len(timing.windows)} windows: {timing.lost}",
            where="bench",
            fix="what was measured is in the results; connect it again and run the same command",
        )
