"""The parts of the page as plain data: what the template prints, already worded and formatted."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tinyfuse.evaluate.summary import (
    ATTACKED,
    FLOAT,
    FLOAT_EXECUTOR,
    Accuracy,
    SummaryRow,
    last_iterate,
    summarise,
)
from tinyfuse.report.tables import NOTHING, bits, common_letters, flag_letters, kib, mega, percent
from tinyfuse.report.view import INTEGER_EXECUTOR, RunView
from tinyfuse.results import Row

_EXECUTORS = {
    "keras": "the float network, in Keras",
    "tflm": "the integer arithmetic of TensorFlow Lite Micro, which the microcontroller computes bit for bit",
    "litert": "LiteRT with XNNPACK, as on a phone or a PC: not what the microcontroller computes",
    "litert-reference": "LiteRT with its reference kernels",
}
_CRITERIA = {
    "any-iterate": "a sample is broken if any iterate of the attack is misclassified",
    "last-iterate": "only the last iterate counts, as in most of the literature",
    "replayed": "inputs made on another network are fed to this one",
}
_THREATS = {
    "real": "the adversary changes real-valued inputs by at most ε",
    "codes": "the adversary writes the integer codes of the sensor; each code stays within ε of the clean one",
}
_NORMS = {"linf": "L∞ (every value moves by at most ε)", "l2": "L2 (the whole change has length at most ε)"}


def tiles(view: RunView) -> list[tuple[str, str]]:
    """The facts at the top of the page: (label, value)."""
    facts, clean = view.facts, [line.clean.n for line in view.summary if line.clean]
    attacked = [accuracy.n for line in view.summary for accuracy in line.robust.values()]
    found = [("models", str(len(view.models))),
             ("recipes", str(len([line for line in view.summary if line.precision != FLOAT]) + len(view.failed))),
             ("clean samples", _span(clean)), ("attacked samples", _span(attacked)),
             ("training seeds", str(len({line.seed for line in view.summary})))]
    if facts is not None and facts.wall_seconds is not None:
        found.append(("duration", duration(facts.wall_seconds)))
    if facts is not None and facts.peak_memory_mib is not None:
        found.append(("peak memory", _gib(facts.peak_memory_mib)))
    return found


def pick_numbers(line: SummaryRow) -> list[tuple[str, str]]:
    """The four numbers on a recommendation: (label, value); "≤" where robustness is known by transfer only."""
    bound = "≤ " if "T" in line.flags else ""
    return [("clean", f"{percent(line.clean.value if line.clean else None)} %"),
            ("worst robust", f"{bound}{percent(line.worst_robust)} %"),
            ("packed", f"{kib(line.packed_bytes)} KiB"), ("arena", f"{kib(line.arena_bytes)} KiB")]


def table_groups(lines: Sequence[SummaryRow]) -> list[tuple[str, int]]:
    """The attacked modalities that at least one line has, each with its number of columns."""
    return [(name, 2) for name in _measured(lines)]


def table_line(line: SummaryRow, lines: Sequence[SummaryRow]) -> dict[str, Any]:
    """One line of the main table: names, sortable cells, letters."""
    is_float = line.precision == FLOAT
    numbers = [_cell(bits(line), line.weight_bits_mean), _cell(kib(line.stored_bytes), line.stored_bytes),
               _cell(kib(line.packed_bytes), line.packed_bytes), _cell(kib(line.arena_bytes), line.arena_bytes),
               _cell(mega(line.macs), line.macs)]
    shares = [_share(line.clean_float, own=is_float), _share(line.clean_integer, own=True)]
    for modality in _measured(lines):
        shares += [_share(line.robust_float.get(modality), own=is_float),
                   _share(line.robust_integer.get(modality), own=True)]
    return {"model": line.model, "precision": line.precision, "seed": line.seed, "pareto": line.pareto,
            "is_float": is_float, "dim": line.executor != FLOAT_EXECUTOR and not line.pareto,
            "simulated": not is_float and line.executor == FLOAT_EXECUTOR,
            "cells": [*numbers, *shares], "flags": flag_letters(line, common_letters(lines))}


def curve_tables(view: RunView, model: str) -> list[dict[str, Any]]:
    """The numbers behind the curves of one model, and the last-iterate accuracies of its float network."""
    mine = [line for line in view.lines if line.model == model]
    worst = []
    for line in mine:
        for modality, points in view.curves.get((model, line.precision), {}).items():
            worst.append([line.precision, modality, *_by_budget({p.epsilon: p.accuracy for p in points}, view)])
    last = []
    attacks = sorted({row["attack"] for row in view.rows if row["kind"] == "attack"})
    float_rows = [row for row in view.rows if row["seed"] == view.seed and row["model"] == model and
                  row["precision"] == FLOAT and row["kind"] == "attack"]
    for attack in attacks:
        for modality in ATTACKED:
            points = last_iterate(float_rows, model, FLOAT, FLOAT_EXECUTOR, modality, attack, norm=view.norm)
            if points:
                last.append([attack, modality, *_by_budget({p.epsilon: p.accuracy for p in points}, view)])
    budgets = [f"ε = {budget:g}" for budget in _budgets(view)]
    return [{"title": title, "head": [first, "attacked", *budgets], "rows": rows} for title, first, rows in (
        ("Numbers: worst-case robust accuracy, %", "precision", worst),
        ("Numbers: one attack, last iterate only, float network, % (the convention of the literature)", "attack", last),
    ) if rows]


def litert_table(view: RunView) -> dict[str, Any] | None:
    """The same files on LiteRT beside TFLM, or None when LiteRT was not run."""
    executors = [name for name in ("litert", "litert-reference")
                 if any(row.get("executor") == name for row in view.rows)]
    if not executors:
        return None
    others = {name: {(line.model, line.precision): line for line in
                     summarise([row for row in view.rows if row["seed"] == view.seed], epsilon=view.epsilon,
                               norm=view.norm, executor=name, flags=())} for name in executors}
    modalities = _measured(view.lines)
    head = ["model", "precision"]
    for column in ("clean", *modalities):
        head += [f"{column}: {name}" for name in (INTEGER_EXECUTOR, *executors)]
    rows = []
    for line in view.lines:
        if line.executor != INTEGER_EXECUTOR:
            continue
        judged = [line, *(others[name][line.model, line.precision] for name in executors)]
        cells = [percent(other.clean_integer.value if other.clean_integer else None) for other in judged]
        for modality in modalities:
            found = [other.robust_integer.get(modality) for other in judged]
            cells += [percent(accuracy.value if accuracy else None) for accuracy in found]
        rows.append([line.model, line.precision, *cells])
    return {"head": head, "rows": rows}


def method(view: RunView) -> list[tuple[str, str]]:
    """How the numbers were made, in words: (term, explanation)."""
    judged = [row for row in view.rows if row["kind"] in ("clean", "attack")]
    attacks = [row for row in judged if row["kind"] == "attack"]
    terms = []
    if judged:
        last = judged[-1]
        counts = _span([row["n"] for row in judged])
        terms.append(("Data", f"{last['data']}, {last['split']} split, {last['part']} part, {counts} samples"))
    terms += [(f"Executor “{name}”", text) for name, text in _EXECUTORS.items()
              if any(row["executor"] == name for row in judged)]
    if attacks:
        budgets = ", ".join(f"{budget:g}" for budget in _budgets(view))
        terms.append(("Budget", f"{_NORMS.get(view.norm, view.norm)}, ε = {budgets} in units of the inputs (0 to 1), "
                      "separately for image and audio; true labels"))
        terms += [(f"Threat “{name}”", text) for name, text in _THREATS.items()
                  if any(row["threat"] == name for row in attacks)]
        terms += _attack_texts(attacks)
        terms += [(f"Criterion “{name}”", text) for name, text in _CRITERIA.items()
                  if any(row["criterion"] == name for row in attacks)]
        terms.append(("Robust accuracy", "worst case, sample by sample: a sample fails if it is misclassified when "
                      "clean or broken by any attack at any budget up to ε; breaking one modality counts for both"))
    terms.append(("Intervals", "95 % Wilson score intervals; comparisons of float and integer by McNemar's exact test"))
    return terms


def identity(view: RunView) -> list[tuple[str, str]]:
    """Everything that identifies the run: (name, value)."""
    facts = view.facts
    found: list[tuple[str, str]] = []
    if facts is not None:
        found += [("started", facts.started), ("finished", facts.finished or NOTHING), ("data", facts.data),
                  ("commit", facts.commit), ("seeds", ", ".join(map(str, facts.seeds)))]
        if facts.peak_memory_worker_mib:
            found.append(("largest worker process", _gib(facts.peak_memory_worker_mib)))
        found += [(name, _text(value)) for name, value in facts.settings.items()]
        found += [(f"version of {name}", version) for name, version in facts.versions.items()]
    sums = sorted({row["data_checksum"] for row in view.rows})
    found += [("data checksum", checksum) for checksum in sums]
    return [(name, value) for name, value in found if value]


def duration(seconds: float) -> str:
    """Seconds in the units that a reader expects."""
    whole = round(seconds)
    if whole < 60:
        return f"{seconds:.1f} s"
    return f"{whole // 60} min {whole % 60} s" if whole < 3600 else f"{whole // 3600} h {whole % 3600 // 60} min"


def _attack_texts(attacks: Sequence[Row]) -> list[tuple[str, str]]:
    texts = []
    for name in sorted({row["attack"] for row in attacks}):
        mine = [row for row in attacks if row["attack"] == name]
        steps = sorted({row["steps"] for row in mine})
        plural = "" if steps == [1] else "s"
        start = ", random start" if any(row["random_start"] for row in mine) else ""
        sources = ", ".join(sorted({row["source"] for row in mine}))
        texts.append((f"Attack “{name}”", f"{_span(steps)} step{plural}{start}, with gradients of: {sources}"))
    return texts


def _measured(lines: Sequence[SummaryRow]) -> list[str]:
    return [name for name in ATTACKED if any(name in line.robust_float or name in line.robust_integer
                                             for line in lines)]


def _budgets(view: RunView) -> list[float]:
    return sorted({float(row["epsilon"]) for row in view.rows if row["kind"] == "attack" and row["norm"] == view.norm})


def _by_budget(accuracies: dict[float, Accuracy], view: RunView) -> list[str]:
    found = [accuracies.get(budget) for budget in _budgets(view)]
    return [percent(accuracy.value if accuracy else None) for accuracy in found]


def _cell(text: str, sort: float | None) -> dict[str, Any]:
    return {"text": text, "sort": "" if sort is None else sort, "margin": "", "tip": "", "bar": None, "own": True}


def _share(accuracy: Accuracy | None, *, own: bool) -> dict[str, Any]:
    if accuracy is None:
        return _cell(NOTHING, None)
    low, high = 100 * accuracy.low, 100 * accuracy.high
    return {"text": percent(accuracy.value), "sort": accuracy.value, "own": own,
            "margin": f"±{(high - low) / 2:.1f}" if own else "", "bar": round(100 * accuracy.value, 1) if own else None,
            "tip": f"95 % interval {low:.1f} to {high:.1f}, n={accuracy.n}"}


def _span(values: Sequence[int]) -> str:
    distinct = sorted(set(values))
    if not distinct:
        return NOTHING
    return f"{distinct[0]:,}" if len(distinct) == 1 else f"{distinct[0]:,}–{distinct[-1]:,}"


def _gib(mib: float) -> str:
    return f"{mib / 1024:.2f} GiB" if mib >= 1024 else f"{mib:.0f} MiB"


def _text(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value)
