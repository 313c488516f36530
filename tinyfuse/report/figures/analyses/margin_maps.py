"""Figures of margins: their distribution by branch, and heat maps of vulnerability over pairs of classes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from tinyfuse.core.results import Row
from tinyfuse.report.figures.analyses.plots import Plot, figures_of, rows_of, values_of
from tinyfuse.report.figures.style import COLOURS, MUTED, new_figure, short, style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.image import AxesImage

_MOST_TEXTS = 12
"""Classes up to which every cell of a heat map holds its number."""
_RATIOS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100)


@figures_of("margins")
def draw_margins(rows: Sequence[Row]) -> Iterator[Plot]:
    """Draw margins by branch, and vulnerability and its ratio over pairs of classes."""
    margins = rows_of(rows, "margin", "branch")
    if margins:
        yield Plot("Margins to the nearest class", "Each dot is a sample; the bar is the median. Left of 0 this branch "
                   "alone would choose another class.", _margin_figure(margins))
    eta = rows_of(rows, "vulnerability", "branch", "class", "against")
    if eta:
        yield Plot("Vulnerability η over pairs of classes", "How much the difference of two logits moves for a small "
                   "change of the inputs of a branch: an estimate from gradients.", _maps(eta, "branch", "viridis"))
    ratios = rows_of(rows, "vulnerability ratio", "branch", "to", "class", "against")
    if ratios:
        named = [{**row, "of": {**row["of"], "pair": f"{row['of']['branch']} / {row['of']['to']}"}} for row in ratios]
        yield Plot("Ratio of vulnerabilities", "1 is balanced; far from 1, an attack on one branch alone is enough.",
                   _maps(named, "pair", "PuOr", log=True))


def _margin_figure(rows: Sequence[Row]) -> Figure:
    with style():
        figure = new_figure(6.4, 0.9 + 0.6 * len(rows))
        axes = figure.subplots()
        for place, row in enumerate(rows):
            each = np.array([value for value in row["each"] if value is not None])
            spread = np.random.default_rng(0).uniform(-0.28, 0.28, len(each))
            axes.plot(each, place + spread, linestyle="", marker=".", markersize=3, alpha=0.55,
                      color=COLOURS[3 if place % 2 == 0 else 0])
            axes.plot([np.median(each)] * 2, [place - 0.36, place + 0.36], color=MUTED, linewidth=2)
        axes.axvline(0, color=MUTED, linewidth=0.8, linestyle="--")
        axes.set_yticks(range(len(rows)), [short(row["of"]["branch"]) for row in rows])
        axes.set(xlabel="margin ζ to the nearest class", ylim=(len(rows) - 0.5, -0.5))
    return figure


def _maps(rows: Sequence[Row], key: str, colours: str, *, log: bool = False) -> Figure:
    """Draw one heat map of classes by classes for each value of ``key``, all on one scale of colours."""
    names = list(dict.fromkeys(row["of"][end] for row in rows for end in ("class", "against")))
    panels = values_of(rows, key)
    tables = {panel: _table([row for row in rows if row["of"][key] == panel], names, mirrored=not log)
              for panel in panels}
    size = max(2.6, 0.4 * min(len(names), 16) + 0.6)
    with style():
        figure = new_figure((size + 0.4) * len(panels) + 1.0, size + 0.3)
        axes = figure.subplots(1, len(panels), squeeze=False)[0]
        every = np.concatenate([table[np.isfinite(table)] for table in tables.values()])
        for axis, panel in zip(axes, panels, strict=True):
            image = _draw(axis, tables[panel], names, colours, every, log=log)
            axis.set_title(short(panel))
        bar = figure.colorbar(image, ax=list(axes), shrink=0.9, pad=0.02, format=lambda value, _: f"{value:g}")
        if log:
            low, high = image.get_clim()
            bar.set_ticks([tick for tick in _RATIOS if low <= tick <= high])
        bar.minorticks_off()
    return figure


def _table(rows: Sequence[Row], names: Sequence[str], *, mirrored: bool) -> np.ndarray:
    table = np.full((len(names), len(names)), np.nan)
    for row in rows:
        j, k = names.index(row["of"]["class"]), names.index(row["of"]["against"])
        if row["value"] is not None:
            table[k, j] = row["value"]
            table[j, k] = row["value"]
    return table


def _draw(axes: Axes, table: np.ndarray, names: Sequence[str], colours: str, every: np.ndarray, *,
          log: bool) -> AxesImage:
    from matplotlib.colors import LogNorm, Normalize

    low, high = (float(every.min()), float(every.max())) if len(every) else (0.5, 2.0)
    reach = max(high, 1 / max(low, 1e-9), 1.25)  # 1 in the middle of the colours
    scale = LogNorm(1 / reach, reach) if log else Normalize(min(0.0, low), high)
    image = axes.imshow(table, cmap=colours, norm=scale)
    for row, column in np.argwhere(np.isfinite(table)) if len(names) <= _MOST_TEXTS else ():
        red, green, blue, _ = image.cmap(scale(table[row, column]))
        dark = 0.299 * red + 0.587 * green + 0.114 * blue < 0.55
        axes.text(column, row, f"{table[row, column]:.2g}", ha="center", va="center", fontsize=6,
                  color="#ffffff" if dark else "#101418")
    axes.grid(visible=False)
    axes.set_xticks(range(len(names)), [short(name, 8) for name in names],
                    rotation=90 if max(map(len, names)) > 2 else 0)
    axes.set_yticks(range(len(names)), [short(name, 12) for name in names])
    axes.tick_params(length=0, labelsize=7)
    return image
