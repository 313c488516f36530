"""What the checks look at: all rows of one line of the table, and the sets of samples that they hold."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from tinyfuse.attacks.registry import GRADIENT_FREE
from tinyfuse.core.results import Row, unpack_survivors

Line = tuple[str, str, int]
Budget = tuple[float, float]
INTEGER = ("tflm", "twin")
"""Executors of the same integer arithmetic; that they agree is itself checked."""
_SAME_BUDGET = 1e-12


@dataclass(frozen=True)
class Evidence:
    """All rows of one (model, precision, seed), those of its float network, and how many seeds were trained."""

    line: Line
    rows: Sequence[Row]
    float_rows: Sequence[Row]
    seed_count: int

    @cached_property
    def attacks(self) -> list[Row]:
        """The attack rows of this line."""
        return [row for row in self.rows if row["kind"] == "attack"]

    @cached_property
    def white_box(self) -> list[Row]:
        """Attack rows whose inputs were made with the gradients of this line, alone or together with others."""
        return [row for row in self.attacks if self._own(row)]

    @cached_property
    def others(self) -> list[Row]:
        """The other attack rows: without gradients, or with those of another precision."""
        return [row for row in self.attacks if not self._own(row)]

    def _own(self, row: Row) -> bool:
        return self.line[1] in row["source"].split("+") and row["attack"] not in GRADIENT_FREE

    @cached_property
    def integer(self) -> bool:
        """Whether integers were judged here."""
        return any(row["kind"] in ("clean", "attack") and row["executor"] in INTEGER for row in self.rows)

    @cached_property
    def clean_truth(self) -> dict[int, np.ndarray]:
        """Clean verdicts of the integer arithmetic by sample count n; TFLite Micro's own where it was asked."""
        return {**clean_survivors(self.rows, "twin"), **clean_survivors(self.rows, "tflm")}

    def probes(self, *names: str) -> list[Row]:
        """The probe rows with one of these names."""
        return [row for row in self.rows if row["kind"] == "probe" and row["name"] in names]

    def worst(self, *names: str) -> Row | None:
        """The probe row of these names that is furthest from 0, if there is one."""
        return max(self.probes(*names), key=lambda row: abs(float(row["value"])), default=None)

    def parity(self, *, with_litert: bool) -> list[Row]:
        """Parity rows of TFLite Micro and the twin, or else those with LiteRT in them."""
        return [row for row in self.rows if row["kind"] == "parity" and
                ({row["a"], row["b"]} <= set(INTEGER)) != with_litert]


def by_line(rows: Iterable[Row]) -> dict[Line, list[Row]]:
    """Group all rows but failures by (model, precision, seed), in the order of first appearance."""
    lines: dict[Line, list[Row]] = {}
    for row in rows:
        if row["kind"] != "failed":
            lines.setdefault((row["model"], row["precision"], row["seed"]), []).append(row)
    return lines


def survivors_of(row: Row) -> np.ndarray:
    """Bool [n]: which samples were still classified correctly."""
    return unpack_survivors(row["survivors"], row["n"])


def clean_survivors(rows: Iterable[Row], executor: str) -> dict[int, np.ndarray]:
    """Clean verdicts of one executor by sample count n."""
    return {row["n"]: survivors_of(row) for row in rows
            if row["kind"] == "clean" and row["executor"] == executor}


def same_samples(a: dict[int, np.ndarray], b: dict[int, np.ndarray]) -> tuple[np.ndarray, np.ndarray] | None:
    """The verdicts of both on the largest sample count that they share."""
    common = a.keys() & b.keys()
    return (a[max(common)], b[max(common)]) if common else None


def grouped(rows: Iterable[Row], fields: Sequence[str]) -> dict[tuple[object, ...], list[Row]]:
    """The rows by the values of ``fields``."""
    groups: dict[tuple[object, ...], list[Row]] = defaultdict(list)
    for row in rows:
        groups[tuple(row[name] for name in fields)].append(row)
    return groups


def populations(rows: Iterable[Row]) -> dict[tuple[object, ...], list[Row]]:
    """Attack rows whose verdicts may be united: same samples, judge, norm, threat model and mask.

    The two executors of the same integers are one judge.
    """
    groups: dict[tuple[object, ...], list[Row]] = defaultdict(list)
    for row in rows:
        judge = "integer" if row["executor"] in INTEGER else row["executor"]
        groups[judge, *(row[name] for name in ("norm", "threat", "mask", "n"))].append(row)
    return groups


def budget_of(row: Row) -> Budget:
    """(epsilon_image, epsilon_audio)."""
    return float(row["epsilon_image"]), float(row["epsilon_audio"])


def within(a: Budget, b: Budget) -> bool:
    """Whether ``a`` is no larger than ``b`` in either modality."""
    return a[0] <= b[0] + _SAME_BUDGET and a[1] <= b[1] + _SAME_BUDGET


def survivors_within(rows: Iterable[Row], budget: Budget) -> np.ndarray | None:
    """Bool [n]: what every one of ``rows`` with a budget within ``budget`` left; None if there is no such row."""
    verdicts = [survivors_of(row) for row in rows if within(budget_of(row), budget)]
    return np.logical_and.reduce(verdicts) if verdicts else None


def shared_cells(a: Iterable[Row], b: Iterable[Row]) -> Iterator[tuple[Budget, list[Row], list[Row]]]:
    """Every budget at which both have rows of one population, with all rows of that population in each."""
    first, second = populations(a), populations(b)
    for key in first.keys() & second.keys():
        for budget in sorted({budget_of(row) for row in first[key]} & {budget_of(row) for row in second[key]}):
            yield budget, first[key], second[key]


def describe(row: Row) -> str:
    """Attack, modality, criterion and executor of a row, for a sentence."""
    return f"{row['attack']} on {row['modality']}, {row['criterion']}, {row['executor']}"


def budget_text(budget: Budget) -> str:
    """A budget for a sentence: the attacked modalities with their ε."""
    parts = [f"{name} ε={size:g}" for name, size in zip(("image", "audio"), budget, strict=True) if size]
    return " and ".join(parts) or "ε=0"


def where(probe: Row) -> str:
    """The detail of a probe in brackets, for the end of a sentence."""
    return f" ({probe['detail']})" if probe["detail"] else ""


def points(share: float) -> str:
    """A difference of shares in points."""
    return f"{100 * share:.1f} points"
