"""Which figures an analysis has: functions from its rows to plots, by the name of the analysis."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, NamedTuple

from tinyfuse.core.results import Row

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class Plot(NamedTuple):
    """A figure with a ``title`` and a ``caption`` that says what is to be seen."""

    title: str
    caption: str
    figure: Figure


Draw = Callable[[Sequence[Row]], Iterable[Plot]]
"""f(rows of one analysis of one model) -> plots; none where the rows have nothing to show."""
FIGURES: dict[str, Draw] = {}


def figures_of(name: str) -> Callable[[Draw], Draw]:
    """Make the decorated function draw the figures of the analysis ``name``."""
    def add(draw: Draw) -> Draw:
        FIGURES[name] = draw
        return draw
    return add


def rows_of(rows: Iterable[Row], quantity: str, *keys: str) -> list[Row]:
    """Return the rows of ``quantity`` that are about exactly ``keys``, such as "branch" and "class"."""
    return [row for row in rows if row["quantity"] == quantity and set(row["of"]) == set(keys)]


def values_of(rows: Iterable[Row], key: str) -> list[str]:
    """Return the different values that ``key`` has in what ``rows`` are about, in their order."""
    return list(dict.fromkeys(row["of"][key] for row in rows if key in row["of"]))
