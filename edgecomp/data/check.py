"""Everything to know about a data set before any training: faults, small groups, odd lengths, shortcuts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from edgecomp.data.faults import Finding
from edgecomp.data.manifest import data_folder, sifted
from edgecomp.data.rows import UNKNOWN, Clip
from edgecomp.data.scan import Facts
from edgecomp.data.shortcuts import SUSPICIOUS_AUROC, Shortcut, shortcuts
from edgecomp.data.splits import SIDES
from edgecomp.recipe import Data, Recipe
from edgecomp.store import Store

__all__ = ["Finding", "check"]

FEWEST = 10
"""A class or group needs this many clips in a split to be judged: with 10 right out of 10, the 95 % Wilson interval
still reaches down to 0.72; with fewer, no result would say anything."""

FAR_LONGER, FAR_SHORTER = 2.0, 0.25
"""Times the recipe's `seconds`: most of a longer clip is not heard, most of a shorter one is padding."""

ODD_SHARE = 0.1
"""Clips of an odd length are a note, and a warning from this share of all clips on."""

_ORDER = ("error", "warning", "note")


def check(recipe: Recipe, store: Store, data: Path | None = None) -> tuple[Finding, ...]:
    """Read a whole data set and say what is wrong with it, errors first.

    data:   the folder that holds the manifest, instead of the recipe's own
    raises: DataError where the manifest itself cannot be used
    """
    found, facts = sifted(recipe, store, data_folder(recipe, store, data))
    findings = [
        *found.findings,
        *_small(found.clips, recipe.data),
        *_lengths(found.clips, facts, recipe.data.seconds),
        *_unknown(found.clips, recipe.data),
        *_shortcuts(shortcuts([clip for clip in found.clips if clip.label], facts, recipe.seed)),
    ]
    return tuple(sorted(findings, key=lambda finding: _ORDER.index(finding.severity)))


def _small(clips: Sequence[Clip], data: Data) -> Iterable[Finding]:
    """Name the classes and groups with fewer than FEWEST clips in a split, and groups that lack a label."""
    labels = data.labels or sorted({clip.label for clip in clips} - {""})
    rule = f"fewer than {FEWEST} clips cannot be judged: 10 right of 10 still means 0.72 to 1"
    for side in SIDES:
        here = [clip for clip in clips if clip.split == side]
        sizes = Counter(clip.label for clip in here)
        small = [f"{label!r} ({sizes[label]})" for label in labels if sizes[label] < FEWEST]
        if small:
            yield Finding(
                "small-class",
                "warning",
                f"classes too small to judge in the {side} split: {', '.join(small)}",
                (),
                f"add clips or merge classes; {rule}",
            )
    test = [clip for clip in clips if clip.split == "test"]
    for column in clips[0].groups if clips else ():
        values = sorted({clip.groups[column] for clip in clips})
        sizes = Counter(clip.groups[column] for clip in test)
        if small := [f"{value!r} ({sizes[value]})" for value in values if sizes[value] < FEWEST]:
            yield Finding(
                "small-group",
                "warning",
                f"groups of {column!r} too small to judge in the test split: {', '.join(small)}",
                (),
                f"add clips or merge groups; results for them will be shown as not judged; {rule}",
            )
        cells = {(clip.groups[column], clip.label) for clip in clips}
        if lacking := [
            f"{value!r} has no {label!r}"
            for value in values
            for label in labels
            if sizes[value] >= FEWEST and (value, label) not in cells
        ]:
            yield Finding(
                "one-sided-group",
                "warning",
                f"groups of {column!r} in which a label never occurs: {_few(lacking)}",
                (),
                "a score within such a group says nothing about the missing label; add such clips",
            )


def _lengths(clips: Sequence[Clip], facts: Mapping[str, Facts], seconds: float) -> Iterable[Finding]:
    """Name the clips that are far longer or shorter than what the model hears."""
    kinds = (
        (
            "too-long",
            "longer than",
            FAR_LONGER,
            lambda length: length > FAR_LONGER * seconds,
            "raise seconds, or cut the clips where the sound is; only the part chosen by fit is heard",
        ),
        (
            "too-short",
            "shorter than",
            FAR_SHORTER,
            lambda length: length < FAR_SHORTER * seconds,
            "lower seconds; the rest of the model's input is silence",
        ),
    )
    for code, how, times, is_odd, fix in kinds:
        odd = sorted(clip.path for clip in clips if is_odd(facts[clip.path].seconds))
        if odd:
            lengths = [facts[path].seconds for path in odd]
            severity = "warning" if len(odd) > ODD_SHARE * len(clips) else "note"
            yield Finding(
                code,
                severity,
                f"{len(odd)} of {len(clips)} clips are {how} {times:g} × {seconds:g} s "
                f"({min(lengths):.2f} to {max(lengths):.2f} s)",
                tuple(odd),
                fix,
            )


def _unknown(clips: Sequence[Clip], data: Data) -> Iterable[Finding]:
    """Say where rows leave a subject or a group empty."""
    if data.subject is None:
        yield Finding(
            "no-subjects",
            "warning",
            "no column says whose voice a clip is: one person may stand on two "
            "sides of the split, and every score may be too good",
            (),
            "name the column with subject under [data], if anybody knows",
        )
    elif nobody := sorted(clip.path for clip in clips if clip.subject is None):
        yield Finding(
            "no-subjects",
            "warning",
            f"{len(nobody)} of {len(clips)} clips name no {data.subject!r}: they "
            "may be of people on the other side of the split",
            tuple(nobody),
            "fill the column in",
        )
    for column in clips[0].groups if clips else ():
        if unknown := sorted(clip.path for clip in clips if clip.groups[column] == UNKNOWN):
            yield Finding(
                "unknown-group",
                "note",
                f"{len(unknown)} of {len(clips)} clips have no value of {column!r}",
                tuple(unknown),
                f"they form a group of their own, {UNKNOWN!r}",
            )


def _shortcuts(scores: Sequence[Shortcut]) -> Iterable[Finding]:
    """Warn of columns that predict the label by themselves, and give the AUROC of the others."""
    for score in scores:
        if score.is_suspicious:
            shares = _few([f"{value!r} is {share:.0%} {label!r}" for value, label, share in score.shares])
            yield Finding(
                "shortcut",
                "warning",
                f"{score.column!r} predicts the label without any sound: "
                f"{_auroc(score)} on {score.clips} clips; {shares}",
                (),
                _shortcut_fix(score.column),
            )
    rest = [f"{score.column} {_auroc(score)}" for score in scores if not score.is_suspicious]
    if rest:
        yield Finding(
            "no-shortcut",
            "note",
            "columns that do not give the label away (AUROC below "
            f"{SUSPICIOUS_AUROC}, or an interval that holds 0.5): {'; '.join(rest)}",
            (),
            "nothing to do",
        )


def _shortcut_fix(column: str) -> str:
    if column == "duration":
        return (
            "if length belongs to the sound itself, as in a long word, it is no shortcut; otherwise cut all clips "
            "to one length"
        )
    return (
        "balance the labels within it, and report every score within each of its values; "
        "a score over all of them is flattered"
    )


def _auroc(score: Shortcut) -> str:
    return f"AUROC {score.auroc:.2f} (95 % interval {score.low:.2f} to {score.high:.2f})"


def _few(items: Sequence[str], most: int = 6) -> str:
    return ", ".join(items[:most]) + (f" and {len(items) - most} more" if len(items) > most else "")
