"""The figure of what bytes buy: worst-case robust accuracy with its intervals against flash."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tinyfuse.report.style import INK, MUTED, Look, looks_of, style
from tinyfuse.study.summary import ATTACKED, FLOAT, Accuracy, SummaryRow

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.transforms import Transform

_SINGLE_INPUT = ("image", "audio")
_NEAR, _STEP_POINTS = 0.03, 6.0
"""Sizes within this share of the axis stand side by side, so many points apart."""
_FLASH, _PACKED = "flash of the firmware (KiB)", "packed weights (KiB)"


@dataclass(frozen=True)
class _Panel:
    """One network under attack in one modality: its integer lines, and the float network if that was attacked."""

    row: int
    column: int
    model: str
    modality: str
    lines: Sequence[SummaryRow]
    float_accuracy: Accuracy | None


def robust_size_figure(lines: Sequence[SummaryRow], *, epsilon: float | None) -> Figure | None:
    """Robust accuracy (G, worst case at ``epsilon``) against size: a row per attacked modality, a column per network.

    The networks with one input share the last column. Size is the flash of the exported firmware, or packed weights
    (hollow marks) where that was not measured. None when no integer model was attacked.
    """
    panels = list(_panels(lines))
    if not panels or epsilon is None:
        return None
    rows, columns = (max(place) + 1 for place in zip(*((one.row, one.column) for one in panels), strict=True))
    looks = looks_of(lines)
    shown = {line.precision: looks[line.precision] for one in panels for line in one.lines}
    with style():
        from matplotlib.figure import Figure

        figure = Figure(figsize=(1.6 + 2.4 * max(columns, 2), 1.1 + 2.1 * rows), layout="constrained")
        axes = figure.subplots(rows, columns, squeeze=False, sharex="col", sharey=True, gridspec_kw={"wspace": 0.08})
        for one in panels:
            _draw(axes[one.row][one.column], one, looks)
        _label(figure, axes, panels, epsilon)
        figure.legend(handles=_legend(shown, panels), loc="outside lower center", ncols=4)
    return figure


def _panels(lines: Sequence[SummaryRow]) -> Iterator[_Panel]:
    usable = [line for line in lines if line.firmware is not None and line.robust_integer and _size(line)]
    modalities = [name for name in ATTACKED if any(name in line.robust_integer for line in usable)]
    models = list(dict.fromkeys(line.model for line in usable))
    fusions = [model for model in models if model not in _SINGLE_INPUT]
    for model in models:
        column = fusions.index(model) if model in fusions else len(fusions)
        before = next((line for line in lines if (line.model, line.precision) == (model, FLOAT)), None)
        for row, modality in enumerate(modalities):
            mine = [line for line in usable if line.model == model and modality in line.robust_integer]
            if mine:
                yield _Panel(row, column, model, modality, mine, before.robust_float.get(modality) if before else None)


def _size(line: SummaryRow) -> float | None:
    """Flash in KiB, or packed weights where it was not measured."""
    size = (line.firmware and line.firmware.flash_bytes) or line.packed_bytes
    return size / 1024 if size else None


def _has_flash(line: SummaryRow) -> bool:
    return line.firmware is not None and line.firmware.flash_bytes is not None


def _draw(axes: Axes, panel: _Panel, looks: Mapping[str, Look]) -> None:
    if panel.float_accuracy is not None:
        low, high = (100 * share for share in (panel.float_accuracy.low, panel.float_accuracy.high))
        axes.axhspan(low, high, color=INK, alpha=0.08, linewidth=0)
        axes.axhline(100 * panel.float_accuracy.value, color=INK, linewidth=1.2, linestyle="--")
    sizes = {line.precision: _size(line) or 0.0 for line in panel.lines}
    shifts = _shifts(sizes)
    for line in panel.lines:
        accuracy, (colour, marker) = line.robust_integer[panel.modality], looks[line.precision]
        value = 100 * accuracy.value
        bars = axes.errorbar(
            sizes[line.precision], value, yerr=[[value - 100 * accuracy.low], [100 * accuracy.high - value]],
            color=colour, marker=marker, markersize=6, markerfacecolor=colour if _has_flash(line) else "none",
            linewidth=1.2, linestyle="", label=line.precision, zorder=3)
        for artist in bars.get_children():
            artist.set_transform(axes.transData + _aside(axes, shifts[line.precision]))
    axes.margins(x=0.16)


def _shifts(sizes: Mapping[str, float]) -> dict[str, float]:
    """How many points to the side each recipe is drawn, so that none of nearly the same size covers another."""
    near = _NEAR * max(max(sizes.values()) - min(sizes.values()), 1.0)
    groups: list[list[str]] = []
    for name in sorted(sizes, key=sizes.__getitem__):
        if groups and sizes[name] - sizes[groups[-1][0]] <= near:
            groups[-1].append(name)
        else:
            groups.append([name])
    return {name: _STEP_POINTS * (place - (len(group) - 1) / 2) for group in groups for place, name in enumerate(group)}


def _aside(axes: Axes, points: float) -> Transform:
    """A shift to the right on the drawing; the axis keeps its values."""
    from matplotlib.transforms import ScaledTranslation

    return ScaledTranslation(points / 72, 0, axes.figure.dpi_scale_trans)


def _label(figure: Figure, axes: Any, panels: Sequence[_Panel], epsilon: float) -> None:
    """Titles above, sizes below the lowest panel of each column, attacked modalities to the left; no empty panels."""
    drawn = {(one.row, one.column): one for one in panels}
    measured = any(_has_flash(line) for one in panels for line in one.lines)
    for row, line in enumerate(axes):
        for column, panel in enumerate(line):
            if (one := drawn.get((row, column))) is None:
                panel.remove()
                continue
            if (row - 1, column) not in drawn or drawn[row - 1, column].model != one.model:
                panel.set_title(one.model)
            if (row + 1, column) not in drawn:
                panel.set_xlabel(_FLASH if measured else _PACKED)
                panel.tick_params(labelbottom=True)
            if not any((row, before) in drawn for before in range(column)):
                panel.set_ylabel(f"{one.modality} attacked\nrobust acc. (%) at ε = {epsilon:g}")
                panel.tick_params(labelleft=True)
    next(panel for panel in figure.axes).set(ylim=(-3, 103), yticks=(0, 25, 50, 75, 100))


def _legend(shown: Mapping[str, Look], panels: Sequence[_Panel]) -> list[Artist]:
    from matplotlib.lines import Line2D

    marks = [Line2D([], [], color=colour, marker=marker, linestyle="", label=name)
             for name, (colour, marker) in shown.items()]
    flash = {_has_flash(line) for one in panels for line in one.lines}
    hollow = Line2D([], [], color=MUTED, marker="o", markerfacecolor="none", linestyle="", label="packed weights only")
    dashed = Line2D([], [], color=INK, linewidth=1.2, linestyle="--", label="float network")
    return [*marks, *([hollow] if flash == {True, False} else []), dashed]
