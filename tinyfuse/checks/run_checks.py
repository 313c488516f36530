"""Checks that say when a robustness figure should not be trusted (Carlini et al. 2019; AutoAttack's flags).

Each check is a small function in checklist/, from the rows of one line of the table to an answer, registered under a
letter. The tables print the letters of errors and warnings; the report prints every sentence; errors end a run with
their own exit code.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from tinyfuse.checks.line_rows import Evidence, Line, by_line, clean_survivors, survivors_of
from tinyfuse.checks.probe_names import PROBES
from tinyfuse.checks.registry import CHECKS, NO_MEANING, POINTS, Answer, Check, Finding, Missing
from tinyfuse.core.results import Row

__all__ = ["CHECKS", "LEVELS", "POINTS", "PROBES", "Check", "Flag", "Gap", "by_line", "clean_survivors", "coverage",
           "gate", "letters", "run_checks", "survivors_of"]

LEVELS = {"E": "error", "W": "warning", "I": "information"}
_RESULTS = ("D",)  # a large loss of clean accuracy is a result, not a fault of its measurement


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

    @property
    def everywhere(self) -> bool:
        """Whether no line has the evidence."""
        return len(self.lines) == self.total

    def text(self) -> str:
        """One line for a report."""
        on = "" if self.everywhere else f" on {len(self.lines)} of {self.total} lines"
        return f"point {self.check.number}, {self.check.name} ({self.check.code}): {self.reason}{on}"


def run_checks(rows: Iterable[Row]) -> list[Flag]:
    """Run every registered check on every (model, precision, seed); errors come first."""
    flags = [Flag(check.code, answer.level, *evidence.line, answer.text)
             for evidence, check, answer in _answers(rows) if isinstance(answer, Finding)]
    return sorted(flags, key=lambda flag: list(LEVELS).index(flag.level))


def coverage(rows: Iterable[Row]) -> list[Gap]:
    """The checks that could not be made for lack of evidence, in the order of the checklist.

    A check without meaning for a line (both modalities of a network with one input) is no gap. Without rows every
    check is one.
    """
    asked: dict[str, list[tuple[Line, Answer]]] = {code: [] for code in CHECKS}
    for evidence, check, answer in _answers(rows):
        if answer != NO_MEANING:
            asked[check.code].append((evidence.line, answer))
    if not any(asked.values()):
        return [Gap(check, "no rows", (), 0) for check in _in_order()]
    gaps = []
    for check in _in_order():
        missing = [(line, answer.reason) for line, answer in asked[check.code] if isinstance(answer, Missing)]
        if missing:
            gaps.append(Gap(check, missing[0][1], tuple(line for line, _ in missing), len(asked[check.code])))
    return gaps


def gate(flags: Iterable[Flag]) -> list[Flag]:
    """The errors: findings with which a figure must not be used.

    A large loss of clean accuracy is an error of the model, not of its evaluation, and is left out.
    """
    return [flag for flag in flags if flag.level == "E" and flag.code not in _RESULTS]


def letters(flags: Iterable[Flag], line: Line) -> tuple[str, ...]:
    """The sorted letters of the errors and warnings of one line."""
    return tuple(sorted({flag.code for flag in flags if flag.line == line and flag.level != "I"}))


def _answers(rows: Iterable[Row]) -> Iterator[tuple[Evidence, Check, Answer]]:
    lines = by_line(rows)
    seeds: dict[tuple[str, str], int] = defaultdict(int)
    for model, precision, _ in lines:
        seeds[model, precision] += 1
    for line, found in lines.items():
        model, precision, seed = line
        evidence = Evidence(line, found, lines.get((model, "float", seed), []), seeds[model, precision])
        for check in CHECKS.values():
            yield evidence, check, check.find(evidence)


def _in_order() -> list[Check]:
    return sorted(CHECKS.values(), key=lambda check: check.number)
