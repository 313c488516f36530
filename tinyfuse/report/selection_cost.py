"""Figures of what was chosen and what it costs: the width of every layer, and accuracy against packed bytes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from tinyfuse.quantize.recipe import BITS
from tinyfuse.report.selection_file import SelectionFile, Trial, UnitBits, is_plain
from tinyfuse.report.style import COLOURS, INK, MUTED, style
from tinyfuse.search.rank import front
from tinyfuse.study.summary import Accuracy

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

BRANCH_COLOURS = {"image": COLOURS[0], "audio": COLOURS[3], "shared": COLOURS[2]}
_NAME_LENGTH = 28
_FENCE = 3.0


@dataclass(frozen=True)
class Sort:
    """How one sort of recipe is drawn."""

    text: str
    colour: str
    marker: str
    size: float
    holds: Callable[[Trial, str], bool]


SORTS = (
    Sort("chosen", COLOURS[0], "*", 15, lambda trial, best: trial.name == best),
    Sort("one width everywhere", COLOURS[3], "s", 7, lambda trial, best: is_plain(trial.recipe) and len(
        {trial.recipe.image, trial.recipe.audio, trial.recipe.shared}) == 1),
    Sort("grid of widths per modality", COLOURS[5], "o", 5, lambda trial, best: "grid" in trial.sources),
    Sort("allocated by a criterion", COLOURS[2], "^", 6, lambda trial, best: True),
)
"""The first that holds for a trial counts."""


def short(name: str) -> str:
    """``name`` as far as a figure has room for it."""
    return name if len(name) <= _NAME_LENGTH else f"{name[:_NAME_LENGTH - 1]}…"


def sort_of(trial: Trial, best: str) -> Sort:
    """The sort that ``trial`` is drawn as when ``best`` was chosen."""
    return next(sort for sort in SORTS if sort.holds(trial, best))


def bits_figure(units: Sequence[UnitBits]) -> Figure:
    """Bars of the chosen widths (left) and of the number of weights (right), one line for each unit."""
    with style():
        from matplotlib.figure import Figure

        figure = Figure(figsize=(9.2, 0.9 + 0.24 * max(len(units), 3)), layout="constrained")
        left, right = figure.subplots(1, 2, sharey=True, gridspec_kw={"width_ratios": (3, 2), "wspace": 0.04})
        rows, colours = range(len(units)), [BRANCH_COLOURS[unit.branch] for unit in units]
        for panel, values, texts in ((left, [unit.bits for unit in units], [str(unit.bits) for unit in units]),
                                     (right, [unit.weights for unit in units], [f"{u.weights:,}" for u in units])):
            bars = panel.barh(rows, values, color=colours, height=0.72)
            panel.bar_label(bars, texts, padding=3, fontsize=8, color=INK)
            panel.margins(x=0.16)
            panel.grid(visible=False, axis="y")
        left.set(xlabel="weight bits", xlim=(0, BITS[-1] + 0.7), ylim=(len(units) - 0.4, -0.6))
        left.set_xticks([0, *BITS])
        left.set_yticks(rows, [short(unit.name) for unit in units])
        left.tick_params(axis="y", length=0, labelcolor=INK)
        right.tick_params(axis="y", length=0)
        right.set_xlabel("weights")
        right.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
        right.xaxis.set_major_locator(_few_ticks())
        figure.legend(handles=_branch_legend(units), loc="outside upper center", ncols=3)
    return figure


def _few_ticks() -> object:
    from matplotlib.ticker import MaxNLocator

    return MaxNLocator(4)


def _branch_legend(units: Sequence[UnitBits]) -> list[Artist]:
    from matplotlib.patches import Patch

    return [Patch(color=colour, label=branch) for branch, colour in BRANCH_COLOURS.items()
            if any(unit.branch == branch for unit in units)]


def front_figure(found: SelectionFile) -> Figure:
    """Packed KiB against accuracy of all trials: weaker modality attacked, both attacked (where judged), clean.

    Bars are 95 % intervals, the step line is the Pareto front of the panel. Trials far below all others stand as
    open triangles on the lower edge.
    """
    with style():
        from matplotlib.figure import Figure

        shown = _panels(found)
        figure = Figure(figsize=(4.2 * len(shown) + 1, 4.9), layout="constrained")
        for panel, (text, what) in zip(figure.subplots(1, len(shown), sharex=True), shown, strict=True):
            _draw_front(panel, found, what)
            panel.set(xlabel="packed weights (KiB)", ylabel=text)
        figure.legend(handles=_front_legend(found), loc="outside lower center", ncols=4)
    return figure


def _panels(found: SelectionFile) -> list[tuple[str, Callable[[Trial], str]]]:
    """Axis label of each panel, and what a trial shows there."""
    at = f"(%) at ε = {found.settings.epsilon:g}"
    shown: list[tuple[str, Callable[[Trial], str]]] = [
        (f"weaker modality attacked {at}", lambda trial: trial.weaker), ("clean accuracy (%)", lambda trial: "clean")]
    if all(trial.share("both") for trial in found.trials):
        shown.insert(1, (f"both attacked {at}", lambda trial: "both"))
    return shown


def _draw_front(panel: Axes, found: SelectionFile, what: Callable[[Trial], str]) -> None:
    points = [(trial, _kib(trial), trial.share(what(trial)) or trial.clean) for trial in found.trials]
    edge = _lower_edge([share for *_, share in points])
    for trial, size, share in points:
        sort, value = sort_of(trial, found.best.name), 100 * share.value
        place = 3 + len(SORTS) - SORTS.index(sort)
        if edge is not None and value < edge:
            panel.plot(size, edge, marker="v", color=sort.colour, markerfacecolor="none", markersize=6, zorder=place,
                       clip_on=False)
            continue
        panel.errorbar(size, value, yerr=[[max(value - 100 * share.low, 0)], [max(100 * share.high - value, 0)]],
                       color=sort.colour, linewidth=0.7, alpha=0.45, zorder=place - 3)
        panel.plot(size, value, marker=sort.marker, color=sort.colour, markersize=sort.size, zorder=place,
                   markeredgecolor=INK if sort is SORTS[0] else sort.colour, markeredgewidth=0.7)
    _draw_step(panel, [(size, 100 * share.value) for _, size, share in points])
    if "flash" in found.budget:
        panel.axvline(found.budget["flash"] / 1024, color=MUTED, linewidth=1.1, linestyle="--", zorder=1)
    panel.margins(x=0.06, y=0.04)
    bottom, top = panel.get_ylim()
    bottom = bottom if edge is None else edge
    panel.set_ylim(bottom, min(top, 100 + 0.03 * (100 - bottom)))


def _lower_edge(shares: Sequence[Accuracy]) -> float | None:
    """Where the axis ends in percent if something lies below Tukey's outer fence: under all intervals of the rest."""
    values = [100 * share.value for share in shares]
    low, high = np.percentile(values, (25, 75))
    fence = float(low - _FENCE * max(high - low, 2.0))
    kept = [100 * share.low for share, value in zip(shares, values, strict=True) if value >= fence]
    return min(fence, *kept) - 1 if min(values) < fence else None


