"""The results file: one JSON object a line, one line a measurement, from any number of benches on any devices.

The fields of a line are those of Result; docs/results.md explains them. Lines are only ever appended.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from filelock import FileLock

from edgecomp.artifact import to_json
from edgecomp.errors import InputError
from edgecomp.store import clear_errors

SCHEMA = "edgecomp-results/1"
HOWS = ("measured", "emulated", "estimated")


@dataclass(frozen=True)
class Result:
    """One measurement of one model file on one device.

    at:           when the bench began, UTC
    run:          the same for all lines of one bench
    bundle, bundle_hash: the folder's name and bundle.json's own hash
    model_sha256: of the file; empty where the line is about the device
    device:       what stands beside every number, and names no phone that it did not run on
    name:         what was measured, such as "latency_p50"; docs/results.md lists them
    low, high:    95 % interval, of starts and memory the least and the most, in the same unit; n: runs or clips behind it
    how:          "measured" there, "emulated" or "estimated"
    bound:        what the bundle's target allows at most (of an agreement: at least); None without a rule
    quantiles:    of a distribution, 0 to 100 % in steps of 1 %
    series:       of a sustained run, [seconds, median, °C or null] for each window
    facts:        what the device says of itself, of a line called "device"
    """

    at: str
    run: str
    edgecomp: str
    task: str
    bundle: str
    bundle_hash: str
    target: str
    form: str
    model_sha256: str
    device: str
    runtime: str
    threads: int
    delegate: str
    name: str
    value: float | None
    unit: str
    method: str
    how: str
    low: float | None = None
    high: float | None = None
    n: int | None = None
    bound: float | None = None
    quantiles: Sequence[float] = ()
    series: Sequence[Sequence[float | None]] = ()
    facts: dict[str, Any] | None = None
    schema: str = SCHEMA

    def within(self) -> bool | None:
        """Say whether the bound is kept; None where there is none, or a time was not measured: that says nothing of it.

        A value that is no number keeps no bound.
        """
        if self.bound is None or (self.unit == "ms" and self.how != "measured"):
            return None
        if self.value is None:
            return False
        return self.value >= self.bound if self.name.startswith("agreement") else self.value <= self.bound


def append_results(file: Path, results: Iterable[Result]) -> None:
    """Append lines to a results file, all of them or none.

    raises: InputError where the file is no results file of this schema, or its last line is cut off
    """
    lines = "".join(json.dumps(json.loads(to_json(asdict(one))), ensure_ascii=False) + "\n" for one in results)
    with clear_errors(file.parent):
        file.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(file.with_name(f".{file.name}.lock")):
            check_results(file)
            before = file.stat().st_size if file.exists() else 0
            try:
                with file.open("a", encoding="utf-8") as stream:
                    stream.write(lines)
            except OSError:  # a full disk: nothing half-written stays
                with file.open("r+b") as stream:
                    stream.truncate(before)
                raise


def check_results(file: Path) -> None:
    """Say before a long bench whether its results can be appended.

    raises: InputError like read_results; a file that is not there yet is fine
    """
    if file.exists():
        read_results(file)


def read_results(file: Path) -> list[Result]:
    """Read every line of a results file.

    raises: InputError with the line's number where one is cut off, is no JSON, or has another schema
    """
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as why:
        raise InputError(
            f"this results file cannot be read: {why}", where=file, fix="give a file that bench wrote"
        ) from None
    lines = text.split("\n")
    if lines[-1]:
        raise InputError(
            f"line {len(lines)} is cut off, the {len(lines) - 1} before it are whole",
            where=file,
            fix=f"delete line {len(lines)}, or give another file",
        )
    return [_read_line(line, number, file) for number, line in enumerate(lines[:-1], 1) if line.strip()]


def _read_line(line: str, number: int, file: Path) -> Result:
    where = f"{file}, line {number}"
    try:
        told = json.loads(line)
    except ValueError as why:
        raise InputError(f"this is no JSON: {why}", where=where, fix="delete the line, or give another file") from None
    schema = told.get("schema") if isinstance(told, dict) else None
    if schema != SCHEMA:
        raise InputError(
            f"the schema is {schema!r}, and this edgecomp reads {SCHEMA!r}",
            where=where,
            fix="use the edgecomp that wrote it, or keep such lines in a file of their own",
        )
    known = {field.name for field in fields(Result)}
    missing = known - told.keys()
    if missing or told["how"] not in HOWS:
        raise InputError(
            f"no field {sorted(missing)[0]!r}" if missing else f"how is {told['how']!r}, allowed: {', '.join(HOWS)}",
            where=where,
            fix="delete the line, or give another file",
        )
    return Result(**{name: value for name, value in told.items() if name in known})
