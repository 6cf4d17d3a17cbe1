"""slice_sets and slices: which slices there are, how rows are made, judged, corrected and ordered, and bad input."""

import json
import time
from dataclasses import replace

import numpy as np
import pytest

from edgecomp import metrics
from edgecomp.artifact import to_json
from edgecomp.audit import slices as slices_module
from edgecomp.audit.noninferiority import VERDICTS, holm
from edgecomp.audit.slice_sets import Clips, Slice, slices_of
from edgecomp.audit.slices import Answers, audit_slices, lost_slices
from edgecomp.errors import InputError

LABELS = ["yes", "no", "go"]
PEOPLE = 24


def some_clips(n=720, seed=0):
    random = np.random.default_rng(seed)
    sureness = random.permutation(np.linspace(0.4, 0.99, n))
    return Clips(
        targets=np.arange(n) % 3,
        labels=LABELS,
        groups={"accent": [("scotland", "en-us", "received")[at] for at in random.integers(0, 3, n)]},
        subjects=[f"P{at:03}" for at in random.integers(0, PEOPLE, n)],
        teacher_answers=np.stack([sureness, 1 - sureness, np.zeros(n)], axis=1),
        length_s=random.uniform(0.5, 1.5, n),
        loudness_db=random.uniform(-50, -10, n),
        train_counts=[100, 100, 30],
    )


def some_answers(clips, share_wrong=0.05, seed=1, lost_on=None, share_lost=0.4):
    """A teacher, and a student that is right where it is, but for a share of the clips of one slice."""
    random, targets = np.random.default_rng(seed), np.asarray(clips.targets)
    teacher = np.where(random.random(targets.size) < share_wrong, (targets + 1) % 3, targets)
    student = np.where(
        (random.random(targets.size) < share_lost) & (lost_on if lost_on is not None else False),
        (targets + 2) % 3,
        teacher,
    )
    return Answers({"teacher": teacher, "float": teacher, "int8": student}, targets, clips.subjects)


def by_name(table, metric="accuracy"):
    return {row.slice: row for row in table.rows if row.metric == metric}


def test_the_slices_have_names_that_anyone_can_read():
    names = {one.kind: [] for one in slices_of(some_clips())}
    for one in slices_of(some_clips()):
        names[one.kind].append(one.name)
    assert list(names) == ["all", "class", "group", "class × group", "teacher unsure", "length", "loudness", "subject"]
    assert names["class"] == ["label: yes", "label: no", "label: go"]
    assert names["group"] == ["accent: en-us", "accent: received", "accent: scotland"]
    assert "label: yes, accent: scotland" in names["class × group"]
    assert names["teacher unsure"] == ["the teacher is unsure"]
    assert names["length"] == ["shortest third", "third of middle length", "longest third"]
    assert names["loudness"][0] == "quietest third" and "subject: P003" in names["subject"]


def test_rare_classes_are_those_with_less_than_half_the_median_in_training():
    clips = replace(some_clips(), train_counts=[100, 49, 49.9], labels=LABELS)
    assert not [one for one in slices_of(clips) if one.kind == "rare classes"]  # the median is 49.9
    two = replace(
        clips, targets=np.arange(720) % 5, labels=[*LABELS, "up", "left"], train_counts=[100, 100, 90, 40, 30]
    )
    (rare,) = [one for one in slices_of(two) if one.kind == "rare classes"]
    assert rare.name == "rare labels: up, left" and rare.members.sum() == 288


def test_two_slices_with_the_same_clips_are_listed_once_under_the_simpler_kind():
    clips = some_clips()
    echo = ["as " + LABELS[target] for target in np.asarray(clips.targets)]
    found = slices_of(replace(clips, groups={"source": echo, "site": ["one clinic"] * 720}))
    assert not [one for one in found if one.kind in ("group", "class × group", "rare classes")]
    sets = [one.members.tobytes() for one in found if one.kind != "subject"]
    assert len(sets) == len(set(sets))


def test_a_missing_group_value_is_a_value_of_its_own():
    clips = replace(some_clips(), groups={"sex": [None, "", "f", "m"] * 180})
    members = {one.name: one.members for one in slices_of(clips)}
    assert members["sex: not stated"].sum() == 360 and members["sex: f"].sum() == 180


