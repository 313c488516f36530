"""Figures of robustness against ε for each attacked modality: by recipe, by threat model, and as in papers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from tinyfuse.report.style import COLOURS, INK, is_uniform, looks_of, style
from tinyfuse.report.view import RunView
from tinyfuse.report.vocabulary import KINDS, NORMS
from tinyfuse.study.summary import ATTACKED, FLOAT, FLOAT_EXECUTOR, Accuracy, CurvePoint, SummaryRow

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_WIDTH, _HEIGHT, _LEGEND = 2.75, 2.6, 3.0
_LOW = 1.75
_STYLES: dict[str, tuple[str, str, Any]] = {
    "float": (INK, "", "--"), "G": (COLOURS[3], "o", "-"), "R": (COLOURS[0], "s", "-."), "T": (COLOURS[2], "^", ":")}
_LABELS = {"float": "float", "G": "G: codes", "R": "R: real, then rounded", "T": "T: transfer from float"}


def robustness_figure(view: RunView, model: str) -> Figure | None:
    """Worst-case robust accuracy of one model against ε, integers in threat model G: one column per attacked modality.

    Uniform widths in the upper row, mixes below, the float network dashed in each; bands are 95 % intervals.
    None when no attack on this model was evaluated.
    """
    lines = _lines(view, model)
    modalities = _modalities([view.curves[line.model, line.precision].own for line in lines])
    reference = [line for line in lines if line.precision == FLOAT]
    others = [line for line in lines if line.precision != FLOAT and view.curves[line.model, line.precision].own]
    groups = [[line for line in others if is_uniform(line.precision) == uniform] for uniform in (True, False)]
    groups = [group for group in groups if group] or ([[]] if reference else [])
    if not modalities or not groups:
        return None
    looks = looks_of(view.lines)
    with style():
        figure, axes = _panels(len(groups), [_title(name) for name in modalities], view.norm, _HEIGHT)
        for row, group in zip(axes, groups, strict=True):
            for panel, modality in zip(row, modalities, strict=True):
                for line in [*reference, *group]:
                    found = view.curves[line.model, line.precision]
                    look = (INK, "") if line.precision == FLOAT else looks[line.precision]
                    _draw(panel, found.start, found.own.get(modality, []), line.precision,
                          (*look, "--" if line.precision == FLOAT else "-"))
            row[0].set_ylabel("robust accuracy (%)")
            row[-1].legend(loc="upper left", bbox_to_anchor=(1.02, 1.02), borderaxespad=0.0)
    return figure


def threats_figure(view: RunView, model: str, precisions: Sequence[str]) -> Figure | None:
    """Float, G, R and transfer of each integer recipe: one row per recipe, one column per attacked modality.

    A network with one input has one column per recipe instead. The band is the 95 % interval of G. None when none of
    ``precisions`` was attacked.
    """
    lines = [line for line in _lines(view, model) if line.precision in precisions and
             line.executor != FLOAT_EXECUTOR and view.curves[line.model, line.precision].own]
    modalities = _modalities([view.curves[line.model, line.precision].own for line in lines])
    if not modalities:
        return None
    cells = [[(line, modality) for modality in modalities] for line in lines]
    titles = [_title(modality) for modality in modalities]
    alone = len(modalities) == 1
    if alone:
        cells, titles = [[pair for row in cells for pair in row]], [line.precision for line in lines]
    with style():
        figure, axes = _panels(len(cells), titles, view.norm, _HEIGHT if alone else _LOW)
        for row, pairs in zip(axes, cells, strict=True):
            for panel, (line, modality) in zip(row, pairs, strict=True):
                _draw_threats(panel, view, line, modality)
            row[0].set_ylabel("robust accuracy (%)" if alone else pairs[0][0].precision.replace("-", "-\n"))
        if not alone:
            figure.supylabel("robust accuracy (%)", fontsize=9)
        axes[0][-1].legend(handles=_threat_legend([name for name in _STYLES if any(
            _threat(view, line, name)[1] for line in lines)]), loc="upper left", bbox_to_anchor=(1.02, 1.02),
            borderaxespad=0.0)
    return figure


def literature_figure(view: RunView, model: str) -> Figure | None:
    """Accuracy after the last iterate of one attack, as papers report it: one row per attack.

    None when the literature's protocol was not run on this model.
    """
    lines = _lines(view, model)
    found = {line.precision: view.curves[line.model, line.precision] for line in lines}
    attacks = sorted({attack for curves in found.values() for attack in curves.literature})
    modalities = _modalities([track for curves in found.values() for track in curves.literature.values()])
    if not modalities:
        return None
    looks = looks_of(view.lines)
    with style():
        figure, axes = _panels(len(attacks), [_title(name) for name in modalities], view.norm, _HEIGHT)
        for row, attack in zip(axes, attacks, strict=True):
            for panel, modality in zip(row, modalities, strict=True):
                for name, curves in found.items():
                    look = (INK, "", "--") if name == FLOAT else (*looks[name], "-")
                    _draw(panel, curves.start, curves.literature.get(attack, {}).get(modality, []), name, look)
            row[0].set_ylabel(f"{attack}, last iterate\naccuracy (%)")
        axes[0][-1].legend(loc="upper left", bbox_to_anchor=(1.02, 1.02), borderaxespad=0.0)
    return figure


def _lines(view: RunView, model: str) -> list[SummaryRow]:
    return [line for line in view.lines if line.model == model]


def _modalities(tracks: Sequence[Mapping[str, object]]) -> list[str]:
    return [name for name in ATTACKED if any(name in track for track in tracks)]


def _title(modality: str) -> str:
    return "both attacked" if modality == "both" else f"{modality} attacked"


def _panels(rows: int, titles: Sequence[str], norm: str, height: float) -> tuple[Figure, Any]:
    """An empty figure of one column per title, with shared axes."""
    from matplotlib.figure import Figure

    size = (_LEGEND + _WIDTH * len(titles), 0.55 + height * rows)
    figure = Figure(figsize=size, layout="constrained")
    axes = figure.subplots(rows, len(titles), squeeze=False, sharex=True, sharey=True, gridspec_kw={"wspace": 0.08})
    for panel, title in zip(axes[0], titles, strict=True):
        panel.set_title(title)
    for panel in axes[-1]:
        panel.set_xlabel(f"ε ({NORMS.get(norm, norm)}, inputs 0 to 1)")
    axes[0][0].set(ylim=(-3, 103), yticks=(0, 25, 50, 75, 100))
    axes[0][0].locator_params(axis="x", nbins=5)
    return figure, axes


def _draw(panel: Axes, start: Accuracy | None, points: Sequence[CurvePoint], label: str, look: tuple[str, str, str], *,
          band: bool = True, order: int = 2) -> None:
    """One curve from the clean accuracy on; nothing without points."""
    if not points:
        return
    colour, marker, line = look
    track = [*([(0.0, start)] if start else []), *((point.epsilon, point.accuracy) for point in points)]
    budgets = [epsilon for epsilon, _ in track]
    if band:
        panel.fill_between(budgets, [100 * a.low for _, a in track], [100 * a.high for _, a in track], color=colour,
                           alpha=0.10, linewidth=0)
    panel.plot(budgets, [100 * a.value for _, a in track], color=colour, marker=marker, markersize=4, linewidth=1.6,
               linestyle=line, label=label, zorder=3 if line == "--" else order)
    panel.set_xlim(left=0)


def _draw_threats(panel: Axes, view: RunView, line: SummaryRow, modality: str) -> None:
    for order, name in enumerate(("T", "R", "G", "float"), start=2):
        start, track = _threat(view, line, name)
        _draw(panel, start, track.get(modality, []), _LABELS[name], _STYLES[name], band=name == "G", order=order)


def _threat(view: RunView, line: SummaryRow, name: str) -> tuple[Accuracy | None, Mapping[str, Sequence[CurvePoint]]]:
    """Clean accuracy and curves of the float network, or of one of G, R and T."""
    found = view.curves.get((line.model, line.precision if name in KINDS else FLOAT))
    if found is None:
        return None, {}
    return found.start, found.of(name) if name in KINDS else found.own


def _threat_legend(names: Sequence[str]) -> list[Artist]:
    from matplotlib.lines import Line2D

    return [Line2D([], [], color=colour, marker=marker, markersize=4, linewidth=1.6, linestyle=line,
                   label=_LABELS[name]) for name, (colour, marker, line) in _STYLES.items() if name in names]
