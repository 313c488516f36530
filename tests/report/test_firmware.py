"""Flash, RAM and instructions in tables, page and CSV, and what is said where they were not measured."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path

import pytest
from row_makers import firmware

from tinyfuse.checks.firmware_cost import FirmwareCost
from tinyfuse.core.results import Row
from tinyfuse.report import markdown_table, render
from tinyfuse.report.columns import COLUMNS, Column, columns_for
from tinyfuse.report.summary import SummaryRow, summarise
from tinyfuse.report.vocabulary import firmware_notes, mismatches
from tinyfuse.study.latest_rows import latest_rows

pytestmark = pytest.mark.usefixtures("undrawn")

FILE = {"file_sha256": "ab" * 32, "data_checksum": "data0"}


def measured(rows: list[Row]) -> list[Row]:
    """Firmware rows of both cores for every integer model of the made-up run but late w9."""
    lines = [(row["model"], row["precision"]) for row in rows if row["kind"] == "model" and row["precision"] != "float"]
    return [firmware(precision, core, model=model, **FILE) for model, precision in lines
            if (model, precision) != ("late", "w9") for core in ("m4", "m55")]


def line_of(lines: list[SummaryRow], model: str, precision: str) -> SummaryRow:
    return next(line for line in lines if (line.model, line.precision) == (model, precision))


def columns(lines: list[SummaryRow]) -> list[Column]:
    """The columns of the firmware."""
    names = ("flash_bytes", "ram_bytes", "instructions_m4", "instructions_m55")
    return [column for column in columns_for(lines, COLUMNS) if column.name in names]


def heads(lines: list[SummaryRow]) -> list[tuple[str, str]]:
    return [(column.title, column.unit) for column in columns(lines)]


def lacking(reason: str) -> Row:
    return {"kind": "failed", "key": "1" * 16, "model": "late", "precision": "w9", "stage": "firmware",
            "reason": reason, "seed": 0, "data_checksum": "data0"}


def test_cells_are_those_of_the_rows(rows: list[Row]) -> None:
    """A dash where there is no integer model, n/m where it was not measured."""
    lines = summarise([*rows, *measured(rows)])
    assert heads(lines) == [("flash", "KiB"), ("RAM", "KiB"), ("M4", "Minstr"), ("M55", "Minstr")]
    texts = {name: [column.cell(line_of(lines, *name)) for column in columns(lines)]
             for name in (("late", "w8"), ("late", "w9"), ("late", "float"))}
    assert texts["late", "w8"] == ["68.4", "20.0", "13.0", "5.0"]
    assert texts["late", "w9"] == ["n/m"] * 4 and texts["late", "float"] == ["–"] * 4


def test_one_core_alone_gives_what_it_can(rows: list[Row]) -> None:
    """Flash and RAM are then those of the M55, and the legend says so."""
    lines = summarise([*rows, *(row for row in measured(rows) if row["core"] == "m55")])
    assert heads(lines) == [("flash", "KiB"), ("RAM", "KiB"), ("M55", "Minstr")]
    assert "tables of the exported firmware for M55" in " ".join(firmware_notes(lines))


def test_without_a_measurement_there_is_a_sentence_and_no_column(rows: list[Row]) -> None:
    lines = summarise(rows)
    assert heads(lines) == [] and "flash KiB" not in markdown_table(lines)
    assert "flash, RAM and instructions of the firmware: not measured (this needs" in markdown_table(lines)
    assert firmware_notes([line for line in lines if line.precision == "float"]) == []


def test_the_reason_is_in_the_legend(rows: list[Row]) -> None:
    known = [*rows, lacking("operator LOGISTIC has no firmware kernel")]
    assert "n/m = not measured: late w9: operator LOGISTIC has no" in " ".join(firmware_notes(summarise(
        [*known, *measured(rows)])))
    assert "not measured (late w9: operator LOGISTIC" in " ".join(firmware_notes(summarise(known)))


def test_a_figure_of_an_earlier_file_does_not_count(rows: list[Row]) -> None:
    """The network was trained again, on a machine without an emulator."""
    lines = summarise([*rows, firmware("w8", model="late", data_checksum="data0", file_sha256="earlier")])
    assert line_of(lines, "late", "w8").firmware == FirmwareCost()


def test_firmware_that_is_not_tflite_micro_has_no_figures(rows: list[Row], make_run: Callable[..., Path]) -> None:
    """It stands above all numbers instead."""
    wrong = firmware("w9", model="late", differing=2, **FILE)
    lines = summarise([*rows, *measured(rows), wrong])
    assert line_of(lines, "late", "w9").firmware == FirmwareCost(
        problem="the firmware on m4 is not TFLite Micro: 2 of 30 output codes differ", exact=False)
    assert mismatches(lines) == [
        "late w9: the firmware on m4 is not TFLite Micro: 2 of 30 output codes differ"]
    page = render(make_run([*(row for row in rows if row["model"] == "late"), wrong])).read_text("utf-8")
    assert page.index("Do not use these figures") < page.index(mismatches(lines)[0]) < page.index("Which bits should")


def test_page_and_csv_have_the_columns(rows: list[Row], make_run: Callable[..., Path]) -> None:
    """Every heading's number points at a cell; sizes in bytes in the CSV beside those of TFLite Micro."""
    mine = [row for row in rows if row["model"] in ("late", "audio")]
    run = make_run([*mine, *measured(mine)])
    page = render(run).read_text("utf-8")
    table = page[page.index('<table class="sortable">'):]
    head, body = table[:table.index("<tbody>")], table[table.index("<tbody>"):table.index("</tbody>")]
    assert head.count("data-column=") == 27 and 'data-column="26"' in head
    assert {row.count("<td") for row in body.split("<tr")[1:] if "failed" not in row} == {27}
    assert "M4, M55 Minstr: millions of instructions" in page and "<dt>flash</dt><dd>68.4 KiB</dd>" in page
    with (run / "summary.csv").open(newline="") as handle:
        lines = {(line["model"], line["precision"]): line for line in csv.DictReader(handle)}
    names = ("flash_bytes", "ram_bytes", "instructions_m4", "instructions_m55")
    assert [lines["late", "w8"][name] for name in names] == ["70000", "20480", "13000000", "5000000"]
    assert [lines["late", "w9"][name] for name in names] == [""] * 4
    assert lines["late", "w8"]["stored_bytes"] and lines["late", "w8"]["arena_bytes"]


@pytest.mark.parametrize("core", ["m4", "m55"])
def test_the_last_measurement_counts(rows: list[Row], core: str) -> None:
    again = firmware("w8", core, model="late", instructions=7, runtime_sha256="newer", **FILE)
    kept, notes_ = latest_rows([*rows, *measured(rows), again])
    assert [note.split()[0] for note in notes_] == ["1"]
    cost = line_of(summarise(kept), "late", "w8").firmware
    assert cost is not None and cost.instructions[core] == 7 and len(cost.instructions) == 2
