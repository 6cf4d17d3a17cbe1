"""The field report's table of limits: how near each part of a file comes to the best that one core can do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from edgecomp.report import wording as say
from edgecomp.results import Result

PARTS = {"front_end": "front end", "body": "body"}
PEAKS = {
    "peak_float32": "billion multiply-accumulates a second in float32",
    "peak_int8": "billion in int8",
    "bandwidth": "GB a second to and from memory",
}
GIGA = 1e9


@dataclass(frozen=True)
class Limit:
    """One part of a file on a device, with its line's number in the table.

    found: by measurement, without the part's name: macs, bytes, limit, time, share
    """

    number: int
    device: str
    file: str
    part: str
    found: Mapping[str, Result]

    @property
    def per_byte(self) -> float:
        """Return the multiply-accumulates for each byte that must move."""
        return self.found["macs"].value / self.found["bytes"].value

    def speed(self, of: str) -> float:
        """Return multiply-accumulates a second: "time" as measured, "limit" at best."""
        return self.found["macs"].value / (self.found[of].value / 1e3)


def limits(results: Sequence[Result]) -> list[Limit]:
    """Gather the parts of every file on every device, numbered from 1; those without a share are left out.

    results: of a measurement taken twice only one; see field.newest
    """
    told: dict[tuple[str, str, str], dict[str, Result]] = {}
    for one in results:
        for part in PARTS:
            if one.name.endswith(f"_{part}") and one.bundle:
                key = (one.device, f"{one.bundle} {one.form}", part)
                told.setdefault(key, {})[one.name.removesuffix(f"_{part}")] = one
    whole = {key: found for key, found in told.items() if "share" in found and found["share"].value is not None}
    order = sorted(whole, key=lambda key: (key[0], key[1], list(PARTS).index(key[2])))
    return [Limit(number, *key, whole[key]) for number, key in enumerate(order, 1)]


def peaks(results: Sequence[Result]) -> dict[str, dict[str, Result]]:
    """Return what each device's core reaches at best, by device and name."""
    found: dict[str, dict[str, Result]] = {}
    for one in results:
        if one.name in PEAKS:
            found.setdefault(one.device, {})[one.name] = one
    return found


def lines(found: Sequence[Limit]) -> list[dict[str, Any]]:
    """Lay the limits out as lines of a table."""
    return [_line(one) for one in found]


def told_peaks(found: Mapping[str, Mapping[str, Result]]) -> list[str]:
    """Say in a sentence for each device what its core reaches at best, and who reached it."""
    told = []
    for device, best in found.items():
        said = []
        for name, words in PEAKS.items():
            if name in best:
                by = best[name].method.partition("; ")[2]
                said.append(f"{say.plain(best[name].value / GIGA)} {words} ({by})")
        how = next(iter(best.values())).how
        told.append(f"{device}{'' if how == 'measured' else f' ({how})'}: {'; '.join(said)}.")
    return told


def _line(one: Limit) -> dict[str, Any]:
    found = one.found
    time, share = found["time"], found["share"]
    return {
        "number": one.number,
        "device": one.device,
        "file": one.file,
        "part": PARTS[one.part],
        "macs": f"{say.plain(found['macs'].value / 1e6)} million",
        "split": found["macs"].method.split(" and "),
        "bytes": say.size(found["bytes"].value),
        "limit": say.value("", found["limit"].value, "ms"),
        "by": f"set by its {found['limit'].method.partition(': ')[2]}",
        "time": say.value("", time.value, "ms"),
        "time_interval": say.interval("", {"low": time.low, "high": time.high, "unit": "ms"}),
        "share": f"{share.value * 100:.0f} %",
        "share_interval": "" if share.low is None else f"{share.low * 100:.0f} to {share.high * 100:.0f}",
        "how": "" if time.how == "measured" else time.how,
    }
