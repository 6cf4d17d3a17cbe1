"""Does a column give the label away without any sound? Its AUROC, with an interval."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from edgecomp.data.rows import Clip
from edgecomp.data.scan import Facts

SUSPICIOUS_AUROC = 0.65
"""From here on a column is reported as a shortcut: in the field's own contest (CODA TB, coughs) models that hear
the sound itself reach 0.69 to 0.74, so a column this good explains most of such a score."""

BOOTSTRAPS = 1000
DURATION_BINS = 5


@dataclass(frozen=True)
class Shortcut:
    """How well one column predicts the label, on clips that were not used to fit it.

    column: a group column of the recipe, or a fact of the files: "sample rate", "file format", …
    auroc:  macro average over the labels, one against the rest; 0.5 is chance
    low, high: 95 % bootstrap interval; whole subjects are drawn where they are known
    clips:  on how many clips, of validation and test together
    shares: the column's values with the training share of the label that each value favours most
    """

    column: str
    auroc: float
    low: float
    high: float
    clips: int
    shares: tuple[tuple[str, str, float], ...]

    @property
    def is_suspicious(self) -> bool:
        """Claim that the column predicts the label by itself."""
        return self.auroc >= SUSPICIOUS_AUROC and self.low > 0.5


def shortcuts(clips: Sequence[Clip], facts: Mapping[str, Facts], seed: int = 0) -> tuple[Shortcut, ...]:
    """Score every group column and every fact of the files that has more than one value, best predictor first."""
    columns = {name: [clip.groups[name] for clip in clips] for name in (clips[0].groups if clips else ())}
    files = [facts[clip.path] for clip in clips]
    columns |= {
        "sample rate": [f"{fact.rate_hz} Hz" for fact in files],
        "file format": [fact.kind for fact in files],
        "channels": [str(fact.channels) for fact in files],
        "duration": _duration_bins([fact.seconds for fact in files], [clip.split for clip in clips]),
    }
    scored = [score_column(name, values, clips, seed) for name, values in columns.items() if len(set(values)) > 1]
    return tuple(sorted((s for s in scored if s is not None), key=lambda shortcut: (-shortcut.auroc, shortcut.column)))


def score_column(name: str, values: Sequence[str], clips: Sequence[Clip], seed: int = 0) -> Shortcut | None:
    """Fit P(label | value) on the training split, Laplace-smoothed, and score it on validation and test.

    values:  the column's value for each clip
    returns: None where validation and test hold fewer than two labels
    """
    labels = sorted({clip.label for clip in clips})
    known = sorted({value for value, clip in zip(values, clips, strict=True) if clip.split == "train"})
    row = {value: number for number, value in enumerate(known)}
    unseen = len(known)  # one more row: what training never met gets the overall shares of the labels
    v = np.array([row.get(value, unseen) for value in values])
    y = np.array([labels.index(clip.label) for clip in clips])
    is_train = np.array([clip.split == "train" for clip in clips])
    counts = np.zeros((unseen + 1, len(labels)))
    np.add.at(counts, (v[is_train], y[is_train]), 1)
    counts[unseen] = counts.sum(0)
    chance = (counts + 1) / (counts + 1).sum(1, keepdims=True)

    held = ~is_train
    if len(set(y[held])) < 2:
        return None
    tables = _tables(v[held], y[held], [clip.subject for clip in clips if clip.split != "train"], counts.shape)
    value = float(_macro_auroc(chance, tables.sum(0)[None])[0])
    rng = np.random.default_rng(seed)
    if len(tables) > 1:
        weights = rng.multinomial(len(tables), np.full(len(tables), 1 / len(tables)), BOOTSTRAPS)
        drawn = (weights @ tables.reshape(len(tables), -1)).reshape(-1, *counts.shape)
    else:
        total = tables.sum()
        drawn = rng.multinomial(int(total), tables.ravel() / total, BOOTSTRAPS).reshape(-1, *counts.shape)
    low, high = np.nanpercentile(_macro_auroc(chance, drawn), [2.5, 97.5])
    best = chance.argmax(1)
    shares = tuple((known[i], labels[best[i]], float(counts[i, best[i]] / counts[i].sum())) for i in range(unseen))
    return Shortcut(name, value, float(low), float(high), int(held.sum()), shares)


def _tables(v: np.ndarray, y: np.ndarray, subjects: Sequence[str | None], shape: tuple[int, int]) -> np.ndarray:
    """Count clips by value and label for each unit of the bootstrap: (units, values, labels).

    One unit a subject where every subject is known; otherwise one table of all clips, which is drawn cell by cell.
    """
    names = sorted({subject for subject in subjects if subject is not None})
    if None in subjects or len(names) < 2:
        names, units = [""], np.zeros(len(v), dtype=int)
    else:
        units = np.searchsorted(names, [str(subject) for subject in subjects])
    tables = np.zeros((len(names), *shape))
    np.add.at(tables, (units, v, y), 1)
    return tables


def _macro_auroc(chance: np.ndarray, tables: np.ndarray) -> np.ndarray:
    """Average the one-against-rest AUROC over the labels; ties count half, absent labels do not count.

    chance: (values, labels), the score of each value for each label
    tables: (n, values, labels), how many clips have which value and label
    returns: (n,) in 0 to 1; NaN where no label can be scored
    """
    areas = np.full((len(tables), chance.shape[1]), np.nan)
    for label in range(chance.shape[1]):
        _, level = np.unique(chance[:, label], return_inverse=True)
        to_level = np.eye(level.max() + 1)[level]
        yes = tables[:, :, label] @ to_level
        no = (tables.sum(2) - tables[:, :, label]) @ to_level
        below = np.cumsum(no, 1) - no
        pairs = yes.sum(1) * no.sum(1)
        wins = (yes * (below + no / 2)).sum(1)
        areas[:, label] = np.divide(wins, pairs, out=areas[:, label], where=pairs > 0)
    scored = ~np.isnan(areas)
    return np.divide(np.nansum(areas, 1), scored.sum(1), out=np.full(len(tables), np.nan), where=scored.any(1))


def _duration_bins(seconds: Sequence[float], splits: Sequence[str]) -> list[str]:
    """Cut durations at the training split's quantiles and name the bins by their edges."""
    training = [length for length, split in zip(seconds, splits, strict=True) if split == "train"] or list(seconds)
    edges = np.unique(np.quantile(np.round(training, 2), np.linspace(0, 1, DURATION_BINS + 1)[1:-1]))
    names = [
        f"up to {edges[0]:.2f} s",
        *(f"{a:.2f} to {b:.2f} s" for a, b in itertools.pairwise(edges)),
        f"over {edges[-1]:.2f} s",
    ]
    return [names[i] for i in np.searchsorted(edges, np.round(seconds, 2), side="left")]
