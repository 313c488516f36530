"""The rows of a run, or the lines of its summary, as a DataFrame."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from tinyfuse.core.errors import UsageError, nearest
from tinyfuse.core.frames import frame
from tinyfuse.core.results import ResultStore
from tinyfuse.core.schema import SCHEMAS
from tinyfuse.report.tables import plain_lines
from tinyfuse.report.view import load

if TYPE_CHECKING:
    from pandas import DataFrame

SUMMARY = "summary"


def read(run: str | Path, kind: str = "") -> DataFrame:
    """Read a bench run or a selection (its folder, or a file of rows), finished or not, as a pandas DataFrame.

    ``kind``: "summary" gives the lines of ``summary.csv``; "attack", "clean", "model", "firmware", "parity" or another
    kind the rows of ``results.jsonl`` of that kind; all rows without one. docs/rows.md lists the columns.
    """
    if kind and kind not in (SUMMARY, *SCHEMAS):
        raise UsageError(f"no row kind '{kind}'{nearest(kind, [SUMMARY, *SCHEMAS])}; give one of "
                         f"{', '.join([SUMMARY, *SCHEMAS])}")
    path = Path(run)
    if kind == SUMMARY:
        return frame(plain_lines(load(path).summary))
    rows = path / "results.jsonl" if path.is_dir() else path
    if not rows.exists():
        raise UsageError(f"{rows} is not there; give the folder of a run, or a file of rows")
    return frame(ResultStore(rows).rows(kind or None))
