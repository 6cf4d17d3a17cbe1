"""The field report's plots: the whole distribution of latencies, how a sustained run went, and the roofline."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from edgecomp.report import wording as say
from edgecomp.report.canvas import COLOURS, budget_line, plain_ticks, svg
from edgecomp.report.field_limit import GIGA, PARTS, Limit
from edgecomp.report.placing import place_labels
from edgecomp.results import Result

LINES = (COLOURS["accent"], COLOURS["warm"], COLOURS["ink"], COLOURS["muted"])
DASHES = ("-", (0, (5, 2)), (0, (1, 1.5)), (0, (5, 1, 1, 1)))


def distributions(results: Sequence[Result]) -> list[tuple[str, str]]:
    """Plot how many runs took at most so long: (device, plot) for each, measured ones only."""
    made = []
    timed = [
        one
        for one in results
        if one.name == "latency_p50" and len(one.quantiles) and one.how == "measured" and not one.series
    ]
    for device in sorted({one.device for one in timed}):
        ours = [one for one in timed if one.device == device]

        def draw(_, axes, ours=ours) -> None:
            for place, one in enumerate(ours):
                axes.plot(
                    one.quantiles,
                    range(len(one.quantiles)),
                    color=LINES[place % len(LINES)],
                    linestyle=DASHES[place // len(LINES) % len(DASHES)],
                    linewidth=1.4,
                    label=_name(one),
                )
            axes.set_xscale("log")
            bounds = {one.bound for one in ours if one.bound is not None}
            if len(bounds) == 1 and (bound := bounds.pop()) < 30 * max(one.quantiles[-1] for one in ours):
                budget_line(axes, bound, f"budget {say.plain(bound)} ms")
            plain_ticks(axes)
            axes.set_xlabel("time for one clip (ms, log scale)")
            axes.set_ylabel("runs that took at most so long (%)")
            axes.legend(loc="lower right")

        told = "; ".join(f"{_name(one)} median {say.plain(one.value)} ms" for one in ours)
        made.append((device, svg(draw, f"Distribution of latency on {device}", told)))
    return made


def sustained(results: Sequence[Result]) -> list[tuple[str, str]]:
    """Plot the median of every window against time, (device, plot) for each device with a sustained run."""
    made = []
    long = [one for one in results if one.name == "latency_p50" and len(one.series) > 1]
    for device in dict.fromkeys(one.device for one in long):
        ours = [one for one in long if one.device == device]

        def draw(_, axes, ours=ours) -> None:
            for place, one in enumerate(ours):
                seconds, medians = [row[0] for row in one.series], [row[1] for row in one.series]
                axes.plot(seconds, medians, color=LINES[place % len(LINES)], linewidth=1.2, label=_name(one))
            heat = [(row[0], row[2]) for row in ours[0].series if row[2] is not None]
            if heat:
                beside = axes.twinx()
                beside.plot(*zip(*heat, strict=True), color=COLOURS["bad"], linewidth=0.9, linestyle=(0, (1, 2)))
                beside.set_ylabel("temperature (°C, dotted)")
            axes.set_ylim(bottom=0)
            axes.set_xlabel("seconds since the run began")
            axes.set_ylabel("median of each window (ms)")
            axes.legend(loc="lower right")

        told = "; ".join(
            f"{_name(one)} {say.plain(one.series[0][1])} to {say.plain(one.series[-1][1])} ms" for one in ours
        )
        made.append((device, svg(draw, f"Sustained run on {device}", told)))
    return made


def rooflines(limits: Sequence[Limit], peaks: Mapping[str, Mapping[str, Result]]) -> dict[str, str]:
    """Plot what each part's arithmetic ran at against what the core allows, by device; measured ones only."""
    made = {}
    measured = [one for one in limits if one.found["time"].how == "measured"]
    for device in dict.fromkeys(one.device for one in measured):
        ours, best = [one for one in measured if one.device == device], peaks.get(device, {})
        if len(best) < len(CEILINGS) + 1:
            continue

        def draw(figure, axes, ours=ours, best=best) -> None:
            _ceilings(axes, [one.per_byte for one in ours], [one.speed("time") for one in ours], best)
            for one in ours:
                colour, x = PART_COLOURS[one.part], one.per_byte
                ends = [one.speed(of) / GIGA for of in ("time", "limit")]
                axes.plot([x, x], ends, color=colour, linewidth=0.8, linestyle=(0, (1, 2)))
                axes.plot([x], ends[1:], "o", markersize=6, markerfacecolor="none", markeredgecolor=colour)
                axes.plot([x], ends[:1], "o", markersize=7, color=colour, markeredgewidth=0)
            axes.set_xlabel("multiply-accumulates for each byte that must move (log scale)")
            axes.set_ylabel("billion multiply-accumulates a second (log scale)")
            _name_slope(figure, axes, best["bandwidth"].value)
            bars = [(one.per_byte, one.speed("time") / GIGA, one.speed("limit") / GIGA) for one in ours]
            place_labels(figure, axes, _labels(ours), bars=bars, leader=COLOURS["muted"])

        told = "; ".join(f"{one.file} {PARTS[one.part]} {one.found['share'].value * 100:.0f} %" for one in ours)
        made[device] = svg(draw, f"Roofline of one core of {device}", f"Share of the limit: {told}")
    return made


