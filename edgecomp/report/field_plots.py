"""The field report's plots: the whole distribution of latencies, and how a sustained run went."""

from __future__ import annotations

from collections.abc import Sequence

from edgecomp.report import wording as say
from edgecomp.report.canvas import COLOURS, budget_line, plain_ticks, svg
from edgecomp.results import Result

LINES = (COLOURS["accent"], COLOURS["warm"], COLOURS["ink"], COLOURS["muted"])
DASHES = ("-", (0, (5, 2)), (0, (1, 1.5)), (0, (5, 1, 1, 1)))


def distributions(results: Sequence[Result]) -> list[str]:
    """Plot how many runs took at most so long, a plot for each device; measured ones only."""
    made = []
    timed = [
        one
        for one in results
        if one.name == "latency_p50" and len(one.quantiles) and one.how == "measured" and not one.series
    ]
    for device in dict.fromkeys(one.device for one in timed):
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
        made.append(svg(draw, f"Distribution of latency on {device}", told))
    return made


def sustained(results: Sequence[Result]) -> list[str]:
    """Plot the median of every window against time, a plot for each device with a sustained run."""
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
        made.append(svg(draw, f"Sustained run on {device}", told))
    return made


def _name(one: Result) -> str:
    return f"{one.bundle} {one.form}, {say.count(one.threads, 'thread')}"
