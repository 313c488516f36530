"""From attack rows to curves: worst-case robust accuracy over all attacks, and the literature's last iterate."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from tinyfuse.checks.certificates import is_certificate
from tinyfuse.checks.line_rows import budget_of, clean_survivors, mode_of, survivors_of, within
from tinyfuse.core.errors import DataError
from tinyfuse.core.results import Row, epsilon_of
from tinyfuse.core.statistics import wilson
from tinyfuse.threats.budgets import Epsilon, Spent, is_part, whole_budgets

FLOAT = "float"
FLOAT_EXECUTOR = "keras"
INTEGER_EXECUTOR = "twin"


@dataclass(frozen=True)
class Accuracy:
    """A share of correct samples with its 95 % Wilson interval; all between 0 and 1."""

    value: float
    low: float
    high: float
    n: int


@dataclass(frozen=True, eq=False)
class CurvePoint:
    """Accuracy at one budget by input, in its units; ``survivors`` is bool [n], sample by sample."""

    budget: Mapping[str, float]
    accuracy: Accuracy
    survivors: np.ndarray

    @property
    def epsilon(self) -> float:
        """The largest epsilon of an attacked input."""
        return max(self.budget.values())

    def is_at(self, budget: Epsilon | None) -> bool:
        """Whether the inputs attacked here had their part of ``budget``."""
        return budget is not None and is_part(self.budget, budget)


Track = dict[str, list[CurvePoint]]
"""Curves by mode of attack, with rising budgets."""


def accuracy_of(survivors: np.ndarray) -> Accuracy:
    """Compute accuracy and interval from bool [n]."""
    correct, n = int(np.sum(survivors)), len(survivors)
    return Accuracy(correct / n, *wilson(correct, n), n)


def worst_case(rows: Iterable[Row], model: str, precision: str, executor: str, mode: str, *, norm: str = "linf",
               n: int | None = None, threat: str | None = None, criterion: str | None = None) -> list[CurvePoint]:
    """Find robust accuracy against the union of all attacks, by rising budget; never rising with it.

    A sample is broken at a budget if it is misclassified when clean, or if any attack under any criterion broke it at
    a budget that is no larger in any input: an attack on one input alone is a member of the threat set for all. Only
    budgets that were measured in ``mode`` itself (see :mod:`tinyfuse.threats.modes`) are returned.

    ``threat``: "codes" or "real" for integer models (default: codes where there are any). ``criterion``: only rows
    of this one, such as "replayed". Uses the largest sample count present unless ``n`` says otherwise; empty without
    attack or clean rows for it. Rows of several trainings or data sets must be told apart first (`latest_rows`, or
    filters on seed).
    """
    mine = [row for row in rows if (row["model"], row["precision"]) == (model, precision)]
    attacks = _one_population([row for row in mine if row["kind"] == "attack" and
                               (row["executor"], row["norm"]) == (executor, norm) and not row["mask"] and
                               criterion in (None, row["criterion"])], n, threat)
    clean = clean_survivors(mine, executor).get(attacks[0]["n"]) if attacks else None
    if clean is None:
        return []
    budgets = {tuple(row["budget"].items()): row["budget"] for row in attacks if mode_of(row) == mode}
    verdicts = [(budget_of(row), survivors_of(row)) for row in attacks]
    points = []
    for budget in sorted(budgets.values(), key=lambda budget: (max(budget.values()), *budget.values())):
        survivors = clean.copy()
        for spent, verdict in verdicts:
            if within(spent, tuple(budget.items())):
                survivors &= verdict
        points.append(CurvePoint(budget, accuracy_of(survivors), survivors))
    return points


def last_iterate(rows: Iterable[Row], model: str, precision: str, executor: str, mode: str, attack: str, *,
                 norm: str = "linf") -> list[CurvePoint]:
    """Find accuracy after the last step of one attack, budget by budget: the convention of the literature."""
    chosen = [row for row in rows if row["kind"] == "attack" and row["criterion"] == "last-iterate" and
              (row["model"], row["precision"], row["executor"]) == (model, precision, executor) and
              (mode_of(row), row["attack"]["name"], row["norm"]) == (mode, attack, norm)]
    return [CurvePoint(row["budget"], accuracy_of(survivors_of(row)), survivors_of(row))
            for row in sorted(_one_population(chosen, None, None), key=epsilon_of)]


def certified_track(rows: Iterable[Row], norm: str = "linf", threat: str = "codes") -> Track:
    """Return by mode of attack the certified shares of one line; no attack can break the ``survivors``.

    Intervals are those of the rows, over groups of samples that are not independent. Certificates of the largest sample
    count, none with a mask.
    """
    chosen = [row for row in rows if is_certificate(row) and not row["settings"]["mask"] and
              (row["settings"]["norm"], row["settings"]["threat"]) == (norm, threat)]
    size = max((row["n"] for row in chosen), default=0)
    found: Track = {}
    for row in sorted(chosen, key=lambda row: tuple(sorted(row["settings"]["budget"].values(), reverse=True))):
        if row["n"] == size:
            share = Accuracy(row["value"], row["low"], row["high"], size)
            found.setdefault(row["of"]["attacked"], []).append(
                CurvePoint(row["settings"]["budget"], share, np.asarray(row["each"]) > 0))
    return found


def budgets_among(rows: Iterable[Row], norm: str) -> list[Spent]:
    """Return the budgets on all inputs that ``rows`` were attacked with, by rising epsilon."""
    return whole_budgets(row["budget"] for row in rows if row["kind"] == "attack" and row["norm"] == norm)


def reference_epsilon(rows: Sequence[Row], *, norm: str = "linf") -> Spent | None:
    """Find the budget that tells recipes apart best: where the attacked float networks are on average nearest to 50 %.

    Far smaller budgets leave every recipe near its clean accuracy, far larger ones near zero. Of equally
    good budgets the smaller; without attacks on float networks all attack rows count, and without any the
    answer is None.
    """
    attacks = [row for row in rows if row["kind"] == "attack" and row["norm"] == norm]
    chosen = [row for row in attacks if row["executor"] == FLOAT_EXECUTOR] or attacks
    best, nearest = None, float(np.inf)
    for budget in budgets_among(rows, norm):
        found = [row["accuracy"] for row in chosen if is_part(row["budget"], budget)]
        distance = abs(float(np.mean(found)) - 0.5) if found else np.inf
        if distance < nearest:
            best, nearest = budget, distance
    return best


def _one_population(attacks: Sequence[Row], n: int | None, threat: str | None) -> list[Row]:
    """Keep attack rows on the same samples under one threat model; a union over others would be wrong."""
    if len({(row["seed"], row["data_checksum"]) for row in attacks}) > 1:
        raise DataError("the rows mix several seeds or data sets: filter by seed and data_checksum first")
    size = n if n is not None else max((row["n"] for row in attacks), default=0)
    threats = {row["threat"] for row in attacks}
    chosen = threat or ("codes" if "codes" in threats else next(iter(threats), ""))
    return [row for row in attacks if row["n"] == size and row["threat"] == chosen]
