"""Windows: what is known of the windows of a clip, carried over to the windows of its views.

The teacher hears every clip once, clean; the student hears views of it. A view's sounds are a clip's, moved and mixed,
so what the teacher said of them moves and mixes with them, and nobody has to ask again.
"""

from __future__ import annotations

import numpy as np

from edgecomp.data.views import Views


def of_views(answers: np.ndarray, starts: tuple[int, ...], views: Views) -> np.ndarray:
    """Return the answers that belong to the windows of every view, (views, windows, classes) float32.

    answers: (clips, windows, classes) probabilities, of the clips as they are
    starts:  (windows,) the samples that windows begin at, rising
    A view's window that begins between two of the clip's has the two answers by their shares, as mixed clips have both clips'.
    """
    share = views.share[:, None, None]
    first = _moved(answers, starts, views.clip, views.shift[:, 0])
    second = _moved(answers, starts, views.partner, views.shift[:, 1])
    return (share * first + (1 - share) * second).astype(np.float32)


def steps_in(starts: tuple[int, ...], window: int, samples: int, steps: int) -> np.ndarray:
    """Return each step's part in each window, (windows, steps) float32; rows sum to 1.

    steps: equal parts of the clip; one belongs to a window that holds its middle, or whose middle is the nearest to it
    """
    middle = (np.arange(steps) + 0.5) * samples / steps
    begin = np.array(starts)[:, None]
    inside = (middle >= begin) & (middle < begin + window)
    nearest = np.abs(middle - begin - window / 2).argmin(axis=1)
    inside[np.arange(len(starts)), nearest] = True
    return (inside / inside.sum(axis=1, keepdims=True)).astype(np.float32)


def _moved(answers: np.ndarray, starts: tuple[int, ...], clip: np.ndarray, shift: np.ndarray) -> np.ndarray:
    if len(starts) == 1:
        return answers[clip]
    known = np.array(starts)
    wanted = np.clip(known - shift[:, None], known[0], known[-1])  # beyond the clip's ends there is nothing but silence
    before = np.clip(np.searchsorted(known, wanted, side="right") - 1, 0, len(known) - 2)
    after = ((wanted - known[before]) / (known[before + 1] - known[before]))[..., None]
    rows = clip[:, None]
    return (1 - after) * answers[rows, before] + after * answers[rows, before + 1]
