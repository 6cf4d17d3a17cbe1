"""Plots of what every stage gives and costs, how the time varies, and of several bundles side by side."""

from __future__ import annotations

from typing import Any

from edgecomp.report import wording as say
from edgecomp.report.canvas import COLOURS, budget_line, plain_ticks, share_ticks, svg
from edgecomp.report.placing import place_labels
from edgecomp.report.reading import figure, files, is_run, shipped

MARKERS = {"onnx": "o", "tflite": "s"}
FORMATS = {"onnx": "ONNX", "tflite": "TFLite"}


def accuracy_against(report: dict[str, Any], cost: str) -> str | None:
    """Plot accuracy with its interval against "latency_p50" or "bytes" of every stage's files; None without points."""
    points = [
        (stage, file) for stage, file in files(report) if figure(file, "accuracy") is not None and figure(file, cost)
    ]
    if not points:
        return None
    scale, unit, limit = (1.0, "ms", "latency_ms") if cost == "latency_p50" else (1e-3, "kB", "model_bytes")
    axis = (
        "median time for one clip on this host (ms, log scale)"
        if cost == "latency_p50"
        else "size of the file (kB, log scale)"
    )
    bound = (report["target"].get("budget") or {}).get(limit)

    def draw(figure_, axes) -> None:
        spots, bars = [], []
        for stage, file in points:
            one = file["measurements"]["accuracy"]
            x, y = file["measurements"][cost]["value"] * scale, one["value"] * 100
            colour, ships = _colour(stage["name"]), is_run(report, file)
            is_filled = file.get("shipped") or stage["name"] == "teacher"
            low, high = (one.get(end) for end in ("low", "high"))
            if low is not None and high is not None:
                axes.vlines(x, low * 100, high * 100, color=colour, linewidth=1.0, alpha=0.55, zorder=2)
                bars.append((x, low * 100, high * 100))
            axes.plot(
                [x],
                [y],
                marker=MARKERS.get(file["format"], "D"),
                markersize=8 if ships else 5.5,
                color=colour,
                linestyle="none",
                markerfacecolor=colour if is_filled else COLOURS["paper"],
                markeredgewidth=1.3,
                zorder=4,
            )
            name = f"{stage['name']} · {FORMATS.get(file['format'], file['format'])}"
            spots.append((x, y, f"{name} (ships)" if ships else name, colour, ships))
        path = _path(report, points, cost)
        axes.plot(
            [x * scale for x, _ in path],
            [y * 100 for _, y in path],
            color=COLOURS["muted"],
            linewidth=0.9,
            linestyle=(0, (1, 2.2)),
            zorder=1,
        )
        axes.set_xscale("log")
        if bound:
            budget_line(axes, bound * scale, f"budget {say.plain(bound * scale)} {unit}")
        axes.margins(x=0.14, y=0.2)
        low, high = axes.get_xlim()
        axes.set_xlim(low / (high / low) ** 0.1, high)  # room for labels on the left
        plain_ticks(axes)
        share_ticks(axes)
        axes.set_xlabel(axis)
        axes.set_ylabel("accuracy on the test split (%)")
        place_labels(figure_, axes, spots, bars=bars, leader=COLOURS["muted"])

    told = "; ".join(
        f"{stage['name']} {file['format']} {say.percent(figure(file, 'accuracy'))} at "
        f"{say.plain(figure(file, cost) * scale)} {unit}"
        for stage, file in points
    )
    noun = "time for one clip" if cost == "latency_p50" else "size of the file"
    return svg(draw, f"Accuracy against {noun}", told)


