"""The report room: a compile's measurements as one self-contained HTML page, Markdown and a terminal's table."""

from edgecomp.report.page import comparison_html, html, write_report
from edgecomp.report.prose import markdown
from edgecomp.report.reading import SCHEMA, read_report, rows
from edgecomp.report.sounds import read_sounds
from edgecomp.report.terminal import terminal_summary, terminal_table

__all__ = [
    "SCHEMA",
    "comparison_html",
    "html",
    "markdown",
    "read_report",
    "read_sounds",
    "rows",
    "terminal_summary",
    "terminal_table",
    "write_report",
]
