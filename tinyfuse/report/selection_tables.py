"""The tables of a selection: finalists, comparisons, flags, and every trial."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from tinyfuse.checks.run_checks import CHECKS, LEVELS
from tinyfuse.quantize.recipe import BRANCHES
from tinyfuse.report.firmware import NOT_MEASURED
from tinyfuse.report.sections import cell, share
from tinyfuse.report.selection_file import Compared, Figures, SelectionFile, Trial, unit_bits
from tinyfuse.report.tables import kib, mega, percent
from tinyfuse.report.vocabulary import NOTHING, span
from tinyfuse.search.explain_terms import MODES, decimals
from tinyfuse.study.summary import Accuracy

PARTS = {"validation": "held-out", "test": "test"}
"""The parts on which finalists are judged, in words."""
_KIB, _MILLION = 1024, 1e6


def finals_table(found: SelectionFile, part: str) -> dict[str, Any]:
    """Sizes and accuracies of the finalists on one of :data:`PARTS`, the chosen one first."""
    judged = _judged(found, part)
    head = [("recipe", ""), ("packed", "bytes"), ("flash", "firmware, KiB"), ("RAM", "firmware, KiB"),
            (found.settings.core.upper(), "Minstr"), *((title, _count(judged, what)) for what, title in _heads(found)),
            ("flags", "")]
    lines = [{"name": one.name, "chosen": one.name == found.best.name, "front": False, "dim": False, "tip": "",
              "cells": [
        _packed(one), _size(one, "firmware flash", _KIB), _size(one, "firmware ram", _KIB),
        _size(one, "instructions", _MILLION), *(_interval(one.share(what)) for what, _ in _heads(found)),
        _text(" ".join(sorted({flag.code for flag in one.flags})))]} for one in judged]
    return {"head": head, "texts": (0, len(head) - 1), "letters": len(head) - 1, "lines": lines}


def comparison_table(found: SelectionFile, part: str) -> dict[str, Any]:
    """The chosen recipe minus each other finalist, on the same pairs."""
    rows = [[one.b, MODES.get(one.what, one.what), _points(one, one.difference.value),
             f"{_points(one, one.difference.low)} to {_points(one, one.difference.high)}", f"{one.p:.2g}",
             f"{one.difference.n:,}", verdict(one)] for one in found.comparisons[part]]
    return {"head": ["chosen minus", "accuracy", "points", "95 % interval", "McNemar p", "n", "more than chance?"],
            "rows": rows}


def _points(one: Compared, value: float) -> str:
    return f"{100 * value:+.{decimals(one.difference.n)}f}"


def verdict(one: Compared) -> str:
    """Whether chance could have made a difference."""
    return ("yes, better" if one.difference.value > 0 else "yes, worse") if one.significant else "no"


def flag_list(found: SelectionFile) -> list[dict[str, Any]]:
    """Every letter of the tables with its meaning and its findings, the chosen recipe's first."""
    told: dict[str, list[tuple[str, str]]] = {}
    for part, words in PARTS.items():
        for one in _judged(found, part):
            for flag in one.flags:
                told.setdefault(flag.code, []).append((flag.level, f"{one.name}, {words} pairs: {flag.text}"))
    order = list(LEVELS)
    worst = {code: min((level for level, _ in findings), key=order.index) for code, findings in told.items()}
    return [{"code": code, "title": CHECKS[code].title if code in CHECKS else "a check that this version lacks",
             "level": LEVELS[worst[code]], "texts": [text for _, text in told[code]]}
            for code in sorted(told, key=lambda code: (order.index(worst[code]), code))]


