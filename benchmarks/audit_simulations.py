"""Do the audit's verdicts and intervals hold what they promise? Simulated students whose truth is known.

    python benchmarks/audit_simulations.py > benchmarks/results/audit-simulations.jsonl
    python benchmarks/audit_simulations.py --only kept --cases 200

kept:      the true loss is exactly the margin; how often is the verdict `kept`? At most 5 % may be. Where clips are
           independent and the metric is a share, the chance is summed up exactly ("exact") and nothing is drawn.
coverage:  how often does a 95 % interval hold the truth? An interval for counts cannot hold every truth in exactly 95 % of
           cases: counts are whole numbers, so its coverage swings as the truth moves. The accepted measure is the mean over
           the truths that a design may meet (Brown, Cai and DasGupta 2001, doi:10.1214/ss/1009213286): it is to be
           95 ± 1.5 % for every design, a design being a number of clips and subjects. Each case draws its own truth (and
           how alike one person's clips are, 0 to LIKENESS) from the ranges that its row states.
           "few": fewer than FEWEST_EVENTS discordant clips are expected, or the smaller class of an area has fewer than
           FEWEST_OF_A_CLASS clips; a short interval would be a bare guess there, so 93.5 % or more is promised.
worst:     the same at single truths, chosen to be hard: what the mean hides. Nothing is promised of them.
unharmed:  student and teacher err equally often and independently, on slices like those of `keywords`; how many whole
           audits raise one `lost` or more? At most 5 % may.

Each cell is one JSON line with its settings, the share found, that share's own 95 % interval, and
"holds": whether the share itself keeps the promise;
"fails_beyond_chance": whether the share's interval lies outside of it, so that the number of cases cannot be why;
"promised": false for cells beyond what is promised (losses more alike within subjects than LIKENESS), shown all the same.
The last line of a question sums up its promised cells. One thread.
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
from scipy.stats import binom

from edgecomp.audit.areas import area, area_difference
from edgecomp.audit.intervals import Pairs, difference, share
from edgecomp.audit.noninferiority import LIKENESS, best_bounds, lower_bounds
from edgecomp.audit.slice_sets import Clips, slices_of
from edgecomp.audit.slices import Answers, audit_slices
from edgecomp.metrics import Estimate, proportion

Cell = tuple[dict[str, Any], bool, float, int]
"""Settings, whether the promise covers them, how many cases did it, and of how many; of none: the exact chance."""
CROWDS = ((6, 20), (6, 100), (10, 10), (10, 60), (19, 6), (19, 35), (40, 5), (40, 25), (100, 10), (300, 2))
"""Subjects and clips of each."""
SIZES = ((20, 20), (20, 200), (40, 40), (100, 100), (60, 600), (300, 300))
"""Positive and negative clips."""
HOWS = ("blurred", "strong and blurred", "forgets a few")
FEWEST_EVENTS, FEWEST_OF_A_CLASS = 5, 40
"""Below these whole numbers, not the interval, decide how often the truth is held."""
TRUTHS = (0.6, 0.99)
"""Shares of right answers that a design may meet."""
LOSSES = (-0.1, 0.1)
"""Differences to the teacher, of both signs."""


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
            top = 1.0 if settings.get("few") else highest
            if cases:
                found = proportion(int(did), cases)
                ends: dict[str, Any] = {"cases": cases, "share": round(found.value, 4)}
                ends |= {"low": round(found.low, 4), "high": round(found.high, 4)}
            else:  # nothing was drawn
                found, ends = Estimate(did, did, did, 0), {"exact": True, "share": round(did, 5)}
            row = {"question": name, **settings, **ends, "promised": promised}
            row["holds"] = lowest <= found.value <= top
            row["fails_beyond_chance"] = found.low > top or found.high < lowest
            rows.append(row)
            print(json.dumps(row), flush=True)
        print(json.dumps(_summary(name, [row for row in rows if row["promised"]])), flush=True)
        sys.stderr.write(f"{name}: {len(rows)} cells\n")


def _summary(name: str, rows: list[dict[str, Any]]) -> dict[str, Any]:
    if not rows:
        return {"question": name, "summary": "nothing is promised of these cells"}
    shares = [row["share"] for row in rows]
    return {
        "question": name,
        "summary": "all promised cells together",
        "cells": len(rows),
        "mean_share": round(float(np.mean(shares)), 4),
        "smallest": min(shares),
        "largest": max(shares),
        "cells_that_hold": sum(row["holds"] for row in rows),
        "cells_that_fail_beyond_chance": sum(row["fails_beyond_chance"] for row in rows),
    }


def kept(random: np.random.Generator, cases: int) -> Iterator[Cell]:
    """Simulate students whose true loss is the margin; cells in which nothing could be kept are left out."""
    for margin, n, times in product((0.02, 0.03, 0.05, 0.1, 0.15), (20, 40, 60, 100, 200, 500, 1000), (1, 1.5, 3, 6)):
        discordance = margin * times
        if discordance > 0.6:
            continue
        chance = exact_kept(n, discordance, margin)
        if chance is not None:
            settings = {"metric": "accuracy", "margin": margin, "clips": n, "discordance": round(discordance, 3)}
            yield settings, True, chance, 0
    for likeness, margin, (subjects, each), times in product(
        (0.0, 0.05, 0.1, 0.2), (0.03, 0.05, 0.1), CROWDS, (1, 2, 4)
    ):
        family = _clustered(random, cases, (subjects, each), margin * times, -margin, likeness)
        settings = {"metric": "accuracy", "margin": margin, "subjects": subjects, "clips": subjects * each}
        settings |= {"discordance": round(margin * times, 3), "likeness": likeness}
        if best_bounds(family[:1])[0] > -margin:
            yield settings, likeness <= LIKENESS, int((lower_bounds(family) > -margin).sum()), cases
    for margin, how, sizes, subjects in _areas():
        found = [area_difference(*_scores(random, sizes, how, margin, subjects)) for _ in range(cases)]
        if found[0].best > -margin:
            settings = {"metric": "AUROC", "margin": margin, "positives": sizes[0], "negatives": sizes[1]}
            settings |= {"student": how, "subjects": subjects}
            yield settings, True, sum(one.bound > -margin for one in found), cases


def exact_kept(n: int, discordance: float, margin: float) -> float | None:
    """Return the chance of `kept` at the margin with n independent clips; None where nothing can be kept.

    It is summed over all counts of gained and lost clips; for each count of gained ones, halving finds the most losses that
    are still kept, since one more never raises the bound.
    """
    up, down = max(0.0, (discordance - margin) / 2), (discordance + margin) / 2
    if lower_bounds([_counts(n, 0, 0)])[0] <= -margin:
        return None
    spread = 8 * np.sqrt(n * up) + 8
    gained = (
        np.arange(max(0, int(n * up - spread)), min(n, int(n * up + spread)) + 1) if up > 1e-12 else np.zeros(1, int)
    )
    low, high = np.full(gained.size, -1), n - gained  # kept with `low` losses, -1: with none; not with more than `high`
    while (low < high).any():
        middle = (low + high + 1) // 2
        is_kept = lower_bounds([_counts(n, *both) for both in zip(gained, middle, strict=True)]) > -margin
        low, high = np.where(is_kept, middle, low), np.where(is_kept, high, middle - 1)
    return float((binom.pmf(gained, n, up) * binom.cdf(low, n - gained, down / (1 - up))).sum())


def _counts(n: int, gained: int, lost: int) -> Pairs:
    return Pairs(*np.array([[n - gained - lost], [gained], [lost], [0]]), is_by_subject=False)


def coverage(random: np.random.Generator, cases: int) -> Iterator[Cell]:
    """Simulate every interval of the slice table over the truths that a design may meet."""
    for n in (20, 60, 110, 300, 660):
        truths = random.uniform(*TRUTHS, 2 * cases)
        held = sum(_held([share(random.random(n) < truth)], truth) for truth in truths)
        yield {"interval": "share: Wilson", "truths": TRUTHS, "clips": n}, True, held, 2 * cases
    for n in (20, 60, 110, 300, 660):
        enough = max(0.05, FEWEST_EVENTS / n)
        for few, ends in ((False, (enough, enough + 0.25)), (True, (0.01, enough))):
            held = 0
            for _ in range(2 * cases):
                discordance, truth = _drawn(random, ends)
                held += _held([difference(one) for one in _independent(random, 1, n, discordance, truth)], truth)
            settings = {"interval": "difference: Newcombe", "truths": LOSSES, "clips": n, "few": few}
            yield settings | {"discordance": [round(end, 3) for end in ends]}, True, held, 2 * cases
    for subjects, each in CROWDS:
        people, held, apart = np.repeat(np.arange(subjects), each), 0, 0
        for _ in range(2 * cases):
            truth, likeness = random.uniform(*TRUTHS), random.uniform(0, LIKENESS)
            chance = _alike(random, (subjects,), truth, likeness)[people]
            held += _held([share(random.random(people.size) < chance, people)], truth)
            discordance, truth = _drawn(random, (0.05, 0.3))
            crowd = _clustered(random, 1, (subjects, each), discordance, truth, likeness)
            apart += _held([difference(crowd[0])], truth)
        settings = {"subjects": subjects, "clips": people.size, "likeness": [0, LIKENESS]}
        yield {"interval": "share: Wilson by subject", "truths": TRUTHS, **settings}, True, held, 2 * cases
        settings |= {"truths": LOSSES, "discordance": [0.05, 0.3]}
        yield {"interval": "difference: Newcombe by subject", **settings}, True, apart, 2 * cases
    for sizes, subjects in (*((size, None) for size in SIZES), ((200, 200), 10), ((200, 200), 40)):
        ones, held = 0, 0
        for case in range(2 * cases):
            best, margin = random.uniform(0.75, 0.95), random.uniform(0.0, 0.1)
            drawn = _scores(random, sizes, HOWS[2 * (case % 2)], margin, subjects, best=best)
            ones += _held([area(drawn[1], *drawn[2:])], best)
            held += _held([area_difference(*drawn).difference], -margin)
        settings = {"positives": sizes[0], "negatives": sizes[1], "subjects": subjects, "areas": [0.75, 0.95]}
        yield {"interval": "AUROC: DeLong", **settings}, True, ones, 2 * cases
        settings |= {"students": [HOWS[0], HOWS[2]], "truths": [-0.1, 0.0], "few": min(sizes) < FEWEST_OF_A_CLASS}
        yield {"interval": "AUROC difference: DeLong", **settings}, True, held, 2 * cases


def worst(random: np.random.Generator, cases: int) -> Iterator[Cell]:
    """Simulate single truths that are hard: shares near 1, people much alike, a few forgotten of few positives."""
    for n in (20, 110, 660):
        held = _held((share(random.random(n) < 0.95) for _ in range(cases)), 0.95)
        yield {"interval": "share: Wilson", "truth": 0.95, "clips": n}, False, held, cases
    for crowd, likeness in product(CROWDS, (0.0, LIKENESS)):
        people = np.repeat(np.arange(crowd[0]), crowd[1])
        chances = (_alike(random, crowd[:1], 0.95, likeness)[people] for _ in range(cases))
        held = _held((share(random.random(people.size) < chance, people) for chance in chances), 0.95)
        settings = {"subjects": crowd[0], "clips": people.size, "likeness": likeness}
        yield {"interval": "share: Wilson by subject", "truth": 0.95, **settings}, False, held, cases
        drawn = (difference(one) for one in _clustered(random, cases, crowd, 0.05, -0.03, likeness))
        settings |= {"truth": -0.03, "discordance": 0.05}
        yield {"interval": "difference: Newcombe by subject", **settings}, False, _held(drawn, -0.03), cases
    for sizes, how, margin in product(SIZES, HOWS, (0.03, 0.1)):
        drawn = [_scores(random, sizes, how, margin, None) for _ in range(cases)]
        settings = {"positives": sizes[0], "negatives": sizes[1], "student": how}
        if margin == 0.1:
            truth, held = _teacher_area(how), _held((area(*one[1:]) for one in drawn), _teacher_area(how))
            yield {"interval": "AUROC: DeLong", "truth": truth, **settings}, False, held, cases
        held = _held((area_difference(*one).difference for one in drawn), -margin)
        yield {"interval": "AUROC difference: DeLong", "truth": -margin, **settings}, False, held, cases


def _drawn(random: np.random.Generator, discordances: tuple[float, float]) -> tuple[float, float]:
    """Draw a share of discordant clips, and a difference that it allows."""
    discordance = random.uniform(*discordances)
    return discordance, float(np.clip(random.uniform(*LOSSES), -discordance, discordance))


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
    for margin, how, size in product((0.03, 0.05, 0.1), HOWS, SIZES):
        yield margin, how, size, None
    for margin, how, subjects in product((0.05, 0.1), ("blurred", "forgets a few"), (10, 40)):
        yield margin, how, (200, 200), subjects


def _teacher_area(how: str) -> float:
    return 0.95 if how.startswith("strong") else 0.85


def _scores(
    random: np.random.Generator,
    sizes: tuple[int, int],
    how: str,
    margin: float,
    subjects: int | None,
    *,
    best: float | None = None,
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray | None]:
    """Draw a student's and a teacher's scores with true areas `margin` apart.

    blurred: every clip's score moves a little; forgets a few: some positives score like a negative, all others as before
    sizes: positive and negative clips; best: the teacher's area, None for the one that goes with `how`
    subjects: a quarter of a score's variance is the subject's, so that clips of one person are alike
    """
    n, normal = sum(sizes), NormalDist()
    is_positive = np.repeat([True, False], sizes)
    people = None if subjects is None else random.integers(0, subjects, n)
    noise = random.standard_normal((2, n))
    if people is not None:
        noise = 0.5 * random.standard_normal((2, subjects))[:, people] + np.sqrt(0.75) * noise
    best = best or _teacher_area(how)
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


QUESTIONS = {
    "kept": (kept, 0.0, 0.05),
    "coverage": (coverage, 0.935, 0.965),
    "worst": (worst, 0.935, 0.965),
    "unharmed": (unharmed, 0.0, 0.05),
}
"""Question → what simulates it, and the smallest and largest share that keep the promise."""


if __name__ == "__main__":
    main()
