"""Does a bench say how far it would be off if it were made again? The same bundle measured again and again, and counted.

    python benchmarks/repeats.py build/bundles/keywords-redmi-7a                 # 21 benches of 5 s a file: about 6 minutes
    python benchmarks/repeats.py build/bundles/keywords-redmi-7a --alone         # the same, each in one process, as before

Every bench is what `edgecomp bench` does on the host: fresh processes one after the other, all files interleaved. Two benches
in a row are one repeat. Held to the aim: in 19 of 20 repeats the two latencies differ by less than the first one's interval is
wide. Stricter, and told beside it: how often the second lies within the first one's interval, and how often any two of all
benches differ by less. --alone takes the same windows as of one process: what the interval was before processes counted.
One row a file and bench, and one row a file with the counts, go to stdout as JSON.
"""

from __future__ import annotations

import argparse
import json
import os
from dataclasses import replace
from itertools import pairwise, permutations
from pathlib import Path

import numpy as np

from edgecomp.bench import golden_clips, subjects
from edgecomp.devices import Effort, open_device
from edgecomp.devices.host import device_name
from edgecomp.metrics import Estimate
from edgecomp.spread import repeated

AIM = 0.95
"""19 of 20."""


def main() -> None:
    """Bench a bundle several times, and count the repeats that differ by less than the interval."""
    ask = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ask.add_argument("bundle", type=Path)
    ask.add_argument("--benches", type=int, default=21)
    ask.add_argument("--seconds", type=float, default=5.0, help="of each file and bench")
    ask.add_argument("--processes", type=int, default=Effort().processes)
    ask.add_argument("--alone", action="store_true", help="one process a bench")
    given = ask.parse_args()
    effort = Effort(seconds=given.seconds, processes=1 if given.alone else given.processes)
    found: dict[str, list[Estimate]] = {}
    with open_device("host") as host:
        files = [one.file for one in subjects([given.bundle], host)]
        _, clips = golden_clips(subjects([given.bundle], host)[0].bundle)
        for number in range(given.benches):
            timing = host.time(files, clips, replace(effort, seed=number * effort.processes))
            processes = [window.process for window in timing.windows]
            for one in files:
                estimate = repeated([window.median_ms[one.name] for window in timing.windows], processes)
                found.setdefault(one.name, []).append(estimate)
                row = {
                    "file": one.name,
                    "bench": number,
                    "ms": estimate.value,
                    "low": estimate.low,
                    "high": estimate.high,
                }
                print(json.dumps(row | {"held": timing.held, "load_average": os.getloadavg()[0]}), flush=True)
    for name, estimates in found.items():
        told = {"file": name, "device": device_name(), "processes": effort.processes, "seconds": effort.seconds}
        print(json.dumps(told | counted(estimates)), flush=True)


def counted(estimates: list[Estimate]) -> dict[str, float | int | bool]:
    """Count the repeats among benches in a row; shares are of all repeats, or of all pairs."""
    repeats = [abs(one.value - two.value) < one.high - one.low for one, two in pairwise(estimates)]
    pairs = [abs(one.value - two.value) < one.high - one.low for one, two in permutations(estimates, 2)]
    inside = [one.low <= two.value <= one.high for one, two in pairwise(estimates)]
    values, widths = np.array([e.value for e in estimates]), np.array([e.high - e.low for e in estimates])
    return {
        "repeats": len(repeats),
        "differ_by_less": int(sum(repeats)),
        "aim_is_met": float(np.mean(repeats)) >= AIM,
        "second_within_first": int(sum(inside)),
        "share_of_all_pairs": float(np.mean(pairs)),
        "median_ms": float(np.median(values)),
        "lowest_ms": float(values.min()),
        "highest_ms": float(values.max()),
        "median_width": float(np.median(widths / values)),
    }


if __name__ == "__main__":
    main()
