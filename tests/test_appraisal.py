"""The audit of one model on some clips, put together from its parts: planted losses are named, bad input has a rule."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from edgecomp import appraisal
from edgecomp.appraisal import TEACHER, Case
from edgecomp.artifact import to_json
from edgecomp.audit.deferral import choose_threshold
from edgecomp.data.rows import Clip
from edgecomp.recipe import Deferral
from edgecomp.students.ending import Ending

LABELS = ("down", "left", "up")
RATE = 8000


def _answers(targets: np.ndarray, wrong: np.ndarray, sure: float = 0.9) -> np.ndarray:
    """Return probabilities that are right but for the clips that are wrong."""
    decided = np.where(wrong, (targets + 1) % len(LABELS), targets)
    return np.where(np.eye(len(LABELS))[decided] > 0, sure, (1 - sure) / 2).astype(np.float32)


def case(n: int = 300, *, harmed: str | None = None, seed: int = 0, subjects: bool = False) -> Case:
    """Make a case of three labels; a harmed place's clips are answered wrongly by half."""
    rng = np.random.default_rng(seed)
    targets = rng.integers(0, 3, n)
    places = np.array(["hall", "street", "yard"])[rng.integers(0, 3, n)]
    clips = tuple(
        Clip(
            path=f"{row}.wav",
            label=LABELS[target],
            split="test",
            subject=f"P{row % 30}" if subjects else None,
            groups={"place": str(places[row])},
        )
        for row, target in enumerate(targets)
    )
    wrong = rng.random(n) < 0.05
    student_wrong = wrong | ((places == harmed) & (rng.random(n) < 0.5))
    uncertainty = np.where(student_wrong, rng.uniform(0.3, 0.6, n), rng.uniform(0, 0.4, n)).astype(np.float32)
    return Case(
        labels=LABELS,
        clips=clips,
        targets=targets,
        waves=(0.1 * rng.standard_normal((n, 800))).astype(np.float32),
        length_s=rng.uniform(0.1, 2, n),
        sample_rate=RATE,
        answers={
            TEACHER: _answers(targets, wrong),
            "distilled": _answers(targets, wrong),
            "int8": _answers(targets, student_wrong, 0.8),
        },
        shipped="int8",
        uncertainty=uncertainty,
        ending=Ending(1.5),
        train_counts=np.array([100, 100, 20]),
    )


def test_a_planted_loss_is_named_first_under_all_clips():
    rows = [row for row in appraisal.slice_table(case(harmed="street"), 0.03).rows if row.kind != "all"]
    assert rows[0].slice == "place: street" and rows[0].verdict == "lost"
    assert rows[0].values["distilled"].value == rows[0].values[TEACHER].value > rows[0].values["int8"].value + 0.3


def test_without_a_planted_loss_nothing_is_lost():
    lost = [
        sum(row.verdict == "lost" for row in appraisal.slice_table(case(seed=seed), 0.03).rows) for seed in range(10)
    ]
    assert sum(lost) == 0


def test_labels_groups_lengths_loudness_and_subjects_are_slices():
    kinds = {one.kind for one in case(n=900, subjects=True).slices}
    assert kinds >= {"all", "class", "group", "class × group", "length", "loudness", "subject"}


def binary_case(n: int = 400) -> tuple[Case, np.ndarray]:
    """Make a case of two labels, and the scores of both models; each decides by a threshold of its own."""
    rng = np.random.default_rng(1)
    targets = (rng.random(n) < 0.4).astype(np.int64)
    scores = np.clip(0.5 * targets + rng.uniform(0, 0.6, n), 0, 1)
    given = np.stack([1 - scores, scores], 1).astype(np.float32)
    base = case(n=n)
    clips = tuple(replace(clip, label=("no", "yes")[target]) for clip, target in zip(base.clips, targets, strict=True))
    made = replace(
        base,
        labels=("no", "yes"),
        clips=clips,
        targets=targets,
        answers={TEACHER: given, "int8": given},
        train_counts=None,
        positive=1,
        thresholds={TEACHER: 0.5, "int8": 0.4},
    )
    return made, scores


def test_binary_tasks_are_judged_by_sensitivity_specificity_and_auroc():
    two, scores = binary_case()
    targets = two.targets
    rows = appraisal.slice_table(two, 0.03).rows
    assert {row.metric for row in rows} == {"sensitivity", "specificity", "AUROC"}
    found = {row.metric: row for row in rows if row.kind == "all"}
    assert found["sensitivity"].values["int8"].value == (scores[targets == 1] >= 0.4).mean()
    assert found["sensitivity"].values[TEACHER].value == (scores[targets == 1] >= 0.5).mean()
    assert found["AUROC"].difference.value == 0
    listed = appraisal.forgotten(two, None)["clips"]
    assert listed and all(0.4 <= scores[clip["row"]] < 0.5 for clip in listed), (
        "each model decides by its own threshold"
    )


def test_forgotten_clips_carry_every_models_answer_and_replicates_make_them_stronger():
    one = case(harmed="street")
    alone = appraisal.forgotten(one, None)
    assert alone["is_weak"] and alone["replicates"] == 0
    again = np.stack([one.decided["int8"]] * 2)
    strong = appraisal.forgotten(one, again)
    assert not strong["is_weak"] and strong["replicates"] == 3 and len(strong["clips"]) == appraisal.LISTED
    clip = strong["clips"][0]
    assert set(clip["answers"]) == {TEACHER, "distilled", "int8"} and clip["groups"]["place"] == "street"
    assert clip["students"] == clip["answers"]["int8"]["label"] != clip["answers"][TEACHER]["label"]


