"""The figure of what bytes buy: clean and robust accuracy of every recipe against its size."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from tinyfuse.report.figures.style import INK, MUTED, Look, legend_mark, looks_of, new_figure, style
from tinyfuse.report.summary import SummaryRow, modes_among
from tinyfuse.search.rank import front
from tinyfuse.study.worst_case import FLOAT_EXECUTOR, Accuracy
from tinyfuse.threats.budgets import Epsilon, epsilon_text

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

FLASH, PACKED = "flash of the firmware (KiB)", "packed weights (KiB)"
_NEAR, _STEP_POINTS = 0.03, 6.0
"""Sizes within this share of the axis stand side by side, so many points apart."""


@dataclass(frozen=True)
class _Point:
    """One recipe in a panel: its size in KiB, ``is_flash`` or else packed weights, and its accuracy."""

    precision: str
    size: float
    is_flash: bool
    accuracy: Accuracy


def size_figure(lines: Sequence[SummaryRow], *, epsilon: Epsilon | None) -> Figure | None:
    """Draw accuracy with its 95 % interval against size: a row for clean and each mode (G), a column per network.

    Size is the flash of the exported firmware, or packed weights (hollow marks) where that was not measured. Dashed:
    the float network. The step line joins the recipes that no smaller one beats. None without integer models.
    """
    usable = [line for line in lines if line.executor != FLOAT_EXECUTOR and line.packed_bytes and line.clean]
    models = list(dict.fromkeys(line.model for line in usable))
    rows = ["clean", *(mode for mode in modes_among(usable) if any(mode in line.robust for line in usable))]
    if not models:
        return None
    looks, drawn = looks_of(lines), dict[tuple[int, int], list[_Point]]()
    with style():
        figure = new_figure(1.6 + 2.4 * max(len(models), 2), 1.1 + 2.1 * len(rows))
        axes = figure.subplots(len(rows), len(models), squeeze=False, sharex="col", sharey="row",
                               gridspec_kw={"wspace": 0.08})
        for (row, column), panel in np.ndenumerate(axes):
            mine = [line for line in lines if line.model == models[column]]
            points = [_point(line, share) for line in mine if line in usable and
                      (share := _share(line, rows[row])) is not None]
            if points:
                drawn[row, column] = points
                before = next((_share(line, rows[row]) for line in mine if line.is_float), None)
                _draw(panel, points, before, looks)
            else:
                panel.remove()
        flash = {point.is_flash for points in drawn.values() for point in points}
        labels = ["clean accuracy (%)", *(f"{mode} attacked\nrobust acc. (%) at ε = {_own(epsilon, mode)}"
                                          for mode in rows[1:])]
        _label(axes, drawn, models, labels, FLASH if True in flash else PACKED)
        shown = {point.precision for points in drawn.values() for point in points}
        marks = [legend_mark(name, *look) for name, look in looks.items() if name in shown]
        hollow = [legend_mark("packed weights only", MUTED, "o", markerfacecolor="none")] if len(flash) > 1 else []
        figure.legend(handles=[*marks, *hollow, legend_mark("float network", INK, line="--", linewidth=1.2),
                               legend_mark("Pareto line", MUTED, line="-", linewidth=1.0)],
                      loc="outside lower center", ncols=4)
    return figure


def _own(epsilon: Epsilon | None, mode: str) -> str:
    """Write the budget of what a mode attacks."""
    return epsilon_text(epsilon.get(mode, epsilon) if isinstance(epsilon, Mapping) else epsilon or 0.0)


def _share(line: SummaryRow, what: str) -> Accuracy | None:
    return line.clean if what == "clean" else line.robust.get(what)


def _point(line: SummaryRow, accuracy: Accuracy) -> _Point:
    flash = line.firmware and line.firmware.flash_bytes
    return _Point(line.precision, (flash or line.packed_bytes or 0) / 1024, bool(flash), accuracy)


def _draw(axes: Axes, points: Sequence[_Point], before: Accuracy | None, looks: Mapping[str, Look]) -> None:
    from matplotlib.transforms import ScaledTranslation

    if before is not None:
        axes.axhspan(100 * before.low, 100 * before.high, color=INK, alpha=0.08, linewidth=0)
        axes.axhline(100 * before.value, color=INK, linewidth=1.2, linestyle="--")
    shifts = _shifts({point.precision: point.size for point in points})
    for point in points:
        (colour, marker), share = looks[point.precision], point.accuracy
        bars = axes.errorbar(
            point.size, 100 * share.value, yerr=[[100 * (share.value - share.low)], [100 * (share.high - share.value)]],
            color=colour, marker=marker, markersize=6, markerfacecolor=colour if point.is_flash else "none",
            linewidth=1.2, linestyle="", label=point.precision, zorder=3)
        aside = ScaledTranslation(shifts[point.precision] / 72, 0, axes.figure.dpi_scale_trans)
        for artist in bars.get_children():
            artist.set_transform(axes.transData + aside)
    draw_step(axes, [(point.size, 100 * point.accuracy.value) for point in points], MUTED, 1.0, 2)
    axes.margins(x=0.25)


def draw_step(panel: Axes, points: Sequence[tuple[float, float]], colour: str, width: float, order: int) -> None:
    """Draw the line that joins the points that none with fewer bytes equals or beats."""
    best = sorted({point for point, unbeaten in zip(points, front(points), strict=True) if unbeaten})
    sizes, values = zip(*best, strict=True)
    panel.step([*sizes, max(size for size, _ in points)], [*values, values[-1]], where="post", color=colour,
               linewidth=width, zorder=order)


def _shifts(sizes: Mapping[str, float]) -> dict[str, float]:
    """Return how many points to the side each recipe is drawn, so that none of nearly the same size covers another."""
    near = _NEAR * max(max(sizes.values()) - min(sizes.values()), 1.0)
    groups: list[list[str]] = []
    for name in sorted(sizes, key=sizes.__getitem__):
        if groups and sizes[name] - sizes[groups[-1][0]] <= near:
            groups[-1].append(name)
        else:
            groups.append([name])
    return {name: _STEP_POINTS * (place - (len(group) - 1) / 2) for group in groups for place, name in enumerate(group)}


def _label(axes: Any, drawn: Mapping[tuple[int, int], object], models: Sequence[str], rows: Sequence[str],
           sizes: str) -> None:
    """Set titles above, sizes below the lowest panel of each column, what is measured left of the first of each row."""
    for row, column in drawn:
        panel = axes[row][column]
        if row == 0:
            panel.set_title(models[column])
        if not any((lower, column) in drawn for lower in range(row + 1, len(rows))):
            panel.set_xlabel(sizes)
            panel.tick_params(labelbottom=True)
        if not any((row, before) in drawn for before in range(column)):
            panel.set_ylabel(rows[row])
            panel.tick_params(labelleft=True)
        if row > 0:
            panel.set(ylim=(-3, 103), yticks=(0, 25, 50, 75, 100))