def _draw_step(panel: Axes, points: Sequence[tuple[float, float]]) -> None:
    best = sorted({point for point, kept in zip(points, front(points), strict=True) if kept})
    sizes, values = [size for size, _ in best], [value for _, value in best]
    panel.step([*sizes, max(size for size, _ in points)], [*values, values[-1]], where="post", color=INK,
               linewidth=1.1, zorder=2)


def _kib(trial: Trial) -> float:
    return (trial.needs["flash"] or 0) / 1024


def _front_legend(found: SelectionFile) -> list[Artist]:
    from matplotlib.lines import Line2D

    drawn = [sort_of(trial, found.best.name) for trial in found.trials]
    marks: list[Artist] = [Line2D([], [], color=sort.colour, marker=sort.marker, linestyle="", label=sort.text,
                                  markersize=min(sort.size, 10)) for sort in SORTS if sort in drawn]
    lines: list[Artist] = [Line2D([], [], color=INK, linewidth=1.1, label="Pareto front")]
    if "flash" in found.budget:
        lines.append(Line2D([], [], color=MUTED, linewidth=1.1, linestyle="--", label="budget of flash"))
    below = Line2D([], [], color=MUTED, marker="v", markerfacecolor="none", linestyle="", label="below the axis")
    return [*marks, *lines, below] if _has_outliers(found) else [*marks, *lines]


def _has_outliers(found: SelectionFile) -> bool:
    panels = ([trial.share(what(trial)) or trial.clean for trial in found.trials] for _, what in _panels(found))
    return any(_lower_edge(shares) is not None for shares in panels)
