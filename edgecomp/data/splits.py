"""Which clips train, validate and test: drawn by subject, seeded, labels in proportion. Works on names only."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import replace

from edgecomp.artifact import text_hash
from edgecomp.data.rows import Clip
from edgecomp.errors import DataError
from edgecomp.recipe import Split

SIDES = ("train", "validation", "test")


def place_clips(clips: Sequence[Clip], sounds: Mapping[str, str], split: Split, seed: int) -> tuple[Clip, ...]:
    """Give every clip its split: the manifest's where it states one, drawn otherwise.

    sounds: path → hash of what is heard; clips with one sound stay on one side
    raises: DataError if some rows state a split and some do not, or a split ends up empty
    """
    stated = {bool(clip.split) for clip in clips}
    if stated == {True, False}:
        missing = next(clip.path for clip in clips if not clip.split)
        raise DataError(f"{missing!r} states no split, others do", where="[data.split]", fix="state it for all or none")
    if stated == {False}:
        placed = draw(clips, sounds, dict(zip(SIDES, split.fractions, strict=True)), seed)
    else:
        placed = tuple(clips)
        if split.validation_from_train and not any(clip.split == "validation" for clip in clips):
            share = split.validation_from_train
            training = [clip for clip in clips if clip.split == "train"]
            drawn = {
                clip.path: clip for clip in draw(training, sounds, {"train": 1 - share, "validation": share}, seed)
            }
            placed = tuple(drawn.get(clip.path, clip) for clip in clips)
    require_all_sides(placed)
    return placed


def require_all_sides(clips: Sequence[Clip]) -> None:
    """Raise DataError if a split has no clips."""
    sizes = Counter(clip.split for clip in clips)
    for side in SIDES:
        if not sizes[side]:
            have = ", ".join(f"{name} {sizes[name]}" for name in SIDES)
            more = "set validation_from_train (such as 0.15) or " if side == "validation" else ""
            raise DataError(
                f"the {side} split has no clips ({have})",
                where="[data.split]",
                fix=f"{more}name the column's values under [data.split], or leave column out to draw",
            )


def draw(clips: Sequence[Clip], sounds: Mapping[str, str], shares: Mapping[str, float], seed: int) -> tuple[Clip, ...]:
    """Deal whole subjects to the splits so that each label's share comes as close as the subjects allow.

    shares: split → share of the clips, summing to 1
    The largest subjects are dealt first, each to the split that lacks most of what it brings; equals are
    ordered by a hash of seed and name, so the result depends on neither the rows' order nor a library's version.
    """
    units = _units(clips, sounds)
    totals = Counter(clip.label for clip in clips)
    wanted = {side: {label: share * count for label, count in totals.items()} for side, share in shares.items()}
    lacking = {side: dict(counts) for side, counts in wanted.items()}
    side_of: dict[str, str] = {}
    for members in sorted(units, key=lambda unit: (-len(unit), text_hash(seed, unit[0].path))):
        brought = Counter(clip.label for clip in members)
        need = {
            side: sum(n * lacking[side][label] / wanted[side][label] for label, n in brought.items()) for side in shares
        }
        side = max(shares, key=lambda name: (round(need[name], 9), shares[name]))
        for label, n in brought.items():
            lacking[side][label] -= n
        side_of |= {clip.path: side for clip in members}
    return tuple(replace(clip, split=side_of[clip.path]) for clip in clips)


def _units(clips: Sequence[Clip], sounds: Mapping[str, str]) -> list[list[Clip]]:
    """Group the clips that may not be parted: one subject, or one sound, directly or by way of others."""
    parent: dict[Hashable, Hashable] = {}

    def root(key: Hashable) -> Hashable:
        while parent.setdefault(key, key) != key:
            parent[key] = key = parent[parent[key]]
        return key

    for clip in clips:
        keys = [("clip", clip.path)]
        keys += [("subject", clip.subject)] if clip.subject is not None else []
        keys += [("sound", sounds[clip.path])] if sounds.get(clip.path) else []
        for key in keys[1:]:
            parent[root(key)] = root(keys[0])
    units: dict[Hashable, list[Clip]] = defaultdict(list)
    for clip in sorted(clips, key=lambda clip: clip.path):
        units[root(("clip", clip.path))].append(clip)
    return list(units.values())
