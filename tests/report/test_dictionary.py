"""The dictionary of columns and fields: complete, and printed in the documents as it is."""

from __future__ import annotations

import csv
import re
from pathlib import Path

import pytest

from tinyfuse.cli import main as cli
from tinyfuse.core.results import Row
from tinyfuse.core.schema import MEANINGS, SCHEMAS
from tinyfuse.report.dictionary import dictionary
from tinyfuse.report.tables import write_csv
from tinyfuse.report.view import view_of

PAGE = Path(__file__).resolve().parents[2] / "docs" / "rows.md"


def test_the_document_is_current(capsys: pytest.CaptureFixture[str]) -> None:
    """Write it again with ``tinyfuse report --columns`` below its introduction."""
    assert cli.main(["report", "--columns"]) == 0
    assert capsys.readouterr().out == dictionary()
    assert PAGE.read_text(encoding="utf-8").endswith(dictionary())


def test_every_field_of_every_kind_of_row_has_a_meaning() -> None:
    assert {kind: set(found) | {"kind"} for kind, found in MEANINGS.items()} == {
        kind: set(schema) for kind, schema in SCHEMAS.items()}
    assert all(len(text) > 1 for found in MEANINGS.values() for text in found.values())


def test_every_column_of_a_summary_is_in_it(rows: list[Row], tmp_path: Path) -> None:
    """Names of inputs stand for MODE and BRANCH."""
    write_csv(tmp_path / "summary.csv", view_of(rows[:150]).summary)
    named = set(re.findall(r"^\| `(\w+)` \|", dictionary(), flags=re.MULTILINE))
    patterns = [re.compile(re.sub("MODE|BRANCH", r"\\w+?", name)) for name in named]
    with (tmp_path / "summary.csv").open(newline="") as handle:
        columns = next(csv.reader(handle))
    assert [one for one in columns if not any(pattern.fullmatch(one) for pattern in patterns)] == []
