"""The results on the page as plain data: tiles, recommendations, the main table, and the numbers behind the curves."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tinyfuse.report import firmware
from tinyfuse.report.curve_data import LITERATURE, Track
from tinyfuse.report.method import budgets_of, duration, gib
from tinyfuse.report.tables import bits, common_letters, flag_letters, kib, measured, mega, percent
from tinyfuse.report.view import RunView
from tinyfuse.report.vocabulary import KINDS, NOTHING, kinds_of, robust_of, span
from tinyfuse.study.summary import FLOAT, FLOAT_EXECUTOR, Accuracy, SummaryRow


def tiles(view: RunView) -> list[tuple[str, str]]:
    """The facts at the top of the page: (label, value)."""
    facts, clean = view.facts, [line.clean.n for line in view.summary if line.clean]
    attacked = [accuracy.n for line in view.summary for accuracy in line.robust.values()]
    found = [("models", str(len(view.models))),
             ("recipes", str(len([line for line in view.summary if line.precision != FLOAT]) + len(view.failed))),
             ("clean samples", span(clean)), ("attacked samples", span(attacked)),
             ("training seeds", str(len({line.seed for line in view.summary})))]
    rerun = sum(line.rerun for line in view.summary)
    if rerun:
        differing = sum(line.differing for line in view.summary)
        found.append((f"of {rerun:,} inputs re-run differ in TFLite Micro", f"{differing:,} codes"))
    if facts is not None and facts.wall_seconds is not None:
        found.append(("duration", duration(facts.wall_seconds)))
    if facts is not None and facts.peak_memory_mib is not None:
        found.append(("peak memory", gib(facts.peak_memory_mib)))
    return found


def pick_numbers(line: SummaryRow) -> list[tuple[str, str]]:
    """The four numbers on a recommendation: (label, value); "≤" where robustness is known by transfer only."""
    bound = "≤ " if "T" in line.flags else ""
    return [("clean", f"{percent(line.clean.value if line.clean else None)} %"),
            ("worst robust, G", f"{bound}{percent(line.worst_robust)} %"),
            *_sizes(line)]


def _sizes(line: SummaryRow) -> list[tuple[str, str]]:
    """Flash and RAM of the firmware, or what is known without it."""
    cost = line.firmware
    if cost is None or cost.flash_bytes is None:
        return [("packed", f"{kib(line.packed_bytes)} KiB"), ("arena", f"{kib(line.arena_bytes)} KiB")]
    return [("flash", f"{kib(cost.flash_bytes)} KiB"), ("RAM", f"{kib(cost.ram_bytes)} KiB")]


def number_heads(lines: Sequence[SummaryRow]) -> list[tuple[str, str]]:
    """The columns of sizes and counts as (title, unit)."""
    return [("W/A", "bits"), ("stored", "KiB"), ("packed", "KiB"), ("arena", "KiB"), *firmware.heads(lines),
            ("MMAC", "")]


def table_groups(lines: Sequence[SummaryRow]) -> list[dict[str, Any]]:
    """The accuracy columns: a group for clean and for each attacked modality, with heads and their explanations."""
    kinds = kinds_of(lines)
    heads = [("float", "the float network, attacked with its own gradients"),
             *((kind, f"integers: {KINDS[kind]}") for kind in kinds)]
    clean = {"title": "clean", "heads": [("float", "the float network"), ("integer", "the integer model")]}
    return [clean, *({"title": f"{name} attacked", "heads": heads} for name in measured(lines))]


def table_line(line: SummaryRow, lines: Sequence[SummaryRow]) -> dict[str, Any]:
    """One line of the main table: names, sortable cells by group, letters."""
    is_float = line.precision == FLOAT
    numbers = [cell(bits(line), line.weight_bits_mean), cell(kib(line.stored_bytes), line.stored_bytes),
               cell(kib(line.packed_bytes), line.packed_bytes), cell(kib(line.arena_bytes), line.arena_bytes),
               *(cell(*found) for found in firmware.cells(line.firmware, firmware.measured_cores(lines))),
               cell(mega(line.macs), line.macs)]
    groups = [[share(line.clean_float, own=is_float), share(line.clean_integer, own=True)]]
    for modality in measured(lines):
        before = share(line.robust_float.get(modality), own=is_float)
        groups.append([before, *(share(robust_of(line, kind).get(modality), own=kind == "G")
                                 for kind in kinds_of(lines))])
    return {"model": line.model, "precision": line.precision, "seed": line.seed, "pareto": line.pareto,
            "is_float": is_float, "dim": line.executor != FLOAT_EXECUTOR and not line.pareto,
            "simulated": not is_float and line.executor == FLOAT_EXECUTOR,
            "numbers": numbers, "groups": groups, "flags": flag_letters(line, common_letters(lines))}


def curve_table(view: RunView, model: str) -> dict[str, Any]:
    """The numbers behind the curves of one model: float, and each threat model of the integers."""
    rows = []
    for line in _lines(view, model):
        curves = view.curves[line.model, line.precision]
        if line.precision == FLOAT or line.executor == FLOAT_EXECUTOR:
            rows += _track_rows(view, [line.precision, "float"], curves.own)
        else:
            for kind in kinds_of(view.lines):
                rows += _track_rows(view, [line.precision, kind], curves.of(kind))
    return _table(view, "Numbers: worst-case robust accuracy, %", ["precision", "threat", "attacked", "n"], rows)


def literature_table(view: RunView, model: str) -> dict[str, Any]:
    """The literature's protocol beside the worst case of the main table."""
    rows = []
    for line in _lines(view, model):
        curves = view.curves[line.model, line.precision]
        for attack, track in curves.literature.items():
            rows += _track_rows(view, [line.precision, f"{attack}, last iterate"], track)
        if curves.literature:
            rows += _track_rows(view, [line.precision, "worst case"], curves.own)
    return _table(view, f"Numbers: profile “{LITERATURE}”, one attack, last iterate only, %",
                  ["precision", "attack", "attacked", "n"], rows)


