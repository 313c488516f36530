"""Figures of robustness against ε in each mode of attack: by recipe, by threat model, and as in papers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tinyfuse.report.figures.style import COLOURS, INK, MUTED, is_uniform, legend_mark, looks_of, new_figure, style
from tinyfuse.report.sandwich import Sandwich
from tinyfuse.report.summary import LineCurves, SummaryRow, modes_among
from tinyfuse.report.view import RunView
from tinyfuse.report.vocabulary import KINDS, NORMS
from tinyfuse.study.worst_case import FLOAT, FLOAT_EXECUTOR, Accuracy, CurvePoint, Track

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_WIDTH, _HEIGHT, _LEGEND = 2.75, 2.6, 3.0
_LOW = 1.75
_THREATS: dict[str, tuple[str, str, str]] = {
    "float": (INK, "", "--"), "G": (COLOURS[3], "o", "-"), "R": (COLOURS[0], "s", "-."), "T": (COLOURS[2], "^", ":")}
_LABELS = {"float": "float", "G": "G: codes", "R": "R: real, then rounded", "T": "T: transfer from float"}


@dataclass(frozen=True)
class _Curve:
    """One curve in a panel; ``look``: colour, marker and line; ``order``: what is drawn above the others.

    ``floor``: what is between the curve and this one is shaded, instead of its interval.
    """

    start: Accuracy | None
    points: Sequence[CurvePoint]
    label: str
    look: tuple[str, str, str]
    band: bool = True
    order: int = 2
    floor: Sequence[CurvePoint] = ()


_Row = tuple[str, Sequence[Sequence[_Curve]]]
"""What the axis of a row of panels says, and the curves of each panel from left to right."""


def robustness_figure(view: RunView, model: str) -> Figure | None:
    """Draw the worst case of one model against ε, integers in threat model G: one column per mode of attack.

    Uniform widths in the upper row, mixes below, the float network dashed in each; bands are 95 % intervals.
    None when no attack on this model was evaluated.
    """
    lines = [line for line in view.lines_of(model) if line.is_float or _curves(view, line).own]
    modes, looks = _modes(lines, [_curves(view, line).own for line in lines]), _looks(view)

    def row(uniform: bool) -> _Row:
        chosen = [line for line in lines if line.is_float or is_uniform(line.precision) == uniform]
        return "robust accuracy (%)", [[
            _Curve(_curves(view, line).start, _curves(view, line).own.get(mode, []), line.precision,
                   looks[line.precision]) for line in chosen] for mode in modes]

    kinds = dict.fromkeys(is_uniform(line.precision) for line in lines if not line.is_float) or {True: None}
    rows = [row(uniform) for uniform in sorted(kinds, reverse=True)]
    return _figure(view, [f"{mode} attacked" for mode in modes], rows, legends=len(rows)) if modes else None


def threats_figure(view: RunView, model: str, precisions: Sequence[str]) -> Figure | None:
    """Draw float, G, R and transfer of each integer recipe: one row per recipe, one column per mode of attack.

    A network with one input has one column per recipe instead. The band is the 95 % interval of G. None when none of
    ``precisions`` was attacked.
    """
    lines = [line for line in view.lines_of(model) if line.precision in precisions and
             line.executor != FLOAT_EXECUTOR and _curves(view, line).own]
    modes = _modes(lines, [_curves(view, line).own for line in lines])
    if not modes:
        return None
    if len(modes) == 1:
        panels = [_threat_curves(view, line, modes[0]) for line in lines]
        return _figure(view, [line.precision for line in lines], [("robust accuracy (%)", panels)])
    rows = [(line.precision.replace("-", "-\n"), [_threat_curves(view, line, mode) for mode in modes])
            for line in lines]
    return _figure(view, [f"{mode} attacked" for mode in modes], rows, height=_LOW, common="robust accuracy (%)")


def literature_figure(view: RunView, model: str) -> Figure | None:
    """Draw accuracy after the last iterate of each attack, one per row, as papers report it; None if none was run."""
    lines, looks = view.lines_of(model), _looks(view)
    attacks = sorted({attack for line in lines for attack in _curves(view, line).literature})
    modes = _modes(lines, [track for line in lines for track in _curves(view, line).literature.values()])
    rows = [(f"{attack}, last iterate\naccuracy (%)", [[
        _Curve(_curves(view, line).start, _curves(view, line).literature.get(attack, {}).get(mode, []), line.precision,
               looks[line.precision]) for line in lines] for mode in modes]) for attack in attacks]
    return _figure(view, [f"{mode} attacked" for mode in modes], rows) if modes else None


def sandwich_figure(view: RunView, found: Sequence[Sandwich]) -> Figure | None:
    """Draw of one model, threat model G, what attacks leave and what is certified: a row for each recipe.

    The truth lies in the shaded gap. None for one budget, which makes no curve, or without certificates.
    """
    chosen = [one for one in found if one.kind == "G"]
    modes = [mode for mode in modes_among([one.line for one in chosen]) if any(mode in one.certified for one in chosen)]
    if not modes or max(len(points) for one in chosen for points in one.certified.values()) < 2:
        return None

    def panel(one: Sandwich, mode: str) -> list[_Curve]:
        low, high, start = one.certified.get(mode, []), one.left.get(mode, []), _curves(view, one.line).start
        return [_Curve(start, high, "not broken by any attack", _THREATS["G"], floor=low),
                _Curve(start, low, "certified", (COLOURS[2], "D", "-"), band=False, order=3)]

    rows = [(one.line.precision.replace("-", "-\n"), [panel(one, mode) for mode in modes]) for one in chosen]
    return _figure(view, [f"{mode} attacked" for mode in modes], rows, height=_LOW, common="samples (%)")


def _curves(view: RunView, line: SummaryRow) -> LineCurves:
    return view.drawn[line.model, line.precision]


def _looks(view: RunView) -> dict[str, tuple[str, str, str]]:
    """Colour, marker and line of every recipe; the float network is dashed."""
    return {FLOAT: (INK, "", "--"), **{name: (*look, "-") for name, look in looks_of(view.lines).items()}}


def _modes(lines: Sequence[SummaryRow], tracks: Sequence[Track]) -> list[str]:
    return [mode for mode in modes_among(lines) if any(mode in track for track in tracks)]


def _threat_curves(view: RunView, line: SummaryRow, mode: str) -> list[_Curve]:
    """Return the float network, and the line in each of G, R and T."""
    before, own = view.drawn.get((line.model, FLOAT), LineCurves()), _curves(view, line)
    tracks = {FLOAT: before.own, **{kind: own.by_kind(kind) for kind in KINDS}}
    return [_Curve(before.start if name == FLOAT else own.start, track.get(mode, []), _LABELS[name], _THREATS[name],
                   name == "G", 5 - order) for order, (name, track) in enumerate(tracks.items())]


def _figure(view: RunView, titles: Sequence[str], rows: Sequence[_Row], *, legends: int = 1, height: float = _HEIGHT,
            common: str = "") -> Figure:
    """Draw ``rows`` of panels with shared axes, ``titles`` above the columns, ``legends`` beside the first rows.

    ``common``: what all rows show, beside their own labels.
    """
    with style():
        figure = new_figure(_LEGEND + _WIDTH * len(titles), 0.55 + height * len(rows))
        axes = figure.subplots(len(rows), len(titles), squeeze=False, sharex=True, sharey=True,
                               gridspec_kw={"wspace": 0.08})
        for panels, (label, columns) in zip(axes, rows, strict=True):
            for panel, curves in zip(panels, columns, strict=True):
                _draw(panel, curves)
            panels[0].set_ylabel(label)
        for panel, title in zip(axes[0], titles, strict=True):
            panel.set_title(title)
        several = "; of several inputs the largest" * any(isinstance(one, Mapping) for one in view.budgets)
        figure.supxlabel(f"ε ({NORMS.get(view.norm, view.norm)}, units of the inputs{several})", fontsize=9)
        for place in range(legends):
            shown = [rows[place]] if legends > 1 else rows
            looks = {one.label: one.look for _, panels in shown for curves in panels for one in curves if one.points}
            axes[place][-1].legend(handles=[legend_mark(label, *look, markersize=4, linewidth=1.6)
                                            for label, look in looks.items()], loc="upper left",
                                   bbox_to_anchor=(1.02, 1.02), borderaxespad=0.0)
        axes[0][0].set(ylim=(-3, 103), yticks=(0, 25, 50, 75, 100))
        axes[0][0].locator_params(axis="x", nbins=5)
        figure.supylabel(common, fontsize=9)
    return figure


def _draw(panel: Axes, curves: Sequence[_Curve]) -> None:
    """Draw each curve from the clean accuracy on; nothing for one without points."""
    for one in curves:
        if not one.points:
            continue
        colour, marker, line = one.look
        track = [*([(0.0, one.start)] if one.start else []), *((point.epsilon, point.accuracy) for point in one.points)]
        budgets = [epsilon for epsilon, _ in track]
        if one.floor:
            ends = [one.start or one.points[0].accuracy, *(point.accuracy for point in one.floor)]
            lower = [100 * a.value for a in (ends if one.start else ends[1:])]
            panel.fill_between(budgets, lower, [100 * a.value for _, a in track], color=MUTED, alpha=0.22, linewidth=0)
        elif one.band:
            panel.fill_between(budgets, [100 * a.low for _, a in track], [100 * a.high for _, a in track],
                               color=colour, alpha=0.10, linewidth=0)
        panel.plot(budgets, [100 * a.value for _, a in track], color=colour, marker=marker, markersize=4,
                   linewidth=1.6, linestyle=line, label=one.label, zorder=3 if line == "--" else one.order)
        panel.set_xlim(left=0)
