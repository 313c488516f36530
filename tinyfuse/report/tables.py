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

from tinyfuse.checks.run_checks import CHECKS, LEVELS, Flag
from tinyfuse.core.results import Row
from tinyfuse.report import firmware
from tinyfuse.report.vocabulary import KINDS, NOTHING, integer_judge, kinds_of, robust_of, span, widest
from tinyfuse.study.summary import ATTACKED, FLOAT, FLOAT_EXECUTOR, SummaryRow

_PIPE_WIDTH = 200


@dataclass(frozen=True)
class Column:
    """One column of the table; on a narrow terminal those with the highest ``spare`` go first."""

    title: str
    cell: Callable[[SummaryRow], str]
    right: bool = True
    spare: int = 0


def columns_for(lines: Sequence[SummaryRow], hidden: Iterable[str] = (), *, decimals: int = 1,
                between: str = " ") -> list[Column]:
    """The columns that say something about ``lines``; ``hidden`` letters are left out of the flags.

    Robust accuracies have ``decimals``; those of an integer model stand ``between`` each other.
    """
    unwanted, kinds = set(hidden), kinds_of(lines)
    seeds = [Column("seed", lambda line: str(line.seed))] if len({line.seed for line in lines}) > 1 else []
    legend = "float → " + between.join(kinds) if kinds else "float"
    costs = _firmware_columns(lines)
    robust = [Column(f"{name} %\n{legend}", _robust_cell(name, kinds, decimals, between)) for name in measured(lines)]
    return [
        Column("model", lambda line: line.model, right=False),
        Column("precision", lambda line: line.precision + (" *" if line.pareto else ""), right=False),
        *seeds,
        Column("W/A\nbits", bits, spare=1),
        Column("stored\nKiB", lambda line: kib(line.stored_bytes), spare=6),
        Column("packed\nKiB", lambda line: kib(line.packed_bytes), spare=4 if costs else 0),
        Column("arena\nKiB", lambda line: kib(line.arena_bytes), spare=5),
        *costs,
        Column("MMAC", lambda line: mega(line.macs), spare=7),
        Column("clean %\nfloat → int", clean),
        *robust,
        Column("flags", lambda line: flag_letters(line, unwanted), right=False),
    ]


def _firmware_columns(lines: Sequence[SummaryRow]) -> list[Column]:
    """Flash, RAM and instructions of the firmware; none if it was not measured on any of ``lines``."""
    cores = firmware.measured_cores(lines)

    def column(place: int, title: str, unit: str) -> Column:
        return Column(f"{title}\n{unit}", lambda line: firmware.cells(line.firmware, cores)[place][0],
                      spare={"flash": 0, "RAM": 3}.get(title, 2))

    return [column(place, *head) for place, head in enumerate(firmware.heads(lines))]


def summary_table(lines: Sequence[SummaryRow], *, width: int | None = None, scope: str = "") -> Table:
    """A rich table that fits into ``width`` characters: first tenths of percent go, then the least needed columns.

    The caption names what was left out, the executors, the threat models, the samples (``scope``: data, split and
    norm) and the intervals. The best value of each model is bold, recipes that another one dominates are dim.
    """
    common = common_letters(lines)
    notes = _notes(lines, scope, [f"flags {''.join(common)} hold for every integer line"] if common else [])
    columns, dropped, rounded = columns_for(lines, common), list[str](), False
    while True:
        table = _build(lines, columns)
        table.caption = "\n".join([*notes, *_left_out(rounded, dropped)])
        spare = max(columns, key=lambda column: column.spare)
        if width is None or _natural_width(table) <= width or (rounded and not spare.spare):
            return table
        if rounded:
            dropped.append(spare.title.split("\n")[0])
            columns = [column for column in columns if column is not spare]
        else:
            rounded, columns = True, columns_for(lines, common, decimals=0)


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
    for first, sentence in _by_letter(flags):
        target.print(Text(sentence, style="red" if first.level == "E" else ""), soft_wrap=True)


def markdown_table(lines: Sequence[SummaryRow], *, scope: str = "") -> str:
    """The same as a Markdown table for a README, and a paragraph that says what its numbers are."""
    columns = columns_for(lines, between=" / ")
    rows = [[column.title.replace("\n", " ") for column in columns],
            ["---:" if column.right else "---" for column in columns],
            *([column.cell(line) for column in columns] for line in lines)]
    table = "".join("| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |\n" for row in rows)
    notes = "; ".join(_notes(lines, scope, [])).replace("* =", "`*` =")
    return f"{table}\nNote: {notes}.\n"


def legend(flags: Iterable[Flag]) -> list[str]:
    """One sentence per letter that occurs among errors and warnings: meaning, number of lines, an example."""
    return [sentence for _, sentence in _by_letter(flags)]