def _lines(view: RunView, model: str) -> list[SummaryRow]:
    return [line for line in view.lines if line.model == model]


def _table(view: RunView, title: str, head: Sequence[str], rows: Sequence[Sequence[str]]) -> dict[str, Any]:
    return {"title": title, "head": [*head, *(f"ε = {budget:g}" for budget in budgets_of(view))], "rows": rows}


def _track_rows(view: RunView, names: Sequence[str], track: Track) -> list[list[str]]:
    rows = []
    for modality, points in track.items():
        found = {point.epsilon: point.accuracy for point in points}
        cells = [_interval(found.get(budget)) for budget in budgets_of(view)]
        rows.append([*names, modality, str(points[0].accuracy.n), *cells])
    return rows


def _interval(accuracy: Accuracy | None) -> str:
    """Value and 95 % interval in percent."""
    if accuracy is None:
        return NOTHING
    return f"{percent(accuracy.value)} ({percent(accuracy.low)} to {percent(accuracy.high)})"


def cell(text: str, sort: float | None) -> dict[str, Any]:
    """A cell of a sortable table, sorted by ``sort``; what is None comes last."""
    return {"text": text, "sort": "" if sort is None else sort, "margin": "", "tip": "", "bar": None, "own": True}


def share(accuracy: Accuracy | None, *, own: bool) -> dict[str, Any]:
    """A cell with an accuracy in percent; that of the line's ``own`` network has its interval and a bar."""
    if accuracy is None:
        return cell(NOTHING, None)
    low, high = 100 * accuracy.low, 100 * accuracy.high
    half = (high - low) / 2
    return {"text": percent(accuracy.value), "sort": accuracy.value, "own": own,
            "margin": f"±{half:.{0 if half >= 10 else 1}f}" if own else "",
            "bar": round(100 * accuracy.value, 1) if own else None,
            "tip": f"95 % interval {low:.1f} to {high:.1f}, n={accuracy.n}"}
