"""What files answer on a device, as lines: golden clips against the bundle's record, a whole split against the float student."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, replace

import numpy as np

from edgecomp.audit.parity import Verify
from edgecomp.bench.subject import Subject, WholeSplit, float_answers, golden_clips
from edgecomp.devices import Answers, BrokenOffError, Device, Effort
from edgecomp.errors import BundleError
from edgecomp.metrics import Estimate, is_constant, proportion
from edgecomp.results import Result

BOUNDS = Verify()
"""What a compile asks of its files on the host is asked of them on every device."""


def answered(one: Subject, device: Device, effort: Effort, given: WholeSplit | None, line: Result) -> Iterator[Result]:
    """Let a device answer a file's golden clips and, where it is given, the whole test split.

    effort: whose threads and delegate to answer with
    line:   what all lines of the file have in common
    raises: BundleError where the file answers every clip alike or with what is no number, DeviceError where the device is
            lost, after the lines of the clips that it had answered
    """
    threads, delegate = effort.threads, effort.delegate
    names, golden = golden_clips(one.bundle)
    said = device.answers(one.file, golden, threads, delegate)
    line = replace(line, runtime=said.runtime, threads=threads, delegate=delegate)
    yield from _golden(one, names, said, line)
    if given is not None:
        try:
            said = device.answers(one.file, given.clips, threads, delegate)
        except BrokenOffError as why:
            yield from first_clips(one, given, why.kept, line)
            raise
        yield from whole_split_lines(one, given, said, line)


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


def whole_split_lines(one: Subject, given: WholeSplit, said: Answers, line: Result) -> Iterator[Result]:
    """Judge the whole test split: accuracy there, and how alike the float student's answers are.

    raises: BundleError where the file answers every clip alike or with what is no number
    """
    _refuse_nonsense(one, said, line)
    n, line = len(said.probabilities), replace(line, runtime=said.runtime)
    decided, in_float = _decisions(one, said.probabilities), given.of(float_answers(one.bundle))[:n]
    right = proportion(int((decided == given.targets[:n]).sum()), n)
    yield _share(line, "accuracy", right, f"{given.name}; Wilson's interval, clips taken as independent")
    alike = proportion(int((decided == _decisions(one, in_float)).sum()), n)
    is_int8 = one.bundle.facts["models"][one.file.form]["numerics"] == "int8"
    told = f"decisions like the float student's, {given.name}; {'an int8' if is_int8 else 'a float'} file"
    # the rule is one of the whole split: some of its clips break it only where that is beyond chance
    is_judged = given.rows is None or alike.high < BOUNDS.int8_agreement
    yield replace(_share(line, "agreement", alike, told), bound=BOUNDS.int8_agreement if is_judged else None)
    apart = np.abs(said.probabilities - in_float)
    line = replace(line, unit="probability", n=n, method=f"from the float student, {given.name}")
    worst = None if is_int8 else BOUNDS.float_largest
    yield replace(line, name="largest_difference", value=float(apart.max()), bound=worst)
    mean = BOUNDS.int8_mean if is_int8 else None
    yield replace(line, name="mean_difference", value=float(apart.mean()), bound=mean)


def first_clips(one: Subject, given: WholeSplit, said: Answers, line: Result) -> Iterator[Result]:
    """Tell what a device answered before it was lost; so few clips break no bound, and too few tell nothing."""
    n = len(said.probabilities)
    if n > 1 and not is_constant(said.probabilities):
        for row in whole_split_lines(one, given, said, line):
            broke = f"the first {n} of {len(given.clips)} clips, then the device was lost"
            yield replace(row, bound=None, method=f"{broke}; {row.method}")


def _decisions(one: Subject, probabilities: np.ndarray) -> np.ndarray:
    return np.array([one.bundle.labels.index(one.bundle.label(row)) for row in probabilities])


def _refuse_nonsense(one: Subject, said: Answers, line: Result) -> None:
    """Refuse answers that any comparison would let pass: no numbers, or the same to every clip."""
    why = ""
    if not (np.isfinite(said.probabilities).all() and np.isfinite(said.uncertainty).all()):
        why = "answers with what is no number"
    elif is_constant(said.probabilities):
        why = "answers the same to every clip"
    if why:
        raise BundleError(f"{line.device} {why}", where=one.file.path, fix="do not use this file there")


def _share(line: Result, name: str, estimate: Estimate, method: str) -> Result:
    return replace(line, **asdict(estimate), name=name, unit="share", method=method)
