"""Tables from columns: ``summary.csv``, Markdown, plain data for the pages, and the summary on a terminal."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from tinyfuse.checks.run_checks import Flag
from tinyfuse.core.files import write_text
from tinyfuse.core.results import Row
from tinyfuse.report.columns import COLUMNS, Column, columns_for, groups_of
from tinyfuse.report.summary import SummaryRow
from tinyfuse.report.trust import flag_groups
from tinyfuse.report.vocabulary import NOTHING, common_letters, notes, percent, without_letters
from tinyfuse.study.worst_case import FLOAT_EXECUTOR, Accuracy

_PIPE_WIDTH = 200
FORMULAS = ("=", "+", "-", "@", "\t", "\r")


def write_csv(path: str | Path, summary: Sequence[SummaryRow]) -> None:
    """Write the summary as CSV, atomically: shares from 0 to 1, an empty cell where nothing was measured."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    for number, cells in enumerate(plain_lines(summary)):
        if number == 0:
            writer.writerow(cells)
        writer.writerow("" if value is None else _inert(value) for value in cells.values())
    write_text(path, buffer.getvalue())


def plain_lines(summary: Sequence[SummaryRow]) -> list[dict[str, Any]]:
    """Return the plain values of each line by the names of the columns of ``summary.csv``."""
    columns = [one for column in COLUMNS if column.name for one in column.expanded(summary)]
    return [{name: value for column in columns for name, value in column.plain(line).items()} for line in summary]


def _inert(value: Any) -> Any:
    """Put an apostrophe before a text that a spreadsheet would take for a formula, such as the name of a model."""
    return f"'{value}" if isinstance(value, str) and value[:1] in FORMULAS else value


def heading(group: Sequence[Column], between: str = " ") -> str:
    """Return the heading over the shared cell of a group in two lines, such as "clean %" over "float → integer"."""
    first = group[0]
    if not first.group:
        return f"{first.title}\n{first.unit}".strip()
    titles = "".join(_before(one, between) * (one is not first) + one.title for one in group)
    return f"{first.group} {first.unit}".strip() + f"\n{titles}"


def shared_cell(group: Sequence[Column], texts: Sequence[str], between: str = " ") -> str:
    """Return the ``texts`` of the columns of a group in one cell; what has no meaning for the line is empty."""
    if not set(texts) - {NOTHING, ""}:
        return next(filter(None, texts), "")
    return "".join((_before(one, between) if place else "") + text
                   for place, (one, text) in enumerate(zip(group, texts, strict=True)) if text)


def _before(column: Column, between: str) -> str:
    return between if column.join == " " else column.join


def markdown_of(columns: Sequence[Column], lines: Sequence[Any], starred: Callable[[Any], bool], *,
                margins: bool = False) -> str:
    """Write ``lines`` as a Markdown table with a star at the names of those ``starred``; a group is one cell."""
    groups = list(groups_of(columns_for(lines, columns)))
    rows = []
    for line in lines:
        cells = [[" ".join(filter(None, _marked(one, line, starred, margins))) for one in group] for group in groups]
        rows.append([shared_cell(group, texts, " / ") for group, texts in zip(groups, cells, strict=True)])
    texts = [place for place, (first, *_) in enumerate(groups) if first.is_text]
    return markdown([heading(group, " / ").replace("\n", " ") for group in groups], rows, texts)


def _marked(column: Column, line: Any, starred: Callable[[Any], bool], margins: bool) -> tuple[str, ...]:
    value = column.value(line)
    margin = column.margin(value) if margins and isinstance(value, Accuracy) and column.own(line) else ""
    return column.cell(line), margin, "*" if column.is_name and starred(line) else ""


def markdown(head: Sequence[str], rows: Iterable[Sequence[str]], texts: Iterable[int]) -> str:
    """Return a Markdown table; the columns whose numbers are not among ``texts`` hold numbers."""
    left = set(texts)
    marks = ["---" if place in left else "---:" for place in range(len(head))]
    written = [[escaped(text) for text in row] for row in (head, *rows)]
    return "".join("| " + " | ".join(row) + " |\n" for row in (written[0], marks, *written[1:]))


def escaped(text: str) -> str:
    """Return ``text`` that Markdown does not take for a mark of its own."""
    for mark in ("\\", "|", "<", "*", "_", "`", "["):
        text = text.replace(mark, f"\\{mark}")
    return text


def html_table(columns: Sequence[Column], lines: Sequence[Any],
               marks: Callable[[Any], dict[str, Any]]) -> dict[str, Any]:
    """Return ``lines`` for the macro ``judged``: groups of headings, and cells that sort by their values.

    ``marks`` of a line: its ``classes``, what stands beside its name (``star`` and what it means, ``front``, ``note``,
    ``tip``), and ``start``, which changes where a rule is drawn.
    """
    shown = columns_for(lines, columns)
    groups: list[dict[str, Any]] = []
    firsts: list[int] = []
    for group in groups_of(shown):
        start = sum(len(known["heads"]) for known in groups)
        firsts += [start] if group[0].group else []
        groups.append({"title": group[0].group, "heads": [
            {"title": one.title, "unit": "" if one.group else one.unit, "meaning": one.meaning, "is_text": one.is_text,
             "place": start + place} for place, one in enumerate(group)]})
    rows = [{"classes": "", "star": "", "front": False, "note": "", "tip": "", "start": "", **marks(line), "cells": [
        _html_cell(one, line, first=place in firsts) for place, one in enumerate(shown)]} for line in lines]
    return {"groups": groups, "rows": rows, "columns": len(shown), "grouped": bool(firsts)}


