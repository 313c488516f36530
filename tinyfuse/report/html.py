"""One self-contained page per run: no file beside it, nothing loaded from anywhere, every label escaped."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tinyfuse.evaluate.checks import CHECKS, LEVELS
from tinyfuse.evaluate.summary import write_csv
from tinyfuse.files import write_text
from tinyfuse.report import sections
from tinyfuse.report.picks import picks
from tinyfuse.report.plots import robustness_figure, size_figure, to_svg, width_figure
from tinyfuse.report.tables import common_letters
from tinyfuse.report.view import RunView, load

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_FOLDER = Path(__file__).parent
_PIXELS_PER_INCH = 96


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
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(loader=FileSystemLoader(_FOLDER), undefined=StrictUndefined, autoescape=True,
                              trim_blocks=True, lstrip_blocks=True)
    script = environment.get_template("sort.js.j2").render().strip()
    digest = base64.b64encode(hashlib.sha256(script.encode("utf-8")).digest()).decode("ascii")
    return environment.get_template("report.html.j2").render(script=script, script_sha256=digest, **_context(view))


def _context(view: RunView) -> dict[str, Any]:
    return {
        "facts": view.facts,
        "tiles": sections.tiles(view),
        "missing": view.missing,
        "notes": view.notes,
        "epsilon": view.epsilon,
        "picks": [{"title": pick.title, "line": pick.line, "reason": pick.reason,
                   "numbers": sections.pick_numbers(pick.line)} for pick in picks(view.lines)],
        "seeds": int(len({line.seed for line in view.summary}) > 1),
        "groups": sections.table_groups(view.summary),
        "lines": [sections.table_line(line, view.summary) for line in view.summary],
        "failed": view.failed,
        "common": "".join(common_letters(view.summary)),
        "figures": list(_figures(view)),
        "litert": sections.litert_table(view),
        "method": sections.method(view),
        "flags": list(_flag_groups(view)),
        "identity": sections.identity(view),
    }


def _figures(view: RunView) -> Iterator[dict[str, Any]]:
    size = size_figure(view.lines, epsilon=view.epsilon)
    if size is not None:
        yield _figure(size, "Accuracy against size", "Packed weights are what n-bit storage would take in flash. "
                      "The line joins the recipes that no smaller recipe beats; crosses are beaten by a smaller one.")
    for model in view.models:
        curves = robustness_figure(view.curves, view.lines, model, norm=view.norm)
        if curves is not None:
            yield _figure(curves, f"Robust accuracy: {model}", "Worst case over all attacks at any budget up to ε, "
                          "per sample. Dashed: float network; solid: integer models. Bands: 95 % intervals.",
                          sections.curve_tables(view, model))
    widths = width_figure(view.lines, epsilon=view.epsilon)
    if widths is not None:
        yield _figure(widths, "Widths per modality", "Each cell is a measured recipe; hatched cells were not "
                      "measured. Where several recipes share a cell, the one with the widest shared layers is shown.")


def _figure(figure: Figure, title: str, caption: str, tables: Iterable[dict[str, Any]] = ()) -> dict[str, Any]:
    width, height = (round(float(inches) * _PIXELS_PER_INCH) for inches in figure.get_size_inches())
    data = base64.b64encode(to_svg(figure).encode("utf-8")).decode("ascii")
    return {"title": title, "caption": caption, "width": width, "height": height, "data": data,
            "tables": list(tables)}


def _flag_groups(view: RunView) -> Iterator[dict[str, Any]]:
    for code in sorted({flag.code for flag in view.flags}):
        found = [flag for flag in view.flags if flag.code == code]
        yield {"code": code, "title": CHECKS[code].title, "level": LEVELS[found[0].level], "found": found}
