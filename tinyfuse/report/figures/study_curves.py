"""Figures of a paper, drawn again from rows: the mean over trainings with its band over trainings and samples."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from tinyfuse.core.statistics import two_level
from tinyfuse.report.figures.style import COLOURS, INK, legend_mark, new_figure, style
from tinyfuse.study.papers.claims import Curve, Quantity
from tinyfuse.study.papers.paper import Figure as Wanted
from tinyfuse.study.papers.paper import Panel
from tinyfuse.study.papers.verdicts import Evidence

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_WIDTH, _HEIGHT, _LEGEND = 2.75, 2.35, 2.0
_MARKERS = "os^DvPX*"
_RATIO_TOP = 1.6
Points = list[tuple[float, float, float, float]]
"""(epsilon, value, low, high), rising; no share leaves 0 to 1, though an interval by Student's t may."""


def points_of(evidence: Evidence, side: Quantity) -> Points:
    """Return value and 95 % interval by budget; empty where nothing was measured, or no ratio means anything."""
    found, measured = [], evidence.values(side)
    if measured and isinstance(side, Curve):
        measured |= evidence.values(replace(side, attacked=(), epsilons=()))  # clean: no budget
    for epsilon, values in sorted(measured.items()):
        one = two_level(np.asarray(values, float), evidence.groups, resamples=400)
        high = min(one.high, 1.0) if isinstance(side, Curve) else one.high
        found.append((epsilon, one.value, max(one.low, 0.0), high))
    return found


def study_figure(evidence: Evidence, wanted: Wanted) -> Figure | None:
    """Draw one figure of a paper; None if nothing of it was measured.

    Columns of panels, and lines of the legend, of which nothing was measured are left out.
    """
    drawn = [[{label: points for label, side in panel.lines.items() if (points := points_of(evidence, side))}
              for panel in row] for row in wanted.rows]
    columns = [place for place in range(max(map(len, drawn))) if any(row[place:place + 1] not in ([], [{}])
                                                                     for row in drawn)]
    if not columns:
        return None
    labels = list(dict.fromkeys(label for row in wanted.rows for panel in row for label in panel.lines))
    looks = {label: (COLOURS[place % len(COLOURS)], _MARKERS[place % len(_MARKERS)], "-" if place < 8 else "--")
             for place, label in enumerate(labels)}
    known = {label for row in drawn for lines in row for label in lines}
    with style():
        figure = new_figure(_LEGEND + _WIDTH * len(columns), 0.5 + _HEIGHT * len(wanted.rows))
        axes = figure.subplots(len(wanted.rows), len(columns), squeeze=False, sharex=True, sharey=True)
        for place, row in enumerate(wanted.rows):
            for column, axis in zip(columns, axes[place], strict=True):
                if column < len(row):
                    _draw(axis, row[column], drawn[place][column], looks, ratio=wanted.ratio)
            axes[place][0].set_ylabel("quantised / float" if wanted.ratio else "accuracy (%)")
        for axis in axes[-1]:
            axis.set_xlabel("ε (units of the inputs)")
        axes[0][0].set(ylim=(0, _RATIO_TOP) if wanted.ratio else (-3, 103))
        axes[0][-1].legend(handles=[legend_mark(label, *look, markersize=4, linewidth=1.6)
                                    for label, look in looks.items() if label in known], loc="upper left",
                           bbox_to_anchor=(1.02, 1.02), borderaxespad=0.0)
    return figure


def _draw(axis: Axes, panel: Panel, lines: dict[str, Points], looks: dict[str, tuple[str, str, str]], *,
          ratio: bool) -> None:
    scale = 1.0 if ratio else 100.0
    axis.set_title(panel.title, fontsize=9)
    if ratio:
        axis.axhline(1.0, color=INK, linewidth=0.8, linestyle=":")
    if not lines:
        axis.text(0.5, 0.5, "not measured", transform=axis.transAxes, ha="center", va="center", fontsize=8)
    for label, points in lines.items():
        colour, marker, line = looks[label]
        epsilons, values, low, high = (np.array(each) for each in zip(*points, strict=True))
        top = np.inf if ratio else 1.0
        axis.fill_between(epsilons, scale * np.clip(low, 0, top), scale * np.clip(high, 0, top), color=colour,
                          alpha=0.12, linewidth=0)
        axis.plot(epsilons, scale * values, color=colour, marker=marker, markersize=3.5, linewidth=1.5,
                  linestyle=line)