def _html_cell(column: Column, line: Any, *, first: bool) -> dict[str, Any]:
    value, own = column.value(line), column.own(line)
    classes = [name for name, holds in (("text", column.is_text), ("name", column.is_name), ("first", first),
                                        ("letters", column.title == "flags"), ("theirs", not own)) if holds]
    if not isinstance(value, Accuracy):
        return {"text": column.cell(line) or NOTHING * (not column.is_text), "sort": "" if value is None else value,
                "margin": "", "tip": "", "bar": None, "classes": " ".join(classes), "is_name": column.is_name}
    tip = f"95 % interval {100 * value.low:.1f} to {100 * value.high:.1f}, n={value.n}"
    return {"text": column.cell(line), "sort": value.value, "margin": column.margin(value) if own else "", "tip": tip,
            "bar": round(100 * value.value, 1) if own else None, "is_name": False,
            "classes": " ".join([*classes, *(["bar"] if own else [])])}


def summary_table(lines: Sequence[SummaryRow], *, width: int | None = None, scope: str = "") -> Table:
    """Make a rich table of at most ``width`` characters: first tenths of percent go, then the least needed columns.

    The caption names what was left out, the executors, the threat models, the samples (``scope``: data, split and
    norm) and the intervals. The best value of each model is bold, recipes that another one dominates are dim.
    """
    common = common_letters(lines)
    shown = without_letters(lines, common)
    said = notes(lines, scope, [f"flags {''.join(common)} hold for every integer line"] if common else [])
    groups, dropped, rounded = list(groups_of(columns_for(shown, COLUMNS))), list[str](), False
    while True:
        table = _build(shown, groups, rounded=rounded)
        least, spare = max((max(one.spare for one in group), place) for place, group in enumerate(groups))
        if width is None or _natural_width(table) <= width or (rounded and not least):
            break
        if rounded:
            first, *_ = groups.pop(spare)
            dropped.append(first.group or first.title)
        rounded = True
    lost = ["robust % rounded for lack of width"] * rounded
    lost += [f"columns left out for lack of width: {', '.join(dropped)}"] * bool(dropped)
    table.caption = "\n".join([*said, *lost])
    return table


def print_summary(lines: Sequence[SummaryRow], flags: Iterable[Flag] = (), *, failed: Sequence[Row] = (),
                  scope: str = "", console: Console | None = None) -> None:
    """Print table, failures and legend to stdout; in a pipe the table gets the width that it needs."""
    target = console or Console(highlight=False)
    if not target.is_terminal and console is None:
        target = Console(highlight=False, width=_PIPE_WIDTH)
    target.print(summary_table(lines, width=target.width, scope=scope))
    for row in failed:
        name = f"{row['model']} {row['precision']}"
        target.print(Text(f"{name}: failed in {row['stage']}: {row['reason']}", style="red"), soft_wrap=True)
    for level, sentence in flag_sentences(flags):
        target.print(Text(sentence, style="red" if level == "error" else ""), soft_wrap=True)


def markdown_table(lines: Sequence[SummaryRow], *, scope: str = "") -> str:
    """Return the same as a Markdown table for a README, and a paragraph that says what its numbers are."""
    said = "; ".join(notes(lines, scope, [])).replace("* =", "`*` =")
    return f"{markdown_of(COLUMNS, lines, lambda line: line.pareto)}\nNote: {said}.\n"


def flag_sentences(flags: Iterable[Flag]) -> list[tuple[str, str]]:
    """For each letter among errors and warnings its level and a sentence with its most serious flag; errors first."""
    groups = flag_groups(flag for flag in flags if flag.level != "I")
    return [(group["level"], f"{group['code']} ({group['level']}, {len(group['texts'])} "
                             f"line{'s' * (len(group['texts']) > 1)}): {group['title']}. E.g. {group['first']}.")
            for group in groups]


def _build(lines: Sequence[SummaryRow], groups: Sequence[Sequence[Column]], *, rounded: bool) -> Table:
    table = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False, caption_justify="left")
    for group in groups:
        table.add_column(heading(group).replace(" attacked", "\nattacked"), overflow="fold",
                         justify="left" if group[0].is_text else "right")
    best: dict[str, float] = {}
    for line in lines:
        if not line.is_float:
            best[line.model] = max(best.get(line.model, 0.0), line.worst_robust or 0.0)
    previous = ""
    for line in lines:
        if previous and line.model != previous:
            table.add_section()
        previous = line.model
        dominated = line.executor != FLOAT_EXECUTOR and line.clean is not None and not line.pareto
        is_best = not line.is_float and 0.0 < best[line.model] == line.worst_robust
        table.add_row(*(Text(shared_cell(group, [_text(one, line, rounded) for one in group])) for group in groups),
                      style="dim" if dominated and not is_best else "bold" if is_best else "")
    return table


def _text(column: Column, line: SummaryRow, rounded: bool) -> str:
    value = column.value(line)
    if rounded and isinstance(value, Accuracy) and column.group != "clean":
        return percent(value, 0)
    return column.cell(line) + " *" * (column.is_name and line.pareto)


def _natural_width(table: Table) -> int:
    console = Console(width=10_000, file=io.StringIO())
    return Measurement.get(console, console.options, table).maximum