def latency_spread(report: dict[str, Any]) -> str | None:
    """Plot median, 90th and 99th percentile of every file's latency; None where no latency was measured."""
    lines = [(stage, file) for stage, file in files(report) if figure(file, "latency_p50")]
    if not lines:
        return None
    bound = (report["target"].get("budget") or {}).get("latency_ms")

    def draw(_, axes) -> None:
        for row, (stage, file) in enumerate(lines):
            marks = [figure(file, f"latency_p{p}") for p in (50, 90, 99)]
            known, colour = [mark for mark in marks if mark], _colour(stage["name"])
            axes.plot(
                [known[0], known[-1]],
                [row, row],
                color=colour,
                linewidth=5,
                alpha=0.28,
                solid_capstyle="butt",
                zorder=2,
            )
            for mark, (symbol, width) in zip(marks, (("o", 6.5), ("|", 9), ("|", 9)), strict=True):
                if mark:
                    axes.plot(
                        [mark], [row], marker=symbol, markersize=width, markeredgewidth=1.6, color=colour, zorder=3
                    )
            axes.annotate(
                f"{say.plain(known[0])} ms",
                (known[-1], row),
                xytext=(7, 0),
                textcoords="offset points",
                va="center",
                fontsize=9,
                fontweight="bold" if is_run(report, file) else "normal",
                gid=f"label-{row}",
                zorder=6,
            )
        names = [f"{stage['name']} · {FORMATS.get(file['format'], file['format'])}" for stage, file in lines]
        axes.set_yticks(range(len(lines)), names)
        for tick, (_, file) in zip(axes.get_yticklabels(), lines, strict=True):
            tick.set_color(COLOURS["ink"])
            tick.set_fontweight("bold" if is_run(report, file) else "normal")
        axes.invert_yaxis()
        axes.grid(False, axis="y")
        axes.set_xscale("log")
        if bound:
            budget_line(axes, bound, f"budget {say.plain(bound)} ms")
        axes.margins(x=0.06, y=0.08)
        axes.set_xlim(right=axes.get_xlim()[1] * (axes.get_xlim()[1] / axes.get_xlim()[0]) ** 0.16)  # room for figures
        plain_ticks(axes)
        axes.set_xlabel("time for one clip on this host (ms, log scale)")

    told = "; ".join(
        f"{stage['name']} {file['format']} "
        + ", ".join(f"p{p} {say.plain(figure(file, f'latency_p{p}'))} ms" for p in (50, 90, 99))
        for stage, file in lines
    )
    return svg(draw, "Latency: median, 90th and 99th percentile", told)


def bundles(reports: list[dict[str, Any]]) -> str | None:
    """Plot the models that ship of several bundles, accuracy against latency."""
    spots = [
        (pair[1], f"{report['name']} · {report['target']['name']}")
        for report in reports
        if (pair := shipped(report)) and figure(pair[1], "accuracy") is not None and figure(pair[1], "latency_p50")
    ]
    if not spots:
        return None

    def draw(figure_, axes) -> None:
        for file, _ in spots:
            one, x = file["measurements"]["accuracy"], figure(file, "latency_p50")
            if one.get("low") is not None and one.get("high") is not None:
                axes.vlines(x, one["low"] * 100, one["high"] * 100, color=COLOURS["accent"], linewidth=1, alpha=0.55)
            axes.plot(
                [x],
                [one["value"] * 100],
                marker=MARKERS.get(file["format"], "D"),
                color=COLOURS["accent"],
                markersize=6,
                linestyle="none",
            )
        axes.set_xscale("log")
        axes.margins(x=0.2, y=0.2)
        plain_ticks(axes)
        share_ticks(axes)
        axes.set_xlabel("median time for one clip on its host (ms, log scale)")
        axes.set_ylabel("accuracy on its test split (%)")
        labels = [
            (figure(file, "latency_p50"), figure(file, "accuracy") * 100, name, COLOURS["ink"], False)
            for file, name in spots
        ]
        place_labels(figure_, axes, labels, bars=[], leader=COLOURS["muted"])

    told = "; ".join(
        f"{name} {say.percent(figure(file, 'accuracy'))} at {say.plain(figure(file, 'latency_p50'))} ms"
        for file, name in spots
    )
    return svg(draw, "Models that ship: accuracy against time for one clip", told)


def _path(report: dict[str, Any], points: list, cost: str) -> list[tuple[float, float]]:
    """Return the way of the format that ships along the passes, from the teacher on; labels only is not on it."""
    pair = shipped(report)
    form = pair[1]["format"] if pair else None
    return [
        (figure(file, cost), figure(file, "accuracy"))
        for stage, file in points
        if stage["name"] == "teacher" or (stage["name"] != "labels only" and file["format"] == form)
    ]


def _colour(stage: str) -> str:
    return COLOURS[{"teacher": "ink", "labels only": "warm"}.get(stage, "accent")]
