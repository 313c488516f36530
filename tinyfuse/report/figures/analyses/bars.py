"""One bar for each part: bands, frames, layers, missing inputs, maps; with its interval where there is one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from tinyfuse.core.results import Row
from tinyfuse.report.figures.analyses.plots import Plot, figures_of, rows_of, values_of
from tinyfuse.report.figures.style import COLOURS, MUTED, new_figure, short, style

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_MOST_BARS = 80


@figures_of("bands")
def draw_bands(rows: Sequence[Row]) -> Iterator[Plot]:
    """Draw the smallest budget in each block."""
    yield from _plot(rows_of(rows, "smallest budget in a block", "input", "axis", "block"), "Where an attack is enough",
                     "A short bar: changing this block alone by little breaks half of the samples.",
                     "median smallest ε in ranges", "input")


@figures_of("occlusion")
def draw_occlusion(rows: Sequence[Row]) -> Iterator[Plot]:
    """Draw the accuracy without each block."""
    yield from _plot(rows_of(rows, "accuracy occluded", "input", "axis", "block"), "What the network needs",
                     "A short bar: the network cannot do without this block.", "accuracy without the block", "input")


@figures_of("missing")
def draw_missing(rows: Sequence[Row]) -> Iterator[Plot]:
    """Draw the accuracy from each input alone."""
    yield from _plot(rows_of(rows, "accuracy alone", "input", "stand-in"), "What each input is worth alone",
                     "By what stands in for the other inputs; a bar at chance is an input that is not listened to.",
                     "accuracy", "stand-in")


@figures_of("modules")
def draw_modules(rows: Sequence[Row]) -> Iterator[Plot]:
    """Draw the smallest budget with each change."""
    yield from _plot(rows_of(rows, "smallest budget with a change", "layer", "change"), "Layers changed one at a time",
                     "The first bar is the network as it is; shorter ones break sooner.", "median smallest ε in ranges",
                     "change")


@figures_of("localisation")
def draw_localisation(rows: Sequence[Row]) -> Iterator[Plot]:
    """Draw the share of fooled maps."""
    yield from _plot(rows_of(rows, "fooled maps", "attacked input"), "Fooled maps", "The map points elsewhere under "
                     "attack and the class is still right.", "share of samples", "attacked input")


def _plot(rows: Sequence[Row], title: str, caption: str, across: str, key: str) -> Iterator[Plot]:
    shown = [row for row in rows if row["value"] is not None][:_MOST_BARS]
    if shown:
        yield Plot(title, caption, _bars(shown, across, values_of(shown, key), key))


def _bars(rows: Sequence[Row], across: str, groups: Sequence[str], key: str) -> Figure:
    with style():
        figure = new_figure(6.4, 0.9 + 0.2 * len(rows))
        axes = figure.subplots()
        value, places = np.array([row["value"] for row in rows]), np.arange(len(rows))
        colours = [COLOURS[(3, 0, 2, 1, 4, 5, 6, 7)[groups.index(row["of"][key]) % 8]] for row in rows]
        axes.barh(places, value, color=colours, height=0.7)
        for place, row in enumerate(rows):
            if row["low"] is not None and row["high"] is not None:
                axes.plot([row["low"], row["high"]], [place, place], color=MUTED, linewidth=1)
        axes.set_yticks(places, [short(" ".join(row["of"].values()), 36) for row in rows], fontsize=7)
        axes.set(xlabel=across, ylim=(len(rows) - 0.5, -0.5), xlim=(0, None))
    return figure
