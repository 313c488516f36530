"""The page of a run: no file beside it, nothing loaded from anywhere, every label escaped."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from tinyfuse.checks.probe_names import meaning
from tinyfuse.core.files import write_text
from tinyfuse.report import sandwich, trust
from tinyfuse.report.advice import advise, hardest
from tinyfuse.report.attack_examples import shown
from tinyfuse.report.columns import COLUMNS
from tinyfuse.report.figures.curves import (
    literature_figure,
    robustness_figure,
    sandwich_figure,
    threats_figure,
)
from tinyfuse.report.figures.heatmaps import width_figure
from tinyfuse.report.figures.sizes import size_figure
from tinyfuse.report.figures.style import is_uniform
from tinyfuse.report.page import page_text, picture
from tinyfuse.report.summary import LITERATURE, SummaryRow
from tinyfuse.report.tables import html_table, write_csv
from tinyfuse.report.view import RunView, load
from tinyfuse.report.vocabulary import common_letters, interval, kinds_of, without_letters
from tinyfuse.study.worst_case import FLOAT_EXECUTOR, Track
from tinyfuse.threats.budgets import Epsilon, epsilon_text


def render(run_dir: str | Path, *, epsilon: Epsilon | None = None, view: RunView | None = None) -> Path:
    """Write ``report/index.html`` and ``summary.csv`` for a run folder, finished or not; return the path of the page.

    ``epsilon``: the budget of the table's robust columns (default: `tinyfuse.study.worst_case.reference_epsilon`).
    ``view``: what is to be shown, where it was loaded already.
    """
    view = view or load(run_dir, epsilon=epsilon)
    page = Path(run_dir) / "report" / "index.html"
    write_csv(Path(run_dir) / "summary.csv", view.summary)
    write_text(page, render_page(view))
    return page


def render_page(view: RunView) -> str:
    """Return the page as HTML text."""
    common, proved = common_letters(view.summary), sandwich.sandwiches(view)
    return page_text(
        "report.html.j2", view=view, banner=trust.banner(view), lost=trust.lost(view),
        advice=advise(view.lines, view.curves), examples=[shown(one) for one in view.examples],
        table=html_table(COLUMNS, without_letters(view.summary, common), _marks), common="".join(common),
        literature=LITERATURE, sandwich=sandwich.tables(view, proved), uncertified=sandwich.uncertified(view, proved),
        sandwiches=[one for model in view.models for one in picture(
            sandwich_figure(view, [each for each in proved if each.line.model == model]), "sandwich", model=model)],
        chapters={"curves": [*_curves(view)], "literature": [*_last_iterates(view)], "cost": [
            *picture(size_figure(view.lines, epsilon=view.epsilon), "size"),
            *picture(width_figure(view.lines, epsilon=view.epsilon), "widths")]},
        transfer=trust.transfer_tables(view), parity=trust.parity(view), paired=trust.paired(view),
        flags=trust.flag_groups(view.flags), probes=trust.probes(view), meaning=meaning,
        executors=trust.executors(view), hardest=hardest)


def _marks(line: SummaryRow) -> dict[str, Any]:
    """Return what stands beside the name of a line in the main table."""
    dim = line.executor != FLOAT_EXECUTOR and not line.pareto
    simulated = not line.is_float and line.executor == FLOAT_EXECUTOR
    return {"classes": "float" * line.is_float + "dim" * dim, "star": "Pareto" * line.pareto, "start": line.model,
            "note": "simulated in float" * simulated}


def _curves(view: RunView) -> Iterator[dict[str, Any]]:
    """Yield by model the worst cases with their numbers, then the threat models: mixed widths on a click.

    One budget makes no curve; its figures stand in the table.
    """
    for model in view.models if len(view.budgets) > 1 else ():
        tracks = []
        for line in view.lines_of(model):
            curves, kinds = view.drawn[line.model, line.precision], kinds_of(view.lines)
            tracks += [(line.precision, "float", curves.own)] if line.executor == FLOAT_EXECUTOR else [
                (line.precision, kind, curves.by_kind(kind)) for kind in kinds]
        numbers = _numbers(view, "threat", tracks)
        yield from picture(robustness_figure(view, model), "robustness", [numbers], model=model)
        integers = [line.precision for line in view.lines_of(model) if not line.is_float]
        uniform = [name for name in integers if is_uniform(name)] or integers[:4]
        yield from picture(threats_figure(view, model, uniform), "threats", model=model)
        mixed = [name for name in integers if name not in uniform]
        yield from picture(threats_figure(view, model, mixed), "threats", model=model, folded=True)


def _last_iterates(view: RunView) -> Iterator[dict[str, Any]]:
    """Yield the literature's protocol, in its numbers beside the worst case of the main table."""
    for model in view.models:
        tracks = []
        for line in view.lines_of(model):
            curves = view.drawn[line.model, line.precision]
            tracks += [(line.precision, f"{attack}, last iterate", track)
                       for attack, track in curves.literature.items()]
            tracks += [(line.precision, "worst case", curves.own)] if curves.literature else []
        yield from picture(literature_figure(view, model), "last iterate", [_numbers(view, "attack", tracks)],
                           model=model)


def _numbers(view: RunView, what: str, tracks: Sequence[tuple[str, str, Track]]) -> dict[str, Any]:
    """Return a table of ``tracks`` by recipe and ``what`` tells them apart: a column for each budget."""
    rows = []
    for precision, name, track in tracks:
        for mode, points in track.items():
            found = [next((point.accuracy for point in points if point.is_at(budget)), None) for budget in view.budgets]
            rows.append([precision, name, mode, str(points[0].accuracy.n), *map(interval, found)])
    return {"title": "Numbers, %", "texts": 3, "rows": rows,
            "head": ["precision", what, "attacked", "n", *(f"ε = {epsilon_text(budget)}" for budget in view.budgets)]}
