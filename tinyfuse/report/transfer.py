"""Who breaks whom: inputs made for one precision, judged on another."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tinyfuse.core.results import Row
from tinyfuse.report.tables import measured, percent
from tinyfuse.report.view import RunView
from tinyfuse.report.vocabulary import NOTHING
from tinyfuse.study.summary import Accuracy, SummaryRow, worst_case

_ALL = "worst case"


def transfer_tables(view: RunView) -> list[dict[str, Any]]:
    """One table per network whose inputs come from at least two precisions: line = judged on, column = made for.

    The inputs are those of one attack in full; the last column of each modality is the worst case of the main table.
    """
    return [table for model in view.models for table in [_table(view, model)] if table is not None]


def _table(view: RunView, model: str) -> dict[str, Any] | None:
    rows = [row for row in view.seed_rows if row["kind"] in ("clean", "attack") and row["model"] == model]
    replayed = {row["source"]: row for row in rows if row["kind"] == "attack" and row["criterion"] == "replayed" and
                row["norm"] == view.norm}
    lines = [line for line in view.lines if line.model == model]
    sources = [line.precision for line in lines if line.precision in replayed]
    if len(sources) < 2 or view.epsilon is None:
        return None
    modalities = measured(lines)
    body = []
    for line in lines:
        found = [pair for modality in modalities
                 for pair in _accuracies(view, rows, line, modality, replayed, sources)]
        cells = [_cell(accuracy, own=source in (line.precision, _ALL)) for source, accuracy in found]
        body.append({"precision": line.precision, "cells": cells})
    attacks = sorted({f"{row['attack']} of profile “{row['profile']}”" for row in replayed.values()})
    return {"title": model, "groups": [(name, len(sources) + 1) for name in modalities], "sources": [*sources, _ALL],
            "attack": ", ".join(attacks), "rows": body, "n": max(row["n"] for row in replayed.values())}


def _accuracies(view: RunView, rows: Sequence[Row], line: SummaryRow, modality: str, replayed: dict[str, Row],
                sources: Sequence[str]) -> list[tuple[str, Accuracy | None]]:
    """(made for, what it leaves correct on ``line``) for each source, and the worst case at the end."""
    found: list[tuple[str, Accuracy | None]] = []
    for source in sources:
        wanted = _inputs_of(rows, line, source, replayed[source])
        points = worst_case(wanted, line.model, line.precision, line.executor, modality, norm=view.norm)
        found.append((source, next((p.accuracy for p in points if p.epsilon == view.epsilon), None)))
    return [*found, (_ALL, line.robust.get(modality))]


def _inputs_of(rows: Sequence[Row], line: SummaryRow, source: str, example: Row) -> list[Row]:
    """Clean rows, and those judged on ``line`` whose inputs are the ones that were replayed from ``source``.

    On ``source`` itself these are the rows of the same attack, or of its profile where no attack ran in full.
    """
    mine = [row for row in rows if row["precision"] == line.precision and
            (row["kind"] == "clean" or (row["source"], row["profile"]) == (source, example["profile"]))]
    if source != line.precision:
        return [row for row in mine if row["kind"] == "clean" or row["criterion"] == "replayed"]
    full = [row for row in mine if row["kind"] == "clean" or
            (row["attack"], row["criterion"]) == (example["attack"], "last-iterate")]
    union = [row for row in mine if row["kind"] == "clean" or row["criterion"] == "union"]
    return full if any(row["kind"] == "attack" for row in full) else union


def _cell(accuracy: Accuracy | None, *, own: bool) -> dict[str, Any]:
    if accuracy is None:
        return {"text": NOTHING, "share": None, "tip": "", "own": own}
    return {"text": percent(accuracy.value), "share": round(100 * accuracy.value, 1), "own": own,
            "tip": f"95 % interval {100 * accuracy.low:.1f} to {100 * accuracy.high:.1f}, n={accuracy.n}"}
