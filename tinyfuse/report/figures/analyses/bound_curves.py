"""How many samples a bound covers: the share of samples whose radius is at least r."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from tinyfuse.core.results import Row
from tinyfuse.report.figures.analyses.plots import Plot, figures_of, rows_of
from tinyfuse.report.figures.style import COLOURS, new_figure, short, style

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_LINES = {"5": "-", "10": "--", "7": ":"}
_TITLES = {"certified": "certified", "estimate": "estimated"}


@figures_of("bounds")
def draw_bounds(rows: Sequence[Row]) -> Iterator[Plot]:
    """Draw one panel for the estimates and one for the certificates."""
    radii = rows_of(rows, "radius", "equation", "attacked", "constants")
    if radii:
        yield Plot("Samples that withstand a change of radius r", "Equation 5 and 10: all inputs change; 7: one branch "
                   "alone. Estimates rest on gradients of samples and may be too large; certificates are proofs.",
                   _figure(radii))


def _figure(rows: Sequence[Row]) -> Figure:
    kinds = [kind for kind in ("estimate", "certified") if any(row["status"] == kind for row in rows)]
    attacked = list(dict.fromkeys(row["of"]["attacked"] for row in rows))
    with style():
        figure = new_figure(3.6 * len(kinds) + 1.9, 2.8)
        panels = figure.subplots(1, len(kinds), squeeze=False)[0]
        for axes, kind in zip(panels, kinds, strict=True):
            for row in (row for row in rows if row["status"] == kind):
                values = np.sort([value for value in row["each"] if value is not None])
                shares = 100 * (1 - np.arange(len(values)) / max(len(row["each"]), 1))
                of = row["of"]
                axes.step([0, *values], [100 * np.count_nonzero(values > 0) / max(len(values), 1), *shares],
                          where="pre", linestyle=_LINES[of["equation"]],
                          color=COLOURS[(3, 0, 2, 4, 5, 1, 6)[attacked.index(of["attacked"]) % 7]],
                          label=short(f"eq. {of['equation']}, {of['attacked']}", 30))
            axes.set(xlabel=f"radius r, L2, {_TITLES[kind]}", ylim=(0, 103))
            axes.set_xlim(left=0)
            axes.ticklabel_format(axis="x", scilimits=(-3, 4), useMathText=False)
        panels[0].set_ylabel("samples (%)")
        panels[-1].legend(loc="center left", bbox_to_anchor=(1.02, 0.5))
    return figure
