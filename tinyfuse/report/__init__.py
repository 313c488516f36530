"""Reports: the table on the terminal, the figures, and one self-contained HTML page per run or selection."""

from __future__ import annotations

from tinyfuse.report.bench_page import render
from tinyfuse.report.tables import markdown_table, print_summary, summary_table
from tinyfuse.report.view import RunView, load

__all__ = ["RunView", "load", "markdown_table", "print_summary", "render", "summary_table"]
