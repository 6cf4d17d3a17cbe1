"""Labels beside a plot's points, none over another: each takes the nearest free place, with a line to its point."""

from __future__ import annotations

from typing import Any

import numpy as np

Box = tuple[float, float, float, float]
MARK, BAR, TEXT, LINE = 60.0, 12.0, 200.0, 30.0
"""What it costs a label's line to run through each of these, in points of distance."""
ANGLES = (0, 180, 45, -45, 135, -135, 90, -90, 22, -22, 158, -158)
"""Degrees, the best side first: right, left, then above and below."""
REACHES = (9, 16, 24, 33, 43, 54, 66, 79, 93, 108, 124, 141)
"""Points from the middle of a mark to the nearest edge of its label."""
FAR = 20
"""Points from which on a label needs a line to its mark."""


def place_labels(
    figure: Any,
    axes: Any,
    spots: list[tuple[float, float, str, str, bool]],
    *,
    bars: list[tuple[float, float, float]],
    leader: str,
) -> None:
    """Write a label for each spot into a plot whose limits are final; its group in the SVG is named label-….

    spots:  (x, y, text, colour, is_bold) in the data's units; bold ones choose their place first
    bars:   (x, low, high) of vertical bars to keep clear of
    leader: colour of the lines
    """
    if not spots:
        return
    figure.canvas.draw()
    scale = figure.dpi / 72
    frame = tuple(axes.get_window_extent().extents)
    marks = axes.transData.transform([spot[:2] for spot in spots])
    taken = [(x - 5 * scale, y - 5 * scale, x + 5 * scale, y + 5 * scale, MARK) for x, y in marks]
    for x, low, high in bars:
        (left, bottom), (_, top) = axes.transData.transform([(x, low), (x, high)])
        taken.append((left - 2 * scale, bottom, left + 2 * scale, top, BAR))
    for number in sorted(range(len(spots)), key=lambda one: not spots[one][4]):
        (x, y, text, colour, is_bold), mark = spots[number], marks[number]
        label = axes.annotate(
            text,
            (x, y),
            xytext=(0, 0),
            textcoords="offset points",
            color=colour,
            fontsize=9,
            ha="left",
            va="center",
            fontweight="bold" if is_bold else "normal",
            zorder=6,
            annotation_clip=False,
            gid=f"label-{number}",
        )
        extent = label.get_window_extent()
        width, height = extent.width, extent.height
        reach, left, middle = _best(mark, width, height, taken, frame, scale)
        box = (left, middle - height / 2, left + width, middle + height / 2)
        taken.append((*box, TEXT))
        label.set_position(((left - mark[0]) / scale, (middle - mark[1]) / scale))
        if reach > FAR:
            end = (min(max(mark[0], box[0]), box[2]), min(max(mark[1], box[1] + 2), box[3] - 2))
            away = np.subtract(end, mark)
            start = np.add(mark, away / max(float(np.hypot(*away)), 1e-9) * 5 * scale)
            taken += [
                (x - scale, y - scale, x + scale, y + scale, LINE)
                for x, y in np.linspace(start, end, max(2, int(reach / 2)))
            ]
            ends = axes.transData.inverted().transform([start, end])
            axes.plot(*ends.T, color=leader, linewidth=0.6, zorder=3, scalex=False, scaley=False)


def _best(
    mark: np.ndarray, width: float, height: float, taken: list[tuple[float, ...]], frame: Box, scale: float
) -> tuple[float, float, float]:
    """Return the best place for a label as (reach in points, left edge, middle height), in pixels."""
    boxes, lowest, best = np.array(taken), np.inf, (0.0, 0.0, 0.0)
    others = boxes[~((boxes[:, :2] <= mark).all(1) & (mark <= boxes[:, 2:4]).all(1))]
    for reach in REACHES:
        for rank, angle in enumerate(ANGLES):
            across, up = np.cos(np.radians(angle)), np.sin(np.radians(angle))
            x, y = mark[0] + across * reach * scale, mark[1] + up * reach * scale
            left = x if across > 0.1 else x - width if across < -0.1 else x - width / 2
            middle = y + (height / 2 * up if abs(across) < 0.1 else 0)
            box = (left - 2, middle - height / 2 - 1, left + width + 2, middle + height / 2 + 1)
            outside = max(0, frame[0] - box[0], box[2] - frame[2]) + max(0, frame[1] - box[1], box[3] - frame[3])
            # what a label covers and what sticks out counts far more than how far away it is
            cost = _covered(box, boxes) * 10 + outside * 50 * scale + reach + rank
            if reach > FAR and cost < lowest:
                end = (min(max(mark[0], box[0]), box[2]), min(max(mark[1], box[1]), box[3]))
                cost += _crossed(mark, end, others)
            if cost < lowest:
                lowest, best = cost, (reach, left, middle)
    return best


def _covered(box: Box, boxes: np.ndarray) -> float:
    """Return the area that a box shares with others."""
    sides = np.minimum(box[2:], boxes[:, 2:4]) - np.maximum(box[:2], boxes[:, :2])
    return float(np.prod(np.maximum(sides, 0), axis=1).sum())


def _crossed(start: np.ndarray, end: tuple[float, float], boxes: np.ndarray) -> float:
    """Add up the weights of the boxes that a line runs through."""
    line = np.linspace(start, end, 40)[:, None]
    hit = ((line >= boxes[:, :2]) & (line <= boxes[:, 2:4])).all(2).any(0)
    return float(boxes[hit, 4].sum())