def test_bins_are_left_out_where_nothing_varies_or_nothing_is_known():
    clips = replace(
        some_clips(), length_s=np.ones(720), loudness_db=None, teacher_answers=np.eye(3)[np.arange(720) % 3]
    )
    assert not [one for one in slices_of(clips) if one.kind in ("length", "loudness", "teacher unsure")]
    silence = replace(clips, loudness_db=np.where(np.arange(720) < 400, -np.inf, np.linspace(-60, -10, 720)))
    thirds = [one for one in slices_of(silence) if one.kind == "loudness"]
    assert [(one.name, one.members.sum()) for one in thirds] == [
        ("quietest third", 400),  # all of the silence, which stays together
        ("third of middle loudness", 80),
        ("loudest third", 240),
    ]


def test_only_crosses_and_subjects_that_can_be_judged_are_listed():
    few, many = slices_of(some_clips(n=90)), slices_of(some_clips(n=720))
    assert not [one for one in few if one.kind in ("class × group", "subject")]
    sizes = [one.members.sum() for one in many if one.kind in ("class × group", "subject")]
    assert len(sizes) > 9 and min(sizes) >= 20


@pytest.mark.parametrize(
    "change",
    [
        {"targets": np.arange(719) % 3},
        {"targets": np.arange(720)},
        {"length_s": np.full(720, np.nan)},
        {"groups": {"accent": ["one"]}},
        {"train_counts": [1, 2]},
    ],
)
def test_slices_of_arrays_that_do_not_fit_are_an_input_error(change):
    with pytest.raises(InputError, match=r"clips|class numbers|NaN|training counts"):
        slices_of(replace(some_clips(), **change))


def test_no_clips_have_no_slices():
    with pytest.raises(InputError, match="no clips"):
        slices_of(Clips([], LABELS, {}))


def test_a_planted_loss_is_named_first_and_nothing_else_but_it_and_its_parts_is_lost():
    clips = some_clips()
    members = {one.name: one.members for one in slices_of(clips)}
    answers = some_answers(clips, lost_on=members["accent: scotland"])
    table = audit_slices(answers, slices_of(clips), shipped="int8", margin=0.03)
    assert [row.slice for row in table.rows[:2]] == ["all clips", "accent: scotland"]
    assert table.rows[1].verdict == "lost" and table.counts["lost"] >= 1
    assert by_name(table)["accent: en-us"].verdict != "lost"


def test_a_student_that_answers_like_its_teacher_loses_nothing():
    clips = some_clips()
    table = audit_slices(some_answers(clips), slices_of(clips), shipped="float", margin=0.05)
    assert table.counts["lost"] == table.counts["unclear"] == 0
    everyone = by_name(table)["all clips"]
    assert everyone.verdict == "kept" and everyone.p == 1 and everyone.difference.value == 0
    assert all(row.bound < 0 and row.difference.low < 0 < row.difference.high for row in table.rows)


def test_the_worst_rows_come_first_and_all_clips_before_them():
    clips = some_clips()
    members = {one.name: one.members for one in slices_of(clips)}
    answers = some_answers(clips, lost_on=members["accent: scotland"], share_lost=0.25)
    rows = audit_slices(answers, slices_of(clips), shipped="int8", margin=0.1).rows
    assert rows[0].kind == "all"
    ranks = [VERDICTS.index(row.verdict) for row in rows[1:]]
    assert ranks == sorted(ranks) and len(set(ranks)) >= 3
    lost = [
        (row.kind in ("class × group", "subject"), row.difference.high) for row in rows[1:] if row.verdict == "lost"
    ]
    assert lost == sorted(lost) and rows[1].slice == "accent: scotland"


def test_a_group_that_surely_lost_more_than_the_others_stands_among_the_lost_ones():
    clips = some_clips()
    some = audit_slices(some_answers(clips), slices_of(clips), shipped="float", margin=0.05).rows[1]

    def row(name, kind, verdict, low, high):
        beyond = metrics.Estimate((low + high) / 2, low, high, 100)
        return replace(some, slice=name, kind=kind, verdict=verdict, beyond=beyond)

    wanted = [
        row("accent: left out", "group", "unclear", -0.08, -0.03),
        row("noise: loud", "group", "lost", -0.03, -0.01),
        row("label: go", "class", "lost", -0.09, -0.05),
        row("label: no, accent: us", "class × group", "unclear", -0.2, -0.1),
        row("accent: by chance", "group", "unclear", -0.05, 0.01),
        row("accent: no worse than the margin", "group", "kept", -0.06, -0.04),
    ]
    mixed = [wanted[at] for at in (3, 5, 0, 4, 2, 1)]
    assert sorted(mixed, key=slices_module._urgency) == wanted