def test_calibration_before_is_what_the_logits_said():
    rng = np.random.default_rng(0)
    logits, one = rng.normal(0, 2, (300, 3)), case()
    ending = Ending(0.4, (0.1, 0.0, -0.3))
    shown = replace(one, answers=one.answers | {"int8": ending(logits)[0]}, ending=ending)
    told = appraisal.calibration(shown)
    plain = appraisal.brier_interval(Ending()(logits)[0], one.targets, None)
    assert told["before"]["brier"].value == pytest.approx(plain.value, abs=1e-5)
    assert told["after"]["brier"].value != pytest.approx(plain.value, abs=1e-3)


@pytest.mark.parametrize(
    "costs", [{}, {"teacher_call_cost": 2.0, "local_call_cost": 0.01, "compile_cost": 50, "currency": "EUR"}]
)
def test_deferral_says_who_is_asked_about_and_what_it_costs(costs):
    one = case(n=900, harmed="street")
    wrong = one.decided["int8"] != one.targets
    threshold = choose_threshold(one.uncertainty, wrong, 0.1)

    def ask(waves: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return np.full((len(waves), 3), 1 / 3), np.full(len(waves), 0.66)

    told = appraisal.deferral(one, threshold, Deferral(max_risk=0.1, **costs), ask, None)
    assert told["rule"] == "uncertainty" and told["test"]["risk"].value <= 0.1
    assert [rate["name"] for rate in told["rates"] if rate["is_above"]] == ["place: street"] or any(
        "street" in rate["name"] for rate in told["rates"] if rate["is_above"]
    )
    assert all(row["auroc"].value > 0.9 and row["asked"].value == 1 for row in told["foreign"])
    paid = next(row for row in told["costs"]["rows"] if row["name"] == "everything local")["paid_after"]
    assert (paid == 26) == bool(costs) and told["costs"]["unit"] == (costs.get("currency") or "teacher calls")
    to_json(told)


def test_outside_the_lab_stands_beside_the_clips_as_they_are():
    one = case(n=60)

    def right(waves: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return one.answers[TEACHER][: len(waves)], np.zeros(len(waves))

    told = appraisal.outside(one, right, right)
    assert told["rows"][0]["name"] == "as recorded" and told["clips"] == 60 and len(told["rows"]) > 10
    assert told["rows"][0]["teacher"].value == float((one.decided[TEACHER] == one.targets).mean())
    assert {row["difference"].value for row in told["rows"][1:]} == {0.0}


def test_all_answers_equal_and_one_clip_are_judged_by_the_stated_rules():
    one = case(n=40)
    same = np.tile(np.float32([0.2, 0.5, 0.3]), (40, 1))
    dull = replace(one, answers={TEACHER: same, "int8": same}, uncertainty=np.full(40, 0.5, np.float32))
    table = appraisal.slice_table(dull, 0.03)
    assert all(row.difference.value == 0 and row.verdict in ("kept", "unclear", "too small") for row in table.rows)
    assert appraisal.forgotten(dull, None)["clips"] == []
    alone = replace(
        one,
        clips=one.clips[:1],
        targets=one.targets[:1],
        waves=one.waves[:1],
        length_s=one.length_s[:1],
        answers={name: given[:1] for name, given in one.answers.items()},
        uncertainty=one.uncertainty[:1],
    )
    assert {row.verdict for row in appraisal.slice_table(alone, 0.03).rows} == {"too small"}


def test_a_teacher_that_gives_labels_only_is_audited_by_its_decisions():
    one = case(harmed="street")
    hard = np.eye(3, dtype=np.float32)[one.decided[TEACHER]]
    plain = replace(one, answers=one.answers | {TEACHER: hard})
    assert "teacher unsure" not in {row.kind for row in plain.slices}, "it is equally sure of everything"
    first = next(row for row in appraisal.slice_table(plain, 0.03).rows if row.kind != "all")
    assert first.slice == "place: street" and first.verdict == "lost"
    assert appraisal.forgotten(plain, None)["clips"] and appraisal.inherited(plain)["teacher_errors"] > 0
    to_json(appraisal.calibration(plain))


def test_a_teacher_of_two_labels_that_gives_labels_only_has_no_auroc_to_be_held_against():
    one, _ = binary_case()
    hard = np.eye(2, dtype=np.float32)[one.decided[TEACHER]]
    plain = replace(one, answers=one.answers | {TEACHER: hard}, thresholds={**one.thresholds, TEACHER: 0.5})
    assert {row.metric for row in appraisal.slice_table(one, 0.05).rows} == {"sensitivity", "specificity", "AUROC"}
    rows = appraisal.slice_table(plain, 0.05).rows
    assert {row.metric for row in rows} == {"sensitivity", "specificity"}
    assert {(row.slice, row.metric): row.difference for row in rows} == {
        (row.slice, row.metric): row.difference
        for row in appraisal.slice_table(one, 0.05).rows
        if row.metric != "AUROC" and row.kind != "teacher unsure"
    }


def test_a_label_without_test_clips_has_no_row_and_a_missing_group_value_is_one():
    one = case()
    kept = np.flatnonzero(one.targets != 2)
    clips = tuple(replace(one.clips[row], groups={"place": None} if row % 3 else one.clips[row].groups) for row in kept)
    few = replace(
        one,
        clips=clips,
        targets=one.targets[kept],
        waves=one.waves[kept],
        length_s=one.length_s[kept],
        answers={model: given[kept] for model, given in one.answers.items()},
        uncertainty=one.uncertainty[kept],
    )
    names = {row.slice for row in appraisal.slice_table(few, 0.03).rows}
    assert "label: up" not in names and {"label: down", "place: not stated"} <= names
    to_json([appraisal.calibration(few), appraisal.forgotten(few, None), appraisal.inherited(few)])
