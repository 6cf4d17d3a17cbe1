"""Splits: whole subjects, equal sounds together, labels in proportion, the same for one seed."""

from collections import Counter, defaultdict

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgecomp.data.rows import Clip
from edgecomp.data.splits import SIDES, draw, place_clips
from edgecomp.errors import DataError
from edgecomp.recipe import Split

SHARES = {"train": 0.7, "validation": 0.15, "test": 0.15}
drawn_clips = st.lists(
    st.tuples(st.sampled_from("abc"), st.integers(0, 12), st.integers(0, 30)), min_size=1, max_size=60
)


def clip(number, label="a", subject=None, split=""):
    return Clip(f"{number:03}.wav", label, split, subject, {})


@given(drawn_clips, st.integers(0, 5))
@settings(max_examples=60)
def test_no_subject_and_no_sound_stands_on_two_sides(rows, seed):
    clips = [clip(n, label, f"s{subject}" if subject else None) for n, (label, subject, _) in enumerate(rows)]
    sounds = {c.path: f"h{sound}" for c, (_, _, sound) in zip(clips, rows, strict=True)}
    sides = defaultdict(set)
    for c in draw(clips, sounds, SHARES, seed):
        sides[sounds[c.path]].add(c.split)
        if c.subject:
            sides[c.subject].add(c.split)
    assert all(len(found) == 1 and found <= set(SIDES) for found in sides.values())


@given(st.permutations(range(30)), st.integers(0, 3))
@settings(max_examples=20)
def test_a_split_depends_on_the_seed_and_not_on_the_order_of_rows(order, seed):
    clips = [clip(n, "ab"[n % 2], f"s{n % 7}") for n in range(30)]
    want = {c.path: c.split for c in draw(clips, {}, SHARES, seed)}
    assert {c.path: c.split for c in draw([clips[i] for i in order], {}, SHARES, seed)} == want


def test_another_seed_gives_another_split():
    clips = [clip(n, "ab"[n % 2]) for n in range(60)]
    assert draw(clips, {}, SHARES, 1) != draw(clips, {}, SHARES, 2)


def test_labels_keep_their_proportions_where_clips_are_drawn():
    clips = [clip(n, "a" if n < 200 else "b") for n in range(300)]
    sizes = Counter((c.split, c.label) for c in draw(clips, {}, SHARES, 0))
    assert sizes == {
        ("train", "a"): 140,
        ("validation", "a"): 30,
        ("test", "a"): 30,
        ("train", "b"): 70,
        ("validation", "b"): 15,
        ("test", "b"): 15,
    }


def test_labels_come_close_to_their_proportions_where_subjects_are_drawn():
    clips = [clip(n, "ab"[n % 3 == 0], f"s{n // 10}") for n in range(400)]
    sizes = Counter((c.split, c.label) for c in draw(clips, {}, SHARES, 0))
    for label, total in Counter(c.label for c in clips).items():
        for side, share in SHARES.items():
            assert abs(sizes[side, label] / total - share) < 0.05


def test_three_subjects_are_enough_for_three_splits():
    clips = [clip(n, "ab"[n % 2], f"s{n % 3}") for n in range(30)]
    assert {c.split for c in place_clips(clips, {}, Split(), 0)} == set(SIDES)


def test_validation_from_train_holds_out_whole_training_subjects_and_leaves_the_test_alone():
    clips = [clip(n, "ab"[n % 2], f"s{n // 4}", "test" if n >= 80 else "train") for n in range(100)]
    placed = place_clips(clips, {}, Split(column="split", validation=[], validation_from_train=0.2), 0)
    assert {c.path for c in placed if c.split == "test"} == {c.path for c in clips if c.split == "test"}
    sides = defaultdict(set)
    for c in placed:
        sides[c.subject].add(c.split)
    assert all(len(found) == 1 for found in sides.values())
    assert Counter(c.split for c in placed)["validation"] == 16


def test_an_empty_split_says_what_to_set():
    clips = [clip(n, split="test" if n > 7 else "train") for n in range(10)]
    with pytest.raises(DataError, match=r"(?s)validation split has no clips \(train 8, .*validation_from_train"):
        place_clips(clips, {}, Split(column="split"), 0)


def test_splits_stated_for_some_clips_only_are_an_error():
    with pytest.raises(DataError, match=r"001\.wav.*states no split"):
        place_clips([clip(0, split="train"), clip(1)], {}, Split(), 0)