CEILINGS = {"peak_float32": "float32", "peak_int8": "int8"}
PART_COLOURS = {"front_end": COLOURS["accent"], "body": COLOURS["warm"]}
MOST_NAMED = 8
"""Points that a plot names in full; where there are more, their numbers in the table stand for them."""


def _ceilings(axes: Any, across: Sequence[float], speeds: Sequence[float], best: Mapping[str, Result]) -> None:
    """Draw the slope that memory allows and the level of each numerics, and set the plot's limits."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    bandwidth, top = best["bandwidth"].value, max(best[name].value for name in CEILINGS)
    low, high = min(*across, top / bandwidth) / 8, max(*across, top / bandwidth) * 6
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlim(low, high)
    axes.set_ylim(min(*speeds, low * bandwidth) / GIGA / 1.5, top / GIGA * 2)
    axes.plot([low, top / bandwidth], [low * bandwidth / GIGA, top / GIGA], color=COLOURS["ink"], linewidth=1.2)
    for name, numerics in CEILINGS.items():
        level = best[name].value
        axes.plot([level / bandwidth, high], [level / GIGA] * 2, color=COLOURS["ink"], linewidth=1.2)
        axes.annotate(
            f"{numerics}: {say.plain(level / GIGA)}",
            (high, level / GIGA),
            xytext=(-2, 3),
            textcoords="offset points",
            color=COLOURS["muted"],
            ha="right",
            va="bottom",
        )
    plain_ticks(axes)
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda y, _: f"{y:,.10g}"))
    axes.yaxis.set_minor_formatter(NullFormatter())


def _name_slope(figure: Any, axes: Any, bandwidth: float) -> None:
    """Write the bandwidth along the slope that it makes, above its lower half."""
    figure.canvas.draw()  # only then is the plot's final shape known
    low, knee = axes.get_xlim()[0], axes.get_ylim()[1] / 2 * GIGA / bandwidth
    ends = axes.transData.transform([(x, x * bandwidth / GIGA) for x in (low, knee)])
    middle = low * (knee / low) ** 0.45
    axes.annotate(
        f"memory: {say.plain(bandwidth / GIGA)} GB/s",
        (middle, middle * bandwidth / GIGA),
        xytext=(-4, 4),
        textcoords="offset points",
        color=COLOURS["muted"],
        rotation=math.degrees(math.atan2(*(ends[1] - ends[0])[::-1])),
        rotation_mode="anchor",
        ha="center",
        va="bottom",
    )


def _labels(ours: Sequence[Limit]) -> list[tuple[float, float, str, str, bool]]:
    """Return a label for each measured point, as place_labels wants them."""
    return [
        (
            one.per_byte,
            one.speed("time") / GIGA,
            f"{one.number}: {PARTS[one.part]} {one.found['share'].value * 100:.0f} %"
            if len(ours) <= MOST_NAMED
            else str(one.number),
            PART_COLOURS[one.part],
            False,
        )
        for one in ours
    ]


def _name(one: Result) -> str:
    return f"{one.bundle} {one.form}, {say.count(one.threads, 'thread')}"
