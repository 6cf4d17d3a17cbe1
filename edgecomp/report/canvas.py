"""A matplotlib figure as an <svg> that stands in the page: text stays text, and colours are the page's own."""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from html import escape
from typing import Any

COLOURS = {
    "ink": "#010101",
    "muted": "#020202",
    "line": "#030303",
    "accent": "#040404",
    "warm": "#050505",
    "paper": "#060606",
    "bad": "#070707",
}
"""Stand-ins that are exchanged for the page's CSS variables."""
STYLE = {
    "svg.fonttype": "none",
    "svg.hashsalt": "edgecomp",
    "text.parse_math": False,
    "axes.unicode_minus": True,
    "font.family": "DejaVu Sans",
    "font.size": 9.5,
    "axes.labelsize": 9.5,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": COLOURS["line"],
    "axes.labelcolor": COLOURS["muted"],
    "text.color": COLOURS["ink"],
    "xtick.color": COLOURS["line"],
    "ytick.color": COLOURS["line"],
    "xtick.labelcolor": COLOURS["muted"],
    "ytick.labelcolor": COLOURS["muted"],
    "axes.grid": True,
    "grid.color": COLOURS["line"],
    "grid.linewidth": 0.5,
    "axes.axisbelow": True,
    "figure.facecolor": "none",
    "axes.facecolor": "none",
    "savefig.facecolor": "none",
    "xtick.labelsize": 9,
    "ytick.labelsize": 9,
    "xtick.minor.size": 0,
    "legend.frameon": False,
    "legend.fontsize": 9,
    "path.simplify": False,
}
WIDE, HIGH = 5.2, 4.2
"""Inches, at 72 units each: the text then has its size in pixels on a phone, and more on a screen."""


def svg(draw: Callable[[Any, Any], None], title: str, description: str, high: float = HIGH) -> str:
    """Draw a figure and return it as an <svg> for the page: named, described, without sizes, dates or fixed colours.

    high: inches
    """
    key = re.sub(r"\W+", "-", title.lower())
    with _canvas(STYLE | {"svg.hashsalt": key}, high) as (figure_, axes):
        draw(figure_, axes)
        out = io.StringIO()
        figure_.savefig(out, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    text = out.getvalue()
    text = re.sub(r"<metadata>.*?</metadata>", "", text[text.index("<svg") :], flags=re.DOTALL)
    text = re.sub(r'(\bid="|url\(#|href="#)', rf"\g<1>{key}-", text)  # several plots stand in one page
    text = re.sub(r"(font(?:-family)?:[^;\"]*?)'DejaVu Sans'[^;\"]*", r"\1system-ui, sans-serif", text)
    for name, stand_in in COLOURS.items():
        text = text.replace(stand_in, f"var(--{name})")
    box = re.search(r'viewBox="([^"]+)"', text).group(1)
    head = (
        f'<svg class="plot" viewBox="{box}" role="img" aria-labelledby="{key}-title {key}-desc" '
        f'xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink">'
        f'<title id="{key}-title">{escape(title)}</title><desc id="{key}-desc">{escape(description)}</desc>'
    )
    return re.sub(r"^<svg[^>]*>", lambda _: head, text)


def budget_line(axes: Any, x: float, text: str) -> None:
    """Draw what a target allows at most, named above the plot."""
    axes.axvline(x, color=COLOURS["bad"], linewidth=1, linestyle=(0, (5, 3)), zorder=1)
    axes.annotate(
        text,
        (x, 1),
        xycoords=("data", "axes fraction"),
        xytext=(0, 3),
        textcoords="offset points",
        color=COLOURS["bad"],
        fontsize=9,
        ha="center",
        va="bottom",
    )


def plain_ticks(axes: Any) -> None:
    """Write a log axis with plain numbers, more of them where it spans little."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    low, high = axes.get_xlim()
    axes.xaxis.set_major_locator(
        LogLocator(subs=(1, 2, 5) if high / low < 100 else (1, 3) if high / low < 1e4 else (1,))
    )
    axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:,.10g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())


def share_ticks(axes: Any) -> None:
    """Keep the ticks of a percent axis between 0 and 100, whatever room there is around them."""
    axes.set_ylim(axes.get_ylim())
    axes.set_yticks([tick for tick in axes.get_yticks() if 0 <= tick <= 100 and tick >= axes.get_ylim()[0]])


@contextmanager
def _canvas(style: dict[str, Any], high: float) -> Iterator[tuple[Any, Any]]:
    """Give a figure and its axes in our style, and leave matplotlib as it was."""
    import matplotlib
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    with matplotlib.rc_context(), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph", UserWarning)  # the browser's fonts will have it
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(style)
        figure_ = Figure(figsize=(WIDE, high), layout="constrained")
        FigureCanvasAgg(figure_)
        yield figure_, figure_.add_subplot()
