"""Evaluation: sweeps over models and attacks, statistics on their rows, and the checks that question them."""

from __future__ import annotations

from tinyfuse.evaluate.checks import CHECKS, LEVELS, Check, Flag, coverage, gate, run_checks
from tinyfuse.evaluate.current import current_rows
from tinyfuse.evaluate.statistics import accuracy_fields, mcnemar, paired_difference, ratio, wilson
from tinyfuse.evaluate.summary import (
    Accuracy,
    CurvePoint,
    SummaryRow,
    judge_of,
    last_iterate,
    reference_epsilon,
    summarise,
    worst_case,
)
from tinyfuse.evaluate.summary_csv import write_csv

__all__ = [
    "CHECKS",
    "LEVELS",
    "Accuracy",
    "Check",
    "CurvePoint",
    "Flag",
    "SummaryRow",
    "accuracy_fields",
    "coverage",
    "current_rows",
    "gate",
    "judge_of",
    "last_iterate",
    "mcnemar",
    "paired_difference",
    "ratio",
    "reference_epsilon",
    "run_checks",
    "summarise",
    "wilson",
    "worst_case",
    "write_csv",
]
