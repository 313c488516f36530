"""Curves over a budget or a noise level: how many samples are still right."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from tinyfuse.core.results import Row
from tinyfuse.report.figures.analyses.plots import Plot, figures_of, rows_of, values_of
from tinyfuse.report.figures.style import COLOURS, new_figure, short, style

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Curve = tuple[str, np.ndarray, np.ndarray]
"""(label, x, y)."""
NORMS = {"linf": "L∞", "l2": "L2"}


@figures_of("potency")
def draw_potency(rows: Sequence[Row]) -> Iterator[Plot]:
    """Draw what is still right at each budget, one figure for each norm."""
    found = rows_of(rows, "smallest budget", "input", "norm")
    for norm in values_of(found, "norm"):
        curves = [_survival(row) for row in found if row["of"]["norm"] == norm and row["each"]]
        yield Plot(f"Samples still right, {NORMS.get(norm, norm)}", "Each curve falls where the smallest budget of a "
                   "sample is; what stays at the right end was not broken.",
                   _curves(curves, "ε in ranges of the input's values", "samples still right", steps=True))


def _survival(row: Row) -> Curve:
    each = np.sort([np.inf if value is None else value for value in row["each"]])
    reached = each[np.isfinite(each)]
    left = 1 - np.arange(1, len(reached) + 1) / len(each)
    clean = float(np.mean(each > 0))
    above = reached > 0
    return row["of"]["input"], np.concatenate([[0.0], reached[above]]), np.concatenate([[clean], left[above]])


@figures_of("noise")
def draw_noise(rows: Sequence[Row]) -> Iterator[Plot]:
    """Draw the accuracy over the noise, one curve for each attacked input."""
    found = rows_of(rows, "accuracy under noise", "input", "level")
    curves = []
    for name in values_of(found, "input"):
        own = [row for row in found if row["of"]["input"] == name]
        levels = np.array([float(row["of"]["level"]) for row in own])
        curves.append((name, levels, np.array([row["value"] for row in own])))
    if curves:
        yield Plot("Accuracy under noise", "Gaussian noise on one input, or on all of them.",
                   _curves(curves, "standard deviation in ranges of the input's values", "accuracy", steps=False))


def _curves(curves: Sequence[Curve], across: str, up: str, *, steps: bool) -> Figure:
    with style():
        figure = new_figure(5.6, 3.2)
        axes = figure.subplots()
        for place, (label, x, y) in enumerate(curves):
            axes.plot(x, y, label=short(label), color=COLOURS[(3, 0, 2, 1, 4, 5, 6, 7)[place % 8]],
                      drawstyle="steps-post" if steps else "default", marker="" if steps else "o", markersize=3)
        axes.set(xlabel=across, ylabel=up, ylim=(-0.02, 1.02), xlim=(0, None))
        axes.legend()
    return figure
