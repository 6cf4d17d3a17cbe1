"""Plots of rows with intervals: slices against the margin, and teacher and student side by side outside the lab."""

from __future__ import annotations

from typing import Any

from edgecomp.report import wording as say
from edgecomp.report.canvas import COLOURS, budget_line, svg
from edgecomp.report.slices import foremost, title

LONGEST = 36
"""Characters of a slice's name."""
LOOKS = {
    "lost": ("bad", "s", True),
    "unclear": ("warm", "o", False),
    "too small": ("muted", "D", False),
    "kept": ("accent", "o", True),
}
"""Colour, marker and whether it is filled: the verdicts differ in grey too, and each is written out."""
PITCH, FRAME = 0.42, 0.75
"""Inches for a row, and for the axis with what stands above."""


def forest(report: dict[str, Any]) -> str | None:
    """Plot the foremost slices' difference to the teacher with its interval and the margin; None without an audit."""
    rows = [row for row in foremost(report) if row["difference"]["value"] is not None]
    if not rows:
        return None
    margin = report["audit"]["margin"] * 100

    def draw(_, axes) -> None:
        for place, row in enumerate(rows):
            colour, marker, is_filled = LOOKS[row["verdict"]]
            one, ink = row["difference"], COLOURS[colour]
            _interval(axes, one, place, ink, dashed=row["verdict"] == "too small")
            if row.get("bound") is not None:
                axes.plot([row["bound"] * 100], [place], marker="|", markersize=11, color=ink, markeredgewidth=1.6)
            axes.plot(
                [one["value"] * 100],
                [place],
                marker=marker,
                markersize=6.5,
                color=ink,
                markerfacecolor=ink if is_filled else COLOURS["paper"],
                markeredgewidth=1.4,
                zorder=4,
            )
            axes.annotate(
                f"{_short(title(row))} · {row['n']:,} clips · {say.points(one['value'])} · {row['verdict']}",
                (0, place),
                xycoords=("axes fraction", "data"),
                xytext=(0, 8.5),
                textcoords="offset points",
                fontsize=9,
                fontweight="bold" if row["verdict"] == "lost" or row["kind"] == "all" else "normal",
                annotation_clip=False,
                gid=f"label-{place}",
                zorder=6,
            )
        axes.axvline(0, color=COLOURS["ink"], linewidth=0.8, zorder=1)
        budget_line(axes, -margin, f"margin −{margin:g}")
        axes.set_xlim(*_limits([row["difference"] for row in rows], -margin))
        axes.set_ylim(len(rows) - 0.5, -0.95)
        axes.set_yticks([])
        axes.spines["left"].set_visible(False)
        axes.set_xlabel("model that ships minus teacher (percentage points)")

    told = "; ".join(
        f"{title(row)} {say.points(row['difference']['value'])} points "
        f"({say.interval('accuracy_difference', row['difference'])}), {row['verdict']}"
        for row in rows
    )
    return svg(draw, "Slices: difference to the teacher", told, high=FRAME + PITCH * len(rows))


def outside(report: dict[str, Any]) -> str | None:
    """Plot the share of right answers of teacher and model that ships under every corruption; None without an audit."""
    rows = ((report.get("audit") or {}).get("outside") or {}).get("rows") or []
    if not rows:
        return None

    def draw(_, axes) -> None:
        for name, side, colour, marker, is_filled in (
            ("teacher", -0.17, "ink", "D", False),
            ("ships", 0.17, "accent", "o", True),
        ):
            for place, row in enumerate(rows):
                one, ink = row[name], COLOURS[colour]
                if one["value"] is None:
                    continue
                _interval(axes, one, place + side, ink)
                axes.plot(
                    [one["value"] * 100],
                    [place + side],
                    marker=marker,
                    markersize=5,
                    color=ink,
                    markerfacecolor=ink if is_filled else COLOURS["paper"],
                    linestyle="none",
                    zorder=4,
                    label=None if place else ("teacher" if name == "teacher" else "model that ships"),
                )
        axes.set_yticks(range(len(rows)), [row["name"] for row in rows])
        for tick in axes.get_yticklabels():
            tick.set_color(COLOURS["ink"])
        axes.set_ylim(len(rows) - 0.5, -0.6)
        axes.grid(False, axis="y")
        axes.set_xlabel("right answers (%)")
        axes.legend(loc="lower center", bbox_to_anchor=(0.4, 1), ncols=2, borderaxespad=0.2)

    told = "; ".join(
        f"{row['name']}: teacher {say.percent(row['teacher']['value'])}, ships {say.percent(row['ships']['value'])}"
        for row in rows
    )
    return svg(draw, "Outside the lab: teacher and model that ships", told, high=FRAME + 0.3 * len(rows))


def _interval(axes: Any, one: dict[str, Any], place: float, colour: str, *, dashed: bool = False) -> None:
    low, high = one.get("low"), one.get("high")
    if low is not None and high is not None:
        style = (0, (2, 2)) if dashed else "-"
        axes.hlines(place, low * 100, high * 100, color=colour, linewidth=1.3, linestyle=style, zorder=3)


def _limits(differences: list[dict[str, Any]], margin: float) -> tuple[float, float]:
    ends = [
        end * 100 for one in differences for end in (one["value"], one.get("low"), one.get("high")) if end is not None
    ]
    low, high = min([margin, 0, *ends]), max([0, *ends])
    room = 0.06 * max(high - low, 1)
    return low - room, high + room


def _short(text: str) -> str:
    return text if len(text) <= LONGEST else text[: LONGEST - 1].rstrip(" ,:") + "…"
