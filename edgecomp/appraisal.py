"""The audit of one model against its teacher on some clips: for whom it lost, when it asks, how it fares outside the lab."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from edgecomp.audit import costs as money
from edgecomp.audit.calibration import brier_interval, calibration_error_interval
from edgecomp.audit.deferral import (
    Threshold,
    disagreements_caught,
    foreign_auroc,
    risk_coverage,
    with_teacher,
)
from edgecomp.audit.deferral_rates import deferral_rates
from edgecomp.audit.forgetting import Forgotten, by_disagreement, exemplars, inherited_errors
from edgecomp.audit.intervals import difference, pairs, share, subject_numbers
from edgecomp.audit.slice_sets import Clips, Slice, slices_of
from edgecomp.audit.slices import Answers, SliceTable, audit_slices
from edgecomp.data.corruptions import CORRUPTIONS, corrupt, refusal
from edgecomp.data.foreign import FOREIGN, foreign_sounds
from edgecomp.data.manifest import Clip
from edgecomp.metrics import gives_labels_only, reliability
from edgecomp.progress import track
from edgecomp.recipe import Deferral
from edgecomp.students.ending import Ending, softmax

TEACHER = "teacher"
OUTSIDE_CLIPS = 120
"""Test clips that are heard under every corruption: enough for an interval of a few points, and seconds of work."""
LISTED = 12
"""Forgotten clips that are listed, with their sound."""

Ask = Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]
"""Waveforms (n, samples) to probabilities (n, classes) and uncertainties (n,); a teacher's uncertainties are not read."""


@dataclass(frozen=True)
class Case:
    """Clips, and what every model answered to them: by model, the teacher first where there is one.

    clips, waves, length_s: in the same order; length_s is the recording's, before it was cut or padded
    positive:   the class number to find, of two; None for more
    thresholds: of two labels, by model: each model's own, fitted on the validation split
    shipped:    the model that is judged
    uncertainty, ending: the shipped model's
    train_counts: (classes,) training clips of each label
    """

    labels: tuple[str, ...]
    clips: Sequence[Clip]
    targets: np.ndarray
    waves: np.ndarray
    length_s: np.ndarray
    sample_rate: int
    answers: Mapping[str, np.ndarray]
    shipped: str
    uncertainty: np.ndarray
    ending: Ending
    train_counts: np.ndarray | None = None
    positive: int | None = None
    thresholds: Mapping[str, float] | None = None

    @cached_property
    def subjects(self) -> list[str | None] | None:
        """Return each clip's subject, or None where no clip has one."""
        names = [clip.subject for clip in self.clips]
        return names if any(names) else None

    def decide(self, model: str, probabilities: np.ndarray) -> np.ndarray:
        """Return the class numbers that a model's probabilities lead to, (n,)."""
        if self.positive is None:
            return probabilities.argmax(1)
        found = probabilities[:, self.positive] >= (self.thresholds or {})[model]
        return np.where(found, self.positive, 1 - self.positive)

    @cached_property
    def decided(self) -> dict[str, np.ndarray]:
        """Return every model's decisions."""
        return {model: self.decide(model, given) for model, given in self.answers.items()}

    @cached_property
    def slices(self) -> tuple[Slice, ...]:
        """Return the slices of these clips."""
        columns = sorted({name for clip in self.clips for name in clip.groups})
        power = np.mean(np.square(self.waves, dtype=np.float64), axis=1)
        return slices_of(
            Clips(
                self.targets,
                self.labels,
                {column: [clip.groups.get(column) for clip in self.clips] for column in columns},
                self.subjects,
                self.answers[TEACHER],
                self.length_s,
                10 * np.log10(np.maximum(power, 1e-12)),
                self.train_counts,
            )
        )


