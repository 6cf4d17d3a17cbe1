"""Moments: what a black box says of each window of a training clip, judged by a head that was fitted without the clip.

No kind of teacher itself. A head knows the labels of the clips that it was fitted on, so its answers to them are the labels
again; what it says of clips that it never saw is what it has to teach. And a clip's label holds for the clip: a window of
it may hold another sound, or none.
source: cross-fitting as in Dao et al. 2021, arXiv:2104.09732, section 4
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from edgecomp.artifact import text_hash
from edgecomp.teachers.asking import Session, ask, open_sessions
from edgecomp.teachers.head import PROCEDURE as HEAD_PROCEDURE
from edgecomp.teachers.head import Head, fit_one

if TYPE_CHECKING:
    from edgecomp.data.manifest import Dataset
    from edgecomp.store import Store

PROCEDURE = 1
"""Raised whenever moments would be computed differently: it is part of their key."""
FOLDS = 5
"""Heads that are fitted, each on the subjects of all folds but one."""


@dataclass(frozen=True)
class Moments:
    """A teacher's answers to the windows of the training clips.

    answers: (clips, windows, classes) float32 probabilities
    starts:  (windows,) the sample that each window begins at; window: its samples
    """

    answers: np.ndarray
    starts: tuple[int, ...]
    window: int


def asked_moments(
    open_windows: Callable[[], Session],
    head: Head,
    dataset: Dataset,
    store: Store,
    *,
    key: str,
    starts: tuple[int, ...] = (0,),
    window: int | None = None,
) -> Moments:
    """Ask about every window of every training clip once, or find it asked.

    open_windows: opens a session of one thread: one clip (samples,) → scores (windows, outputs)
    window:       None where a clip is its only window
    head:         the teacher's own; its form and strength are the other heads' too, and it judges clips without a label
    """
    train = dataset.of("train")
    subjects = [clip.subject or clip.path for clip in train.clips]
    key = text_hash("moments", PROCEDURE, HEAD_PROCEDURE, FOLDS, key, train.fingerprint)

    def make(folder: Path) -> None:
        from edgecomp.data.manifest import waveforms

        scores = ask(open_sessions(open_windows), waveforms(train, store), "asking about every window")
        np.save(folder / "moments.npy", answers_apart(scores, train.targets, subjects, head))

    return Moments(np.load(store.make("moments", key, make) / "moments.npy"), starts, window or dataset.samples)


def answers_apart(scores: np.ndarray, targets: np.ndarray, subjects: list[str], head: Head) -> np.ndarray:
    """Return each window's probabilities by a head that was fitted on other subjects, (clips, windows, classes) float32.

    scores:  (clips, windows, outputs)
    targets: (clips,) class numbers, -1 where there is no label: the head itself answers, since it never saw those
    A fold without which a class would be missing is answered by the head itself too.
    """
    classes = len(head.bias)
    answers = _each(head, scores)
    fold = folds(subjects)
    for number in range(FOLDS):
        apart = fold == number
        others = ~apart & (targets >= 0)
        if not apart.any() or len(set(targets[others].tolist())) < classes:
            continue
        other = fit_one(scores[others].mean(axis=1), targets[others], classes, head.form, head.strength)
        judged = apart & (targets >= 0)
        answers[judged] = _each(other, scores[judged])
    return answers


def folds(subjects: list[str]) -> np.ndarray:
    """Return each clip's fold, (clips,): a subject's clips share one, and folds have as many subjects as they can."""
    known = sorted(set(subjects))
    drawn = np.random.default_rng([len(known), FOLDS]).permutation(len(known)) % FOLDS
    number = dict(zip(known, drawn.tolist(), strict=True))
    return np.array([number[subject] for subject in subjects], dtype=np.int64)


def _each(head: Head, scores: np.ndarray) -> np.ndarray:
    return head(scores.reshape(-1, scores.shape[-1])).reshape(*scores.shape[:2], -1)
