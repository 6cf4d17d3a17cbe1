"""When the model should ask: the rule in a sentence, what it does on the test split, and the risk-coverage curve."""

from __future__ import annotations

from typing import Any

from edgecomp.audit.costs import LOCAL, SHIPPED, TEACHER
from edgecomp.report import wording as say
from edgecomp.report.canvas import COLOURS, svg

OPEN = 10
"""Rows of the table of slices that are not folded."""


def rule(report: dict[str, Any]) -> str:
    """Say when the model asks, and what that promises; nothing without a deferral."""
    one = report.get("deferral")
    if not one:
        return ""
    if one.get("ask_above") is None:
        return f"It asks the teacher about every clip: {_plain_note(one) or 'no threshold could be shown to be safe'}."
    people = f" of {say.count(one['subjects'], 'subject')}" if one.get("subjects") else ""
    return (
        f"It asks the teacher where its uncertainty is above {say.plain(one['ask_above'])}, and answers by itself below. "
        f"The threshold was chosen on {say.clips(one['n'], 'validation')}{people}: it answers {one['answered']:,} of "
        f"them, {one['errors']:,} wrongly, so that with {one['confidence'] * 100:g} % confidence at most "
        f"{say.percent(one['bound'])} of its own answers are wrong (the recipe allows {one['max_risk'] * 100:g} %)."
    )


def short_rule(report: dict[str, Any]) -> str:
    """Say the rule and its promise on one line; nothing without a deferral."""
    one = report.get("deferral")
    if not one or one.get("ask_above") is None:
        return rule(report)
    return (
        f"It asks above an uncertainty of {say.plain(one['ask_above'])}: at most {say.percent(one['bound'])} of its own "
        f"answers wrong, with {one['confidence'] * 100:g} % confidence on {say.clips(one['n'], 'validation')}."
    )


def caveat(report: dict[str, Any]) -> str:
    """Say what the promise does not cover."""
    one = report.get("deferral") or {}
    if one.get("ask_above") is None:
        return ""
    note = f" The bound is {one['note']}." if one.get("note") else ""
    return f"The promise holds for clips drawn like these, not after a change of place or microphone.{note}"


def outcome(report: dict[str, Any]) -> list[tuple[str, dict[str, str], str]]:
    """Return what the rule did on the test split: (what, cell, clips behind it)."""
    test = (report.get("deferral") or {}).get("test") or {}
    named = (
        ("answered by itself", "coverage"),
        ("wrong among these answers", "risk"),
        ("right answers of the pair, the teacher answering what is asked", "with_teacher"),
        ("of the clips answered unlike the teacher, asked about", "caught"),
    )
    return [
        (text, say.share_cell(test[key]), say.clips(test[key]["n"])) for text, key in named if test.get(key) is not None
    ]


def brief(report: dict[str, Any]) -> str:
    """Say in one sentence what the rule did on the test split."""
    one = report.get("deferral")
    if not one:
        return ""
    test = one.get("test") or {}
    told = f"On the test split it answers {say.estimate(test.get('coverage'))} by itself"
    return told + (f", {say.estimate(test['risk'])} of that wrongly." if test.get("risk") else ".")


def rates(report: dict[str, Any]) -> dict[str, list[dict[str, Any]]] | None:
    """Lay out how often each slice is asked about: all clips, those beyond chance, then by the interval's lower end."""
    found = (report.get("deferral") or {}).get("rates") or []
    if not found:
        return None
    ordered = sorted(
        found, key=lambda one: (one["name"] != "all clips", not one["is_above"], -(one["rate"]["low"] or 0))
    )
    lines = [
        {
            "name": one["name"],
            "n": one["rate"]["n"],
            "cell": say.share_cell(one["rate"]),
            "p": say.p_value(one.get("holm_p")),
            "is_above": one["is_above"],
        }
        for one in ordered
    ]
    above = sum(one["is_above"] for one in found)
    cut = max(OPEN, above + 1)
    return {"open": lines[:cut], "folded": lines[cut:], "above": [one for one in lines if one["is_above"]]}


