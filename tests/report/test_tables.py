"""The table on the terminal, in a pipe and in Markdown."""

from __future__ import annotations

import io
import re
from collections.abc import Sequence

import pytest
from rich.console import Console

from tinyfuse.evaluate.checks import run_checks
from tinyfuse.evaluate.summary import SummaryRow, summarise
from tinyfuse.report.tables import common_letters, legend, markdown_table, print_summary, summary_table
from tinyfuse.results import Row


def plain_table(lines: list[SummaryRow], *, failed: Sequence[Row] = ()) -> str:
    """The table as text, as a pipe gets it."""
    console = Console(file=io.StringIO(), width=200, no_color=True, highlight=False)
    with console.capture() as capture:
        print_summary(lines, failed=failed, console=console)
    return "\n".join(text.rstrip() for text in capture.get().splitlines()) + "\n"


@pytest.fixture(scope="module")
def lines(rows: list[Row]) -> list[SummaryRow]:
    """The summary of the made-up run."""
    return summarise(rows)


def test_every_recipe_and_every_failure_has_a_line(rows: list[Row], lines: list[SummaryRow]) -> None:
    """37 lines, 5 of them float, plus the failed recipe with its reason."""
    failed = [row for row in rows if row["kind"] == "failed"]
    text = plain_table(lines, failed=failed)
    assert len(lines) == 37
    for line in lines:
        assert any(line.model in row and line.precision in row for row in text.splitlines()), line
    assert "failed in quantize: conv2d_7: 1 channel uses 1 of 31 codes" in text


def test_a_line_of_the_plain_table(lines: list[SummaryRow]) -> None:
    """Values in their columns, in the units of the heading."""
    line = next(line for line in lines if (line.model, line.precision) == ("late", "image6-audio9-shared8"))
    text = plain_table(lines)
    row = next(row for row in text.splitlines() if "late" in row and line.precision in row)
    assert line.clean_float and line.clean_integer and line.packed_bytes and line.arena_bytes
    both = f"{100 * line.robust_float['both'].value:.1f} | {100 * line.robust_integer['both'].value:.1f}"
    assert f"{line.packed_bytes / 1024:.1f}" in row and f"{line.arena_bytes / 1024:.1f}" in row and "7.6/8" in row
    assert f"{100 * line.clean_float.value:.1f} → {100 * line.clean_integer.value:.1f}" in row and both in row
    assert "12.5" in row and "KiB" in text and "\x1b" not in text


def test_the_caption_says_what_the_numbers_are(lines: list[SummaryRow]) -> None:
    """Budget, sample counts and the letters of all lines."""
    text = " ".join(plain_table(lines).split())
    assert "worst case at ε=0.05, n=100" in text and "clean: n=100" in text
    assert "flags NST hold for every integer line" in text


def test_common_letters_are_not_repeated(rows: list[Row], lines: list[SummaryRow]) -> None:
    """Letters on every integer line appear once below, the others in the line; none is lost."""
    common = set(common_letters(lines))
    assert common == {"N", "S", "T"}
    flagged = next(line for line in lines if set(line.flags) - common and line.precision != "float")
    row = next(row for row in plain_table(lines).splitlines() if flagged.model in row and flagged.precision in row)
    assert row.split()[-1] == "".join(letter for letter in flagged.flags if letter not in common)
    explained = {sentence[0] for sentence in legend(run_checks(rows))}
    assert explained == {letter for line in lines for letter in line.flags}


@pytest.mark.parametrize("width", [200, 140, 120, 100])
def test_narrow_terminals_lose_whole_columns_not_digits(lines: list[SummaryRow], width: int) -> None:
    """Columns go in a fixed order and the caption names them; nothing is cut inside a number."""
    console = Console(file=io.StringIO(), width=width, force_terminal=True, no_color=True)
    with console.capture() as capture:
        print_summary(lines, console=console)
    text = re.sub(r"\x1b\[[\d;]*m", "", capture.get())
    assert "…" not in text
    assert ("columns left out for lack of width: MMAC" in " ".join(text.split())) == (width <= 120)
    if width >= 120:
        assert "image6-audio9-shared8" in text


def test_hostile_names_are_not_markup() -> None:
    """Rich markup and control sequences in a name stay text."""
    line = SummaryRow(model="[red]x[/red]", precision="[/]", seed=0, epsilon=None)
    assert "[red]x[/red]" in plain_table([line])


def test_markdown_has_the_same_number_of_cells_everywhere(lines: list[SummaryRow]) -> None:
    """The bar between float and integer must not become a cell border."""
    table = markdown_table(lines).splitlines()
    cells = {row.replace("\\|", "").count("|") for row in table}
    assert len(table) == len(lines) + 2 and len(cells) == 1


def test_seeds_get_a_column_when_there_are_several() -> None:
    """Otherwise it would only take space."""
    one = SummaryRow(model="m", precision="w8", seed=0, epsilon=None)
    assert "seed" not in plain_table([one])
    assert "seed" in plain_table([one, SummaryRow(model="m", precision="w8", seed=1, epsilon=None)])


def test_an_empty_table_is_no_crash() -> None:
    """Nothing evaluated yet."""
    assert "model" in plain_table([])
    assert summary_table([], width=80).row_count == 0
