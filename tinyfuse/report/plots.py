"""Figures: robust accuracy against ε, accuracy against size, and accuracy over the widths per modality.

matplotlib is imported inside the functions and used without pyplot: no global state, no display.
"""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING

import numpy as np

from tinyfuse.evaluate.summary import ATTACKED, FLOAT, FLOAT_EXECUTOR, CurvePoint, SummaryRow

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.image import AxesImage

# Okabe and Ito's colours (grey and wine for their yellow and black): safe for colour-blind readers.
_COLOURS = ("#d55e00", "#e69f00", "#009e73", "#0072b2", "#cc79a7", "#56b4e9", "#994455", "#8a8f98")
_MARKERS = "os^DvPX*"
_INK, _MUTED, _GRID = "#1f2328", "#59636e", "#d1d9e0"
_THEME = ("svg{--ink:#1f2328;--muted:#59636e;--grid:#d1d9e0}@media (prefers-color-scheme:dark)"
          "{svg{--ink:#e6edf3;--muted:#9da7b1;--grid:#3d444d}}")
_NORMS = {"linf": "L∞", "l2": "L2"}
_UNIFORM = re.compile(r"w\d+")
Score = Callable[[SummaryRow], float | None]
Look = tuple[str, str]
Curves = Mapping[tuple[str, str], Mapping[str, Sequence[CurvePoint]]]


def robustness_figure(curves: Curves, lines: Sequence[SummaryRow], model: str, *, norm: str) -> Figure | None:
    """Worst-case robust accuracy of one model against ε: one column per attacked modality.

    Uniform widths in the upper row, mixes below, the float network dashed in each; bands are 95 % intervals.
    None when no attack on this model was evaluated.
    """
    mine = [line for line in lines if line.model == model]
    measured = {name for line in mine for name in curves.get((model, line.precision), {})}
    modalities = [name for name in ATTACKED if name in measured]
    looks = _looks(lines)
    reference = [line for line in mine if line.precision == FLOAT]
    others = [line for line in mine if line.precision != FLOAT]
    groups = [[line for line in others if _UNIFORM.fullmatch(line.precision)],
              [line for line in others if not _UNIFORM.fullmatch(line.precision)]]
    groups = [group for group in groups if group] or ([[]] if reference else [])
    if not modalities or not groups:
        return None
    with _style():
        from matplotlib.figure import Figure

        size = (3.0 + 2.75 * len(modalities), 0.55 + 2.6 * len(groups))
        figure = Figure(figsize=size, layout="constrained")
        axes = figure.subplots(len(groups), len(modalities), squeeze=False, sharex=True, sharey=True,
                               gridspec_kw={"wspace": 0.08})
        for row, group in zip(axes, groups, strict=True):
            for panel, modality in zip(row, modalities, strict=True):
                _draw_curves(panel, curves, [*reference, *group], modality, looks)
            row[0].set_ylabel("robust accuracy (%)")
            row[-1].legend(loc="upper left", bbox_to_anchor=(1.02, 1.02), borderaxespad=0.0)
        for panel, modality in zip(axes[0], modalities, strict=True):
            panel.set_title("both attacked" if modality == "both" else f"{modality} attacked")
        for panel in axes[-1]:
            panel.set_xlabel(f"ε ({_NORMS.get(norm, norm)}, inputs 0 to 1)")
    return figure


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
    looks = _looks(lines)
    with _style():
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
    with _style():
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


def to_svg(figure: Figure) -> str:
    """The figure as an SVG document that follows the reader's light or dark theme; text stays text."""
    buffer = io.StringIO()
    with _style():
        figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    svg = buffer.getvalue()
    for colour, name in ((_INK, "ink"), (_MUTED, "muted"), (_GRID, "grid")):
        svg = svg.replace(colour, f"var(--{name})")
    return svg[svg.index("<svg"):].replace("<defs>", f"<style>{_THEME}</style><defs>", 1)


def _style() -> AbstractContextManager[None]:
    import matplotlib

    return matplotlib.rc_context({
        "font.family": "sans-serif", "font.size": 9, "axes.titlesize": 10, "axes.labelsize": 9,
        "svg.fonttype": "none", "svg.hashsalt": "tinyfuse", "text.parse_math": False,
        "axes.spines.top": False, "axes.spines.right": False, "axes.facecolor": "none", "axes.grid": True,
        "axes.axisbelow": True, "grid.color": _GRID, "grid.linewidth": 0.6, "hatch.color": _GRID,
        "text.color": _INK, "axes.labelcolor": _INK, "axes.edgecolor": _MUTED, "xtick.color": _MUTED,
        "ytick.color": _MUTED, "legend.frameon": False, "legend.fontsize": 8})


def _draw_curves(panel: Axes, curves: Curves, lines: Sequence[SummaryRow], modality: str,
                 looks: Mapping[str, Look]) -> None:
    for line in lines:
        points = list(curves.get((line.model, line.precision), {}).get(modality, ()))
        if not points:
            continue
        is_float = line.precision == FLOAT
        colour, marker = (_INK, "") if is_float else looks[line.precision]
        start = [] if line.clean is None else [(0.0, line.clean)]
        track = [*start, *((point.epsilon, point.accuracy) for point in points)]
        budgets = [epsilon for epsilon, _ in track]
        panel.fill_between(budgets, [100 * a.low for _, a in track], [100 * a.high for _, a in track],
                           color=colour, alpha=0.10, linewidth=0)
        panel.plot(budgets, [100 * a.value for _, a in track], color=colour, marker=marker, markersize=4,
                   linewidth=1.6, linestyle="--" if is_float else "-", label=line.precision,
                   zorder=3 if is_float else 2)
    panel.set_ylim(-3, 103)
    panel.set_xlim(left=0)


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
                   where="post", color=_MUTED, linewidth=1.0, zorder=1)
    panel.margins(0.12)


def _size_legend(looks: Mapping[str, Look]) -> list[Artist]:
    from matplotlib.lines import Line2D

    recipes = [Line2D([], [], color=colour, marker=marker, linestyle="", label=name)
               for name, (colour, marker) in looks.items()]
    beaten = Line2D([], [], color=_MUTED, marker="x", linestyle="", label="beaten by a smaller recipe")
    return [*recipes, beaten, Line2D([], [], color=_MUTED, linewidth=1.0, label="Pareto line")]


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
    panel.patch.set(hatch="////", facecolor="none", edgecolor=_GRID)
    panel.grid(visible=False)
    image = panel.imshow(grid, cmap="cividis", vmin=limits[0], vmax=limits[1], origin="lower")
    panel.set_xticks(range(len(columns)), [f"{bits:.3g}" for bits in columns])
    panel.set_yticks(range(len(rows)), [f"{bits:.3g}" for bits in rows])
    return image


def _looks(lines: Sequence[SummaryRow]) -> dict[str, Look]:
    """Colour and marker of every recipe, the same in all figures; uniform widths come first."""
    names = sorted({line.precision for line in lines if line.precision != FLOAT},
                   key=lambda name: (_UNIFORM.fullmatch(name) is None, len(name), name))
    return {name: (_COLOURS[number % len(_COLOURS)], _MARKERS[number % len(_MARKERS)])
            for number, name in enumerate(names)}


def _clean_percent(line: SummaryRow) -> float | None:
    return None if line.clean is None else 100 * line.clean.value


def _robust_percent(line: SummaryRow) -> float | None:
    return None if line.worst_robust is None else 100 * line.worst_robust
