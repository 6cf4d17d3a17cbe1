"""Whether confidence can be trusted: calibration before and after it was fitted, as rows and as a reliability plot."""

from __future__ import annotations

from typing import Any

from edgecomp.report import wording as say
from edgecomp.report.canvas import COLOURS, svg
from edgecomp.report.reading import shipped, teacher

WHEN = (("before", "before calibration"), ("after", "after, as it ships"))


def fitted(report: dict[str, Any]) -> str:
    """Say what was fitted; nothing without a calibration."""
    one = report.get("calibration")
    if not one:
        return ""
    if one.get("scale", 1) == 1 and not any(one.get("shift") or []):
        return "Nothing was changed: the probabilities are the model’s own."
    shift = [say.plain(part) for part in one.get("shift") or []]
    moved = f" and shifted by {', '.join(shift)} (Platt’s scaling)" if any(one.get("shift") or []) else ""
    return (
        f"On the validation split, after rounding to the numbers that ship, the logits were scaled by "
        f"{say.plain(one['scale'])}, a temperature of {say.plain(1 / one['scale'])}{moved}; both model files hold this."
    )


def rows(report: dict[str, Any]) -> list[dict[str, Any]]:
    """Lay out calibration error and Brier score before and after, on the test split."""
    one = report.get("calibration") or {}
    return [
        {
            "when": text,
            "n": one[key]["brier"]["n"],
            "error": say.cell("calibration_error", one[key]["calibration_error"]),
            "brier": say.cell("brier", one[key]["brier"]),
        }
        for key, text in WHEN
        if one.get(key)
    ]


def brief(report: dict[str, Any]) -> str:
    """Say in one line what calibration changed on the test split; nothing where it is not known."""
    one = report.get("calibration") or {}
    if not all(one.get(key) for key, _ in WHEN):
        return ""
    errors, scores = (
        [say.value(name, one[key][name]["value"]) for key, _ in WHEN] for name in ("calibration_error", "brier")
    )
    return (
        f"Calibration error {errors[0]} before, {errors[1]} after; Brier score {scores[0]} before, {scores[1]} after."
    )


def reliability(report: dict[str, Any]) -> str | None:
    """Plot how often an answer is right against how sure the model was: the teacher, and what ships before and after."""
    before = ((report.get("calibration") or {}).get("before") or {}).get("reliability")
    ours, theirs = ((pair[0].get("reliability") if pair else None) for pair in (shipped(report), teacher(report)))
    curves = [
        (name, bins, colour, marker, line)
        for name, bins, colour, marker, line in (
            ("teacher", theirs, COLOURS["muted"], "D", "-"),
            ("before calibration", before, COLOURS["warm"], "s", (0, (1, 1.5))),
            ("model that ships", ours, COLOURS["accent"], "o", "-"),
        )
        if bins
    ]
    if not curves:
        return None

    def draw(_, axes) -> None:
        lowest = min(min(one["confidence"], one["accuracy"]) for _, bins, *_ in curves for one in bins) * 100
        floor = max(0, min(lowest, 95) - 6)
        axes.plot([floor, 100], [floor, 100], color=COLOURS["muted"], linewidth=0.9, linestyle=(0, (4, 3)))
        axes.annotate(
            "dashed: exactly as sure as it is right",
            (0.98, 0.04),
            xycoords="axes fraction",
            color=COLOURS["muted"],
            fontsize=9,
            ha="right",
        )
        for name, bins, colour, marker, line in curves:
            x, y = [one["confidence"] * 100 for one in bins], [one["accuracy"] * 100 for one in bins]
            if name == "model that ships":
                axes.vlines(
                    x,
                    [_end(one, "low") for one in bins],
                    [_end(one, "high") for one in bins],
                    color=colour,
                    linewidth=1,
                    alpha=0.5,
                )
            axes.plot(
                x,
                y,
                color=colour,
                marker=marker,
                markersize=4.5,
                linewidth=1.3,
                linestyle=line,
                label=name,
                markerfacecolor=COLOURS["paper"],
            )
        axes.set_xlim(floor, 101)
        axes.set_ylim(floor, 101)
        axes.set_xlabel("how sure the model was (mean confidence, %)")
        axes.set_ylabel("how often it was right (%)")
        axes.legend(loc="upper left")

    told = "; ".join(
        f"{name}: "
        + ", ".join(f"{say.percent(one['confidence'])} sure, {say.percent(one['accuracy'])} right" for one in bins)
        for name, bins, *_ in curves
    )
    return svg(draw, "Reliability: confidence against accuracy", told)


def _end(one: dict[str, Any], end: str) -> float:
    """Return one end of a bin's interval in percent; without one, its middle."""
    return (one["accuracy"] if one.get(end) is None else one[end]) * 100