def common_letters(lines: Sequence[SummaryRow]) -> tuple[str, ...]:
    """The letters that every integer line carries; they are said once below the table."""
    sets = [set(line.flags) for line in lines if line.precision != FLOAT]
    return tuple(sorted(set.intersection(*sets))) if len(sets) > 1 else ()


def flag_letters(line: SummaryRow, hidden: Iterable[str] = ()) -> str:
    """The letters of a line without those said elsewhere, or an empty text."""
    return "".join(letter for letter in line.flags if letter not in set(hidden))


def measured(lines: Sequence[SummaryRow]) -> list[str]:
    """The attacked modalities that at least one line has."""
    return [name for name in ATTACKED if any(name in line.robust_float or name in line.robust_integer
                                             for line in lines)]


def bits(line: SummaryRow) -> str:
    """Mean weight bits / activation bits."""
    return f"{_number(line.weight_bits_mean)}/{_number(line.activation_bits)}"


def kib(size_bytes: int | None) -> str:
    """Bytes as KiB with one decimal."""
    return NOTHING if size_bytes is None else f"{size_bytes / 1024:.1f}"


def mega(count: int | None) -> str:
    """A count in millions with one decimal."""
    return NOTHING if count is None else f"{count / 1e6:.1f}"


def percent(share: float | None, decimals: int = 1) -> str:
    """A share as percent without the sign."""
    return NOTHING if share is None else f"{100 * share:.{decimals}f}"


def clean(line: SummaryRow) -> str:
    """Clean accuracy, float and then integer."""
    before = percent(line.clean_float.value if line.clean_float else None)
    after = percent(line.clean_integer.value if line.clean_integer else None)
    return before if line.precision == FLOAT else f"{before} → {after}"


def _robust_cell(modality: str, kinds: Sequence[str], decimals: int, between: str) -> Callable[[SummaryRow], str]:
    def cell(line: SummaryRow) -> str:
        found = [line.robust_float, *(robust_of(line, kind) for kind in kinds)]
        accuracies = [each.get(modality) for each in found]
        if not any(accuracies):
            return NOTHING
        before, *after = (percent(each.value if each else None, decimals) for each in accuracies)
        return before if line.precision == FLOAT else f"{before} → {between.join(after)}"
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


def _notes(lines: Sequence[SummaryRow], scope: str, further: Sequence[str]) -> list[str]:
    """What the numbers are: budget, executors, threat models, samples, seeds and intervals."""
    epsilon = next((line.epsilon for line in lines if line.epsilon is not None), None)
    kinds = kinds_of(lines)
    shown = [accuracy for line in lines for found in (line.robust_float, *(robust_of(line, kind) for kind in kinds))
             for accuracy in found.values()]
    judge, cleans = integer_judge(lines), [line.clean for line in lines if line.clean]
    parts = [", ".join(part for part in (scope, _seeds(lines)) if part)]
    if cleans:
        parts.append(f"clean %: n={span(accuracy.n for accuracy in cleans)}, widest 95 % interval {widest(cleans)}")
    if epsilon is not None and shown:
        parts.append(f"robust %: worst case at ε={epsilon:g} when image, audio or both are attacked, "
                     f"n={span(accuracy.n for accuracy in shown)}, widest 95 % interval {widest(shown)}")
    parts.append("float in keras" + (f", integers in {judge}" if judge else ""))
    parts += [f"{kind} = {KINDS[kind]}" for kind in kinds]
    parts += firmware.notes(lines)
    parts.append("* = Pareto: no recipe of that model is better in packed bytes, clean and robust accuracy")
    return [part for part in (*parts, *further) if part]


def _seeds(lines: Sequence[SummaryRow]) -> str:
    seeds = sorted({line.seed for line in lines})
    return f"training seed{'s' * (len(seeds) > 1)} {', '.join(map(str, seeds))}" if seeds else ""


def _left_out(rounded: bool, dropped: Sequence[str]) -> list[str]:
    """What a narrow terminal lost."""
    notes = ["robust % rounded for lack of width"] if rounded else []
    return notes + ([f"columns left out for lack of width: {', '.join(dropped)}"] if dropped else [])


def _by_letter(flags: Iterable[Flag]) -> list[tuple[Flag, str]]:
    """For each letter among errors and warnings its most serious flag and a sentence; errors first."""
    found: dict[str, list[Flag]] = {}
    for flag in flags:
        if flag.level != "I":
            found.setdefault(flag.code, []).append(flag)
    sentences = []
    for code in sorted(found, key=lambda code: (min(list(LEVELS).index(flag.level) for flag in found[code]), code)):
        first = min(found[code], key=lambda flag: list(LEVELS).index(flag.level))
        lines = "1 line" if len(found[code]) == 1 else f"{len(found[code])} lines"
        sentences.append((first, f"{code} ({LEVELS[first.level]}, {lines}): {CHECKS[code].title}. "
                                 f"E.g. {first.model} {first.precision}: {first.text}."))
    return sentences
