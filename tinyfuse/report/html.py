"""One self-contained page per run: no file beside it, nothing loaded from anywhere, every label escaped."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tinyfuse.core.files import write_text
from tinyfuse.report import firmware, sections, trust
from tinyfuse.report.curve_data import LITERATURE
from tinyfuse.report.curves import literature_figure, robustness_figure, threats_figure
from tinyfuse.report.method import identity, method
from tinyfuse.report.page import page_text, picture
from tinyfuse.report.plots import size_figure, width_figure
from tinyfuse.report.recommend import picks
from tinyfuse.report.robust_size import robust_size_figure
from tinyfuse.report.style import is_uniform
from tinyfuse.report.tables import common_letters
from tinyfuse.report.transfer import transfer_tables
from tinyfuse.report.view import RunView, load
from tinyfuse.report.vocabulary import KINDS, integer_judge, kinds_of, profile_text, span
from tinyfuse.study.summary import FLOAT
from tinyfuse.study.summary_csv import write_csv

_CURVES_LEAD = ("From the clean accuracy of the attacked samples at ε = 0 on. G, R and transfer are explained under "
                "“What was run”.")
_LITERATURE_LEAD = ("Profile “{name}”: {text}. Every attack runs on every sample at every budget. For comparison with "
                    "published figures; the worst case above is the figure to trust.")


def render(run_dir: str | Path, *, epsilon: float | None = None) -> Path:
    """Write ``report/index.html`` and ``summary.csv`` for a run folder and return the path of the page.

    The run may be unfinished: the page then says what is missing. ``epsilon`` chooses the budget of the
    table's robust columns (default: `tinyfuse.evaluate.reference_epsilon`). A folder without a run is a
    `UsageError`.
    """
    view = load(run_dir, epsilon=epsilon)
    page = Path(run_dir) / "report" / "index.html"
    write_csv(Path(run_dir) / "summary.csv", view.summary)
    write_text(page, render_page(view))
    return page


def render_page(view: RunView) -> str:
    """The page as HTML text."""
    return page_text("report.html.j2", _context(view))


def _context(view: RunView) -> dict[str, Any]:
    return {
        "facts": view.facts,
        "tiles": sections.tiles(view),
        "banner": trust.banner(view),
        "missing": view.missing,
        "notes": view.notes,
        "epsilon": view.epsilon,
        "judge": integer_judge(view.summary),
        "kinds": [(kind, KINDS[kind]) for kind in kinds_of(view.summary)],
        "picks": [{"title": pick.title, "line": pick.line, "reason": pick.reason,
                   "numbers": sections.pick_numbers(pick.line)} for pick in picks(view.lines)],
        "seeds": int(len({line.seed for line in view.summary}) > 1),
        "numbers": sections.number_heads(view.summary),
        "firmware": firmware.notes(view.summary),
        "groups": sections.table_groups(view.summary),
        "lines": [sections.table_line(line, view.summary) for line in view.summary],
        "failed": view.failed,
        "common": "".join(common_letters(view.summary)),
        "method": method(view),
        "chapters": [chapter for chapter in _chapters(view) if chapter["figures"]],
        "transfer": transfer_tables(view),
        "parity": trust.parity(view),
        "paired": trust.paired(view),
        "flags": list(trust.flag_groups(view)),
        "gaps": trust.gaps(view),
        "probes": trust.probes(view),
        "executors": trust.executors(view),
        "identity": identity(view),
    }


def _chapters(view: RunView) -> list[dict[str, Any]]:
    return [{"id": "curves", "title": "Robust accuracy against ε", "lead": _CURVES_LEAD, "figures": [*_curves(view)]},
            {"id": "literature", "title": "The literature's protocol: last iterate only",
             "lead": _literature_lead(view), "figures": [*_literature(view)]},
            {"id": "cost", "title": "Size and widths", "lead": "", "figures": [*_costs(view)]}]


def _curves(view: RunView) -> Iterator[dict[str, Any]]:
    judge = _judged(view)
    for model in view.models:
        curves = robustness_figure(view, model)
        if curves is None:
            continue
        yield picture(curves, f"Robust accuracy: {model}", "Worst case over all attacks at any budget up to ε, sample "
                      f"by sample. Dashed: float network; solid: integers, threat model G{judge}. Bands: 95 % "
                      "intervals.", [sections.curve_table(view, model)])
        integers = [line.precision for line in view.lines if line.model == model and line.precision in
                    {name for _, name in view.curves} and line.precision != FLOAT]
        uniform = [name for name in integers if is_uniform(name)] or integers[:4]
        for names, folded in ((uniform, False), ([name for name in integers if name not in uniform], True)):
            threats = threats_figure(view, model, names)
            if threats is not None:
                yield picture(threats, f"Threat models: {model}{', mixed widths' if folded else ''}",
                              f"Float, G, R and transfer for each recipe{judge}. A transfer curve above G means that "
                              "replaying float attacks overrates the integers. Band: 95 % interval of G.",
                              folded=folded)


def _literature(view: RunView) -> Iterator[dict[str, Any]]:
    for model in view.models:
        figure = literature_figure(view, model)
        if figure is not None:
            yield picture(figure, f"Last iterate only: {model}", "Accuracy under one attack at one budget, as most "
                          f"papers report it{_judged(view)}; integers in threat model G. Bands: 95 % intervals.",
                          [sections.literature_table(view, model)])


def _literature_lead(view: RunView) -> str:
    rows = [row for row in view.rows if row["kind"] == "attack" and row["profile"] == LITERATURE]
    return _LITERATURE_LEAD.format(name=LITERATURE, text=profile_text(LITERATURE, rows)) if rows else ""


def _costs(view: RunView) -> Iterator[dict[str, Any]]:
    robust = robust_size_figure(view.lines, epsilon=view.epsilon)
    if robust is not None:
        yield picture(robust, "Robustness against size", f"One mark for each recipe, threat model G{_judged(view)}. "
                      "Bars and band: 95 % intervals; dashed: the float network under its own attacks. Recipes of "
                      "nearly the same size stand side by side. Hollow: packed weights alone, firmware not measured.")
    size = size_figure(view.lines, epsilon=view.epsilon)
    if size is not None:
        yield picture(size, "Accuracy against size", "Packed weights are what n-bit storage would take in flash. "
                      "The line joins the recipes that no smaller recipe beats; crosses are beaten by a smaller one. "
                      f"Robust accuracy: worst of the attacked modalities, threat model G{_judged(view)}.")
    widths = width_figure(view.lines, epsilon=view.epsilon)
    if widths is not None:
        yield picture(widths, "Widths per modality", "Each cell is a measured recipe; hatched cells were not "
                      "measured. Where several recipes share a cell, the one with the widest shared layers is shown. "
                      f"Robust accuracy: threat model G{_judged(view)}.")


def _judged(view: RunView) -> str:
    """The integer executor and the sample for the end of a clause."""
    counts = span(accuracy.n for line in view.lines for accuracy in line.robust.values())
    judge = integer_judge(view.lines)
    return ", ".join(["", *([f"judged by {judge}"] if judge else []), f"n={counts}, training seed {view.seed}"])
