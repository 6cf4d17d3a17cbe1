"""What a card says of distillation is computed from the rows: the interval, and who won or that nobody did."""

import json

import numpy as np
import pytest

from benchmarks.distillation_telling import T_95, difference, earned, seeds_of, summary


def _rows(teacher: list[float], labels: list[float], **more: object) -> list[dict]:
    pairs = zip(teacher, labels, strict=True)
    return [
        {
            "recipe": "tones",
            "labelled": 1.0,
            "seed": seed,
            "teacher": {"test_accuracy": ours, "test_log_loss": 1 - ours},
            "labels": {"test_accuracy": theirs, "test_log_loss": 1 - theirs},
        }
        | more
        for seed, (ours, theirs) in enumerate(pairs)
    ]


def test_the_interval_is_students_paired_t():
    stats = pytest.importorskip("scipy.stats")
    rng = np.random.default_rng(0)
    for seeds in T_95:
        ours, theirs = rng.uniform(0.6, 1, seeds), rng.uniform(0.6, 1, seeds)
        wanted = stats.ttest_rel(ours, theirs).confidence_interval(0.95)
        found = difference(_rows(list(ours), list(theirs)))
        assert (found["low"], found["high"]) == pytest.approx((wanted.low, wanted.high), abs=2e-4)


@pytest.mark.parametrize(
    "teacher, labels, said",
    [
        ([0.9, 0.91, 0.92], [0.8, 0.81, 0.815], "**the teacher wins**"),
        ([0.8, 0.81, 0.815], [0.9, 0.91, 0.92], "**labels alone win**"),
        ([0.9, 0.8, 0.85], [0.85, 0.85, 0.85], "no difference shown"),
    ],
)
def test_a_card_says_who_won_in_accuracy_and_in_loss(tmp_path, teacher, labels, said):
    rows = _rows(teacher, labels, widths=[4, 8])
    file = tmp_path / "distillation-tones-small.jsonl"
    file.write_text("\n".join(map(json.dumps, [*rows, summary(rows)])))
    told = earned("tones", tmp_path)
    assert told.count(said) == 2 and "3 seeds" in told and "widths 4, 8" in told and "all training clips" in told
    assert seeds_of(file) == rows


def test_a_card_lists_scarce_labels_after_all_labels_and_says_nothing_without_rows(tmp_path):
    for name, labelled in (("a", 0.25), ("b", 1.0)):
        rows = _rows([0.9, 0.8], [0.7, 0.7], labelled=labelled)
        (tmp_path / f"distillation-tones-{name}.jsonl").write_text("\n".join(map(json.dumps, rows)))
    told = earned("tones", tmp_path)
    assert told.index("all training clips") < told.index("25% of the training clips")
    assert earned("words", tmp_path) == ""


def test_the_rows_that_are_kept_can_all_be_told():
    from pathlib import Path

    results = Path(__file__).parents[1] / "benchmarks" / "results"
    told = [earned(task, results) for task in ("wakewords", "sounds")]
    assert all("difference" in paragraph and "all training clips" in paragraph for paragraph in told)
