"""Rows, budgets and shares in words, for the sentences of the checks."""

from __future__ import annotations

from tinyfuse.checks.line_rows import Budget, gradient_free, mode_of
from tinyfuse.core.results import Row


def describe(row: Row) -> str:
    """Name attack, attacked inputs, criterion and executor of a row."""
    return f"{row['attack']['name']} on {mode_of(row)}, {row['criterion']}, {row['executor']}"


def origin(row: Row) -> str:
    """Name what made the inputs of a row: a search without gradients, or whose gradients."""
    return str(row["attack"]["name"]) if gradient_free(row) else f"gradients of {row['source']}"


def budget_text(budget: Budget) -> str:
    """Name the attacked inputs with their ε."""
    return " and ".join(f"{name} ε={size:g}" for name, size in budget if size) or "ε=0"


def where(probe: Row) -> str:
    """Quote the detail of a probe in brackets, for the end of a sentence."""
    return f" ({probe['detail']})" if probe["detail"] else ""


def points(share: float) -> str:
    """Write a difference of shares in points."""
    return f"{100 * share:.1f} points"
