"""Rows as a pandas DataFrame, if pandas is installed: one line for each row, one column for each plain value."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from tinyfuse.core.errors import UsageError

if TYPE_CHECKING:
    from pandas import DataFrame


def frame(rows: Iterable[Mapping[str, Any]]) -> DataFrame:
    """Return ``rows`` as a DataFrame, in their order; UsageError without pandas.

    A column has the name of the field. Of a table it is one for each key, ``budget.mic``; a list of names is one text,
    ``camera+mic``. What a row does not have is missing in it. docs/rows.md says what the fields mean.
    """
    try:
        import pandas
    except ImportError as error:
        raise UsageError("tables of results are DataFrames of pandas, which is not installed: pip install pandas (or "
                         "tinyfuse[notebook]); `.rows` holds the same as plain dictionaries") from error
    return pandas.DataFrame([flat(row) for row in rows])


def flat(row: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return ``row`` with plain values alone: tables by their keys behind dots, lists as one text joined by +."""
    found: dict[str, Any] = {}
    for name, value in row.items():
        if isinstance(value, Mapping):
            found |= flat(value, f"{prefix}{name}.")
        elif isinstance(value, (list, tuple)):
            found[prefix + name] = "+".join(map(str, value))
        else:
            found[prefix + name] = value
    return found
