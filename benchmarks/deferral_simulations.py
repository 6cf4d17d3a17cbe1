"""Do the deferral and the calibration keep their promises? Simulated cases whose truth is known, one row for each setting.

    python benchmarks/deferral_simulations.py                       # every part, 1,000 cases a row; hours on one core
    python benchmarks/deferral_simulations.py --part risk --cases 200

risk:              the share of cases in which the risk among answered clips is truly above the bound; at most 0.05 is promised.
                   Of a useless uncertainty above the bound every rung is bad, so the chance is that of passing the first one:
                   "exact" is that number, summed from binomial chances
subjects:          the same, where clips of one person are alike, with and without saying so
slices:            the share of cases in which any of ten slices is called deferred too often, though none is
calibration error: the share of cases in which the interval holds the truth; 0.95 is meant
temperature:       log loss on new clips after fitting, minus before (nats), for a model that was calibrated or was not

Rows go to stdout as JSON lines. The uncertainty is uniform, and the chance of an error grows with its square
(informative), is everywhere the same (useless), or falls with it (inverted), so that
the true risk below a threshold is a formula.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from scipy.stats import binom

from edgecomp.audit.calibration import calibration_error_interval, fit_temperature, identity
from edgecomp.audit.deferral import choose_threshold
from edgecomp.audit.deferral_rates import deferral_rates

CLIPS = (80, 300, 2000)
BASE_ERRORS = (0.02, 0.055, 0.1, 0.3)
MAX_RISK = 0.05
LEVELS = 5
KINDS = ("informative", "useless", "inverted", "ties")
PEOPLE = ((5, 60), (10, 30), (20, 30), (60, 10), (300, 3))
"""How many, and clips of each."""
Row = dict[str, Any]


def main() -> None:
    """Run the parts that are asked for and print a row for each setting."""
    ask = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ask.add_argument(
        "--part", choices=sorted(PARTS), action="append", help="again for more than one; default: every part"
    )
    ask.add_argument("--cases", type=int, default=1000, help="simulated cases for each row")
    ask.add_argument("--seed", type=int, default=0)
    ask.add_argument("--kind", choices=KINDS, action="append", help="of the part risk; default: all")
    ask.add_argument("--clips", type=int, action="append", help="of the part risk; default: all")
    ask.add_argument("--people", type=int, action="append", help="of the part subjects; default: all")
    given = ask.parse_args()
    for part in given.part or PARTS:
        more = {"kinds": given.kind or KINDS, "clips": given.clips or CLIPS} if part == "risk" else {}
        more |= {"among": given.people} if part == "subjects" and given.people else {}
        for row in PARTS[part](given.cases, given.seed, **more):
            print(json.dumps({"part": part, **row, "cases": given.cases, "seed": given.seed}), flush=True)


def risk(cases: int, seed: int, kinds: Sequence[str] = KINDS, clips: Sequence[int] = CLIPS) -> Iterator[Row]:
    """Break the risk bound as often as it can be broken: independent clips."""
    for kind in kinds:
        for n in clips:
            for base in BASE_ERRORS:
                random = np.random.default_rng([seed, n, int(1000 * base), len(kind)])
                found = []
                for _ in range(cases):
                    uncertainty, wrong = _clips(kind, n, base, random)
                    chosen = choose_threshold(uncertainty, wrong, MAX_RISK)
                    found.append((chosen.coverage.value, _true_risk(kind, base, chosen.ask_above) > MAX_RISK))
                exact = {"exact": _chance_of_first_rung(n, base)} if kind == "useless" and base > MAX_RISK else {}
                yield {"kind": kind, "n": n, "base_error": base, "max_risk": MAX_RISK} | _told(found) | exact


def subjects(cases: int, seed: int, among: Sequence[int] = tuple(people for people, _ in PEOPLE)) -> Iterator[Row]:
    """Break the risk bound with clips that come from few people, some of whom the model fails more often."""
    for people, each in ((people, each) for people, each in PEOPLE if people in among):
        for likeness in (0.0, 0.1, 0.4):
            for kind, base in (("useless", 0.105), ("informative", 0.2)):
                random = np.random.default_rng([seed, people, each, int(100 * likeness), int(100 * base)])
                aware, blind = [], []
                for _ in range(cases):
                    person = np.repeat(
                        np.arange(people), random.multinomial(people * each, np.full(people, 1 / people))
                    )
                    rates = _rates(base, likeness, people, random)
                    uncertainty, wrong = _clips(kind, len(person), rates[person], random)
                    for told, names in ((aware, person), (blind, None)):
                        chosen = choose_threshold(uncertainty, wrong, 0.1, subjects=names)
                        told.append((chosen.coverage.value, _true_risk(kind, base, chosen.ask_above) > 0.1))
                setting = {"people": people, "clips_each": each, "likeness": likeness, "kind": kind, "base_error": base}
                yield setting | {"max_risk": 0.1, **_told(aware), "broken_as_if_independent": _told(blind)["broken"]}


def slices(cases: int, seed: int) -> Iterator[Row]:
    """Call an even deferral uneven: five slices by person and five by clip."""
    for people, each in ((10, 30), (40, 10), (300, 1)):
        for likeness in (0.0, 0.2):
            random, false = np.random.default_rng([seed, people, int(100 * likeness)]), 0
            for _ in range(cases):
                person = np.repeat(np.arange(people), each)
                asked = random.random(len(person)) < _rates(0.2, likeness, people, random)[person]
                groups, kinds = random.integers(5, size=people)[person], random.integers(5, size=len(person))
                named = {f"group {k}": groups == k for k in range(5)} | {f"kind {k}": kinds == k for k in range(5)}
                false += any(rate.is_above for rate in deferral_rates(asked, named, person))
            yield {"people": people, "clips_each": each, "likeness": likeness, "false_alarms": false / cases}


def calibration_error(cases: int, seed: int) -> Iterator[Row]:
    """Hold the true error, given the clips seen, inside the interval; the model is too sure, not sure enough, or calibrated."""
    for n in (100, 300, 1000):
        for scale, name in ((1.0, "calibrated"), (0.6, "too sure"), (1.5, "not sure enough")):
            for people in (None, 20):
                random, held, raised, middles, widths = (
                    np.random.default_rng([seed, n, int(10 * scale)]),
                    0,
                    0,
                    0.0,
                    0.0,
                )
                for case in range(cases):
                    logits = 2 * random.standard_normal((n, 4))
                    person = None if people is None else np.arange(n) % people
                    # a person the model suits less well: the truth is a little flatter or steeper for each
                    own = 1.0 if people is None else np.exp(0.3 * random.standard_normal(people))[person][:, None]
                    truth = _softmax(scale * own * logits)
                    targets = (truth.cumsum(axis=1) < random.random((n, 1))).sum(axis=1).clip(max=3)
                    expected = truth if people is None else _mean_over_people(scale * logits, 0.3)
                    right = expected[np.arange(n), logits.argmax(axis=1)]
                    answers = _softmax(logits)
                    true = _binned_error(answers.max(axis=1), right)
                    found = calibration_error_interval(answers, targets, subjects=person, seed=case)
                    held += found.low <= true <= found.high
                    plain = _binned_error(answers.max(axis=1), (logits.argmax(axis=1) == targets).astype(float))
                    raised, middles = raised + plain - true, middles + found.value - true
                    widths += found.high - found.low
                row = {"model": name, "n": n, "people": people, "held": held / cases, "bias_of_value": middles / cases}
                yield row | {"bias_of_plain": raised / cases, "mean_width": widths / cases}


def temperature(cases: int, seed: int) -> Iterator[Row]:
    """Compare the fitted scale with leaving a model alone, on 2,000 new clips."""
    for n in (20, 30, 50, 100, 300):
        for scale in (1.0, 0.8, 0.5):
            random, gains = np.random.default_rng([seed, n, int(10 * scale)]), []
            for _ in range(cases):
                logits = 3 * random.standard_normal((n + 2000, 4))
                targets = (
                    (_softmax(scale * logits).cumsum(axis=1) < random.random((n + 2000, 1))).sum(axis=1).clip(max=3)
                )
                # the rule for small data is what is tested, so fewer clips are fitted by repeating them: the same loss
                copies = int(np.ceil(50 / n))
                fitted = fit_temperature(np.tile(logits[:n], (copies, 1)), np.tile(targets[:n], copies))
                new, right = logits[n:], targets[n:]
                losses = [
                    -np.log(made.probabilities(new)[np.arange(2000), right]).mean() for made in (fitted, identity(4))
                ]
                gains.append(losses[0] - losses[1])
            yield {"n": n, "true_scale": scale, "log_loss_change": float(np.mean(gains)),
                   "worse": float(np.mean(np.array(gains) > 0))}  # fmt: skip


def _clips(kind: str, n: int, base: float | np.ndarray, random: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    uncertainty = random.random(n)
    if kind == "ties":
        uncertainty = (np.floor(uncertainty * LEVELS) + 0.5) / LEVELS
    chance = {"useless": 1.0, "inverted": 2 * (1 - uncertainty)}.get(kind, 3 * uncertainty**2)
    return uncertainty, random.random(n) < np.minimum(base * chance, 1)


def _chance_of_first_rung(n: int, base: float) -> float:
    """Return the chance that the first rung passes where every clip is wrong with the same chance, whatever its uncertainty.

    The first rung is what is answered when all clips behind it are wrong: it is the fewest that any threshold answers.
    """
    unsure, places = np.arange(n) / n, np.arange(n)
    first = next((k for k in range(1, n + 1) if choose_threshold(unsure, places >= k, MAX_RISK).answered), 0)
    if not first:
        return 0.0
    allowed = -1
    while choose_threshold(unsure, (places <= allowed) | (places >= first), MAX_RISK).answered:
        allowed += 1
    return float(binom.cdf(allowed, first, base))


def _true_risk(kind: str, base: float, ask_above: float | None) -> float:
    """Return the chance that an answered clip is answered wrongly; asking always has none."""
    if ask_above is None:
        return 0.0
    if kind == "ties":
        levels = (np.arange(LEVELS) + 0.5) / LEVELS
        return float(base * (3 * levels[levels <= ask_above] ** 2).mean())
    return base * {"useless": 1.0, "inverted": 2 - ask_above}.get(kind, ask_above**2)


def _rates(mean: float, likeness: float, people: int, random: np.random.Generator) -> np.ndarray:
    """Draw every person's rate: beta, so that clips of one person correlate by `likeness`."""
    if not likeness:
        return np.full(people, mean)
    size = 1 / likeness - 1
    return random.beta(mean * size, (1 - mean) * size, size=people)


def _told(found: list[tuple[float, bool]]) -> Row:
    coverage, broken = np.array(found, float).T
    return {
        "broken": float(broken.mean()),
        "coverage": float(coverage.mean()),
        "always_asks": float((coverage == 0).mean()),
    }


def _softmax(logits: np.ndarray) -> np.ndarray:
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


def _mean_over_people(logits: np.ndarray, spread: float) -> np.ndarray:
    """Return the chances that hold for a clip of any person: the mean over people (Gauss-Hermite, 9 points)."""
    points, weights = np.polynomial.hermite_e.hermegauss(9)
    return sum(w * _softmax(np.exp(spread * x) * logits) for x, w in zip(points, weights / weights.sum(), strict=True))


def _binned_error(confidence: np.ndarray, right: np.ndarray, bins: int = 15) -> float:
    edges = np.unique(np.sort(confidence)[np.arange(1, bins) * confidence.size // bins])
    place = np.searchsorted(edges, confidence, side="right")
    return float(np.abs(np.bincount(place, right - confidence)).sum() / len(right))


PARTS = {
    "risk": risk,
    "subjects": subjects,
    "slices": slices,
    "calibration error": calibration_error,
    "temperature": temperature,
}

if __name__ == "__main__":
    main()
