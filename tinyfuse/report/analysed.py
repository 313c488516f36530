"""What ``tinyfuse analyse`` found: as text, as a table, as figures and as a page."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tinyfuse.analyses import ANALYSES, Quantity
from tinyfuse.core.files import write_text
from tinyfuse.core.frames import frame
from tinyfuse.core.results import Row
from tinyfuse.report.figures.analyses import FIGURES, Plot
from tinyfuse.report.notebook import Drawing, table
from tinyfuse.report.page import page_text, picture
from tinyfuse.report.vocabulary import NOTHING

if TYPE_CHECKING:
    from pandas import DataFrame

SECONDS = Quantity("seconds", "seconds it took", "s", "how long the analysis took")
PAGE = "analyses.html"
INTERVAL = "95 % interval"
_HEADS = ("analysis", "quantity", "of", "value", INTERVAL, "status", "n")


@dataclass(frozen=True, eq=False, repr=False)
class Analysed:
    """The ``rows`` of analyses of one model (see docs/rows.md); ``page`` is where they are shown, if they are."""

    rows: list[Row]
    page: Path | None = field(default=None)

    def __repr__(self) -> str:
        return "\n".join(_sentence(row) for row in self.rows if _is_headline(row))

    def _repr_html_(self) -> str:
        return table(_HEADS, [_cells(row) for row in self.rows if _is_headline(row)])

    def to_frame(self) -> DataFrame:
        """Return the rows as a DataFrame; see :func:`tinyfuse.core.frames.frame`."""
        return frame(self.rows)

    def plots(self) -> dict[str, Drawing]:
        """Draw the figures of the analyses, by title; each shows itself in a notebook and saves itself."""
        return {plot.title: Drawing(plot.figure) for group in groups(self.rows) for plot in figures(group)}


def groups(rows: Sequence[Row]) -> list[list[Row]]:
    """Part ``rows`` by model, precision, analysis, its settings and the number of samples, in their order."""
    found: dict[str, list[Row]] = {}
    for row in rows:
        name = repr([row[key] for key in ("model", "precision", "seed", "data_checksum", "analysis", "settings")])
        found.setdefault(name, []).append(row)
    return list(found.values())


def figures(rows: Sequence[Row]) -> Iterator[Plot]:
    """Yield the figures of ``rows``, those of one analysis of one model."""
    draw = FIGURES.get(rows[0]["analysis"])
    if draw is not None:
        yield from draw(rows)


def write_page(rows: Sequence[Row], folder: str | Path) -> Path:
    """Write ``analyses.html`` into ``folder``: every analysis with its figures and rows; return its path."""
    path = Path(folder) / PAGE
    write_text(path, page_text("analyses.html.j2", sections=[_section(group) for group in groups(rows)]))
    return path


def _section(rows: Sequence[Row]) -> dict[str, Any]:
    first = rows[0]
    known = [row for row in rows if row["analysis"] in ANALYSES]
    kind = ANALYSES.get(first["analysis"])
    pictures = [{**one, "title": plot.title, "caption": plot.caption} for plot in figures(rows)
                for one in picture(plot.figure, "analysis")]
    used = list(dict.fromkeys(row["quantity"] for row in known))
    return {"model": first["model"], "precision": first["precision"], "executor": first["executor"],
            "analysis": first["analysis"], "title": kind.title if kind else first["analysis"],
            "settings": _pairs(first["settings"]) or "none", "pictures": pictures,
            "headlines": _shown([row for row in rows if _is_headline(row)]),
            "details": _shown([row for row in rows if not _is_headline(row)]),
            "meanings": [(_quantity(row).title, _quantity(row).meaning) for name in used
                         for row in [next(row for row in rows if row["quantity"] == name)]]}


def _shown(rows: Sequence[Row]) -> dict[str, Any]:
    """Return heads and rows of a table of one analysis; without intervals there is no column of them."""
    lines = [_cells(row)[1:] for row in rows]
    kept = [place for place, head in enumerate(_HEADS[1:]) if head != INTERVAL or any(line[place] for line in lines)]
    heads, *shown = ([line[place] for place in kept] for line in (_HEADS[1:], *lines))
    return {"heads": heads, "lines": shown}


def _quantity(row: Row) -> Quantity:
    kind = ANALYSES.get(row["analysis"])
    known = {one.name: one for one in (*(kind.quantities if kind else ()), SECONDS)}
    return known.get(row["quantity"], Quantity(row["quantity"], row["quantity"], "", ""))


def _is_headline(row: Row) -> bool:
    keys = _quantity(row).headline
    return keys is not None and set(row["of"]) == set(keys)


def _pairs(values: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in values.items())


def _value(row: Row) -> str:
    unit = _quantity(row).unit
    return NOTHING if row["value"] is None else f"{row['value']:.4g}" + (f" {unit}" if unit else "")


def _interval(row: Row) -> str:
    return "" if row["low"] is None or row["high"] is None else f"{row['low']:.4g} to {row['high']:.4g}"


def _cells(row: Row) -> list[str]:
    return [row["analysis"], _quantity(row).title, _pairs(row["of"]), _value(row), _interval(row), row["status"],
            str(row["n"])]


def _sentence(row: Row) -> str:
    about = _pairs(row["of"])
    interval = f" (95 % interval {_interval(row)})" if _interval(row) else ""
    status = "" if row["status"] == "measured" else f", {row['status']}"
    return (f"{row['model']} {row['precision']} in {row['executor']}: {_quantity(row).title}"
            f"{f' [{about}]' if about else ''}: {_value(row)}{interval}{status}, n={row['n']}")
