"""The table of a run on a terminal, in a pipe or in a README, and the legend of its letters."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from tinyfuse.evaluate.checks import CHECKS, LEVELS, Flag
from tinyfuse.evaluate.summary import ATTACKED, FLOAT, FLOAT_EXECUTOR, SummaryRow
from tinyfuse.results import Row

NOTHING = "–"
_PIPE_WIDTH = 200


@dataclass(frozen=True)
class Column:
    """One column of the table; on a narrow terminal those with the highest ``spare`` go first."""

    title: str
    cell: Callable[[SummaryRow], str]
    right: bool = True
    spare: int = 0


def columns_for(lines: Sequence[SummaryRow], hidden: Iterable[str] = ()) -> list[Column]:
    """The columns that say something about ``lines``; ``hidden`` letters are left out of the flags."""
    unwanted = set(hidden)
    seeds = [Column("seed", lambda line: str(line.seed))] if len({line.seed for line in lines}) > 1 else []
    robust = [Column(f"{name}\nfloat | int", _robust_cell(name)) for name in ATTACKED
              if any(name in line.robust_float or name in line.robust_integer for line in lines)]
    return [
        Column("model", lambda line: line.model, right=False),
        Column("precision", lambda line: line.precision + (" *" if line.pareto else ""), right=False),
        *seeds,
        Column("W/A\nbits", bits, spare=1),
        Column("stored\nKiB", lambda line: kib(line.stored_bytes), spare=3),
        Column("packed\nKiB", lambda line: kib(line.packed_bytes)),
        Column("arena\nKiB", lambda line: kib(line.arena_bytes), spare=2),
        Column("MMAC", lambda line: mega(line.macs), spare=4),
        Column("clean %\nfloat → int", clean),
        *robust,
        Column("flags", lambda line: flag_letters(line, unwanted), right=False),
    ]


def summary_table(lines: Sequence[SummaryRow], *, width: int | None = None) -> Table:
    """A rich table that fits into ``width`` characters, dropping the least needed columns and saying so.

    The best value of each model is bold, recipes that another recipe of the same model dominates are dim.
    """
    common = common_letters(lines)
    columns = columns_for(lines, common)
    dropped: list[str] = []
    while True:
        table = _build(lines, columns)
        table.caption = _caption(lines, common, dropped)
        spare = max(columns, key=lambda column: column.spare)
        if width is None or not spare.spare or _natural_width(table) <= width:
            return table
        dropped.append(spare.title.split("\n")[0])
        columns = [column for column in columns if column is not spare]


def print_summary(lines: Sequence[SummaryRow], flags: Iterable[Flag] = (), *, failed: Sequence[Row] = (),
                  console: Console | None = None) -> None:
    """Print table, failures and legend to stdout; in a pipe the table gets the width that it needs."""
    target = console or Console(highlight=False)
    if not target.is_terminal and console is None:
        target = Console(highlight=False, width=_PIPE_WIDTH)
    target.print(summary_table(lines, width=target.width))
    for row in failed:
        name = f"{row['model']} {row['precision']}"
        target.print(Text(f"{name}: failed in {row['stage']}: {row['reason']}", style="red"), soft_wrap=True)
    for sentence in legend(flags):
        target.print(Text(sentence), soft_wrap=True)


def markdown_table(lines: Sequence[SummaryRow]) -> str:
    """The same as a Markdown table, for a README."""
    columns = columns_for(lines)
    rows = [[column.title.replace("\n", " ") for column in columns],
            ["---:" if column.right else "---" for column in columns],
            *([column.cell(line) for column in columns] for line in lines)]
    return "".join("| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |\n" for row in rows)


def legend(flags: Iterable[Flag]) -> list[str]:
    """One sentence per letter that occurs among errors and warnings: meaning, number of lines, an example."""
    found: dict[str, list[Flag]] = {}
    for flag in flags:
        if flag.level != "I":
            found.setdefault(flag.code, []).append(flag)
    sentences = []
    for code in sorted(found):
        first = found[code][0]
        lines = "1 line" if len(found[code]) == 1 else f"{len(found[code])} lines"
        sentences.append(f"{code} ({LEVELS[first.level]}, {lines}): {CHECKS[code].title}. "
                         f"E.g. {first.model} {first.precision}: {first.text}.")
    return sentences


def common_letters(lines: Sequence[SummaryRow]) -> tuple[str, ...]:
    """The letters that every integer line carries; they are said once below the table."""
    sets = [set(line.flags) for line in lines if line.precision != FLOAT]
    return tuple(sorted(set.intersection(*sets))) if len(sets) > 1 else ()


def flag_letters(line: SummaryRow, hidden: Iterable[str] = ()) -> str:
    """The letters of a line without those said elsewhere, or an empty text."""
    return "".join(letter for letter in line.flags if letter not in set(hidden))


def bits(line: SummaryRow) -> str:
    """Mean weight bits / activation bits."""
    return f"{_number(line.weight_bits_mean)}/{_number(line.activation_bits)}"


def kib(size_bytes: int | None) -> str:
    """Bytes as KiB with one decimal."""
    return NOTHING if size_bytes is None else f"{size_bytes / 1024:.1f}"


def mega(count: int | None) -> str:
    """A count in millions with one decimal."""
    return NOTHING if count is None else f"{count / 1e6:.1f}"


def percent(share: float | None) -> str:
    """A share as percent with one decimal, without the sign."""
    return NOTHING if share is None else f"{100 * share:.1f}"


def clean(line: SummaryRow) -> str:
    """Clean accuracy, float and then integer."""
    before = percent(line.clean_float.value if line.clean_float else None)
    after = percent(line.clean_integer.value if line.clean_integer else None)
    return before if line.precision == FLOAT else f"{before} → {after}"


def _robust_cell(modality: str) -> Callable[[SummaryRow], str]:
    def cell(line: SummaryRow) -> str:
        before, after = line.robust_float.get(modality), line.robust_integer.get(modality)
        if before is None and after is None:
            return NOTHING
        left = percent(before.value if before else None)
        return left if line.precision == FLOAT else f"{left} | {percent(after.value if after else None)}"
    return cell


def _number(value: float | None) -> str:
    return NOTHING if value is None else f"{value:.1f}".removesuffix(".0")


def _build(lines: Sequence[SummaryRow], columns: Sequence[Column]) -> Table:
    table = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False, caption_justify="left")
    for column in columns:
        table.add_column(column.title, justify="right" if column.right else "left", overflow="fold")
    best = {line.model: 0.0 for line in lines}
    for line in lines:
        if line.precision != FLOAT:
            best[line.model] = max(best[line.model], line.worst_robust or 0.0)
    previous = ""
    for line in lines:
        if previous and line.model != previous:
            table.add_section()
        previous = line.model
        dominated = line.executor != FLOAT_EXECUTOR and line.clean is not None and not line.pareto
        is_best = line.precision != FLOAT and 0.0 < best[line.model] == line.worst_robust
        table.add_row(*(Text(column.cell(line)) for column in columns),
                      style="dim" if dominated and not is_best else "bold" if is_best else "")
    return table


def _natural_width(table: Table) -> int:
    console = Console(width=10_000, file=io.StringIO())
    caption, table.caption = table.caption, None
    width = Measurement.get(console, console.options, table).maximum
    table.caption = caption
    return width


def _caption(lines: Sequence[SummaryRow], common: Sequence[str], dropped: Sequence[str]) -> str:
    epsilon = next((line.epsilon for line in lines if line.epsilon is not None), None)
    counts = sorted({line.clean.n for line in lines if line.clean})
    parts = ["* = Pareto: no recipe of that model is better in packed bytes, clean and robust accuracy",
             f"clean: n={', '.join(map(str, counts)) or 0}"]
    if epsilon is not None:
        attacked = sorted({accuracy.n for line in lines for accuracy in line.robust.values()})
        parts.append(f"robust % = worst case at ε={epsilon:g}, n={', '.join(map(str, attacked)) or 0}")
    if common:
        parts.append(f"flags {''.join(common)} hold for every integer line")
    if dropped:
        parts.append(f"columns left out for lack of width: {', '.join(dropped)}")
    return "; ".join(parts)
