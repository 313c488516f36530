"""The page of a selection: self-contained, from ``selection.json`` and the rows of its finalists."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from tinyfuse.checks.certificates import CERTIFIED
from tinyfuse.checks.run_checks import gate
from tinyfuse.core.files import write_text
from tinyfuse.core.results import ResultStore
from tinyfuse.quantize.recipe import METHODS
from tinyfuse.report import trust
from tinyfuse.report.columns import Column
from tinyfuse.report.figures.heatmaps import grid_branches, grid_figure, sensitivity_figure
from tinyfuse.report.figures.trials import bits_figure, front_figure
from tinyfuse.report.page import page_text, picture
from tinyfuse.report.tables import escaped, html_table, markdown, markdown_of
from tinyfuse.report.view import RunView, view_of
from tinyfuse.report.vocabulary import NOT_MEASURED, kib, mega, number, percent, span
from tinyfuse.search.budget import RESOURCES
from tinyfuse.search.candidates import AROUND, PROPOSED
from tinyfuse.search.explain import answer, decimals, mode_text, title
from tinyfuse.search.record import FILE, Compared, Figures, SelectionRecord, Trial, read_selection, unit_bits
from tinyfuse.search.sensitivity import REFERENCE
from tinyfuse.study.worst_case import FLOAT, Accuracy

PARTS = {"validation": "held-out", "test": "test"}
"""The parts on which finalists are judged, in words."""
Views = Mapping[str, RunView]


def is_selection(folder: str | Path) -> bool:
    """Return whether ``folder`` is one that `tinyfuse select` leaves."""
    return (Path(folder) / FILE).exists()


def render_selection(folder: str | Path) -> Path:
    """Write ``report/index.html`` for the folder of a selection; return its path; DataError for damaged files."""
    found = read_selection(Path(folder) / FILE)
    page = Path(folder) / "report" / "index.html"
    write_text(page, selection_page(found, _views(Path(folder), found)))
    return page


def selection_page(found: SelectionRecord, views: Views) -> str:
    """Return the page as HTML text; ``views`` of the judged parts by name, as far as their rows are there."""
    flags = (replace(flag, model=f"{one.name},", precision=f"{words} samples") for part, words in PARTS.items()
             for one in _judged(found, part) for flag in one.flags)
    return page_text(
        "selection.html.j2", found=found, views=views, parts=PARTS, facts=_facts(found, views), reference=REFERENCE,
        banner=[f"{PARTS[part]} samples: {text}" for part, view in views.items()
                if gate(view.flags) or any(line.differing for line in view.lines) for text in trust.banner(view)],
        chosen=next((one for one in found.test if one.name == found.best.name), found.best),
        finals={part: html_table(final_columns(found, part), _judged(found, part), lambda one: _marks(found, one))
                for part in PARTS}, comparisons={part: _comparisons(found, part) for part in PARTS},
        trials=html_table(trial_columns(found), found.trials, lambda one: _trial_marks(found, one)),
        flags=trust.flag_groups(flags), parity={part: trust.parity(view) for part, view in views.items()},
        figures={one["kind"]: one for one in _figures(found)}, answer=answer(found), title=title(found),
        decimals=decimals, proposed=PROPOSED, around=AROUND)


def selection_markdown(folder: str | Path) -> str:
    """Write down what was asked for, the reasons and the tables of finalists, comparisons and trials as Markdown."""
    found = read_selection(Path(folder) / FILE)
    facts = _facts(found, _views(Path(folder), found))

    def table(columns: Sequence[Column], lines: Sequence[Figures]) -> str:
        return markdown_of(columns, lines, lambda one: one.name == found.best.name, margins=True)

    parts = ["".join(f"- {escaped(branch)}: {escaped(text)}\n" for branch, text in answer(found)),
             "".join(f"- {escaped(term)}: {escaped(text)}.\n" for term, text in facts),
             "".join(f"- {escaped(reason)}\n" for reason in found.reasons)]
    for part, words in PARTS.items():
        comparisons = _comparisons(found, part)
        parts += [f"Finalists on {words} samples (* chosen; 95 % intervals):\n\n"
                  + table(final_columns(found, part), _judged(found, part)),
                  f"Comparisons on {words} samples:\n\n{markdown(comparisons[0], comparisons[1:], (0, 1))}"]
    return "\n".join([*parts, f"All trials on {found.attacked('trials')} held-out samples (* chosen):\n\n"
                      + table(trial_columns(found), found.trials)])


def _views(folder: Path, found: SelectionRecord) -> dict[str, RunView]:
    """Return the rows of what the tables show; a folder may also hold those of earlier selections and finalists."""
    views = {}
    for part in PARTS:
        path, names = folder / part / "results.jsonl", {FLOAT, *(one.name for one in _judged(found, part))}
        rows = [row for row in ResultStore(path).rows() if row["model"] == found.model and row.get("precision") in names
                and row["data_checksum"] == found.data.checksum] if path.exists() else []
        if rows:
            views[part] = view_of(rows, epsilon=found.settings.epsilon)
    return views


def _facts(found: SelectionRecord, views: Views) -> list[list[str]]:
    """Return what was asked for and how figures were made: (term, text)."""
    text = page_text("selection_facts.j2", escape=False, found=found, views=views, parts=PARTS, methods=METHODS,
                     resources=RESOURCES, reference=REFERENCE)
    return [line.split(" | ", 1) for line in text.splitlines() if line]


def _judged(found: SelectionRecord, part: str) -> Sequence[Figures]:
    return found.test if part == "test" else found.validation


def _marks(found: SelectionRecord, one: Figures) -> dict[str, Any]:
    """Return the chosen one, and behind the name of a mix the mean bits of each branch."""
    trial = next((trial for trial in found.trials if trial.name == one.name), None)
    mixed = trial is not None and len(set(unit_bits(found, trial.recipe))) > 1
    bits = [f"{branch} {number(_mean_bits(found, trial, branch))}" for branch in found.branches
            if trial is not None and any(unit.branch == branch for unit in found.units)]
    return {"star": "chosen" * (one.name == found.best.name), "note": f"{', '.join(bits)} bits" * mixed}


def _trial_marks(found: SelectionRecord, trial: Trial) -> dict[str, Any]:
    """Return the chosen one, the front, and the width of every unit behind the name."""
    widths = zip(found.units, unit_bits(found, trial.recipe), strict=True)
    return {"star": "chosen" * (trial.name == found.best.name), "front": trial.front,
            "classes": "dim" * bool(trial.exceeded), "tip": ", ".join(f"{unit.name} {bits}" for unit, bits in widths)}


def final_columns(found: SelectionRecord, part: str) -> list[Column]:
    """Return sizes and accuracies of the finalists on one of :data:`PARTS`."""
    proved = [CERTIFIED] * any(one.certified is not None for one in _judged(found, part))
    return [
        _name(), Column("packed", "bytes", lambda one: one.needs["flash"], lambda size: f"{size:,}", "packed weights"),
        _need("flash", "firmware, KiB", "firmware flash", kib), _need("RAM", "firmware, KiB", "firmware ram", kib),
        _need(found.settings.core.upper(), "Minstr", "instructions", mega),
        *(_accuracy(_judged(found, part), what, exact=True) for what in ("clean", *found.modes, *proved)),
        _text("flags", lambda one: " ".join(sorted({flag.code for flag in one.flags})), "letters of the checks")]


def trial_columns(found: SelectionRecord) -> list[Column]:
    """Show every trial with the widths of its branches, sizes, accuracies, who proposed it, whether it fits."""
    return [
        _name(), _text("proposed by", lambda trial: ", ".join(trial.sources), "criteria, or uniform or grid"),
        Column("{}", "", lambda trial, branch: _mean_bits(found, trial, branch), number,
               "mean bits of the weights of {}", per=lambda trials: grid_branches(found), group="bits"),
        Column("packed", "KiB", lambda trial: trial.needs["flash"], kib, "packed weights"),
        Column("arena", "KiB", lambda trial: trial.needs.get("ram"), kib, "arena of the firmware"),
        Column("MMAC", "", lambda trial: trial.needs.get("macs"), mega, "millions of multiply-accumulates"),
        *(_accuracy(found.trials, what) for what in ("clean", *found.modes)),
        _text("budget", lambda trial: f"over: {', '.join(trial.exceeded)}" if trial.exceeded else "fits",
              "whether it fits")]


def _name() -> Column:
    return Column("recipe", "", lambda one: one.name, str, "its name", is_text=True, is_name=True)


def _text(title: str, value: Any, meaning: str) -> Column:
    return Column(title, "", value, str, meaning, is_text=True)


def _need(title: str, unit: str, resource: str, text: Any) -> Column:
    return Column(title, unit, lambda one: one.needs.get(resource), text, f"{resource} of the exported firmware",
                  missing=lambda one: NOT_MEASURED, shown=lambda every: True)


def _accuracy(every: Sequence[Figures], what: str, *, exact: bool = False) -> Column:
    """Accuracy, clean or in a mode of attack; ``exact``: with the ends of its interval."""
    def margin(share: Accuracy) -> str:
        low, high = (percent(each, decimals(share.n)) for each in (share.low, share.high))
        return f"({low} to {high})"

    title = f"{what} %" if what in ("clean", CERTIFIED) else f"{what} attacked %"
    count = span(share.n for one in every if (share := one.share(what)) is not None)
    column = Column(title, f"n = {count}", lambda one: one.share(what), percent, f"share of samples, {mode_text(what)}")
    return column if not exact else replace(column, margin=margin, text=lambda share: percent(share, decimals(share.n)))


def _mean_bits(found: SelectionRecord, trial: Trial, branch: str) -> float:
    """Return mean width of the weights of a branch."""
    own = [(bits, unit.weights) for unit, bits in zip(found.units, unit_bits(found, trial.recipe), strict=True)
           if unit.branch == branch]
    return float(np.average([bits for bits, _ in own], weights=[weights for _, weights in own]))


def _comparisons(found: SelectionRecord, part: str) -> list[list[str]]:
    """Return a heading, then the chosen recipe minus each other finalist on the same samples."""
    def points(one: Compared, value: float) -> str:
        return f"{100 * value:+.{decimals(one.difference.n)}f}"

    verdicts = {True: "yes, better", False: "yes, worse"}
    return [["chosen minus", "accuracy", "points", "95 % interval", "McNemar p", "n", "more than chance?"],
            *([one.b, mode_text(one.what), points(one, one.difference.value),
               f"{points(one, one.difference.low)} to {points(one, one.difference.high)}", f"{one.p:.2g}",
               f"{one.difference.n:,}", verdicts[one.difference.value > 0] if one.significant else "no"]
              for one in found.comparisons[part])]


def _figures(found: SelectionRecord) -> list[dict[str, Any]]:
    """Return the figures with the tables of their numbers."""
    made = found.sensitivity
    bits = {"title": "Numbers", "head": [found.settings.granularity, "branch", "bits", "weights"], "texts": 2,
            "rows": [[unit.name, unit.branch, str(unit.bits), f"{unit.weights:,}"] for unit in found.units]}
    costs = [{"title": f"Numbers: {name}", "head": ["layer", *map(str, made.widths)], "texts": 1,
              "rows": [[part, *(f"{cost:.3g}" for cost in row)] for part, row in zip(made.parts, rows, strict=True)]}
             for name, rows in made.costs.items()]
    return [*picture(bits_figure(found), "bits", [bits]), *picture(front_figure(found), "front"),
            *picture(sensitivity_figure(found), "sensitivity", costs), *picture(grid_figure(found), "grid")]
