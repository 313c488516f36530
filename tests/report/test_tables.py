"""The table on the terminal, in a pipe and in Markdown."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from pages import Page
from rich.console import Console
from row_makers import model, outcome

from tinyfuse.checks.run_checks import Flag, run_checks
from tinyfuse.core.results import Row
from tinyfuse.report.bench_page import render_page
from tinyfuse.report.columns import COLUMNS, Column, columns_for
from tinyfuse.report.summary import SummaryRow, summarise
from tinyfuse.report.tables import flag_sentences, markdown_table, print_summary, summary_table, write_csv
from tinyfuse.report.view import view_of
from tinyfuse.report.vocabulary import common_letters, integer_judge
from tinyfuse.study.worst_case import Accuracy

pytestmark = pytest.mark.usefixtures("undrawn")


def plain_table(lines: list[SummaryRow], *, failed: Sequence[Row] = (), scope: str = "") -> str:
    """The table as text, as a pipe gets it."""
    console = Console(file=io.StringIO(), width=200, no_color=True, highlight=False)
    with console.capture() as capture:
        print_summary(lines, failed=failed, scope=scope, console=console)
    return "\n".join(text.rstrip() for text in capture.get().splitlines()) + "\n"


def robust(line: SummaryRow) -> tuple[dict[str, Accuracy], ...]:
    """Float, G, R and transfer by modality."""
    return line.robust_float, line.robust_integer, line.robust_real, line.transfer


@pytest.fixture(scope="module")
def lines(rows: list[Row]) -> list[SummaryRow]:
    """The summary of the made-up run."""
    return summarise(rows)


def test_every_recipe_and_every_failure_has_a_line(rows: list[Row], lines: list[SummaryRow]) -> None:
    """19 lines, 3 of them float, plus the failed recipe with its reason."""
    failed = [row for row in rows if row["kind"] == "failed"]
    text = plain_table(lines, failed=failed)
    assert len(lines) == 19
    for line in lines:
        assert any(line.model in row and line.precision in row for row in text.splitlines()), line
    assert "failed in quantize: conv2d_7: 1 channel uses 1 of 31 codes" in text


def test_a_line_of_the_plain_table(lines: list[SummaryRow]) -> None:
    """Values in their columns, in the units of the heading."""
    line = next(line for line in lines if (line.model, line.precision) == ("late", "image6-audio9-shared8"))
    text = plain_table(lines)
    row = next(row for row in text.splitlines() if "late" in row and line.precision in row)
    assert line.clean_float and line.clean_integer and line.packed_bytes and line.arena_bytes
    values = [found["all"].value for found in robust(line)]
    both = "{:.1f} → {:.1f} {:.1f} {:.1f}".format(*(100 * value for value in values))
    assert len(set(values)) == 4 and "float → G R T" in text
    assert f"{line.packed_bytes / 1024:.1f}" in row and f"{line.arena_bytes / 1024:.1f}" in row and "7.6/8" in row
    assert f"{100 * line.clean_float.value:.1f} → {100 * line.clean_integer.value:.1f}" in row and both in row
    assert "12.5" in row and "KiB" in text and "\x1b" not in text


def test_the_caption_says_what_the_numbers_are(rows: list[Row], lines: list[SummaryRow]) -> None:
    """Data, seed, budget, sample counts, intervals, executor with its proof, threat models, letters of all lines."""
    view = view_of(rows)
    text = " ".join(plain_table(lines, scope=view.scope).split())
    for needed in ("embedded, official split, test part, L∞, training seed 0", "worst case at ε=0.05", "n=100",
                   "clean %: n=100", "twin (= TFLite Micro, 4,800 inputs re-run, 0 differing)", "G = the adversary",
                   "R = the adversary changes real values", "T = transfer", "flags NS hold for every integer line"):
        assert needed in text, needed
    widest = max(accuracy.high - accuracy.low for line in lines for found in robust(line)
                 for accuracy in found.values())
    assert f"widest 95 % interval ±{50 * widest:.1f} points" in text


def test_the_executor_is_never_called_exact_without_proof(lines: list[SummaryRow]) -> None:
    """No parity rows, parity of some models only, and a difference each say so."""
    integers = [line for line in lines if line.precision != "float"]
    assert integer_judge([replace(line, rerun=0) for line in integers]) == "twin (not compared with TFLite Micro here)"
    some = [replace(integers[0], rerun=0), *integers[1:]]
    assert integer_judge(some) == "twin (= TFLite Micro, 4,500 inputs re-run on 15 of 16 models, 0 differing)"
    wrong = [replace(integers[0], differing=7), *integers[1:]]
    assert integer_judge(wrong) == "twin (NOT TFLite Micro: 7 output codes differ on 4,800 inputs re-run)"


def test_what_was_not_measured_has_no_place_in_the_header() -> None:
    """In L2 there is no R; before any attack there are no robust columns."""
    accuracy = Accuracy(0.5, 0.4, 0.6, 100)
    line = SummaryRow(model="m", precision="w8", seed=0, epsilon=0.1, inputs=("image",), executor="twin",
                      robust_float={"image": accuracy},
                      robust_integer={"image": accuracy}, transfer={"image": accuracy})
    text = plain_table([line])
    assert "float → G T" in text and "50.0 → 50.0 50.0" in text and "R = " not in text
    assert "G = " not in plain_table([SummaryRow(model="m", precision="w8", seed=0, epsilon=None)])


def test_common_letters_are_not_repeated(rows: list[Row], lines: list[SummaryRow]) -> None:
    """Letters on every integer line appear once below, the others in the line; none is lost."""
    common = set(common_letters(lines))
    assert common == {"N", "S"}
    flagged = next(line for line in lines if set(line.flags) - common and line.precision != "float")
    row = next(row for row in plain_table(lines).splitlines() if flagged.model in row and flagged.precision in row)
    assert row.split()[-1] == "".join(letter for letter in flagged.flags if letter not in common)
    explained = {sentence.split()[0] for _, sentence in flag_sentences(run_checks(rows))}
    assert explained == {letter for line in lines for letter in line.flags}


def test_errors_come_first_in_the_legend() -> None:
    """And the example is one of the errors, where a letter has both."""
    flags = [Flag("K", "W", "m", "w8", 0, "a warning"), Flag("Y", "E", "m", "w8", 0, "codes differ"),
             Flag("D", "W", "m", "w6", 0, "by 1 point"), Flag("D", "E", "m", "w7", 0, "by 20 points")]
    sentences = [sentence for _, sentence in flag_sentences(flags)]
    assert [sentence.split()[0] for sentence in sentences] == ["D", "Y", "K"] and "by 20 points" in sentences[0]


@pytest.mark.parametrize("width", [200, 160, 120, 100])
def test_narrow_terminals_lose_tenths_and_columns_but_no_digits(lines: list[SummaryRow], width: int) -> None:
    """First tenths of robust accuracies, then columns in a fixed order; the caption names them; no line is longer."""
    console = Console(file=io.StringIO(), width=width, force_terminal=True, no_color=True)
    with console.capture() as capture:
        print_summary(lines, console=console)
    text = re.sub(r"\x1b\[[\d;]*m", "", capture.get())
    assert "…" not in text and max(len(row) for row in text.splitlines()) <= width
    rounded = "robust % rounded for lack of width" in text
    assert rounded == (width <= 120) and ("columns left out for lack of width: MMAC" in text) == (width <= 120)
    line = next(line for line in lines if (line.model, line.precision) == ("late", "w8"))
    values = [found["image"].value for found in robust(line)]
    before, *after = (f"{100 * value:.{0 if rounded else 1}f}" for value in values)
    assert f"{before} → {' '.join(after)}" in text
    if width >= 120:
        assert "image6-audio9-shared8" in text


def test_hostile_names_are_not_markup() -> None:
    """Rich markup and control sequences in a name stay text."""
    line = SummaryRow(model="[red]x[/red]", precision="[/]", seed=0, epsilon=None)
    assert "[red]x[/red]" in plain_table([line])


def test_markdown_is_one_table_and_one_paragraph(lines: list[SummaryRow]) -> None:
    """The same number of cells everywhere; the paragraph names executor, threat models, samples and intervals."""
    table, notes = markdown_table(lines, scope="embedded, official split").split("\n\n")
    rows = table.splitlines()
    assert len(rows) == len(lines) + 2 and len({row.count("|") for row in rows}) == 1
    assert "all attacked % float → G / R / T" in rows[0] and re.search(r"\d → \d+\.\d / \d+\.\d / \d+\.\d \|", rows[-1])
    assert notes.startswith("Note: embedded, official split") and notes.count("\n") == 1
    for needed in ("twin (= TFLite Micro", "n=100", "95 % interval", "G = ", "R = ", "T = ", "`*` = Pareto"):
        assert needed in notes, needed


def test_seeds_get_a_column_when_there_are_several() -> None:
    """Otherwise it would only take space."""
    one = SummaryRow(model="m", precision="w8", seed=0, epsilon=None)
    two = [one, replace(one, seed=1)]
    assert "seed" not in [column.title for column in columns_for([one], COLUMNS)]
    assert "seed" in [column.title for column in columns_for(two, COLUMNS)]
    assert "training seed 0" in plain_table([one]) and "training seeds 0, 1" in plain_table(two)


def test_a_new_column_is_one_entry(rows: list[Row], lines: list[SummaryRow], tmp_path: Path) -> None:
    """It appears on the terminal, in Markdown, in summary.csv and on the page, with its meaning."""
    column = Column("letters", "count", lambda line: len(line.precision), lambda count: f"{count} of them",
                    "letters of the recipe's name", "name_length")
    COLUMNS.append(column)
    try:
        write_csv(tmp_path / "summary.csv", lines)
        texts = plain_table(lines), markdown_table(lines), Page(render_page(view_of(rows))).text
        page = render_page(view_of(rows))
    finally:
        COLUMNS.remove(column)
    with (tmp_path / "summary.csv").open(newline="") as handle:
        assert [line["name_length"] for line in csv.DictReader(handle)] == [str(len(line.precision)) for line in lines]
    assert all("letters" in text and "21 of them" in text for text in texts)
    assert 'title="letters of the recipe&#39;s name"' in page and 'data-sort="21"' in page


def test_columns_follow_the_inputs_of_the_rows(tmp_path: Path) -> None:
    """Three inputs: widths of four branches and accuracies in four modes, in summary.csv and on the terminal."""
    inputs = {"camera": 1.0, "mic": 4.0, "imu": 2.0}
    rows: list[Row] = [model("w6", bits={"camera": 6.0, "mic": 5.0, "imu": 4.0, "shared": 8.0})]
    for precision in ("float", "w6"):
        rows.append(outcome([1, 1, 1], precision=precision, inputs=inputs))
        for attacked in (["mic"], ["camera", "mic", "imu"]):
            rows.append(outcome([1, 0, 1], precision=precision, inputs=inputs, attacked=attacked, epsilon=0.1,
                                threat="codes" if precision == "w6" else "real", source=precision))
    found = summarise(rows)
    write_csv(tmp_path / "summary.csv", found)
    names = (tmp_path / "summary.csv").read_text().splitlines()[0].split(",")
    assert [name for name in names if name.startswith("bits_")] == [
        "bits_camera", "bits_mic", "bits_imu", "bits_shared"]
    assert [name for name in names if name.startswith("ratio_")] == [
        "ratio_robust_camera", "ratio_robust_mic", "ratio_robust_imu", "ratio_robust_all"]
    text = " ".join(plain_table(found).split())
    assert "mic all" in text and "camera attacked" not in text and "66.7 → 66.7" in text
    assert "with mic or all inputs attacked" in text


def test_an_empty_table_is_no_crash() -> None:
    """Nothing evaluated yet."""
    assert "model" in plain_table([])
    assert summary_table([], width=80).row_count == 0
