"""Do the audit's verdicts and intervals hold what they promise? Simulated students whose truth is known.

    python benchmarks/audit_simulations.py --cases 1000 > benchmarks/results/audit-simulations.jsonl
    python benchmarks/audit_simulations.py --only kept --cases 200

kept:      the true loss is exactly the margin; how often is the verdict `kept`? At most 5 % may be.
coverage:  how often does a 95 % interval hold the truth? 95 ± 1.5 % is wanted; figures that can take few values (few
           clips, few discordant ones) cover more, because their intervals end between two of them.
unharmed:  student and teacher err equally often and independently, on slices like those of `keywords`; how many whole
           audits raise one `lost` or more? At most 5 % may.

Each cell is one JSON line with its settings, the share found, that share's own 95 % interval, and
"holds": whether the share itself keeps the promise;
"fails_beyond_chance": whether the share's interval lies outside of it, so that the number of cases cannot be why;
"promised": false for cells beyond what is promised (losses more alike within subjects than LIKENESS), shown all the same.
The last line of a question sums up its promised cells. One thread; about ten minutes for 1,000 cases.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from itertools import product
from statistics import NormalDist
from typing import Any

import numpy as np

from edgecomp.audit.areas import area, area_difference
from edgecomp.audit.intervals import Pairs, difference, share
from edgecomp.audit.noninferiority import LIKENESS, best_bounds, lower_bounds
from edgecomp.audit.slice_sets import Clips, slices_of
from edgecomp.audit.slices import Answers, audit_slices
from edgecomp.metrics import proportion

Cell = tuple[dict[str, Any], bool, int, int]
"""Settings, whether the promise covers them, how many cases did it, and of how many."""
CROWDS = ((6, 20), (6, 100), (10, 10), (10, 60), (19, 6), (19, 35), (40, 5), (40, 25), (100, 10), (300, 2))
"""Subjects and clips of each."""


def main() -> None:
    """Run the simulations asked for and print one row a cell."""
    ask = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ask.add_argument("--cases", type=int, default=1000, help="simulated cases in each cell (whole audits: a fifth)")
    ask.add_argument("--seed", type=int, default=0)
    ask.add_argument("--only", choices=sorted(QUESTIONS), help="one question only")
    given = ask.parse_args()
    for name in [given.only] if given.only else list(QUESTIONS):
        simulate, lowest, highest = QUESTIONS[name]
        rows = []
        for settings, promised, did, cases in simulate(np.random.default_rng(given.seed), given.cases):
            found = proportion(did, cases)
            row = {"question": name, **settings, "cases": cases, "share": round(found.value, 4)}
            row |= {"low": round(found.low, 4), "high": round(found.high, 4), "promised": promised}
            row["holds"] = lowest <= found.value <= highest
            row["fails_beyond_chance"] = found.low > highest or found.high < lowest
            rows.append((row, did, cases))
            print(json.dumps(row), flush=True)
        print(json.dumps(_summary(name, [row for row in rows if row[0]["promised"]])), flush=True)
        sys.stderr.write(f"{name}: {len(rows)} cells\n")


def _summary(name: str, rows: list[tuple[dict, int, int]]) -> dict[str, Any]:
    found = proportion(sum(did for _, did, _ in rows), sum(cases for *_, cases in rows))
    return {
        "question": name,
        "summary": "all promised cells together",
        "cells": len(rows),
        "share": round(found.value, 4),
        "smallest": min(row["share"] for row, *_ in rows),
        "largest": max(row["share"] for row, *_ in rows),
        "cells_that_hold": sum(row["holds"] for row, *_ in rows),
        "cells_that_fail_beyond_chance": sum(row["fails_beyond_chance"] for row, *_ in rows),
    }


def kept(random: np.random.Generator, cases: int) -> Iterator[Cell]:
    """Simulate students whose true loss is the margin; cells in which nothing could be kept are left out."""
    for margin, n, times in product((0.02, 0.03, 0.05, 0.1, 0.15), (20, 40, 60, 100, 200, 500, 1000), (1, 1.5, 3, 6)):
        discordance = margin * times
        if discordance > 0.6:
            continue
        family = _independent(random, cases, n, discordance, -margin)
        if best_bounds(family[:1])[0] > -margin:
            settings = {"metric": "accuracy", "margin": margin, "clips": n, "discordance": round(discordance, 3)}
            yield settings, True, int((lower_bounds(family) > -margin).sum()), cases
    for likeness, margin, (subjects, each), times in product(
        (0.0, 0.05, 0.1, 0.2), (0.03, 0.05, 0.1), CROWDS, (1, 2, 4)
    ):
        family = _clustered(random, cases, (subjects, each), margin * times, -margin, likeness)
        settings = {"metric": "accuracy", "margin": margin, "subjects": subjects, "clips": subjects * each}
        settings |= {"discordance": round(margin * times, 3), "likeness": likeness}
        if best_bounds(family[:1])[0] > -margin:
            yield settings, likeness <= LIKENESS, int((lower_bounds(family) > -margin).sum()), cases
    for margin, how, (positives, negatives), subjects in _areas():
        found = [area_difference(*_scores(random, positives, negatives, how, margin, subjects)) for _ in range(cases)]
        if found[0].best > -margin:
            settings = {"metric": "AUROC", "margin": margin, "positives": positives, "negatives": negatives}
            settings |= {"student": how, "subjects": subjects}
            yield settings, True, sum(one.bound > -margin for one in found), cases


def coverage(random: np.random.Generator, cases: int) -> Iterator[Cell]:
    """Simulate every interval of the slice table over a grid of sizes and truths."""
    for value, n in product((0.7, 0.85, 0.95), (20, 60, 110, 300, 660)):
        drawn = (share(random.random(n) < value) for _ in range(cases))
        yield {"interval": "share: Wilson", "truth": value, "clips": n}, True, _held(drawn, value), cases
    for n, discordance, truth in product((20, 60, 110, 300, 660), (0.03, 0.1, 0.2), (0.0, -0.03)):
        drawn = (difference(one) for one in _independent(random, cases, n, discordance, truth))
        settings = {"interval": "difference: Newcombe", "truth": truth, "clips": n, "discordance": discordance}
        yield settings, True, _held(drawn, truth), cases
    for likeness, value, (subjects, each) in product((0.0, 0.02, 0.05, 0.1, 0.2), (0.7, 0.85, 0.95), CROWDS):
        people = np.repeat(np.arange(subjects), each)
        drawn = (
            share(random.random(people.size) < _alike(random, (subjects,), value, likeness)[people], people)
            for _ in range(cases)
        )
        settings = {"interval": "share: Wilson by subject", "truth": value, "subjects": subjects}
        settings |= {"clips": people.size, "likeness": likeness}
        yield settings, likeness <= LIKENESS, _held(drawn, value), cases
    for likeness, crowd, discordance, truth in product((0.0, 0.02, 0.05, 0.1), CROWDS, (0.05, 0.15), (0.0, -0.03)):
        drawn = (difference(one) for one in _clustered(random, cases, crowd, discordance, truth, likeness))
        settings = {"interval": "difference: Newcombe by subject", "truth": truth, "subjects": crowd[0]}
        settings |= {"clips": crowd[0] * crowd[1], "discordance": discordance, "likeness": likeness}
        yield settings, True, _held(drawn, truth), cases
    for margin, how, (positives, negatives), subjects in _areas():
        ones, twos = [], []
        for _ in range(cases):
            student, teacher, is_positive, people = _scores(random, positives, negatives, how, margin, subjects)
            ones.append(area(teacher, is_positive, people))
            twos.append(area_difference(student, teacher, is_positive, people).difference)
        settings = {"positives": positives, "negatives": negatives, "student": how, "subjects": subjects}
        if margin == 0.05:
            truth = _teacher_area(how)
            yield {"interval": "AUROC: DeLong", "truth": truth, **settings}, True, _held(ones, truth), cases
        settings |= {"interval": "AUROC difference: DeLong", "truth": -margin}
        yield settings, True, _held(twos, -margin), cases


def unharmed(random: np.random.Generator, cases: int) -> Iterator[Cell]:
    """Simulate whole audits of 660 clips of 19 subjects, 11 classes and 15 group values, with nothing planted."""
    sizes = {"accent": 6, "voice_kind": 3, "rate": 3, "noise_level": 3}
    labels = [f"word {number}" for number in range(11)]
    audits = max(20, cases // 5)
    for likeness, wrong in product((0.0, 0.05), (0.02, 0.15)):
        raised = 0
        for _ in range(audits):
            targets, people = np.arange(660) % 11, random.integers(0, 19, 660)
            groups = {
                name: [f"{name} {value}" for value in random.integers(0, size, 660)] for name, size in sizes.items()
            }
            sureness = random.random(660)
            clips = Clips(
                targets,
                labels,
                groups,
                subjects=[f"voice {number}" for number in people],
                teacher_answers=np.stack([sureness, 1 - sureness], axis=1),
                length_s=random.random(660),
                loudness_db=random.random(660),
            )
            chance = _alike(random, (19,), wrong, likeness)[people]  # a hard subject is hard for both
            decided = {
                name: np.where(random.random(660) < chance, (targets + 1) % 11, targets) for name in ("teacher", "int8")
            }
            answers = Answers(decided, targets, clips.subjects)
            raised += audit_slices(answers, slices_of(clips), shipped="int8", margin=0.03).counts["lost"] > 0
        yield {"errors": wrong, "likeness": likeness, "slices": "like keywords"}, True, raised, audits


def _independent(random: np.random.Generator, cases: int, n: int, discordance: float, truth: float) -> list[Pairs]:
    gained, lost = (discordance + truth) / 2, (discordance - truth) / 2
    if gained < -1e-12:
        gained, lost = 0.0, -truth
    both = 0.8 * (1 - gained - lost)
    counts = random.multinomial(n, [both, max(gained, 0.0), lost, 1 - both - max(gained, 0.0) - lost], size=cases)
    return [Pairs(*row.reshape(4, 1), is_by_subject=False) for row in counts]


def _clustered(
    random: np.random.Generator, cases: int, crowd: tuple[int, int], discordance: float, truth: float, likeness: float
) -> list[Pairs]:
    """Draw students who gain and lose with chances that differ by subject, alike within one to this degree."""
    subjects, each = crowd
    chances = (max(0.0, (discordance + truth) / 2), (discordance - truth) / 2)
    gains, losses = (_alike(random, (cases, subjects), chance, likeness) for chance in chances)
    lost = random.binomial(each, losses)
    gained = random.binomial(each - lost, np.minimum(1.0, gains / (1 - chances[1])))
    both = random.binomial(each - lost - gained, 0.8)
    neither = each - lost - gained - both
    return [Pairs(*rows, is_by_subject=True) for rows in zip(both, gained, lost, neither, strict=True)]


def _alike(random: np.random.Generator, shape: tuple[int, ...], chance: float, likeness: float) -> np.ndarray:
    """Draw subjects' chances from a beta distribution with this mean and intraclass correlation."""
    if likeness == 0 or chance == 0:
        return np.full(shape, chance)
    size = 1 / likeness - 1
    return random.beta(chance * size, (1 - chance) * size, size=shape)


