"""Heat maps: accuracy over the widths of two inputs, and what each layer costs at each width."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np

from tinyfuse.report.figures.style import GRID, INK, MUTED, new_figure, short, style
from tinyfuse.report.summary import SummaryRow
from tinyfuse.report.vocabulary import percent
from tinyfuse.search.record import SelectionRecord, Trial, part_bits
from tinyfuse.study.worst_case import FLOAT_EXECUTOR
from tinyfuse.threats.budgets import Epsilon, epsilon_text

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.image import AxesImage

_COLUMNS = 3
_DECADES = 6
"""Costs further below the largest one have the darkest colour: no allocation depends on them."""


@dataclass(frozen=True)
class _Map:
    """Percentages and what else stands in their cells, by (bits of the branch down, bits of the branch across)."""

    title: str
    branches: Sequence[str]
    ticks: Sequence[Sequence[float]]
    cells: Mapping[tuple[float, ...], tuple[float, str]]


@dataclass(frozen=True)
class _Row:
    """Maps side by side with one scale of colours, which says ``label``; at least ``chance`` around its middle."""

    label: str
    maps: Sequence[_Map]
    chance: float


def width_figure(lines: Sequence[SummaryRow], *, epsilon: Epsilon | None) -> Figure | None:
    """Draw heat maps over the bits of two inputs: clean above, worst robust below, one column per fusion and pair.

    A cell shows the measured recipe with the widest other layers; hatched cells were not measured.
    """
    usable = [line for line in lines if line.executor != FLOAT_EXECUTOR and line.clean and len(line.inputs) > 1]
    columns = list(dict.fromkeys((line.model, *pair) for line in usable
                                 for pair in combinations((name for name in line.inputs if name in line.bits), 2)))
    if not columns:
        return None
    rows = [_width_row("clean accuracy (%)", usable, columns, lambda line: line.clean.value if line.clean else None)]
    if any(line.worst_robust is not None for line in usable):
        rows.append(_width_row(f"worst robust acc. (%) at ε = {epsilon_text(epsilon or 0.0)}", usable, columns,
                               lambda line: line.worst_robust))
    return _figure(rows, 1.4 + 2.8 * len(columns), 0.5 + 2.7 * len(rows))


def _width_row(label: str, lines: Sequence[SummaryRow], columns: Sequence[tuple[str, ...]],
               score: Callable[[SummaryRow], float | None]) -> _Row:
    maps = []
    for model, *pair in columns:
        mine = [line for line in lines if line.model == model and set(pair) <= line.bits.keys()]
        others = sorted({branch for line in mine for branch in line.bits} - set(pair))
        cells = {}
        for line in sorted(mine, key=lambda line: sum(line.bits.get(name, 0) for name in others)):
            if (value := score(line)) is not None:
                told = [f"\n{name} {line.bits[name]:.3g}" for name in others if name in line.bits]
                cells[tuple(line.bits[name] for name in pair)] = (100 * value, "".join([percent(value), *told]))
        maps.append(_Map(model, pair, [sorted({line.bits[name] for line in mine}) for name in pair], cells))
    return _Row(label, maps, 0.5)


def grid_branches(found: SelectionRecord) -> list[str]:
    """Return the branches that have weights."""
    return [branch for branch in found.branches if any(unit.branch == branch for unit in found.units)]


def grid_cells(found: SelectionRecord) -> dict[tuple[int, ...], Trial]:
    """Return the trials that a width of the grid for each branch describes, by these widths."""
    branches, widths = grid_branches(found), set(found.settings.grid)
    cells = {tuple(trial.recipe.bits_for("", branch) for branch in branches): trial for trial in found.trials
             if not trial.recipe.layers}
    return {place: trial for place, trial in cells.items() if set(place) <= widths}


def grid_figure(found: SelectionRecord) -> Figure | None:
    """Draw bits of the first two branches: a column for each width of the others, a row for clean and each mode.

    Accuracies in percent; what was not measured is hatched. Colours span at least a 95 % interval: chance alone must
    not look like contrast. None for a network of one branch.
    """
    cells, branches, widths = grid_cells(found), grid_branches(found), sorted(found.settings.grid)
    if not cells or len(branches) < 2:
        return None
    rows, others = [], sorted({place[2:] for place in cells})
    for what in ("clean", *found.modes):
        shares = {place: share for place, trial in cells.items() if (share := trial.share(what)) is not None}
        maps = [_Map(", ".join(f"{name} {bits}" for name, bits in zip(branches[2:], other, strict=True)), branches[:2],
                     (widths, widths), {place[:2]: (100 * share.value, percent(share))
                                        for place, share in shares.items() if place[2:] == other}) for other in others]
        rows.append(_Row("clean acc. (%)" if what == "clean" else f"{what} attacked (%)", maps,
                         max((50 * (share.high - share.low) for share in shares.values()), default=0.5)))
    size = 0.5 + 0.42 * len(widths)
    return _figure(rows, max(2.0 + size * len(others), 5.2), 0.4 + (size + 0.12) * len(rows))


def _figure(rows: Sequence[_Row], width: float, height: float) -> Figure:
    with style():
        figure = new_figure(width, height)
        axes = figure.subplots(len(rows), len(rows[0].maps), squeeze=False)
        for panels, row in zip(axes, rows, strict=True):
            values = [value for one in row.maps for value, _ in one.cells.values()] or [50.0]
            middle, half = (min(values) + max(values)) / 2, max((max(values) - min(values)) / 2, row.chance)
            for panel, one in zip(panels, row.maps, strict=True):
                image = _draw_map(panel, one, (max(middle - half, 0.0), min(middle + half, 100.0)))
                if panel is panels[0] or one.branches != row.maps[0].branches:
                    panel.set_ylabel(f"{one.branches[0]} bits")
            figure.colorbar(image, ax=list(panels), label=row.label, shrink=0.9, pad=0.02)
        for top, bottom, one in zip(axes[0], axes[-1], rows[0].maps, strict=True):
            top.set_title(one.title)
            bottom.set_xlabel(f"{one.branches[1]} bits")
    return figure


def _draw_map(panel: Axes, one: _Map, limits: tuple[float, float]) -> AxesImage:
    """Colours and texts; what was not measured is hatched."""
    table = np.full([len(bits) for bits in one.ticks], np.nan)
    for bits, (value, text) in one.cells.items():
        y, x = (known.index(each) for known, each in zip(one.ticks, bits, strict=True))
        table[y, x] = value
        # cividis turns bright in its upper half; the numbers must stay readable on both.
        ink = "#ffffff" if value < sum(limits) / 2 else "#101418"
        panel.text(x, y, text, ha="center", va="center", color=ink, fontsize=7)
    panel.patch.set(hatch="////", facecolor="none", edgecolor=GRID)
    panel.grid(visible=False)
    image = panel.imshow(table, cmap="cividis", vmin=limits[0], vmax=limits[1], origin="lower")
    for set_ticks, known in ((panel.set_yticks, one.ticks[0]), (panel.set_xticks, one.ticks[1])):
        set_ticks(range(len(known)), [f"{bits:.3g}" for bits in known])
    panel.tick_params(length=0)
    return image


def sensitivity_figure(found: SelectionRecord) -> Figure:
    """Draw a logarithmic heat map of layers x widths for each criterion, with a frame around each chosen width."""
    names, parts = list(found.sensitivity.costs), found.sensitivity.parts
    columns = min(_COLUMNS, len(names))
    rows = -(-len(names) // columns)
    with style():
        width = 2.1 + (0.9 + 0.27 * len(found.sensitivity.widths)) * columns
        figure = new_figure(max(width, 7), (1.3 + 0.185 * len(parts)) * rows)
        axes = figure.subplots(rows, columns, squeeze=False, sharey=True, sharex=True)
        for place, panel in enumerate(axes.flat):
            if place < len(names):
                _draw_costs(figure, panel, found, names[place])
            else:
                panel.remove()
    return figure


def _draw_costs(figure: Figure, panel: Axes, found: SelectionRecord, name: str) -> None:
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
