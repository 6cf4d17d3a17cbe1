"""Faults that would make a result untrue, and what the recipe does about them; training and `check` both use this."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from edgecomp.data.rows import Clip
from edgecomp.data.scan import Facts
from edgecomp.data.splits import SIDES, place_clips
from edgecomp.recipe import Data

Severity = Literal["error", "warning", "note"]


@dataclass(frozen=True)
class Finding:
    """One thing to know about a data set.

    code:     the kind of finding, such as "conflicting-labels"
    severity: "error" stops a compile, "warning" makes its numbers doubtful, "note" is to be known
    files:    relative to the data folder; the members of one set stand side by side
    fix:      what to do, or what is done already
    """

    code: str
    severity: Severity
    message: str
    files: tuple[str, ...]
    fix: str


@dataclass(frozen=True)
class Sifted:
    """The clips that are left, each on its side; what was found on the way; how it was resolved, for the trail."""

    clips: tuple[Clip, ...]
    findings: tuple[Finding, ...]
    notes: tuple[dict, ...]


@dataclass(frozen=True)
class _Fault:
    """Clips with one fault: the files it is about, the ones to leave out, and the recipe's word on it."""

    code: str
    setting: str
    choice: str
    message: str
    files: tuple[str, ...]
    dropped: frozenset[str]
    unresolved: Severity = "error"

    @property
    def is_resolved(self) -> bool:
        return self.choice != "error"

    def finding(self) -> Finding:
        key = f"resolve.{self.setting}"
        if self.is_resolved:
            left_out = f"{len(self.dropped)} of these clips are left out" if self.dropped else "they are kept"
            return Finding(self.code, "note", self.message, self.files, f"{key} = {self.choice!r}: {left_out}")
        others = _CHOICES[self.setting]
        draw = "; or leave [data.split] column out, so that whole subjects are drawn" if self.setting == "leaks" else ""
        return Finding(
            self.code,
            self.unresolved,
            self.message,
            self.files,
            f"mend the data, or set {key} = {' or '.join(map(repr, others))} under [data]{draw}",
        )

    def note(self) -> dict:
        return {"code": self.code, "resolution": self.choice, "found": len(self.files), "dropped": sorted(self.dropped)}


_CHOICES = {
    "unreadable": ("drop",),
    "silent": ("drop", "keep"),
    "conflicts": ("drop",),
    "duplicates": ("keep-one",),
    "leaks": ("keep-test",),
    "unlabelled": ("teach",),
}


def sift(clips: Sequence[Clip], facts: Mapping[str, Facts], data: Data, seed: int) -> Sifted:
    """Find the faults, leave out what has them, and give every clip its split.

    A fault that the recipe does not resolve is an error among the findings; its clips are left out here all
    the same, so that the findings that follow speak of sound data. Splits are drawn from what is left.
    raises: DataError where the splits cannot be made
    """
    resolve, faults = data.resolve, []

    def apply(left: Sequence[Clip], fault: _Fault | None) -> tuple[Clip, ...]:
        if fault is None:
            return tuple(left)
        faults.append(fault)
        return tuple(clip for clip in left if clip.path not in fault.dropped)

    left = apply(clips, _unreadable(clips, facts, resolve.unreadable))
    left = apply(left, _silent(left, facts, resolve.silent))
    left = apply(left, _conflicts(left, facts, resolve.conflicts))
    heard = {clip.path: facts[clip.path].sound for clip in left if not facts[clip.path].is_silent}
    left = apply(*_placed(left, heard, data, seed))
    for fault in _duplicates(left, facts, heard, resolve.duplicates):
        left = apply(left, fault)
    left = apply(left, _leaks(left, resolve.leaks))
    return Sifted(
        left, tuple(fault.finding() for fault in faults), tuple(fault.note() for fault in faults if fault.is_resolved)
    )


def sets_of_equals(clips: Iterable[Clip], key: Callable[[Clip], str | None]) -> list[list[Clip]]:
    """Return the clips that share a key with another one, set by set, in the order of their paths."""
    sets: dict[str, list[Clip]] = defaultdict(list)
    for clip in sorted(clips, key=lambda clip: clip.path):
        if (value := key(clip)) is not None:
            sets[value].append(clip)
    return [members for members in sets.values() if len(members) > 1]


def _placed(
    clips: Sequence[Clip], heard: Mapping[str, str], data: Data, seed: int
) -> tuple[tuple[Clip, ...], _Fault | None]:
    """Give labelled clips their splits; clips without a label train, unless what they hold is judged elsewhere."""
    known = place_clips([clip for clip in clips if clip.label], heard, data.split, seed)
    others = [replace(clip, split=clip.split or "train") for clip in clips if not clip.label]
    if not others:
        return known, None
    judged = [clip for clip in known if clip.split != "train"]
    subjects = {clip.subject for clip in judged} - {None}
    sounds = {heard[clip.path] for clip in judged if clip.path in heard}
    spare = _paths(c for c in others if c.split != "train" or c.subject in subjects or heard.get(c.path) in sounds)
    message = f"{_count(others)} without a label: the student learns the teacher's answers to them"
    if spare:
        message += f"; not so for {len(spare)}, whose split, subject or sound belongs to validation or test"
    return (*known, *others), _Fault(
        "unlabelled", "unlabelled", data.resolve.unlabelled, message, _paths(others), frozenset(spare)
    )


