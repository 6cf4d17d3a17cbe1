"""The report as one HTML page: no scripts, nothing loaded from elsewhere, light and dark, screen, phone and paper."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgecomp.artifact import to_json
from edgecomp.errors import InputError
from edgecomp.report import (
    calibration,
    deferral,
    forest,
    forgotten,
    outside,
    reading,
    slices,
    summary,
    tables,
    wording,
)
from edgecomp.report.reading import FILE_NAME, as_read, files, shipped, teacher
from edgecomp.report.sounds import listed, players, write_sounds
from edgecomp.store import clear_errors, write_atomically

if TYPE_CHECKING:
    from jinja2 import Environment

HERE = Path(__file__).parent
MOST_LABELS = 24
"""Labels up to which a confusion matrix can be read; above, the most frequent confusions are listed."""

COMPARED = ("accuracy", "accuracy_difference", "auroc", "bytes", "latency_p50", "latency_ratio", "peak_memory")
"""What a comparison of bundles shows of each."""


def html(report: Mapping[str, Any], sounds: Mapping[str, bytes] | None = None) -> str:
    """Lay out one report.

    sounds: FLAC files by the names that the report states; the page plays as many as it has room for
    """
    from edgecomp.report import plots

    report = as_read(report)
    pair, master = shipped(report), teacher(report)
    playing = players(report, sounds)
    confusion = pair[0].get("confusion") if pair else None
    return (
        _environment()
        .get_template("report.html.j2")
        .render(
            report=report,
            shipped=pair,
            teacher=master,
            s=summary,
            t=tables,
            r=reading,
            w=wording,
            sl=slices,
            fo=forgotten,
            ou=outside,
            de=deferral,
            ca=calibration,
            files=list(files(report)),
            plots={
                "latency": plots.accuracy_against(report, "latency_p50"),
                "size": plots.accuracy_against(report, "bytes"),
                "spread": plots.latency_spread(report),
                "reliability": calibration.reliability(report),
                "forest": forest.forest(report),
                "outside": forest.outside(report),
                "risk": deferral.risk_coverage(report),
            },
            players=playing,
            unplayed=sum(name in (sounds or {}) for name in listed(report)) - len(playing),
            matrix=_matrix(confusion, len(report["labels"])),
            confusions=_confusions(confusion, report["labels"]),
            labels=[] if report.get("audit") else summary.labels(report),
        )
    )


def comparison_html(reports: Sequence[Mapping[str, Any]]) -> str:
    """Lay out what ships of several bundles side by side.

    raises: InputError without reports
    """
    from edgecomp.report import plots

    if not reports:
        raise InputError("no report to compare", where="comparison_html", fix="give one bundle or more")
    reports = [as_read(report) for report in reports]
    pairs = [shipped(report) for report in reports]
    columns = [
        (name, tables.HEADS[name])
        for name in COMPARED
        if any(pair and name in pair[1]["measurements"] for pair in pairs)
    ]
    return (
        _environment()
        .get_template("comparison.html.j2")
        .render(
            reports=reports,
            pairs=pairs,
            columns=columns,
            s=summary,
            w=wording,
            plot=plots.bundles(reports),
            devices=list(dict.fromkeys(report["device"] for report in reports)),
        )
    )


def write_report(report: Mapping[str, Any], folder: Path, sounds: Mapping[str, bytes] | None = None) -> None:
    """Write report.html, report.json and the sounds into a folder, each whole or not at all.

    sounds: as in html
    raises: StoreError where the disk is full or the folder cannot be written, InputError for a sound's name that leads
            out of the folder
    """
    page = html(report, sounds)
    with clear_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
    write_sounds(folder, sounds or {})
    write_atomically(folder / FILE_NAME, to_json(report) + "\n")
    write_atomically(folder / "report.html", page)


def _matrix(counts: list[list[int]] | None, labels: int) -> list[list[dict[str, Any]]] | None:
    """Return the cells of a confusion matrix with how strong each is shaded, 0 to 0.6 of its row."""
    if not counts or labels > MOST_LABELS:
        return None
    return [
        [
            {
                "count": count,
                "shade": round(0.6 * (count / max(sum(row), 1)) ** 0.5, 3) if count else 0,
                "right": i == j,
            }
            for j, count in enumerate(row)
        ]
        for i, row in enumerate(counts)
    ]


def _confusions(counts: list[list[int]] | None, labels: list[str]) -> list[dict[str, Any]]:
    """Return the most frequent wrong answers, the most frequent first."""
    wrong = [
        {"true": labels[i], "answer": labels[j], "count": count, "n": sum(row)}
        for i, row in enumerate(counts or [])
        for j, count in enumerate(row)
        if i != j and count
    ]
    return sorted(wrong, key=lambda one: -one["count"])[: 8 if len(labels) <= MOST_LABELS else 30]


@cache
def _environment() -> Environment:
    from jinja2 import ChainableUndefined, Environment, FileSystemLoader

    made = Environment(
        loader=FileSystemLoader(HERE),
        autoescape=True,
        undefined=ChainableUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.globals["style"] = (HERE / "style.css").read_text(encoding="utf-8")
    return made
