"""Simulated students and teachers whose truth is known, for audit_simulations.py."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from statistics import NormalDist

import numpy as np

from edgecomp.audit.intervals import Pairs

SIZES = ((20, 20), (20, 200), (40, 40), (100, 100), (60, 600), (300, 300))
"""Positive and negative clips."""
HOWS = ("blurred", "strong and blurred", "forgets a few")


def independent(random: np.random.Generator, cases: int, n: int, discordance: float, truth: float) -> list[Pairs]:
    """Draw students who gain and lose clips independently."""
    gained, lost = (discordance + truth) / 2, (discordance - truth) / 2
    if gained < -1e-12:
        gained, lost = 0.0, -truth
    both = 0.8 * (1 - gained - lost)
    counts = random.multinomial(n, [both, max(gained, 0.0), lost, 1 - both - max(gained, 0.0) - lost], size=cases)
    return [Pairs(*row.reshape(4, 1), is_by_subject=False) for row in counts]


def clustered(
    random: np.random.Generator, cases: int, crowd: tuple[int, int], discordance: float, truth: float, likeness: float
) -> list[Pairs]:
    """Draw students who gain and lose with chances that differ by subject, alike within one to this degree."""
    subjects, each = crowd
    chances = (max(0.0, (discordance + truth) / 2), (discordance - truth) / 2)
    gains, losses = (alike(random, (cases, subjects), chance, likeness) for chance in chances)
    lost = random.binomial(each, losses)
    gained = random.binomial(each - lost, np.minimum(1.0, gains / (1 - chances[1])))
    both = random.binomial(each - lost - gained, 0.8)
    neither = each - lost - gained - both
    return [Pairs(*rows, is_by_subject=True) for rows in zip(both, gained, lost, neither, strict=True)]


def alike(random: np.random.Generator, shape: tuple[int, ...], chance: float, likeness: float) -> np.ndarray:
    """Draw subjects' chances from a beta distribution with this mean and intraclass correlation."""
    if likeness == 0 or chance == 0:
        return np.full(shape, chance)
    size = 1 / likeness - 1
    return random.beta(chance * size, (1 - chance) * size, size=shape)


def areas() -> Iterator[tuple[float, str, tuple[int, int], int | None]]:
    """Give margins, kinds of students, positive and negative clips, and subjects."""
    for margin, how, size in product((0.03, 0.05, 0.1), HOWS, SIZES):
        yield margin, how, size, None
    for margin, how, subjects in product((0.05, 0.1), ("blurred", "forgets a few"), (10, 40)):
        yield margin, how, (200, 200), subjects


def teacher_area(how: str) -> float:
    """Return the area of the teacher that goes with a kind of student."""
    return 0.95 if how.startswith("strong") else 0.85


def scores(
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
    best = best or teacher_area(how)
    teacher = noise[0] + np.sqrt(2) * normal.inv_cdf(best) * is_positive
    if how == "forgets a few":
        forgotten = is_positive & (random.random(n) < margin / (best - 0.5))
        student = np.where(forgotten, noise[1], teacher) + 1e-3 * random.standard_normal(n)
    else:
        student = 0.95 * noise[0] + np.sqrt(1 - 0.95**2) * noise[1]
        student = student + np.sqrt(2) * normal.inv_cdf(best - margin) * is_positive
    return student, teacher, is_positive, people