def _unreadable(clips: Sequence[Clip], facts: Mapping[str, Facts], choice: str) -> _Fault | None:
    bad = _paths(clip for clip in clips if facts[clip.path].error)
    if not bad:
        return None
    message = f"{_count(bad)} cannot be read; {bad[0]}: {facts[bad[0]].error}"
    return _Fault("unreadable", "unreadable", choice, message, bad, frozenset(bad))


def _silent(clips: Sequence[Clip], facts: Mapping[str, Facts], choice: str) -> _Fault | None:
    bad = _paths(clip for clip in clips if facts[clip.path].is_silent)
    if not bad:
        return None
    message = f"{_count(bad)} without a sound, such as {bad[0]} (peak {facts[bad[0]].peak:.1e} of full scale)"
    return _Fault("silent", "silent", choice, message, bad, frozenset() if choice == "keep" else frozenset(bad))


def _conflicts(clips: Sequence[Clip], facts: Mapping[str, Facts], choice: str) -> _Fault | None:
    sounding = (clip for clip in clips if not facts[clip.path].is_silent)
    sets = [
        s
        for s in sets_of_equals(sounding, lambda clip: facts[clip.path].sound)
        if len({clip.label for clip in s} - {""}) > 1
    ]
    if not sets:
        return None
    bad, first = _paths(clip for members in sets for clip in members), sets[0]
    one = next(clip for clip in first if clip.label)
    other = next(clip for clip in first if clip.label not in ("", one.label))
    equal = sum(len({facts[clip.path].content for clip in members}) == 1 for members in sets)
    message = (
        f"{_sets(sets)} of equal audio ({_count(bad)}; {equal} equal byte for byte) under different labels, "
        f"such as {one.path} ({one.label}) and {other.path} ({other.label})"
    )
    return _Fault("conflicting-labels", "conflicts", choice, message, bad, frozenset(bad))


def _duplicates(
    clips: Sequence[Clip], facts: Mapping[str, Facts], heard: Mapping[str, str], choice: str
) -> Iterable[_Fault]:
    """Find equal audio under one label: on two sides of a split it is a leak, on one side it counts double."""
    sets = sets_of_equals(clips, lambda clip: heard.get(clip.path))
    across = [s for s in sets if len({clip.split for clip in s}) > 1]
    within = [s for s in sets if len({clip.split for clip in s}) == 1]
    of_bytes = [s for s in within if len({facts[clip.path].content for clip in s}) == 1]
    of_sound = [s for s in within if s not in of_bytes]
    kinds = (
        ("duplicate-across-splits", across, "equal audio on two sides of the split", "error"),
        ("equal-bytes", of_bytes, "equal files under one label on one side of the split", "warning"),
        ("equal-audio", of_sound, "different files that decode to equal audio on one side of a split", "warning"),
    )
    for code, found, what, severity in kinds:
        if not found:
            continue
        files = _paths(clip for members in found for clip in members)
        spare = {clip.path for members in found for clip in members if clip is not _latest(members)}
        keeps_all = choice == "error" and severity == "warning"
        first = " and ".join(f"{clip.path} ({clip.split})" for clip in found[0][:3])
        yield _Fault(
            code,
            "duplicates",
            choice,
            f"{_sets(found)} of {what} ({_count(files)}), such as {first}",
            files,
            frozenset() if keeps_all else frozenset(spare),
            severity,
        )


def _leaks(clips: Sequence[Clip], choice: str) -> _Fault | None:
    sets = [s for s in sets_of_equals(clips, lambda clip: clip.subject) if len({clip.split for clip in s}) > 1]
    if not sets:
        return None
    files = _paths(clip for members in sets for clip in members)
    spare = frozenset(clip.path for members in sets for clip in members if clip.split != _latest(members).split)
    sides = sorted({clip.split for clip in sets[0]}, key=SIDES.index)
    message = (
        f"{len(sets)} subject{'s' if len(sets) > 1 else ''} on two sides of the split ({_count(files)}), "
        f"such as {sets[0][0].subject!r} in {' and '.join(sides)}"
    )
    return _Fault("subject-across-splits", "leaks", choice, message, files, spare)


def _latest(members: Sequence[Clip]) -> Clip:
    """Return the copy to keep: test before validation before train, so that nothing tested was trained on; a labelled one."""
    return max(members, key=lambda clip: (SIDES.index(clip.split), bool(clip.label)))


def _paths(clips: Iterable[Clip]) -> tuple[str, ...]:
    return tuple(clip.path for clip in clips)


def _count(files: Sequence[str]) -> str:
    return f"{len(files)} clip{'s' if len(files) != 1 else ''}"


def _sets(sets: Sequence[object]) -> str:
    return f"{len(sets)} set{'s' if len(sets) != 1 else ''}"
