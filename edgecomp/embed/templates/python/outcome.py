"""What the model says of a recording: an answer, or that the teacher is to be asked."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Union

import numpy as np

from .facts import Facts
from .form import FormAnswer


@dataclass(frozen=True)
class Answer:
    """The model is sure enough: its label.

    probability:   that of the label
    probabilities: of each label, in the order of LABELS
    uncertainty:   0 where it is sure
    """

    label: str
    probability: float
    probabilities: tuple[float, ...]
    uncertainty: float


@dataclass(frozen=True)
class AskTeacher:
    """The recording is to be left to the teacher, or to a person.

    reason:     "unsure", "always" (the bundle leaves every recording to the teacher) or "not a number"
    best_guess: what the model would answer by itself
    """

    reason: str
    best_guess: str
    probability: float
    probabilities: tuple[float, ...]
    uncertainty: float


Outcome = Union[Answer, AskTeacher]  # noqa: UP007  evaluated, and Python 3.9 knows no other way


def decide(facts: Facts, probabilities: np.ndarray, uncertainty: float) -> Outcome:
    """Return the bundle's decision.

    probabilities: (labels,) float32
    """
    given = np.asarray(probabilities, np.float32)
    if not (np.isfinite(given).all() and math.isfinite(uncertainty)):
        reason = "not a number"
    elif facts.ask_above is None:
        reason = "always"
    else:
        reason = "unsure" if uncertainty > facts.ask_above else ""
    if facts.threshold is None:
        best = int(np.argmax(np.where(np.isnan(given), -np.inf, given)))
    else:
        positive = facts.labels.index(str(facts.positive))
        best = positive if given[positive] >= np.float32(facts.threshold) else 1 - positive
    told = (facts.labels[best], float(given[best]), tuple(float(p) for p in given), float(uncertainty))
    return AskTeacher(reason, *told) if reason else Answer(*told)


def as_row(facts: Facts, outcome: Outcome, answers: Mapping[str, FormAnswer] | None = None) -> dict[str, Any]:
    """Return an outcome as one JSON object; figures have six places, and one that is no number is null.

    answers: to the form, as check_answers gives them; they stand beside the outcome, and have no part in it
    """
    asks = isinstance(outcome, AskTeacher)
    row = {
        "label": outcome.best_guess if isinstance(outcome, AskTeacher) else outcome.label,
        "probability": _figure(outcome.probability),
        "probabilities": {name: _figure(outcome.probabilities[i]) for i, name in enumerate(facts.labels)},
        "uncertainty": _figure(outcome.uncertainty),
        "ask": asks,
        "reason": outcome.reason if isinstance(outcome, AskTeacher) else None,
        "bundle": facts.bundle,
        "version": facts.version,
    }
    return row if answers is None else {**row, "answers": dict(answers)}


def _figure(value: float) -> float | None:
    return round(value, 6) if math.isfinite(value) else None