def trial_table(found: SelectionFile) -> dict[str, Any]:
    """Every trial with the widths of its branches, its sizes and accuracies, who proposed it, whether it fits."""
    branches = [branch for branch in BRANCHES if any(unit.branch == branch for unit in found.units)]
    head = [("recipe", ""), ("proposed by", ""), ("bits", "/".join(branches)), ("packed", "KiB"), ("arena", "KiB"),
            ("MMAC", ""), *((title, _count(found.trials, what)) for what, title in _heads(found)), ("budget", "")]
    lines = [{"name": trial.name, "chosen": trial.name == found.best.name, "front": trial.front,
              "dim": bool(trial.exceeded), "tip": _widths(found, trial), "cells": [
                  _text(", ".join(trial.sources)), _mean_bits(found, trial, branches),
                  cell(kib(trial.needs["flash"]), trial.needs["flash"]),
                  cell(kib(trial.needs.get("ram")), trial.needs.get("ram")),
                  cell(mega(trial.needs.get("macs")), trial.needs.get("macs")),
                  *(share(trial.share(what), own=True) for what, _ in _heads(found)),
                  _text(f"over: {', '.join(trial.exceeded)}" if trial.exceeded else "fits")]}
             for trial in found.trials]
    return {"head": head, "texts": (0, 1, len(head) - 1), "letters": -1, "lines": lines}


def markdown(head: Sequence[str], rows: Iterable[Sequence[str]], texts: int = 1) -> str:
    """A Markdown table whose first ``texts`` columns are text."""
    marks = ["---" if column < texts else "---:" for column in range(len(head))]
    return "".join("| " + " | ".join(plain(text) for text in row) + " |\n" for row in (head, marks, *rows))


def judged_markdown(table: dict[str, Any]) -> str:
    """:func:`finals_table` or :func:`trial_table` as Markdown."""
    rows = [[line["name"] + (" *" if line["chosen"] else ""),
             *(" ".join(filter(None, (each["text"], each["margin"]))) for each in line["cells"])]
            for line in table["lines"]]
    return markdown([f"{title} ({unit})" if unit else title for title, unit in table["head"]], rows)


def plain(text: str) -> str:
    """``text`` that Markdown does not take for a mark of its own."""
    for mark in ("\\", "|", "<", "*", "_", "`", "["):
        text = text.replace(mark, f"\\{mark}")
    return text


def _judged(found: SelectionFile, part: str) -> Sequence[Figures]:
    return found.test if part == "test" else found.validation


def _heads(found: SelectionFile) -> list[tuple[str, str]]:
    return [("clean", "clean %"), *((mode, f"{mode} attacked %") for mode in found.modes)]


def _count(judged: Sequence[Figures], what: str) -> str:
    return f"n = {span(one.n for each in judged if (one := each.share(what)) is not None)}"


def _text(text: str) -> dict[str, Any]:
    return {**cell(text, None), "sort": text}


def _packed(one: Figures) -> dict[str, Any]:
    size = one.needs["flash"]
    return cell(f"{size:,}", size)


def _size(one: Figures, name: str, unit: float) -> dict[str, Any]:
    need = one.needs.get(name)
    return cell(NOT_MEASURED if need is None else f"{need / unit:.1f}", need)


def _interval(accuracy: Accuracy | None) -> dict[str, Any]:
    """An accuracy with both ends of its interval."""
    if accuracy is None:
        return cell(NOTHING, None)
    value, low, high = (percent(each, decimals(accuracy.n)) for each in (accuracy.value, accuracy.low, accuracy.high))
    return {**share(accuracy, own=True), "text": value, "margin": f"({low} to {high})"}


def _mean_bits(found: SelectionFile, trial: Trial, branches: Sequence[str]) -> dict[str, Any]:
    """Mean width of the weights of each branch; sorted by the mean of all weights."""
    bits, weights = unit_bits(found, trial.recipe), [unit.weights for unit in found.units]
    means = []
    for branch in branches:
        own = [number for number, unit in enumerate(found.units) if unit.branch == branch]
        mean = np.average([bits[number] for number in own], weights=[weights[number] for number in own])
        means.append(f"{mean:.1f}".removesuffix(".0"))
    return cell(" / ".join(means), float(np.average(bits, weights=weights)))


def _widths(found: SelectionFile, trial: Trial) -> str:
    return ", ".join(f"{unit.name} {bits}" for unit, bits in
                     zip(found.units, unit_bits(found, trial.recipe), strict=True))