def _areas() -> Iterator[tuple[float, str, tuple[int, int], int | None]]:
    sizes = ((20, 20), (20, 200), (40, 40), (100, 100), (60, 600), (300, 300))
    for margin, how, size in product((0.03, 0.05, 0.1), ("blurred", "strong and blurred", "forgets a few"), sizes):
        yield margin, how, size, None
    for margin, how, subjects in product((0.05, 0.1), ("blurred", "forgets a few"), (10, 40)):
        yield margin, how, (200, 200), subjects


def _teacher_area(how: str) -> float:
    return 0.95 if how.startswith("strong") else 0.85


def _scores(
    random: np.random.Generator, positives: int, negatives: int, how: str, margin: float, subjects: int | None
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray | None]:
    """Draw a student's and a teacher's scores with true areas `margin` apart.

    blurred: every clip's score moves a little; forgets a few: some positives score like a negative, all others as before
    subjects: a quarter of a score's variance is the subject's, so that clips of one person are alike
    """
    n, normal = positives + negatives, NormalDist()
    is_positive = np.repeat([True, False], [positives, negatives])
    people = None if subjects is None else random.integers(0, subjects, n)
    noise = random.standard_normal((2, n))
    if people is not None:
        noise = 0.5 * random.standard_normal((2, subjects))[:, people] + np.sqrt(0.75) * noise
    best = _teacher_area(how)
    teacher = noise[0] + np.sqrt(2) * normal.inv_cdf(best) * is_positive
    if how == "forgets a few":
        forgotten = is_positive & (random.random(n) < margin / (best - 0.5))
        student = np.where(forgotten, noise[1], teacher) + 1e-3 * random.standard_normal(n)
    else:
        student = 0.95 * noise[0] + np.sqrt(1 - 0.95**2) * noise[1]
        student = student + np.sqrt(2) * normal.inv_cdf(best - margin) * is_positive
    return student, teacher, is_positive, people


def _held(estimates: Any, truth: float) -> int:
    return sum(one.low - 1e-12 <= truth <= one.high + 1e-12 for one in estimates)


QUESTIONS = {"kept": (kept, 0.0, 0.05), "coverage": (coverage, 0.935, 0.965), "unharmed": (unharmed, 0.0, 0.05)}
"""Question → what simulates it, and the smallest and largest share that keep the promise."""


if __name__ == "__main__":
    main()
