"""Figures of cost: accuracy against size, and accuracy over the widths per modality."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from tinyfuse.report.style import GRID, MUTED, Look, looks_of, style
from tinyfuse.study.summary import FLOAT_EXECUTOR, SummaryRow

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.image import AxesImage

Score = Callable[[SummaryRow], float | None]


def size_figure(lines: Sequence[SummaryRow], *, epsilon: float | None) -> Figure | None:
    """Clean (above) and worst-case robust accuracy (below) against packed bytes, one column per model.

    The step line joins the recipes that no smaller recipe beats; the others are drawn as crosses.
    """
    usable = [line for line in lines if line.executor != FLOAT_EXECUTOR and line.packed_bytes and line.clean]
    models = list(dict.fromkeys(line.model for line in usable))
    if not models:
        return None
    rows: list[tuple[str, Score]] = [("clean accuracy (%)", _clean_percent)]
    if any(line.worst_robust is not None for line in usable):
        rows.append((f"worst robust accuracy (%)\nat ε = {epsilon:g}", _robust_percent))
    looks = looks_of(lines)
    with style():
        from matplotlib.figure import Figure

        size = (1.3 + 2.15 * max(len(models), 3), 0.9 + 2.3 * len(rows))
        figure = Figure(figsize=size, layout="constrained")
        axes = figure.subplots(len(rows), len(models), squeeze=False, sharex="col", sharey="row",
                               gridspec_kw={"wspace": 0.08})
        for row, (label, score) in zip(axes, rows, strict=True):
            for panel, model in zip(row, models, strict=True):
                _draw_sizes(panel, [line for line in usable if line.model == model], score, looks)
            row[0].set_ylabel(label)
        for column, model in enumerate(models):
            axes[0][column].set_title(model)
            axes[-1][column].set_xlabel("packed weights (KiB)")
        figure.legend(handles=_size_legend(looks), loc="outside lower center", ncols=5)
    return figure


def width_figure(lines: Sequence[SummaryRow], *, epsilon: float | None) -> Figure | None:
    """Heat maps over (image bits, audio bits): clean above, worst robust below, one column per fusion model.

    A cell shows the measured recipe with the widest shared layers; hatched cells were not measured.
    """
    usable = [line for line in lines if line.executor != FLOAT_EXECUTOR and line.clean and
              line.bits_image is not None and line.bits_audio is not None]
    models = list(dict.fromkeys(line.model for line in usable))
    if not models:
        return None
    rows: list[tuple[str, Score]] = [("clean accuracy (%)", _clean_percent)]
    if any(line.worst_robust is not None for line in usable):
        rows.append((f"worst robust acc. (%) at ε = {epsilon:g}", _robust_percent))
    with style():
        from matplotlib.figure import Figure

        figure = Figure(figsize=(1.4 + 2.8 * len(models), 0.5 + 2.7 * len(rows)), layout="constrained")
        axes = figure.subplots(len(rows), len(models), squeeze=False)
        for row, (label, score) in zip(axes, rows, strict=True):
            _draw_width_row(figure, row, models, usable, label, score)
        for panel, model in zip(axes[0], models, strict=True):
            panel.set_title(model)
        for panel in axes[-1]:
            panel.set_xlabel("audio weights (bits)")
    return figure


def _draw_sizes(panel: Axes, lines: Sequence[SummaryRow], score: Score,
                looks: Mapping[str, Look]) -> None:
    measured = sorted(((line.packed_bytes or 0) / 1024, -value, line.precision)
                      for line in lines if (value := score(line)) is not None)
    front: list[tuple[float, float]] = []
    for kib, negative, precision in measured:
        colour, marker = looks[precision]
        if not front or -negative > front[-1][1]:
            front.append((kib, -negative))
            panel.plot(kib, -negative, marker=marker, color=colour, markersize=7, linestyle="", zorder=3)
        else:
            panel.plot(kib, -negative, marker="x", color=colour, markersize=6, linestyle="", zorder=2)
    if front:
        right = max(kib for kib, *_ in measured)
        panel.step([*(kib for kib, _ in front), right], [*(value for _, value in front), front[-1][1]],
                   where="post", color=MUTED, linewidth=1.0, zorder=1)
    panel.margins(0.12)


def _size_legend(looks: Mapping[str, Look]) -> list[Artist]:
    from matplotlib.lines import Line2D

    recipes = [Line2D([], [], color=colour, marker=marker, linestyle="", label=name)
               for name, (colour, marker) in looks.items()]
    beaten = Line2D([], [], color=MUTED, marker="x", linestyle="", label="beaten by a smaller recipe")
    return [*recipes, beaten, Line2D([], [], color=MUTED, linewidth=1.0, label="Pareto line")]


def _draw_width_row(figure: Figure, row: Sequence[Axes], models: Sequence[str],
                    lines: Sequence[SummaryRow], label: str, score: Score) -> None:
    values = [value for line in lines if (value := score(line)) is not None] or [0.0]
    middle, half = (min(values) + max(values)) / 2, max((max(values) - min(values)) / 2, 0.5)
    limits = (middle - half, middle + half)
    ticks = (sorted({line.bits_image or 0 for line in lines}),
             sorted({line.bits_audio or 0 for line in lines}))
    image = None
    for panel, model in zip(row, models, strict=True):
        cells = {(line.bits_image, line.bits_audio): line
                 for line in sorted(lines, key=lambda line: line.bits_shared or 0) if line.model == model}
        image = _draw_widths(panel, cells, score, ticks, limits)
    row[0].set_ylabel("image weights (bits)")
    if image is not None:
        figure.colorbar(image, ax=list(row), label=label, shrink=0.9, pad=0.02)


def _draw_widths(panel: Axes, cells: Mapping[tuple[float | None, float | None], SummaryRow],
                 score: Score, ticks: tuple[Sequence[float], Sequence[float]],
                 limits: tuple[float, float]) -> AxesImage:
    rows, columns = ticks
    grid = np.full((len(rows), len(columns)), np.nan)
    for (image_bits, audio_bits), line in cells.items():
        value = score(line)
        if image_bits is not None and audio_bits is not None and value is not None:
            y, x = rows.index(image_bits), columns.index(audio_bits)
            grid[y, x] = value
            # cividis turns bright in its upper half; the numbers must stay readable on both.
            ink = "#ffffff" if value < sum(limits) / 2 else "#101418"
            shared = "" if line.bits_shared is None else f"\nshared {line.bits_shared:.3g}"
            panel.text(x, y, f"{value:.1f}{shared}", ha="center", va="center", color=ink, fontsize=7)
    panel.patch.set(hatch="////", facecolor="none", edgecolor=GRID)
    panel.grid(visible=False)
    image = panel.imshow(grid, cmap="cividis", vmin=limits[0], vmax=limits[1], origin="lower")
    panel.set_xticks(range(len(columns)), [f"{bits:.3g}" for bits in columns])
    panel.set_yticks(range(len(rows)), [f"{bits:.3g}" for bits in rows])
    return image


def _clean_percent(line: SummaryRow) -> float | None:
    return None if line.clean is None else 100 * line.clean.value


def _robust_percent(line: SummaryRow) -> float | None:
    return None if line.worst_robust is None else 100 * line.worst_robust