def foreign(report: dict[str, Any]) -> list[dict[str, Any]]:
    """Lay out how well the uncertainty tells foreign sounds, and how many of them are asked about."""
    return [
        {
            "name": one["name"],
            "text": one.get("text", ""),
            "n": one["asked"]["n"],
            "auroc": say.cell("auroc", one["auroc"]),
            "asked": say.share_cell(one["asked"]),
        }
        for one in (report.get("deferral") or {}).get("foreign") or []
    ]


def money(report: dict[str, Any]) -> dict[str, Any] | None:
    """Lay out what each way to run costs; None where it was not worked out."""
    costs = (report.get("deferral") or {}).get("costs")
    if not costs or not costs.get("rows"):
        return None
    has_payback = not costs.get("note")
    return {
        "unit": costs["unit"],
        "note": costs.get("note"),
        "has_payback": has_payback,
        "lines": [
            {
                "name": row["name"],
                "local": say.share_cell(row["local"]) | ({"interval": ""} if row["name"] in (TEACHER, LOCAL) else {}),
                "cost": say.plain(row["per_1000"]),
                "accuracy": say.share_cell(row["accuracy"]),
                "paid": _paid(row, place),
                "ships": row["name"] == SHIPPED,
            }
            for place, row in enumerate(costs["rows"])
        ],
    }


def risk_coverage(report: dict[str, Any]) -> str | None:
    """Plot the share of wrong answers against the share answered, with the shipped threshold; None without a curve."""
    one = report.get("deferral") or {}
    curve, test = one.get("curve") or {}, one.get("test") or {}
    x = [100 * share for share in curve.get("coverage") or []]
    if not x:
        return None
    y = [100 * share for share in curve["risk"]]
    ends = [(test.get(key) or {}).get(end) for key in ("coverage", "risk") for end in ("value", "low", "high")]
    at, bound = (None if None in ends else test), one["max_risk"] * 100

    def draw(_, axes) -> None:
        axes.plot(x, y, color=COLOURS["accent"], linewidth=1.6, zorder=3)
        axes.axhline(bound, color=COLOURS["bad"], linewidth=1, linestyle=(0, (5, 3)), zorder=1)
        axes.annotate(
            f"allowed {say.plain(bound)} %",
            (0, bound),
            xycoords=("axes fraction", "data"),
            xytext=(3, 3),
            textcoords="offset points",
            color=COLOURS["bad"],
            fontsize=9,
        )
        top = [bound * 1.4, max(y[len(y) // 10 :]) * 1.12, 1.0]
        if at is not None:
            spot = at["coverage"]["value"] * 100, at["risk"]["value"] * 100
            axes.vlines(spot[0], at["risk"]["low"] * 100, at["risk"]["high"] * 100, color=COLOURS["ink"], linewidth=1.2)
            axes.plot(*[[one] for one in spot], marker="o", markersize=8, color=COLOURS["ink"], zorder=4)
            axes.annotate(
                f"shipped: answers {say.percent(at['coverage']['value'])},\n{say.percent(at['risk']['value'])} of that wrongly",
                (spot[0], at["risk"]["high"] * 100),
                xytext=(0, 4),
                textcoords="offset points",
                ha="right" if spot[0] > 40 else "left",
                va="bottom",
                fontsize=9,
                fontweight="bold",
                gid="label-shipped",
                zorder=6,
            )
            top.append(at["risk"]["high"] * 105)
        axes.set_xlim(0, 102)
        axes.set_ylim(0, min(100, max(top)))
        axes.set_xlabel("share of test clips answered, surest first (%)")
        axes.set_ylabel("wrong among these answers (%)")

    step = max(1, len(x) // 8)
    told = "; ".join(f"{a:.0f} % answered, {b:.1f} % wrong" for a, b in zip(x[::-step], y[::-step], strict=True))
    return svg(draw, "Risk against coverage", f"allowed {say.plain(bound)} %; {told}")


def _plain_note(one: dict[str, Any]) -> str:
    return (one.get("note") or "").removeprefix("always asks: ")


def _paid(row: dict[str, Any], place: int) -> str:
    if row.get("paid_after") is not None:
        return f"{row['paid_after']:,}"
    return "never" if place else say.MISSING
