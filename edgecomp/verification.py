"""Verify a bundle: recompute every hash, follow the trail, replay the golden clips, and say what differs."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from edgecomp.bundle import Bundle, faults, replay
from edgecomp.errors import BundleError
from edgecomp.runtimes import runtime_for


@dataclass(frozen=True)
class Check:
    """One thing that a bundle states of itself, and whether it is so."""

    name: str
    passed: bool
    text: str


def verify(folder: Path) -> tuple[Check, ...]:
    """Check everything that a bundle states of itself on this machine; all of it, also after something differs.

    raises: BundleError where it is no bundle
    """
    bundle, wrong = faults(folder)
    checks = [Check(name, why is None, why or "has the hash that was stated") for name, why in wrong.items()]
    for form in bundle.facts["models"]:
        checks += [*_trail(bundle, form), _replayed(bundle, form)]
    return tuple(checks)


def _trail(bundle: Bundle, form: str) -> Iterator[Check]:
    """Follow a model's trail: each step starts from what the one before gave, and the last gave this file."""
    name, model = f"trail of {form}", bundle.facts["models"][form]
    try:
        steps = bundle.facts["trail"][form]
        ends = [(a["output_hash"], b["input_hash"], b["name"]) for a, b in pairwise(steps)]
        broken = [step for gave, took, step in ends if gave != took]
        if broken:
            yield Check(name, False, f"{broken[0]} does not start from what the step before it gave")
        elif steps[-1]["output_hash"] != model["sha256"]:
            yield Check(
                name, False, f"its last step gave {steps[-1]['output_hash'][:12]}, the file is {model['sha256'][:12]}"
            )
        else:
            yield Check(name, True, f"{len(steps)} steps, each from what the one before gave, end in this file")
        inside = json.loads(runtime_for(form).read_metadata(bundle.folder / model["file"]) or "{}")
        is_same = inside.get("student_hash") == steps[-1]["input_hash"]
        told = "names" if is_same else "does not name"
        yield Check(f"metadata of {form}", is_same, f"the file itself {told} the student of the trail")
    except (BundleError, KeyError, IndexError, TypeError, ValueError) as why:
        yield Check(name, False, f"it cannot be followed: {str(why).splitlines()[0]}")


def _replayed(bundle: Bundle, form: str) -> Check:
    name = f"golden clips in {form}"
    try:
        worst = replay(bundle, form)
    except (BundleError, OSError, KeyError, TypeError, ValueError) as why:
        return Check(name, False, str(why).splitlines()[0])
    return Check(name, True, f"replayed here: the largest difference is {worst:.2g}")
