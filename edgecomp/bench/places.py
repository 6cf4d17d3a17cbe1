"""The parity matrix: the whole test split on every place that can be reached, against the float student and this host's files."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from edgecomp.bench.answers import BOUNDS, first_clips, whole_split_lines
from edgecomp.bench.run import described, line_of
from edgecomp.bench.subject import Subject, WholeSplit, subjects
from edgecomp.devices import Answers, BrokenOffError, Device, open_device
from edgecomp.errors import DeviceError, EdgecompError
from edgecomp.metrics import proportion
from edgecomp.progress import say
from edgecomp.results import Result

PLACES = (
    *("host", "x86:nehalem", "x86:haswell"),
    *("arm64:cortex-a53", "arm64:cortex-a76", "arm64:cortex-a710", "browser", "mcu"),
)
"""What needs no machine but this one; phones and boards are named by who has them."""
ROUNDING = 1e-5
"""Probability differences up to here are float32 sums in another order; six places differ by 1.6e-6 at most on wakewords."""
Seen = Mapping[str, np.ndarray]
"""By a file's hash, what it answered on this host, (n, classes)."""


@dataclass(frozen=True)
class _Bench:
    """What all lines of one matrix share."""

    given: WholeSplit
    at: str
    run: str


def matrix(
    folders: list[Path], places: list[str], split_of: Callable[[list[Subject]], WholeSplit], cache: Path
) -> Iterator[Result]:
    """Answer the whole test split on this host, then on each place; a line as soon as it is known.

    A place that cannot be reached, and a bundle that does not run there, is a line called "skipped" with the reason.

    places:   as bench's --on takes them
    split_of: gives the split that the files' bundles were judged on
    cache:    the build folder
    raises:   BundleError where a file answers every clip alike or with what is no number on this host
    """
    with open_device("host", cache) as host:
        found = subjects(folders, host)
        shared = _Bench(split_of(found), datetime.now(UTC).isoformat(timespec="seconds"), uuid.uuid4().hex[:12])
        seen: dict[str, np.ndarray] = {}
        first = {one.bundle.folder: one for one in reversed(found)}
        lines = {folder: line_of(first[folder], host, shared.at, shared.run) for folder in folders}
        for folder, line in lines.items():
            yield from _torch(first[folder], line)
        yield described(host, line_of(found[0], host, shared.at, shared.run))
        for one in found:
            line = line_of(one, host, shared.at, shared.run)
            said = _ask(host, one, shared)
            seen[one.sha256] = said.probabilities
            yield from whole_split_lines(one, shared.given, said, line)
            if one.file.form == "tflite":
                line, said = replace(line, delegate="none"), _ask(host, one, shared, "none")
                yield from whole_split_lines(one, shared.given, said, line)
                yield from _beside_host(said, seen[one.sha256], line, shared.given.name)
    for place in places:
        if place != "host":
            yield from _on(place, shared, seen, lines, cache)


def _on(place: str, shared: _Bench, seen: Seen, lines: Mapping[Path, Result], cache: Path) -> Iterator[Result]:
    """Answer on one place; what cannot be had there is told and the other bundles have their turn."""
    left = dict(lines)
    try:
        with open_device(place, cache) as device:
            for folder in lines:
                try:
                    yield from _bundle(folder, device, shared, seen, is_first=len(left) == len(lines))
                except DeviceError:
                    raise
                except EdgecompError as why:
                    yield from _skipped(place, [left[folder]], why)
                left.pop(folder)
    except DeviceError as why:
        yield from _skipped(place, list(left.values()), why)


def _bundle(folder: Path, device: Device, shared: _Bench, seen: Seen, is_first: bool) -> Iterator[Result]:
    found = subjects([folder], device)
    lines = [line_of(one, device, shared.at, shared.run) for one in found]
    if is_first:
        yield described(device, lines[0])
    for one, line in zip(found, lines, strict=True):
        try:
            said = _ask(device, one, shared)
        except BrokenOffError as why:
            yield from first_clips(one, shared.given, why.kept, line)
            raise
        yield from whole_split_lines(one, shared.given, said, line)
        yield from _beside_host(said, seen[one.sha256], line, shared.given.name)


def _ask(device: Device, one: Subject, shared: _Bench, delegate: str = "default") -> Answers:
    kernels = "" if delegate == "default" else f", delegate {delegate}"
    say(f"{device.name}: {one.file.name} answers {len(shared.given.clips)} clips{kernels}")
    return device.answers(one.file, shared.given.clips, 1, delegate)


def _torch(one: Subject, line: Result) -> Iterator[Result]:
    """Tell how torch answered in the compile: the float student itself, beside its float files, one of which is the reference."""
    report = json.loads((one.bundle.folder / "report.json").read_text(encoding="utf-8"))
    pairs = [row for row in report["parity"] if row["b"] == "torch" and row["a"].startswith("float")]
    line = replace(
        line,
        form="torch",
        model_sha256="",
        device=report["device"],
        runtime=f"torch {report['host']['versions'].get('torch')}",
    )
    for row in pairs[:1]:
        alike = proportion(round(row["agreement"] * row["n"]), row["n"])
        told = "the float student in torch and its own float files, in the compile"
        line = replace(line, n=row["n"], method=told)
        yield replace(line, **asdict(alike), name="agreement", unit="share", bound=BOUNDS.int8_agreement)
        line = replace(line, unit="probability")
        largest = max(one["largest_difference"] for one in pairs)
        yield replace(line, name="largest_difference", value=largest, bound=BOUNDS.float_largest)
        yield replace(line, name="mean_difference", value=max(one["mean_difference"] for one in pairs))


def _beside_host(said: Answers, on_host: np.ndarray, line: Result, what: str) -> Iterator[Result]:
    """Tell how a file's answers differ from those of the same file on this host: the processor's and the runtime's part.

    what: which clips
    """
    apart = np.abs(said.probabilities - on_host).max(1)
    line = replace(line, runtime=said.runtime, n=len(apart))
    told = f"the same file on the host, {what}"
    worst = float(apart.max())
    yield replace(line, name="largest_difference_host", value=worst, unit="probability", method=f"largest, from {told}")
    same = proportion(int((apart <= ROUNDING).sum()), len(apart))
    yield replace(
        line, name="same_as_host", value=same.value, unit="share", method=f"clips within {ROUNDING:g} of {told}"
    )


def _skipped(place: str, lines: list[Result], why: EdgecompError) -> Iterator[Result]:
    """Tell for each bundle that a place was not asked, and why."""
    say(f"skipped {place}: {why.what}")
    told = f"{why.what}; {why.fix}" if why.fix else why.what
    for line in lines:
        yield replace(line, name="skipped", method=told, device=place, form="", model_sha256="")
