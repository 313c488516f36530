"""What the checks look at: all rows of one line of the table, and the sets of samples that they hold."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TypeVar

import numpy as np

from tinyfuse.attacks import ATTACKS
from tinyfuse.checks.probe_names import kind_of
from tinyfuse.core.results import Row, unpack_survivors
from tinyfuse.threats.modes import mode_name

Line = tuple[str, str, int]
"""(model, precision, seed): a line of the table."""
Budget = tuple[tuple[str, float], ...]
"""(input, epsilon) for every input of a network, in its order; 0 where it is not attacked."""
INTEGER = ("tflm", "twin")
"""Executors of the same integer arithmetic; that they agree is itself checked."""
_SAME_BUDGET = 1e-12
Key = TypeVar("Key", bound=Hashable)


@dataclass(frozen=True)
class LineRows:
    """All rows of one line of the table, those of its float network, and how many seeds were trained."""

    model: str
    precision: str
    seed: int
    rows: Sequence[Row]
    float_rows: Sequence[Row]
    seed_count: int

    @cached_property
    def attacks(self) -> list[Row]:
        return [row for row in self.rows if row["kind"] == "attack"]

    @cached_property
    def white_box(self) -> list[Row]:
        """Attack rows whose inputs were made with the gradients of this line, alone or together with others."""
        return [row for row in self.attacks if self.precision in row["source"].split("+") and not gradient_free(row)]

    @cached_property
    def others(self) -> list[Row]:
        """The other attack rows: without gradients, or with those of another precision."""
        return [row for row in self.attacks if self.precision not in row["source"].split("+") or gradient_free(row)]

    @cached_property
    def transferred(self) -> list[Row]:
        """Attack rows whose inputs were made with the gradients of another precision alone."""
        return [row for row in self.others if not gradient_free(row)]

    @cached_property
    def integer(self) -> bool:
        """Whether integers were judged here."""
        return any(row["kind"] in ("clean", "attack") and row["executor"] in INTEGER for row in self.rows)

    @cached_property
    def clean_truth(self) -> dict[int, np.ndarray]:
        """Clean verdicts of the integer arithmetic by sample count n; TFLite Micro's own where it was asked."""
        return {**self.clean("twin"), **self.clean("tflm")}

    def clean(self, executor: str) -> dict[int, np.ndarray]:
        """Clean verdicts of one executor by sample count n."""
        return clean_survivors(self.rows, executor)

    def probes(self, *names: str) -> list[Row]:
        """The probe rows of these kinds."""
        return [row for row in self.rows if row["kind"] == "probe" and kind_of(row["name"]) in names]

    def worst(self, name: str, right: float = 0.0) -> Row | None:
        """The probe row of this kind that is furthest from ``right``, if there is one."""
        return max(self.probes(name), key=lambda row: abs(float(row["value"]) - right), default=None)

    def parity(self, *, with_litert: bool) -> list[Row]:
        """Parity rows of TFLite Micro and the twin, or else those with LiteRT in them."""
        return [row for row in self.rows if row["kind"] == "parity" and
                ({row["a"], row["b"]} <= set(INTEGER)) != with_litert]


def group_by(rows: Iterable[Row], key: Callable[[Row], Key]) -> dict[Key, list[Row]]:
    """The rows by their ``key``, in the order of first appearance."""
    groups: dict[Key, list[Row]] = defaultdict(list)
    for row in rows:
        groups[key(row)].append(row)
    return dict(groups)


def by_line(rows: Iterable[Row]) -> dict[Line, list[Row]]:
    """Group all rows but failures by (model, precision, seed)."""
    return group_by((row for row in rows if row["kind"] != "failed"),
                    lambda row: (row["model"], row["precision"], row["seed"]))


def grouped(rows: Iterable[Row], fields: Sequence[str]) -> dict[tuple[object, ...], list[Row]]:
    """The rows by the values of ``fields``; the setting of an attack that follows the budget, its step, left out."""
    return group_by(rows, lambda row: tuple(_hashable(row[name]) for name in fields))


def _hashable(value: object) -> object:
    if isinstance(value, dict):
        value = {name: inner for name, inner in value.items() if name != "step_size"}
    return json.dumps(value, sort_keys=True) if isinstance(value, (dict, list)) else value


def populations(rows: Iterable[Row]) -> dict[tuple[object, ...], list[Row]]:
    """Attack rows whose verdicts may be united: same samples, norm, threat model, mask and judge (all integers)."""
    return group_by(rows, lambda row: ("integer" if row["executor"] in INTEGER else row["executor"], row["norm"],
                                       row["threat"], row["mask"], row["n"]))


def survivors_of(row: Row) -> np.ndarray:
    """Bool [n]: which samples were still classified correctly."""
    return unpack_survivors(row["survivors"], row["n"])


def clean_survivors(rows: Iterable[Row], executor: str) -> dict[int, np.ndarray]:
    """Clean verdicts of one executor by sample count n."""
    return {row["n"]: survivors_of(row) for row in rows if row["kind"] == "clean" and row["executor"] == executor}


def same_samples(a: dict[int, np.ndarray], b: dict[int, np.ndarray]) -> tuple[np.ndarray, np.ndarray] | None:
    """The verdicts of both on the largest sample count that they share."""
    common = a.keys() & b.keys()
    return (a[max(common)], b[max(common)]) if common else None


def gradient_free(row: Row) -> bool:
    """Whether the attack of ``row`` asks for nothing but logits."""
    name = row["attack"]["name"]
    return name in ATTACKS and ATTACKS[name].gradient_free


def mode_of(row: Row) -> str:
    """Which inputs were attacked, in a word: their names, or "all"."""
    return mode_name(row["attacked"], row["inputs"])


def budget_of(row: Row) -> Budget:
    """The budget of a row, over all inputs of its network."""
    return tuple((name, float(row["budget"].get(name, 0.0))) for name in row["inputs"])


def within(a: Budget, b: Budget) -> bool:
    """Whether ``a`` is no larger than ``b`` on any input."""
    allowed = dict(b)
    return all(size <= allowed.get(name, 0.0) + _SAME_BUDGET for name, size in a)


def union(rows: Iterable[Row]) -> np.ndarray:
    """Bool [n]: what every one of ``rows`` left; there is at least one."""
    return np.asarray(np.logical_and.reduce([survivors_of(row) for row in rows]))


def survivors_within(rows: Iterable[Row], budget: Budget) -> np.ndarray:
    """Bool [n]: what every one of ``rows`` with a budget within ``budget`` left; there is at least one."""
    return union(row for row in rows if within(budget_of(row), budget))


def at(budget: Budget, rows: Iterable[Row]) -> list[Row]:
    """The rows with this budget."""
    return [row for row in rows if budget_of(row) == budget]


def shared_cells(a: Iterable[Row], b: Iterable[Row]) -> Iterator[tuple[Budget, list[Row], list[Row]]]:
    """Every budget at which both have rows of one population, with those rows of a, and those of b at the budget."""
    first, second = populations(a), populations(b)
    for key in first.keys() & second.keys():
        for budget in sorted({budget_of(row) for row in first[key]} & {budget_of(row) for row in second[key]}):
            yield budget, first[key], at(budget, second[key])
