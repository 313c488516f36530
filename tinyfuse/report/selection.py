"""The page of a selection: self-contained, from ``selection.json`` and the rows of its finalists."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tinyfuse.checks.run_checks import gate
from tinyfuse.core.files import write_text
from tinyfuse.core.results import ResultStore
from tinyfuse.report import trust
from tinyfuse.report.page import page_text, picture
from tinyfuse.report.selection_cost import bits_figure, front_figure
from tinyfuse.report.selection_file import FILE, SelectionFile, read_selection
from tinyfuse.report.selection_maps import grid_figure, sensitivity_figure
from tinyfuse.report.selection_tables import (
    PARTS,
    comparison_table,
    finals_table,
    flag_list,
    judged_markdown,
    markdown,
    plain,
    trial_table,
)
from tinyfuse.report.selection_words import facts, limits, steps
from tinyfuse.report.tables import percent
from tinyfuse.report.view import RunView, view_of
from tinyfuse.search.explain_terms import decimals

Views = Mapping[str, RunView]


def is_selection(folder: str | Path) -> bool:
    """Whether ``folder`` is one that `tinyfuse select` leaves."""
    return (Path(folder) / FILE).exists()


def render_selection(folder: str | Path) -> Path:
    """Write ``report/index.html`` for the folder of a selection and return the path of the page.

    Raises:
        DataError: its selection.json or its rows are damaged.
    """
    found = read_selection(Path(folder) / FILE)
    page = Path(folder) / "report" / "index.html"
    write_text(page, selection_page(found, _views(Path(folder), found)))
    return page


def selection_page(found: SelectionFile, views: Views) -> str:
    """The page as HTML text; ``views`` of the judged parts by name, as far as their rows are there."""
    return page_text("selection.html.j2", {
        "found": found, "tiles": _tiles(found, views), "banner": _banner(views), "facts": facts(found, views),
        "finals": [{"title": f"Finalists on {words} pairs", "table": finals_table(found, part),
                    "comparisons": comparison_table(found, part)} for part, words in PARTS.items()],
        "flags": flag_list(found), "gaps": [(words, trust.gaps(views[part])) for part, words in PARTS.items()
                                            if part in views],
        "parity": [(words, trust.parity(views[part])) for part, words in PARTS.items()
                                              if part in views],
        "bits": _bits(found), "front": _front(found), "costs": _costs(found), "grid": _grid(found),
        "meaning": {name: found.sensitivity.meaning[name] for name in found.sensitivity.costs},
        "trials": trial_table(found), "steps": steps(found), "limits": list(limits(found))})


def selection_markdown(folder: str | Path) -> str:
    """What was asked for, the reasons and the tables of finalists, comparisons and trials as Markdown.

    Raises:
        DataError: selection.json or the rows of the finalists are damaged.
    """
    found = read_selection(Path(folder) / FILE)
    parts = ["".join(f"- {plain(term)}: {plain(text)}.\n" for term, text in facts(found, _views(Path(folder), found))),
             "".join(f"- {plain(reason)}\n" for reason in found.reasons)]
    for part, words in PARTS.items():
        comparisons = comparison_table(found, part)
        parts += [f"Finalists on {words} pairs (* chosen; 95 % intervals):\n\n"
                  + judged_markdown(finals_table(found, part)),
                  f"Comparisons on {words} pairs:\n\n{markdown(comparisons['head'], comparisons['rows'], 2)}"]
    trials = judged_markdown(trial_table(found))
    return "\n".join([*parts, f"All trials on {found.attacked('trials')} held-out pairs (* chosen):\n\n{trials}"])


def _views(folder: Path, found: SelectionFile) -> dict[str, RunView]:
    """The rows of what the tables show; a folder may also hold those of earlier selections and rejected finalists."""
    views = {}
    for part, judged in (("validation", found.validation), ("test", found.test)):
        path, names = folder / part / "results.jsonl", {"float", *(one.name for one in judged)}
        rows = [row for row in ResultStore(path).rows() if row["model"] == found.model and row.get("precision") in names
                and row["data_checksum"] == found.data.checksum] if path.exists() else []
        if rows:
            views[part] = view_of(rows, epsilon=found.settings.epsilon)
    return views


def _tiles(found: SelectionFile, views: Views) -> list[tuple[str, str]]:
    """The facts at the top of the page: (label, value)."""
    chosen = next((one for one in found.test if one.name == found.best.name), found.best)
    where = "test" if chosen in found.test else "held-out"
    bits = [unit.bits * unit.weights for unit in found.units]
    limit = f", budget {found.budget['flash']:,}" if "flash" in found.budget else ""
    tiles = [(f"packed bytes{limit}", f"{chosen.needs['flash']:,}"),
             ("mean bits of a weight", f"{sum(bits) / sum(unit.weights for unit in found.units):.2f}"),
             (f"clean accuracy, {where} pairs", f"{percent(chosen.clean.value, decimals(chosen.clean.n))} %"),
             *((f"{mode} attacked, {where} pairs", f"{percent(share.value)} %") for mode in found.modes
               if (share := chosen.robust.get(mode)) is not None),
             ("recipes tried", str(len(found.trials)))]
    rerun, differing = (sum(getattr(line, name) for view in views.values() for line in view.lines)
                        for name in ("rerun", "differing"))
    proof = [(f"of {rerun:,} inputs re-run differ in TFLite Micro", f"{differing:,} codes")]
    return [*tiles, *(proof if rerun else [])]


def _banner(views: Views) -> list[str]:
    """What a reader must know before any number."""
    return [f"{PARTS[part]} pairs: {text}" for part, view in views.items()
            if gate(view.flags) or any(line.differing for line in view.lines) for text in trust.banner(view)]


def _bits(found: SelectionFile) -> dict[str, Any]:
    kind = found.settings.granularity
    table = {"title": "Numbers", "head": [kind, "branch", "bits", "weights"], "texts": 2,
             "rows": [[unit.name, unit.branch, str(unit.bits), f"{unit.weights:,}"] for unit in found.units]}
    return picture(bits_figure(found.units), f"Bits by {kind}", f"Weight bits of {found.best.name} and the number of "
                   f"weights that have them; network {found.model}.", [table])


def _front(found: SelectionFile) -> dict[str, Any]:
    budget = " Dashed: the budget." if "flash" in found.budget else ""
    return picture(front_figure(found), "Pareto front", f"All {len(found.trials)} trials on "
                   f"{found.attacked('trials')} held-out pairs, judged by the twin, threat model G at ε = "
                   f"{found.settings.epsilon:g}, training seed {found.training_seed}. Bars: 95 % intervals. The "
                   f"step line joins those that none with fewer bytes equals or beats.{budget}")


def _costs(found: SelectionFile) -> dict[str, Any]:
    made = found.sensitivity
    return picture(sensitivity_figure(found), "Sensitivity", "What each layer alone costs at each width, the others at "
                   f"8 bits; brighter is worse, colours are logarithmic, 0 is no cost. n = "
                   f"{made.pairs} training pairs, {made.attacked} drawn anew and attacked, hessian "
                   f"{made.curvature_pairs}; training seed {found.training_seed}. Framed: the chosen widths.", [
                       {"title": f"Numbers: {name}", "head": ["layer", *map(str, made.widths)], "texts": 1,
                        "rows": [[part, *(f"{cost:.3g}" for cost in row)]
                                 for part, row in zip(made.parts, rows, strict=True)]}
                       for name, rows in made.costs.items()])


def _grid(found: SelectionFile) -> dict[str, Any] | None:
    figure = grid_figure(found)
    if figure is None:
        return None
    sliced = any(part.endswith(("/image", "/audio")) for part in found.sensitivity.parts)
    slices = (" In this network image and audio have only their slices of the first convolution for themselves."
              if sliced else "")
    return picture(figure, "Grid of widths", "Accuracy in percent, clean and with image, audio or both attacked at ε = "
                   f"{found.settings.epsilon:g} (G, by the twin), n = {found.attacked('trials')} held-out pairs, "
                   f"training seed {found.training_seed}. Colours span at least a 95 % interval; hatched: not "
                   f"measured.{slices}")
