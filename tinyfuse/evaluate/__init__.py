"""Evaluation: sweeps over models and attacks, statistics on their rows, and the checks that question them."""

from __future__ import annotations

from tinyfuse.evaluate.checks import CHECKS, LEVELS, Check, Flag, run_checks
from tinyfuse.evaluate.statistics import accuracy_fields, mcnemar, wilson
from tinyfuse.evaluate.summary import (
    Accuracy,
    CurvePoint,
    SummaryRow,
    current_rows,
    judge_of,
    last_iterate,
    reference_epsilon,
    summarise,
    worst_case,
    write_csv,
)

__all__ = [
    "CHECKS",
    "LEVELS",
    "Accuracy",
    "Check",
    "CurvePoint",
    "Flag",
    "SummaryRow",
    "accuracy_fields",
    "current_rows",
    "judge_of",
    "last_iterate",
    "mcnemar",
    "reference_epsilon",
    "run_checks",
    "summarise",
    "wilson",
    "worst_case",
    "write_csv",
]
