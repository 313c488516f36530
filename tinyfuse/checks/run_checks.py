"""Checks that say when a robustness figure should not be trusted (Carlini et al. 2019; AutoAttack's flags).

Each check is a small function from the rows of one line of the table to an answer. Tables print the letters of errors
and warnings, the report prints every sentence, and errors end a run with their own exit code.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from tinyfuse.checks import certificates, collapse, executors, figures, gradients, strength
from tinyfuse.checks.line_rows import Line, LineRows, by_line
from tinyfuse.checks.registry import CHECKS, NO_MEANING, Answer, Check, Finding, Missing
from tinyfuse.core.results import Row

__all__ = ["CHECKS", "GATING", "LEVELS", "Check", "Flag", "Gap", "certificates", "collapse", "coverage", "executors",
           "figures", "gate", "gradients", "letters", "lost_models", "run_checks", "strength"]

LEVELS = {"E": "error", "W": "warning", "I": "information"}
_RESULTS = ("D", "Co")  # a loss of clean accuracy or of an input is an error of the model, not of its evaluation
GATING = tuple(sorted(check.code for check in CHECKS.values() if check.level == "E" and check.code not in _RESULTS))
"""Checks whose errors end a command with exit code 4."""


@dataclass(frozen=True)
class Flag:
    """One finding about one line: a letter, a level ("E", "W" or "I") and one sentence with the numbers."""

    code: str
    level: str
    model: str
    precision: str
    seed: int
    text: str

    @property
    def line(self) -> Line:
        """The line that the flag is about."""
        return self.model, self.precision, self.seed


@dataclass(frozen=True)
class Gap:
    """A check that could not be made on ``lines``, of ``total`` where it has a meaning; why on the first of them."""

    check: Check
    reason: str
    lines: tuple[Line, ...]
    total: int

    def text(self) -> str:
        """Say it in one line for a report."""
        on = "" if len(self.lines) == self.total else f" on {len(self.lines)} of {self.total} lines"
        return f"point {self.check.number}, {self.check.name} ({self.check.code}): {self.reason}{on}"


def run_checks(rows: Iterable[Row]) -> list[Flag]:
    """Run every registered check on every (model, precision, seed); errors come first."""
    flags = [Flag(check.code, answer.level, *line, answer.text) for line, check, answer in _answers(rows)
             if isinstance(answer, Finding)]
    return sorted(flags, key=lambda flag: list(LEVELS).index(flag.level))


def coverage(rows: Iterable[Row]) -> list[Gap]:
    """List the checks that could not be made for lack of evidence, in the order of the checklist.

    A check without meaning for a line (several attacked inputs of a network with one) is no gap. Without rows every
    check is one.
    """
    answers: dict[str, list[tuple[Line, Answer]]] = {code: [] for code in CHECKS}
    for line, check, answer in _answers(rows):
        if answer != NO_MEANING:
            answers[check.code].append((line, answer))
    nothing = not any(answers.values())
    gaps = []
    for check in sorted(CHECKS.values(), key=lambda check: check.number):
        missing = [(line, answer.reason) for line, answer in answers[check.code] if isinstance(answer, Missing)]
        if missing or nothing:
            reason = "no rows" if nothing else missing[0][1]
            gaps.append(Gap(check, reason, tuple(line for line, _ in missing), len(answers[check.code])))
    return gaps


def gate(flags: Iterable[Flag]) -> list[Flag]:
    """Select the errors: findings with which a figure must not be used; that a model is bad is none."""
    return [flag for flag in flags if flag.level == "E" and flag.code not in _RESULTS]


def lost_models(flags: Iterable[Flag]) -> list[Flag]:
    """Select the errors that are results: models that lost so much clean accuracy, or an input, that nobody should."""
    return [flag for flag in flags if flag.level == "E" and flag.code in _RESULTS]


def letters(flags: Iterable[Flag], line: Line) -> tuple[str, ...]:
    """Sort the letters of the errors and warnings of one line."""
    return tuple(sorted({flag.code for flag in flags if flag.line == line and flag.level != "I"}))


def _answers(rows: Iterable[Row]) -> Iterator[tuple[Line, Check, Answer]]:
    """What every check says about every line."""
    lines = by_line(rows)
    seeds = Counter((model, precision) for model, precision, _ in lines)
    for line, found in lines.items():
        model, precision, seed = line
        evidence = LineRows(*line, found, lines.get((model, "float", seed), []), seeds[model, precision])
        for check in CHECKS.values():
            yield line, check, check.find(evidence)