def slice_table(case: Case, margin: float) -> SliceTable:
    """Compare the shipped model with the teacher on every slice.

    A teacher that gives labels only has no scores, and so no AUROC: that of its labels would be another figure.
    """
    scores = None
    if case.positive is not None:
        scores = {
            model: given[:, case.positive] for model, given in case.answers.items() if not gives_labels_only(given)
        }
    places = np.arange(len(case.targets))
    sureness = {model: given[places, case.targets] for model, given in case.answers.items()}
    answers = Answers(case.decided, case.targets, case.subjects, case.positive, scores, sureness)
    return audit_slices(answers, case.slices, shipped=case.shipped, margin=margin)


def forgotten(case: Case, replicates: np.ndarray | None) -> dict[str, Any]:
    """List the clips on which the student left its teacher, the furthest first.

    replicates: (K, n) decisions of students from other seeds; None where there are none
    """
    teacher = case.decided[TEACHER]
    found: Forgotten = (
        by_disagreement(case.answers[TEACHER], case.answers[case.shipped])
        if replicates is None
        else exemplars(np.vstack([case.decided[case.shipped], replicates]), teacher, len(case.labels))
    )
    if replicates is None:  # what was decided, which for two labels is not the most probable one
        ours = case.decided[case.shipped]
        found = replace(found, is_forgotten=ours != teacher, student_answer=ours, teacher_answer=teacher)
    rows = [int(row) for row in found.order if found.is_forgotten[row]]
    return {
        "method": found.method,
        "is_weak": found.is_weak,
        "replicates": 0 if replicates is None else len(replicates) + 1,
        "share": share(found.is_forgotten, case.subjects),
        "clips": [
            _forgotten_row(case, found, row) | {"sound": f"forgotten/{place:02d}.flac"}
            for place, row in enumerate(rows[:LISTED])
        ],
    }


def _forgotten_row(case: Case, found: Forgotten, row: int) -> dict[str, Any]:
    clip = case.clips[row]
    told = {
        model: {"label": case.labels[case.decided[model][row]], "probability": float(given[row].max())}
        for model, given in case.answers.items()
    }
    return {
        "row": row,
        "path": clip.path,
        "label": clip.label,
        "subject": clip.subject,
        "groups": clip.groups,
        "distance": float(found.distance[row]),
        "students": case.labels[found.student_answer[row]],
        "answers": told,
    }


def inherited(case: Case) -> dict[str, Any]:
    """Share out the errors of the teacher and of the shipped model."""
    return asdict(inherited_errors(case.decided[case.shipped], case.decided[TEACHER], case.targets, case.subjects))


def calibration(case: Case) -> dict[str, Any]:
    """Hold the shipped model's probabilities against the truth, before and after its ending was fitted."""
    after = case.answers[case.shipped].astype(np.float64)
    shift = np.array(case.ending.shift) if case.ending.shift else 0.0
    before = softmax((np.log(np.maximum(after, 1e-30)) - shift) / case.ending.scale)
    told: dict[str, Any] = {"scale": case.ending.scale, "shift": case.ending.shift}
    for name, given in (("before", before), ("after", after)):
        told[name] = {
            "calibration_error": calibration_error_interval(given, case.targets, subjects=case.subjects),
            "brier": brier_interval(given, case.targets, case.subjects),
            "reliability": [
                {
                    "confidence": one.confidence,
                    "accuracy": one.accuracy.value,
                    "low": one.accuracy.low,
                    "high": one.accuracy.high,
                }
                for one in reliability(given, case.targets)
            ],
        }
    return told