def test_holm_is_taken_over_all_rows_large_enough_to_be_judged():
    clips = some_clips(n=300)
    rows = audit_slices(
        some_answers(clips, lost_on=np.arange(300) % 2 == 0), slices_of(clips), shipped="int8", margin=0.03
    ).rows
    family = [row for row in rows if row.holm_p is not None]
    whom = np.array([row.kind in ("all", "class", "group", "rare classes") for row in family])
    assert whom.sum() < len(family) / 2, "labels and groups share half of the 5 %, however many parts there are"
    weights = np.where(whom, (~whom).sum() / whom.sum(), 1.0)
    assert [row.holm_p for row in family] == pytest.approx(holm([row.p for row in family], weights))
    left_out = [row for row in rows if row.holm_p is None]
    assert all(
        row.n < 20 or (row.subjects is not None and row.subjects < 6 and row.kind != "subject") for row in left_out
    )
    assert all(row.verdict == "too small" for row in left_out)


def test_a_subjects_own_slice_is_judged_by_its_clips_and_a_group_of_one_subject_is_too_small():
    n = 400
    people = np.where(np.arange(n) < 200, "ann", "bob")
    clips = Clips(np.arange(n) % 3, LABELS, {"accent": np.where(people == "ann", "x", "y").tolist()}, people.tolist())
    answers = some_answers(clips, lost_on=people == "ann")
    rows = by_name(audit_slices(answers, slices_of(clips), shipped="int8", margin=0.05))
    assert rows["subject: ann"].verdict == "lost" and rows["subject: bob"].verdict == "kept"
    assert (rows["accent: x"].verdict, rows["accent: x"].why) == ("too small", "1 subject, fewer than 6")
    assert rows["all clips"].verdict == "too small"


