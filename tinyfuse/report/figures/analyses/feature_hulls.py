"""Pictures of features in two dimensions, with the convex hull of each class."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from tinyfuse.core.results import Row
from tinyfuse.report.figures.analyses.plots import Plot, figures_of, rows_of, values_of
from tinyfuse.report.figures.style import INK, new_figure, short, style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_COLUMNS = 3
_MOST_COLOURS = 20


@figures_of("projection")
def draw_projection(rows: Sequence[Row]) -> Iterator[Plot]:
    """Draw the samples of each branch; wrong ones are crossed, hulls are those of the samples that are right."""
    labels, predictions = rows_of(rows, "label"), rows_of(rows, "prediction")
    points = rows_of(rows, "coordinate", "branch", "axis")
    if labels and predictions and points:
        method = {"pca": "Principal components", "tsne": "t-SNE"}.get(rows[0]["settings"].get("method", ""), "Features")
        label, predicted = (np.array(found[0]["each"], int) for found in (labels, predictions))
        yield Plot(f"{method} of the features", "A colour and number is a class; its hull holds the samples that are "
                   "classified right, crosses are those that are not. Where hulls meet, a small change is an error."
                   + (" Only who is near whom means something." if method == "t-SNE" else ""),
                   _figure(points, label, predicted))


def _figure(points: Sequence[Row], label: np.ndarray, predicted: np.ndarray) -> Figure:
    branches = values_of(points, "branch")
    columns = min(_COLUMNS, len(branches))
    lines = -(-len(branches) // columns)
    with style():
        figure = new_figure(3.6 * columns, 3.5 * lines)
        panels = figure.subplots(lines, columns, squeeze=False).flat
        for axes, branch in zip(panels, branches, strict=False):
            mine = {row["of"]["axis"]: row for row in points if row["of"]["branch"] == branch}
            places = np.array([mine[axis]["each"] for axis in ("1", "2")], float).T
            _draw(axes, places, label, predicted)
            axes.set_title(short(branch))
            for axis, setter in (("1", axes.set_xlabel), ("2", axes.set_ylabel)):
                share = mine[axis]["value"]
                setter(f"axis {axis}" + ("" if share is None else f", {100 * share:.0f} % of the variance"))
        for axes in list(panels)[len(branches):]:
            axes.remove()
    return figure


def _draw(axes: Axes, places: np.ndarray, label: np.ndarray, predicted: np.ndarray) -> None:
    import matplotlib

    colours = matplotlib.colormaps["tab20" if label.max() >= 10 else "tab10"]
    for index in np.unique(label):
        colour = colours(int(index) % _MOST_COLOURS)
        right, wrong = (places[(label == index) & held] for held in (predicted == label, predicted != label))
        axes.plot(*right.T, linestyle="", marker=".", markersize=4, color=colour)
        axes.plot(*wrong.T, linestyle="", marker="x", markersize=6, color=colour)
        outline = hull(right)
        if len(outline):
            axes.fill(*outline.T, facecolor=(*colour[:3], 0.14), edgecolor=colour, linewidth=0.9)
        if len(right):
            x, y = right.mean(axis=0)
            axes.text(x, y, str(int(index)), ha="center", va="center", fontsize=9, weight="bold",
                      color=INK)
    axes.set_xticklabels([])
    axes.set_yticklabels([])
    axes.tick_params(length=0)


def hull(points: np.ndarray) -> np.ndarray:
    """Return the corners of the convex hull of ``points`` [n, 2], in order; none if they span no area."""
    from scipy.spatial import ConvexHull, QhullError

    try:
        return np.asarray(points[ConvexHull(points).vertices]) if len(points) > 2 else points[:0]
    except QhullError:
        return points[:0]
