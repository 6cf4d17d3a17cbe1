"""How a student learns: the settings of a training, checked before any work."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Schedule:
    """How long and how fast to learn.

    epochs:   passes in which every clip is heard once, each time as another view
    patience: epochs without a better validation score before stopping early, at the best one; 0: the last epoch is kept,
              where the cosine has come to rest. The best of all epochs by a small split is partly luck: chosen by one
              half of the validation subjects it was 1 to 2 points behind the last epoch on the other half (`sounds`)
    mask:     share of the time and of the mel axis that one random stripe each may hide from the student
              (Park et al. 2019, arXiv:1904.08779)
    """

    epochs: int
    batch: int
    learning_rate: float
    weight_decay: float
    patience: int = 0
    mask: float = 0.0


@dataclass(frozen=True)
class Objective:
    """What the student is pulled towards.

    label_weight: 1 for labels alone, 0 for the teacher alone
    temperature:  softens both sides of the teacher's part, which is scaled by its square
    source:       Hinton et al. 2015, arXiv:1503.02531
    """

    label_weight: float
    temperature: float


def unfit(objective: Objective, schedule: Schedule) -> str | None:
    """Return why nothing can be learnt so, or None."""
    rules = {
        "label_weight": (objective.label_weight, 0 <= objective.label_weight <= 1, "from 0 to 1"),
        "temperature": (objective.temperature, 0 < objective.temperature < math.inf, "above 0"),
        "epochs": (schedule.epochs, schedule.epochs >= 1, "1 or more"),
        "batch": (schedule.batch, schedule.batch >= 1, "1 or more"),
        "learning_rate": (schedule.learning_rate, 0 < schedule.learning_rate < math.inf, "above 0"),
        "weight_decay": (schedule.weight_decay, 0 <= schedule.weight_decay < math.inf, "0 or more"),
        "patience": (schedule.patience, schedule.patience >= 0, "0 or more"),
        "mask": (schedule.mask, 0 <= schedule.mask <= 1, "from 0 to 1"),
    }
    return next(
        (f"{name} is {value}, and must be {allowed}" for name, (value, is_so, allowed) in rules.items() if not is_so),
        None,
    )
