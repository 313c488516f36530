"""Short ways to ask the checks, for the tests."""

from __future__ import annotations

from collections.abc import Sequence

from tinyfuse.checks.run_checks import Flag, coverage, run_checks
from tinyfuse.core.results import Row

YES = [1] * 10
EARLY = ("early", "float", 0)


def found(rows: Sequence[Row], code: str) -> list[Flag]:
    """The flags with this letter."""
    return [flag for flag in run_checks(rows) if flag.code == code]


def levels(rows: Sequence[Row], code: str) -> list[str]:
    """The levels of the flags with this letter."""
    return [flag.level for flag in found(rows, code)]


def reasons(rows: Sequence[Row]) -> dict[str, str]:
    """The gaps in the evidence by letter."""
    return {gap.check.code: gap.reason for gap in coverage(rows)}


def first(count: int, n: int = 10) -> list[int]:
    """The first ``count`` samples survive."""
    return [1] * count + [0] * (n - count)
