"""Certified <= true <= attacked, line by line: what no attack can break beside what all attacks of the run left."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tinyfuse.checks.certificates import CERTIFY_STAGE, is_quantity
from tinyfuse.checks.line_rows import INTEGER, budget_of, by_line, survivors_of, within
from tinyfuse.core.results import Row
from tinyfuse.report.summary import SummaryRow, modes_among
from tinyfuse.report.view import RunView
from tinyfuse.report.vocabulary import interval, percent
from tinyfuse.study.worst_case import CurvePoint, Track, accuracy_of, certified_track
from tinyfuse.threats.budgets import epsilon_text, whole_budgets

_WORLDS = {"G": "codes", "R": "real"}
_HEAD = ["model", "precision", "attacked", "threat", "certified %", "withstands %", "neither", "n"]


@dataclass(frozen=True, eq=False)
class Sandwich:
    """By mode of attack the ``certified`` curve of one ``line`` in one threat model (``kind`` G or R), and ``left``:
    the samples that neither an attack of the run nor the search of the certificates broke.
    """

    line: SummaryRow
    kind: str
    certified: Track
    left: Track


def sandwiches(view: RunView) -> list[Sandwich]:
    """Return those of all lines of the view that have certificates."""
    groups = by_line(view.rows)
    found = []
    for line in view.lines:
        rows = groups[line.model, line.precision, line.seed]
        for kind, world in _WORLDS.items():
            certified = certified_track(rows, view.norm, world)
            if certified:
                left = {mode: [_left(rows, mode, point, view.norm, world) for point in points]
                        for mode, points in certified.items()}
                found.append(Sandwich(line, kind, certified, left))
    return found


def _left(rows: Sequence[Row], mode: str, point: CurvePoint, norm: str, world: str) -> CurvePoint:
    """Return what is left at the budget of a certified ``point``, on its samples."""
    survivors = np.ones(point.accuracy.n, bool)
    spent = tuple(point.budget.items())
    for row in rows:
        if row["kind"] == "attack" and row["executor"] in INTEGER and row["n"] == len(survivors):
            alike = (row["norm"], row["threat"], row["mask"]) == (norm, world, "")
            if alike and within(budget_of(row), spent):
                survivors &= survivors_of(row)
        elif is_quantity(row, "falsified") and row["n"] == len(survivors):
            settings = row["settings"]
            asked = settings["norm"], settings["threat"], settings["mask"], settings["budget"], row["of"]["attacked"]
            if asked == (norm, world, "", point.budget, mode):
                survivors &= np.asarray(row["each"]) == 0
    return CurvePoint(point.budget, accuracy_of(survivors), survivors)


def tables(view: RunView, found: Sequence[Sandwich]) -> list[dict[str, Any]]:
    """Return a table of ``found`` for each budget that was certified, the budget of the page or else the largest first.

    ``title``, ``head`` and ``rows``; nothing for a run without certificates.
    """
    points = [point for one in found for track in one.certified.values() for point in track]
    budgets = whole_budgets(point.budget for point in points)
    shown = view.epsilon if view.epsilon in budgets else budgets[-1] if budgets else None
    return [{"title": f"ε = {epsilon_text(budget)}", "head": _HEAD, "texts": 4,
             "rows": [cells for one in found for cells in _cells(one, budget)]}
            for budget in sorted(budgets, key=lambda budget: budget != shown)]


def _cells(one: Sandwich, budget: Any) -> Iterator[list[str]]:
    for mode in modes_among([one.line]):
        for low, high in zip(one.certified.get(mode, ()), one.left.get(mode, ()), strict=True):
            if low.is_at(budget):
                a, b = low.accuracy, high.accuracy
                yield [one.line.model, one.line.precision, mode, one.kind, interval(a), interval(b),
                       percent(b.value - a.value), str(a.n)]


def uncertified(view: RunView, found: Sequence[Sandwich]) -> list[str]:
    """Say which models have no certificates although they were asked for, and why."""
    done = {(one.line.model, one.line.precision) for one in found}
    reasons = {(row["model"], row["precision"]): row["reason"] for row in view.seed_rows
               if row["kind"] == "failed" and row["stage"] == CERTIFY_STAGE}
    return [f"{' '.join(name)}: {reason}" for name, reason in reasons.items() if name not in done]
