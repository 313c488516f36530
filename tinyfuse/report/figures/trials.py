"""Figures of a selection: the width of every layer, and the accuracy of all trials against packed bytes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from tinyfuse.nn.origin import SHARED
from tinyfuse.quantize.recipe import BITS
from tinyfuse.report.figures.sizes import PACKED, draw_step
from tinyfuse.report.figures.style import COLOURS, INK, MUTED, legend_mark, new_figure, short, style
from tinyfuse.search.record import SelectionRecord, Trial
from tinyfuse.study.worst_case import Accuracy
from tinyfuse.threats.budgets import epsilon_text
from tinyfuse.threats.modes import ALL

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_BRANCH_COLOURS = (COLOURS[0], COLOURS[3], COLOURS[1], COLOURS[4], COLOURS[5], COLOURS[6])
_FENCE = 3.0


def bits_figure(found: SelectionRecord) -> Figure:
    """Draw bars of the chosen widths (left) and of the number of weights (right), one line for each unit."""
    from matplotlib.patches import Patch
    from matplotlib.ticker import MaxNLocator

    units, rows = found.units, range(len(found.units))
    inputs = {name: _BRANCH_COLOURS[place % len(_BRANCH_COLOURS)] for place, name in enumerate(found.inputs)}
    colours = {name: colour for name, colour in {**inputs, SHARED: COLOURS[2]}.items()
               if any(unit.branch == name for unit in units)}
    with style():
        figure = new_figure(9.2, 0.9 + 0.24 * max(len(units), 3))
        left, right = figure.subplots(1, 2, sharey=True, gridspec_kw={"width_ratios": (3, 2), "wspace": 0.04})
        for panel, values in ((left, [unit.bits for unit in units]), (right, [unit.weights for unit in units])):
            bars = panel.barh(rows, values, color=[colours[unit.branch] for unit in units], height=0.72)
            panel.bar_label(bars, [f"{value:,}" for value in values], padding=3, fontsize=8, color=INK)
            panel.margins(x=0.16)
            panel.grid(visible=False, axis="y")
            panel.tick_params(axis="y", length=0, labelcolor=INK)
        left.set(xlabel="weight bits", xlim=(0, BITS[-1] + 0.7), ylim=(len(units) - 0.4, -0.6))
        left.set_xticks([0, *BITS])
        left.set_yticks(rows, [short(unit.name) for unit in units])
        right.set_xlabel("weights")
        right.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
        right.xaxis.set_major_locator(MaxNLocator(4))
        figure.legend(handles=[Patch(color=colour, label=name) for name, colour in colours.items()],
                      loc="outside upper center", ncols=len(colours))
    return figure


@dataclass(frozen=True)
class Sort:
    """How one sort of trial is drawn."""

    text: str
    colour: str
    marker: str
    size: float
    holds: Callable[[Trial, str], bool]


SORTS = (
    Sort("chosen", COLOURS[0], "*", 15, lambda trial, best: trial.name == best),
    Sort("one width everywhere", COLOURS[3], "s", 7, lambda trial, best: not trial.recipe.layers and len(
        set(trial.recipe.weights.values())) == 1),
    Sort("grid of widths by input", COLOURS[5], "o", 5, lambda trial, best: "grid" in trial.sources),
    Sort("allocated by a criterion", COLOURS[2], "^", 6, lambda trial, best: True),
)
"""The first that holds for a trial counts."""


def sort_of(trial: Trial, best: str) -> Sort:
    """Return the sort that ``trial`` is drawn as when ``best`` was chosen."""
    return next(sort for sort in SORTS if sort.holds(trial, best))


def front_figure(found: SelectionRecord) -> Figure:
    """Draw packed KiB against accuracy of all trials: weakest input attacked, all attacked, clean.

    Bars are 95 % intervals, the step line is the Pareto front of the panel. Trials far below all others stand as
    open triangles on the lower edge.
    """
    shown = _front_panels(found)
    below = any(_lower_edge([_share(trial, what) for trial in found.trials]) is not None for _, what in shown)
    with style():
        figure = new_figure(4.2 * len(shown) + 1, 4.9)
        for panel, (text, what) in zip(figure.subplots(1, len(shown), sharex=True), shown, strict=True):
            _draw_front(panel, found, what)
            panel.set(xlabel=PACKED, ylabel=text)
        figure.legend(handles=_front_legend(found, below), loc="outside lower center", ncols=4)
    return figure


def _front_panels(found: SelectionRecord) -> list[tuple[str, Callable[[Trial], str]]]:
    """Axis label of each panel, and what a trial shows there."""
    at = f"(%) at ε = {epsilon_text(found.settings.epsilon)}"
    alone = found.modes[0] if len(found.modes) == 1 else "weakest input"
    every: list[tuple[str, Callable[[Trial], str]]] = [(f"all attacked {at}", lambda trial: ALL)]
    return [(f"{alone} attacked {at}", lambda trial: trial.weakest), *(every if ALL in found.modes else []),
            ("clean accuracy (%)", lambda trial: "clean")]


def _share(trial: Trial, what: Callable[[Trial], str]) -> Accuracy:
    return trial.share(what(trial)) or trial.clean


def _draw_front(panel: Axes, found: SelectionRecord, what: Callable[[Trial], str]) -> None:
    points = [(trial, (trial.needs["flash"] or 0) / 1024, _share(trial, what)) for trial in found.trials]
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
    draw_step(panel, [(size, 100 * share.value) for _, size, share in points], INK, 1.1, 2)
    if "flash" in found.budget:
        panel.axvline(found.budget["flash"] / 1024, color=MUTED, linewidth=1.1, linestyle="--", zorder=1)
    panel.margins(x=0.06, y=0.04)
    bottom, top = panel.get_ylim()
    bottom = bottom if edge is None else edge
    panel.set_ylim(bottom, min(top, 100 + 0.03 * (100 - bottom)))


def _lower_edge(shares: Sequence[Accuracy]) -> float | None:
    """Return the end of the axis in percent if something lies below Tukey's outer fence: under the other intervals."""
    values = [100 * share.value for share in shares]
    low, high = np.percentile(values, (25, 75))
    fence = float(low - _FENCE * max(high - low, 2.0))
    above = [100 * share.low for share, value in zip(shares, values, strict=True) if value >= fence]
    return min(fence, *above) - 1 if min(values) < fence else None


def _front_legend(found: SelectionRecord, below: bool) -> list[Artist]:
    drawn = [sort_of(trial, found.best.name) for trial in found.trials]
    marks: list[Artist] = [legend_mark(sort.text, sort.colour, sort.marker, markersize=min(sort.size, 10))
                           for sort in SORTS if sort in drawn]
    marks.append(legend_mark("Pareto front", INK, line="-", linewidth=1.1))
    if "flash" in found.budget:
        marks.append(legend_mark("budget of flash", MUTED, line="--", linewidth=1.1))
    return [*marks, legend_mark("below the axis", MUTED, "v", markerfacecolor="none")] if below else marks
