"""How every figure looks: colours that colour-blind readers tell apart, and inks that follow light and dark themes.

matplotlib is imported inside the functions and used without pyplot: no global state, no display.
"""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any

from tinyfuse.report.summary import SummaryRow

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

# Okabe and Ito's colours (grey and wine for their yellow and black): safe for colour-blind readers.
COLOURS = ("#d55e00", "#e69f00", "#009e73", "#0072b2", "#cc79a7", "#56b4e9", "#994455", "#8a8f98")
_MARKERS = "os^DvPX*"
INK, MUTED, GRID = "#1f2328", "#59636e", "#d1d9e0"
_THEME = ("svg{--ink:#1f2328;--muted:#59636e;--grid:#d1d9e0}@media (prefers-color-scheme:dark)"
          "{svg{--ink:#e6edf3;--muted:#9da7b1;--grid:#3d444d}}")
_UNIFORM = re.compile(r"w\d+")
Look = tuple[str, str]
"""Colour and marker."""


def to_svg(figure: Figure) -> str:
    """Return the figure as an SVG document that follows the reader's light or dark theme; text stays text."""
    buffer = io.StringIO()
    with style():
        figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    svg = buffer.getvalue()
    for colour, name in ((INK, "ink"), (MUTED, "muted"), (GRID, "grid")):
        svg = svg.replace(colour, f"var(--{name})")
    return svg[svg.index("<svg"):].replace("<defs>", f"<style>{_THEME}</style><defs>", 1)


def new_figure(width: float, height: float) -> Figure:
    """Draw an empty figure of this size in inches that keeps its labels apart."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")


def legend_mark(label: str, colour: str, marker: str = "", line: Any = "", **further: Any) -> Line2D:
    """Return an entry of a legend."""
    from matplotlib.lines import Line2D

    return Line2D([], [], color=colour, marker=marker, linestyle=line, label=label, **further)


def style() -> AbstractContextManager[None]:
    """Return the settings of matplotlib for every figure."""
    import matplotlib

    return matplotlib.rc_context({
        "font.family": "sans-serif", "font.size": 9, "axes.titlesize": 10, "axes.labelsize": 9,
        "svg.fonttype": "none", "svg.hashsalt": "tinyfuse", "text.parse_math": False,
        "axes.spines.top": False, "axes.spines.right": False, "axes.facecolor": "none", "axes.grid": True,
        "axes.axisbelow": True, "grid.color": GRID, "grid.linewidth": 0.6, "hatch.color": GRID,
        "text.color": INK, "axes.labelcolor": INK, "axes.edgecolor": MUTED, "xtick.color": MUTED,
        "ytick.color": MUTED, "legend.frameon": False, "legend.fontsize": 8})


def looks_of(lines: Sequence[SummaryRow]) -> dict[str, Look]:
    """Return colour and marker of every recipe, the same in all figures; uniform widths come first."""
    names = sorted({line.precision for line in lines if not line.is_float},
                   key=lambda name: (not is_uniform(name), len(name), name))
    return {name: (COLOURS[number % len(COLOURS)], _MARKERS[number % len(_MARKERS)])
            for number, name in enumerate(names)}


def is_uniform(precision: str) -> bool:
    """Return whether all weights have one width: w6, w7, ..."""
    return _UNIFORM.fullmatch(precision) is not None


def short(name: str, most: int = 28) -> str:
    """Return ``name`` as far as a figure has room for it."""
    return name if len(name) <= most else f"{name[:most - 1]}…"
