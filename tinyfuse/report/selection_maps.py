"""Heat maps of a selection: sensitivity by layer and width, and accuracy over the grid of widths per modality."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from tinyfuse.quantize.recipe import BRANCHES
from tinyfuse.report.selection_cost import short
from tinyfuse.report.selection_file import SelectionFile, Trial, is_plain, part_bits
from tinyfuse.report.style import GRID, INK, MUTED, style
from tinyfuse.study.summary import ATTACKED, Accuracy

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.image import AxesImage

_COLUMNS = 3
_DECADES = 6
"""Costs further below the largest one have the darkest colour: no allocation depends on them."""
Cells = Mapping[tuple[int, int, int], Trial]
"""Trials by image, audio and shared bits."""


def sensitivity_figure(found: SelectionFile) -> Figure:
    """A heat map of layers x widths for each criterion, logarithmic; zeros are written as such.

    A frame marks the chosen width of each layer, where the file names the branches of the layers.
    """
    names, parts = list(found.sensitivity.costs), found.sensitivity.parts
    columns = min(_COLUMNS, len(names))
    rows = -(-len(names) // columns)
    with style():
        from matplotlib.figure import Figure

        size = (2.1 + (0.9 + 0.27 * len(found.sensitivity.widths)) * columns, (1.3 + 0.185 * len(parts)) * rows)
        figure = Figure(figsize=(max(size[0], 7), size[1]), layout="constrained")
        axes = figure.subplots(rows, columns, squeeze=False, sharey=True, sharex=True)
        for place, panel in enumerate(axes.flat):
            if place < len(names):
                _draw_costs(figure, panel, found, names[place])
            else:
                panel.remove()
    return figure


def _draw_costs(figure: Figure, panel: Axes, found: SelectionFile, name: str) -> None:
    from matplotlib.colors import LogNorm

    parts, widths = found.sensitivity.parts, found.sensitivity.widths
    costs = np.array(found.sensitivity.costs[name])
    panel.grid(visible=False)
    panel.set_title(short(name))
    panel.set_xticks(range(len(widths)), [str(bits) for bits in widths])
    panel.set_yticks(range(len(parts)), [short(part) for part in parts])
    panel.tick_params(length=0, labelsize=8, labelbottom=True)
    panel.set(xlabel="bits", xlim=(-0.5, len(widths) - 0.5), ylim=(len(parts) - 0.5, -0.5))
    if costs.max() > 0:
        largest = float(costs.max())
        lowest = max(float(costs[costs > 0].min()), largest * 10.0**-_DECADES)
        image = panel.imshow(np.where(costs > 0, np.maximum(costs, lowest), np.nan), cmap="viridis", aspect="auto",
                             norm=LogNorm(min(lowest, largest / 10), largest), interpolation="nearest")
        scale = figure.colorbar(image, ax=panel, aspect=30, pad=0.03, format=lambda value, _: f"{value:g}")
        scale.ax.tick_params(labelsize=7)
        scale.minorticks_off()
    for row, column in np.argwhere(costs <= 0):
        panel.text(column, row, "0", ha="center", va="center", fontsize=7, color=MUTED)
    _frame_chosen(panel, part_bits(found, found.recipe), widths)


def _frame_chosen(panel: Axes, chosen: Sequence[int], widths: Sequence[int]) -> None:
    from matplotlib.patches import Rectangle

    for row, bits in enumerate(chosen):
        if bits in widths:
            for colour, width in ((INK, 2.6), ("#ffffff", 1.1)):
                panel.add_patch(Rectangle((widths.index(bits) - 0.5, row - 0.5), 1, 1, fill=False, edgecolor=colour,
                                          linewidth=width, zorder=3))


def grid_cells(found: SelectionFile) -> Cells:
    """The trials that a width of the grid for each of image, audio and shared layers describes."""
    widths = found.settings.grid
    cells = {(each.image, each.audio, each.shared): trial for trial in found.trials
             if is_plain(each := trial.recipe) and {each.image, each.audio, each.shared} <= set(widths)}
    return cells if found.modes == list(ATTACKED) else {}


def grid_figure(found: SelectionFile) -> Figure | None:
    """Image x audio bits, a column for each width of the shared layers, a row for clean and each attacked modality.

    Accuracies in percent; what was not measured is hatched. None for a network with one input.
    """
    cells = grid_cells(found)
    if not cells:
        return None
    measures = ("clean", *ATTACKED)
    shared = sorted({bits for *_, bits in cells})
    with style():
        from matplotlib.figure import Figure

        count = len(found.settings.grid)
        size = 0.5 + 0.42 * count
        figure = Figure(figsize=(max(2.0 + size * len(shared), 5.2), 0.4 + (size + 0.12) * len(measures)),
                        layout="constrained")
        axes = figure.subplots(len(measures), len(shared), squeeze=False, sharex=True, sharey=True)
        for row, what in zip(axes, measures, strict=True):
            _draw_grid_row(figure, row, found, cells, shared, what)
        for panel, bits in zip(axes[0], shared, strict=True):
            panel.set_title(f"shared {bits}" if _has(found, "shared") else "no shared layers")
        for panel in axes[-1]:
            panel.set_xlabel("audio bits")
    return figure


def _has(found: SelectionFile, branch: str) -> bool:
    return branch in BRANCHES and any(unit.branch == branch for unit in found.units)


def _draw_grid_row(figure: Figure, row: Sequence[Axes], found: SelectionFile, cells: Cells, shared: Sequence[int],
                   what: str) -> None:
    shares = {place: share for place, trial in cells.items() if (share := trial.share(what)) is not None}
    limits, image, widths = _limits(list(shares.values())), None, sorted(found.settings.grid)
    for panel, bits in zip(row, shared, strict=True):
        table = np.array([[100 * shares[i, a, bits].value if (i, a, bits) in shares else np.nan for a in widths]
                          for i in widths])
        image = _draw_cells(panel, table, limits, widths)
    row[0].set_ylabel("image bits")
    if image is not None:
        label = "clean acc. (%)" if what == "clean" else f"{what} attacked (%)"
        figure.colorbar(image, ax=list(row), label=label, shrink=0.9, pad=0.02)


def _limits(shares: Sequence[Accuracy]) -> tuple[float, float]:
    """Ends of the colours in percent, at least a 95 % interval apart: chance alone must not look like contrast."""
    values = [100 * share.value for share in shares] or [50.0]
    chance = max((50 * (share.high - share.low) for share in shares), default=0.5)
    middle, half = (min(values) + max(values)) / 2, max((max(values) - min(values)) / 2, chance)
    return max(middle - half, 0.0), min(middle + half, 100.0)


def _draw_cells(panel: Axes, table: np.ndarray[Any, Any], limits: tuple[float, float],
                widths: Sequence[int]) -> AxesImage:
    panel.patch.set(hatch="////", facecolor="none", edgecolor=GRID)
    panel.grid(visible=False)
    image = panel.imshow(table, cmap="cividis", vmin=limits[0], vmax=limits[1], origin="lower")
    for (y, x), value in np.ndenumerate(table):
        if np.isfinite(value):
            # cividis turns bright in its upper half; the numbers must stay readable on both.
            ink = "#ffffff" if value < sum(limits) / 2 else "#101418"
            panel.text(x, y, f"{value:.0f}" if value >= 99.95 else f"{value:.1f}", ha="center", va="center", color=ink,
                       fontsize=7)
    panel.set_xticks(range(len(widths)), [str(bits) for bits in widths])
    panel.set_yticks(range(len(widths)), [str(bits) for bits in widths])
    panel.tick_params(length=0)
    return image