def deferral(case: Case, threshold: Threshold, given: Deferral, ask: Ask, other: np.ndarray | None) -> dict[str, Any]:
    """Say what the threshold does on these clips: who is asked about, what it promises and keeps, what it costs.

    ask:   the shipped model
    other: another task's clips, (m, samples), as foreign sounds; None where there are none
    """
    asked = threshold.asks(case.uncertainty)
    ours, teachers = case.decided[case.shipped], case.decided[TEACHER]
    right, teacher_right = ours == case.targets, teachers == case.targets
    curve = risk_coverage(case.uncertainty, ~right)
    rates = deferral_rates(asked, {one.name: one.members for one in case.slices}, case.subjects)
    prices = None
    if given.teacher_call_cost is not None and given.local_call_cost is not None:
        prices = money.Costs(given.teacher_call_cost, given.local_call_cost, given.compile_cost, given.currency)
    others = {name: way for name, way in money.asked_at(case.uncertainty).items() if not np.array_equal(way, asked)}
    table = money.cost_table(asked, right, teacher_right, prices, others=others, subjects=case.subjects)
    return {
        **asdict(threshold),
        "text": _said(threshold, asked, right),
        "rule": "always" if threshold.ask_above is None else "uncertainty",
        "test": {
            "coverage": share(~asked, case.subjects),
            "risk": None if asked.all() else share(~right[~asked], _of(case.subjects, ~asked)),
            "with_teacher": with_teacher(asked, right, teacher_right, case.subjects),
            "caught": disagreements_caught(asked, ours, teachers),
        },
        "curve": {"coverage": curve.coverage, "risk": curve.risk, "area": curve.area},
        "rates": [asdict(rate) for rate in rates],
        "foreign": _foreign(case, threshold, ask, other),
        "costs": {"unit": table.unit, "note": table.note, "rows": [asdict(row) for row in table.rows]},
    }


def _said(threshold: Threshold, asked: np.ndarray, right: np.ndarray) -> str:
    """Say in a sentence what the threshold does on these clips."""
    if threshold.ask_above is None:
        return f"It leaves every clip to the teacher: {threshold.note}"
    wrong = f"of those answers {(~right[~asked]).mean():.1%} are wrong" if not asked.all() else "here it answers none"
    return f"It answers {(~asked).mean():.1%} of the test clips by itself and asks about the others; {wrong}".replace(
        "%", " %"
    )


def _foreign(case: Case, threshold: Threshold, ask: Ask, other: np.ndarray | None) -> list[dict[str, Any]]:
    """Ask about sounds that are none of the task's."""
    made = foreign_sounds(case.waves, case.sample_rate, other=other)
    told = []
    for name, sounds in track(made.items(), "asking about foreign sounds", len(made)):
        _, unsure = ask(sounds)
        told.append(
            {
                "name": name,
                "text": FOREIGN[name],
                "auroc": foreign_auroc(case.uncertainty, unsure),
                "asked": share(threshold.asks(unsure)),
            }
        )
    return told


def outside(case: Case, teacher: Ask, ask: Ask) -> dict[str, Any]:
    """Ask teacher and shipped model about corrupted clips, side by side.

    returns: a row for each corruption, "as recorded" first, and what could not be applied here
    """
    rows = np.sort(np.random.default_rng(0).permutation(len(case.targets))[:OUTSIDE_CLIPS])
    waves, targets, people = np.array(case.waves[rows]), case.targets[rows], _of(case.subjects, rows)
    numbers = subject_numbers(people)
    refused = {one.name: refusal(one) for one in CORRUPTIONS}
    able = [one for one in CORRUPTIONS if refused[one.name] is None]
    told = []
    for one in track([None, *able], "listening outside the lab", len(able) + 1):
        if one is None:
            name, text = "as recorded", "The clips as they are."
            given = {model: case.answers[model][rows] for model in (TEACHER, case.shipped)}
        else:
            name, text = one.name, one.text
            heard = corrupt(waves, one, case.sample_rate)
            given = {TEACHER: teacher(heard)[0], case.shipped: ask(heard)[0]}
        right = {model: case.decide(model, answers) == targets for model, answers in given.items()}
        counted = pairs(right[case.shipped], right[TEACHER], numbers)
        told.append(
            {
                "name": name,
                "text": text,
                "teacher": share(right[TEACHER], numbers),
                "ships": share(right[case.shipped], numbers),
                "difference": difference(counted),
            }
        )
    return {
        "clips": len(rows),
        "rows": told,
        "skipped": [{"name": name, "why": why} for name, why in refused.items() if why is not None],
    }


def _of(names: Sequence[Any] | None, rows: np.ndarray) -> list[Any] | None:
    return None if names is None else [names[row] for row in np.arange(len(names))[rows]]
