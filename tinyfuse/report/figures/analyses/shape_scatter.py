"""Density and convexity of classes against what an attack takes from them (as figure 4 of Li et al. 2022)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from tinyfuse.core.results import Row
from tinyfuse.report.figures.analyses.plots import Plot, figures_of, rows_of, values_of
from tinyfuse.report.figures.style import COLOURS, INK, MUTED, new_figure, short, style

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_COLUMNS = 3
Points = Mapping[str, Mapping[str, float]]
"""By title of a panel, by class: a value."""


@figures_of("shape")
def draw_shape(rows: Sequence[Row]) -> Iterator[Plot]:
    """Draw the drop of each class against its density in every branch, and its convexity in every place."""
    drops = _by_class(rows_of(rows, "drop", "class"))
    densities = rows_of(rows, "density", "branch", "class")
    convexities = rows_of(rows, "convexity", "class", "place", "mixed")
    panels = {f"density ρ / n, {branch}": _by_class(row for row in densities if row["of"]["branch"] == branch)
              for branch in values_of(densities, "branch")}
    for place in values_of(convexities, "place"):
        there = [row for row in convexities if row["of"]["place"] == place]
        for mixed in values_of(there, "mixed"):
            title = f"convexity κ at {place}" if mixed == "all" else f"κ at {place}, {mixed} mixed"
            panels[title] = _by_class(row for row in there if row["of"]["mixed"] == mixed)
    panels = {title: found for title, found in panels.items()
              if len({found[name] for name in found.keys() & drops}) > 1}
    if panels:
        yield Plot("Density and convexity against the drop under attack", "A number is the place of a class. Were "
                   "density or convexity what protects a class, points would fall to the right. What is the same for "
                   "all classes is not shown.",
                   _figure(panels, drops))


def _by_class(rows: Sequence[Row] | Iterator[Row]) -> dict[str, float]:
    return {row["of"]["class"]: row["value"] for row in rows if row["value"] is not None}


def _figure(panels: Points, drops: Mapping[str, float]) -> Figure:
    columns = min(_COLUMNS, len(panels))
    lines = -(-len(panels) // columns)
    names = list(drops)
    with style():
        figure = new_figure(3.1 * columns, 2.5 * lines)
        every = list(figure.subplots(lines, columns, squeeze=False).flat)
        for axes, (title, found) in zip(every, panels.items(), strict=False):
            shown = [name for name in names if name in found]
            axes.plot([found[name] for name in shown], [100 * drops[name] for name in shown], linestyle="", marker="o",
                      markersize=4, color=COLOURS[3])
            for name in shown:
                axes.annotate(str(names.index(name)), (found[name], 100 * drops[name]), (3, 3), fontsize=7, color=INK,
                              textcoords="offset points")
            axes.set_xlabel(short(title, 44), fontsize=8)
            axes.set_ylim(-5, 105)
            axes.locator_params(axis="x", nbins=4)
            axes.ticklabel_format(axis="x", useOffset=False)
            axes.tick_params(labelsize=7, labelcolor=MUTED)
        for axes in every[::columns]:
            axes.set_ylabel("drop rate (%)")
        for axes in every[len(panels):]:
            axes.remove()
    return figure
