"""Why the numbers may be believed, or not: parity with TFLite Micro, checks with their evidence, checks not made."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from tinyfuse.checks.line_rows import clean_survivors, same_samples
from tinyfuse.checks.probe_names import MEANINGS, kind_of
from tinyfuse.checks.run_checks import CHECKS, LEVELS, Flag, gate, lost_models
from tinyfuse.core.results import Row
from tinyfuse.report.summary import SummaryRow
from tinyfuse.report.view import RunView
from tinyfuse.report.vocabulary import EXECUTOR_NAMES, EXECUTORS, NOTHING, measured, mismatches, percent
from tinyfuse.study.worst_case import INTEGER_EXECUTOR, Accuracy, accuracy_of, worst_case

_PARITY_CODE = "Y"


def banner(view: RunView) -> list[str]:
    """Say what a reader must know before any number: differing executors, then errors of the checks; often nothing."""
    differing = [f"{pair['one']} and {EXECUTOR_NAMES[pair['other']]} do not compute the same: {pair['differing']:,} of "
                 f"{pair['values']:,} output codes differ" for pair in parity(view)["pairs"] if pair["bad"]]
    errors = [f"{flag.model} {flag.precision}: {CHECKS[flag.code].title} ({flag.text})" for flag in gate(view.flags)
              if flag.code != _PARITY_CODE or not differing]
    return [*differing, *mismatches(view.summary), *errors]


def lost(view: RunView) -> list[str]:
    """Say which models lost so much clean accuracy, or an input, that nobody should ship them."""
    return [f"{flag.model} {flag.precision}: {flag.text}" for flag in lost_models(view.flags)]


def parity(view: RunView) -> dict[str, Any]:
    """Group the parity rows by the executors that they compare; ``unproven``: the twin judged and was not compared."""
    by_pair: dict[tuple[str, str], list[Row]] = {}
    for row in view.rows:
        if row["kind"] == "parity":
            by_pair.setdefault((row["a"], row["b"]), []).append(row)
    pairs = [{"one": one, "other": other, "rows": rows, "values": sum(row["values"] for row in rows),
              "differing": (differing := sum(row["differing"] for row in rows)),
              "models": len({(row["model"], row["precision"], row["seed"]) for row in rows}),
              "bad": bool(differing) and other == "tflm"} for (one, other), rows in sorted(by_pair.items())]
    wanted = any(line.executor == INTEGER_EXECUTOR for line in view.summary)
    return {"pairs": pairs, "unproven": wanted and not any(other == "tflm" for _, other in by_pair)}


def paired(view: RunView) -> dict[str, Any]:
    """Integers (G) against their float network on the same samples: differences with intervals, p-values, ratios."""
    rows = [[line.model, line.precision, name, f"{100 * pair.change.value:+.1f}",
             f"{100 * pair.change.low:+.1f} to {100 * pair.change.high:+.1f}", f"{pair.p:.2g}",
             NOTHING if name == "clean" or pair.ratio is None else f"{pair.ratio:.2f}", f"{pair.change.n:,}"]
            for line in view.summary if line.executor == INTEGER_EXECUTOR for name, pair in line.paired.items()]
    return {"rows": rows, "head": ["model", "precision", "attacked", "points", "95 % interval", "McNemar p", "ratio",
                                   "n"]}


def flag_groups(flags: Iterable[Flag]) -> list[dict[str, Any]]:
    """Findings by letter for the macro ``flags``: errors first, then warnings, then information."""
    order = list(LEVELS)
    found: dict[str, list[tuple[str, str]]] = {}
    for flag in flags:
        found.setdefault(flag.code, []).append((flag.level, f"{flag.model} {flag.precision}: {flag.text}"))
    worst = {code: min((level for level, _ in told), key=order.index) for code, told in found.items()}
    return [{"code": code, "level": LEVELS[worst[code]],
             "title": CHECKS[code].title if code in CHECKS else "a check that this version lacks",
             "first": next(text for level, text in found[code] if level == worst[code]),
             "texts": [text + " (for information)" * (level == "I" != worst[code]) for level, text in found[code]]}
            for code in sorted(found, key=lambda code: (order.index(worst[code]), code))]


def probes(view: RunView) -> dict[str, dict[tuple[str, str], Row]]:
    """Return by name of the probe, in the order of their meanings, and by line its row; rising values."""
    rows = sorted((row for row in view.seed_rows if row["kind"] == "probe"), key=lambda row: float(row["value"]))
    names = sorted({row["name"] for row in rows}, key=lambda name: (list(MEANINGS).index(kind_of(name)), name))
    return {name: {(row["model"], row["precision"]): row for row in rows if row["name"] == name} for name in names}


def executors(view: RunView) -> dict[str, Any] | None:
    """Return the same files on other executors, clean samples only; None when no other one was run."""
    names = [name for name in EXECUTORS if name not in ("keras", INTEGER_EXECUTOR) and
             any(row.get("executor") == name for row in view.seed_rows)]
    rows = []
    for line in view.lines:
        mine = [row for row in view.seed_rows if (row["model"], row["precision"]) == (line.model, line.precision)]
        own = clean_survivors(mine, INTEGER_EXECUTOR)
        pairs = [same_samples(own, clean_survivors(mine, name)) for name in names]
        if line.executor == INTEGER_EXECUTOR and any(pair is not None for pair in pairs):
            rows.append([line.model, line.precision, *(text for pair in pairs for text in _compared(pair))])
    head = ["model", "precision", *(text for name in names for text in (
        f"{INTEGER_EXECUTOR}, clean %", f"{name}, clean %", "judged otherwise", "n"))]
    return {"head": head, "rows": rows} if rows else None


def _compared(pair: tuple[Any, Any] | None) -> list[str]:
    if pair is None:
        return [NOTHING] * 4
    one, other = pair
    return [percent(accuracy_of(one)), percent(accuracy_of(other)), f"{int((one != other).sum()):,}", f"{len(one):,}"]


def transfer_tables(view: RunView) -> list[dict[str, Any]]:
    """Return one table per network whose inputs come from at least two precisions: line = judged on, column = made for.

    The inputs are those of one attack in full; the last column of each mode is the worst case of the main table.
    """
    tables = []
    for model in view.models:
        rows = [row for row in view.seed_rows if row["kind"] in ("clean", "attack") and row["model"] == model]
        replayed = {row["source"]: row for row in rows if row["kind"] == "attack" and row["criterion"] == "replayed" and
                    row["norm"] == view.norm}
        lines, modes = view.lines_of(model), measured(view.lines_of(model))
        sources = [line.precision for line in lines if line.precision in replayed]
        if len(sources) > 1 and view.epsilon is not None:
            tables.append({
                "title": model, "modes": modes, "sources": [*sources, "worst case"],
                "replayed": list(replayed.values()),
                "rows": [{"precision": line.precision, "cells": [
                    cell for mode in modes for cell in (
                        *({"accuracy": _left(view, _inputs_of(rows, line, source, replayed[source]), line, mode),
                           "own": source == line.precision} for source in sources),
                        {"accuracy": line.robust.get(mode), "own": True})]} for line in lines]})
    return tables


def _left(view: RunView, rows: Sequence[Row], line: SummaryRow, mode: str) -> Accuracy | None:
    """Return what ``rows`` leave correct on ``line`` at the budget of the table."""
    points = worst_case(rows, line.model, line.precision, line.executor, mode, norm=view.norm)
    return next((point.accuracy for point in points if point.is_at(view.epsilon)), None)


def _inputs_of(rows: Sequence[Row], line: SummaryRow, source: str, example: Row) -> list[Row]:
    """Return the clean rows, and those on ``line`` whose inputs are the ones that were replayed from ``source``."""
    mine = [row for row in rows if row["precision"] == line.precision and
            (row["kind"] == "clean" or (row["source"], row["profile"]) == (source, example["profile"]))]
    if source != line.precision:
        return [row for row in mine if row["kind"] == "clean" or row["criterion"] == "replayed"]
    # On ``source`` itself these are the rows of the same attack, or of its profile where no attack ran in full.
    full = [row for row in mine if row["kind"] == "clean" or
            (row["attack"]["name"], row["criterion"]) == (example["attack"]["name"], "last-iterate")]
    union = [row for row in mine if row["kind"] == "clean" or row["criterion"] == "union"]
    return full if any(row["kind"] == "attack" for row in full) else union