def binary(n=800, seed=0, subjects=None):
    random = np.random.default_rng(seed)
    targets = np.arange(n) % 2
    scores = {name: targets + random.standard_normal(n) * 0.6 for name in ("teacher", "int8")}
    scores["int8"] = scores["teacher"] + 0.01 * random.standard_normal(n)
    decided = {name: (given >= 0.5).astype(int) for name, given in scores.items()}
    clips = Clips(
        targets, ["healthy", "TB"], {"site": ["north", "south", "south"] * (n // 3) + ["north"] * (n % 3)}, subjects
    )
    return clips, Answers(decided, targets, subjects, positive=1, scores=scores)


def test_a_binary_task_is_judged_by_sensitivity_specificity_and_auroc():
    clips, answers = binary()
    table = audit_slices(answers, slices_of(clips), shipped="int8", margin=0.05)
    rows = {(row.slice, row.metric): row for row in table.rows}
    assert {row.metric for row in table.rows if row.slice == "all clips"} == {"sensitivity", "specificity", "AUROC"}
    assert rows["all clips", "sensitivity"].n == rows["all clips", "specificity"].n == 400
    positive, scores = np.asarray(clips.targets) == 1, answers.scores["teacher"]
    assert rows["all clips", "AUROC"].values["teacher"] == metrics.auroc(scores, positive.astype(int))
    found, left = metrics.sensitivity_and_specificity(scores, clips.targets, 0.5)
    assert rows["all clips", "sensitivity"].values["teacher"].value == found.value
    assert rows["all clips", "specificity"].values["teacher"].low == pytest.approx(left.low)
    assert ("label: TB", "sensitivity") not in rows  # the clips and the question are those of all clips
    assert rows["all clips", "AUROC"].verdict == "kept"


def test_a_model_without_scores_has_no_auroc_and_one_class_alone_has_none():
    clips, answers = binary()
    rows = audit_slices(replace(answers, scores=None), slices_of(clips), shipped="int8", margin=0.05).rows
    assert {row.metric for row in rows} == {"sensitivity", "specificity"}
    only = Slice("only TB", "group", np.asarray(clips.targets) == 1)
    assert [row.metric for row in audit_slices(answers, [only], shipped="int8", margin=0.05).rows] == ["sensitivity"]


def test_an_auroc_with_few_of_a_class_is_too_small_and_says_so():
    clips, answers = binary()
    few = Slice("few", "group", np.isin(np.arange(800), [1, 3, 5]) | (np.asarray(clips.targets) == 0))
    rows = {row.metric: row for row in audit_slices(answers, [few], shipped="int8", margin=0.05).rows}
    assert rows["AUROC"].why == "the smaller class has 3 clips, fewer than 20" and rows["AUROC"].verdict == "too small"


@pytest.mark.parametrize("subjects", [None, "one", "apart", "some"])
@pytest.mark.parametrize("how", ["all right", "all wrong", "constant", "opposite"])
@pytest.mark.parametrize("n", [1, 2, 40])
def test_no_case_of_answers_crashes_or_gives_nan(n, how, subjects):
    targets = np.arange(n) % 2
    teacher = {"all right": targets, "all wrong": 1 - targets, "constant": 0 * targets, "opposite": targets}[how]
    student = 1 - teacher if how == "opposite" else teacher
    who = {None: None, "one": ["ann"] * n, "apart": [f"P{at}" for at in range(n)], "some": ["ann", None] * n}[subjects]
    clips = Clips(targets, ["a", "b"], {"g": [None] * n}, who and who[:n])
    scores = {"teacher": teacher.astype(float), "int8": student.astype(float)}
    for positive, given in ((None, None), (1, scores)):
        answers = Answers({"teacher": teacher, "int8": student}, targets, clips.subjects, positive, given)
        table = audit_slices(answers, slices_of(clips), shipped="int8", margin=0.03)
        written = json.loads(to_json(table))
        assert sum(table.counts.values()) == len(table.rows) >= 1
        for row in written["rows"]:
            numbers = [row["bound"], row["p"], *row["difference"].values(), *row["values"]["int8"].values()]
            assert None not in numbers and -1 <= row["bound"] <= row["difference"]["value"]
        assert {row.verdict for row in table.rows} <= ({"too small"} if n < 20 else {"lost", "too small", "unclear"})


def test_the_gate_names_the_lost_slices_and_the_unclear_ones_where_they_are_too_many():
    clips = some_clips()
    members = {one.name: one.members for one in slices_of(clips)}
    answers = some_answers(clips, lost_on=members["label: go"], share_lost=0.3)
    rows = audit_slices(answers, slices_of(clips), shipped="int8", margin=0.12).rows
    unclear = [row.slice for row in rows if row.verdict == "unclear"]
    assert unclear, "this seed leaves something unclear"
    free = lost_slices(rows, None)
    assert "label: go" in dict(free) and "points lost" in dict(free)["label: go"]
    assert lost_slices(rows, len(unclear)) == free
    assert [name for name, _ in lost_slices(rows, 0)] == [name for name, _ in free] + unclear
    kept = audit_slices(some_answers(clips), slices_of(clips), shipped="float", margin=0.05).rows
    assert lost_slices(kept, 0) == []


@pytest.mark.parametrize(
    ("change", "shipped", "margin", "said"),
    [
        ({}, "int9", 0.03, "no answers of 'int9'"),
        ({}, "int8", 0, "a margin of 0"),
        ({"targets": np.zeros(3, int)}, "int8", 0.03, "3 targets, but"),
        ({"subjects": ["ann"]}, "int8", 0.03, "720 targets, but subjects"),
        ({"targets": np.zeros(0, int)}, "int8", 0.03, "targets of shape"),
    ],
)
def test_bad_input_of_the_audit_is_an_input_error(change, shipped, margin, said):
    clips = some_clips()
    with pytest.raises(InputError, match=said):
        audit_slices(replace(some_answers(clips), **change), slices_of(clips), shipped=shipped, margin=margin)


def test_the_audit_repeats_itself_to_the_byte():
    clips = some_clips(n=200)
    tables = [audit_slices(some_answers(clips), slices_of(clips), shipped="int8", margin=0.03) for _ in range(2)]
    assert to_json(tables[0]) == to_json(tables[1])


def test_700_clips_150_slices_and_5_models_take_less_than_two_seconds():
    random, n = np.random.default_rng(0), 700
    clips = Clips(
        np.arange(n) % 11,
        [f"word {at}" for at in range(11)],
        {
            name: [str(value) for value in random.integers(0, size, n)]
            for name, size in zip("abcd", (6, 3, 3, 3), strict=True)
        },
        [f"P{at}" for at in random.integers(0, 19, n)],
    )
    slices = (*slices_of(clips), *(Slice(f"more {at}", "group", random.random(n) < 0.2) for at in range(40)))
    decided = {name: np.where(random.random(n) < 0.9, clips.targets, 0) for name in ("teacher", "a", "b", "c", "int8")}
    started = time.process_time()
    table = audit_slices(Answers(decided, clips.targets, clips.subjects), slices, shipped="int8", margin=0.03)
    assert time.process_time() - started < 2 and len(table.rows) >= 150
