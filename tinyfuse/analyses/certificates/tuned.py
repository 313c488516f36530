"""Linear bounds that are improved step by step: slopes of lines (Xu et al. 2021) and multipliers of splits (Wang 2021).

Every share of a slope and every multiplier of at least 0 gives a right bound (see relaxation.py and :class:`Split`), so
that both may be chosen by any means: here by gradient ascent (Adam) on the bound. Its gradient is read off the point
where the bound is attained: carried forward along the lines in use it gives the value v of each code before rounding,
and a line that turns about its pivot p by ds changes the bound by its coefficient times (v - p) ds.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from tinyfuse.analyses.certificates.affine import Affine
from tinyfuse.analyses.certificates.ball import Ball
from tinyfuse.analyses.certificates.intervals import Boxes
from tinyfuse.analyses.certificates.linear import UNIT, LinearBounds, Spans
from tinyfuse.analyses.certificates.relaxation import Choice, Lines, choices
from tinyfuse.analyses.certificates.rules import Box

_OUTWARD = 1e-9  # of a code: more than float64 loses of a threshold
_RATE, _FADES = 0.1, 0.97  # of the first step, and how much is left of it after each
_MEAN, _SQUARE = 0.8, 0.95  # Adam's
Shares = dict[int, tuple[np.ndarray, np.ndarray]]
"""By tensor the shares [n, ...] of the steepest slopes below and above."""


@dataclass(frozen=True)
class Split:
    """The code at ``place`` of a tensor's flattened codes is at most ``code``, or with ``beyond`` more than that.

    A code that is not at a clamp there was rounded from at most code + slack, or at least code + 1 - slack. With a
    multiplier m >= 0, m times how far the value is inside of that bound is at least 0 and may be taken off the sum.
    """

    tensor: int
    place: int
    code: int
    beyond: bool


@dataclass(eq=False)
class Tuned:
    """``n`` problems: ``boxes`` [n, ...] with their ``splits``, each with one row of coefficients of the logits.

    ``balls``: where the inputs lie. ``spans``: what else is known of values, [n, ...]. ``shares`` and ``multipliers``
    (for each problem as many as splits) are what the ascent begins with.
    """

    linear: LinearBounds
    ball: Ball
    boxes: Boxes
    spans: Spans
    splits: Sequence[tuple[Split, ...]]
    shares: Shares = field(default_factory=dict)
    multipliers: list[np.ndarray] = field(default_factory=list)
    reached: dict[int, Box] = field(default_factory=dict, init=False)
    choice: dict[int, Choice] = field(default_factory=dict, init=False)
    chosen: dict[int, Lines] = field(default_factory=dict, init=False)
    coefficients: dict[int, np.ndarray] = field(default_factory=dict, init=False)
    values: dict[int, np.ndarray] = field(default_factory=dict, init=False)

    def __post_init__(self) -> None:
        self.multipliers = self.multipliers or [np.zeros(len(splits)) for splits in self.splits]
        self.impossible = np.zeros(len(self.splits), bool)
        self._moments: dict[object, tuple[np.ndarray, np.ndarray]] = {}
        self._by_tensor = {index: _Group.of(index, self.splits) for index in
                           {split.tensor for splits in self.splits for split in splits}}

    def saw(self, index: int, coefficients: np.ndarray) -> None:
        """Remember the coefficients of a tensor."""
        self.coefficients[index] = coefficients[:, 0]

    def lines(self, index: int, affine: Affine, boxes: Boxes) -> Lines:
        """Return the lines of the present shares."""
        if index not in self.choice:
            self.reached[index] = low, high = self._span(index, affine, boxes)
            first, last = (end.astype(np.float64) for end in boxes[index])
            self.choice[index] = found = choices(low, high, affine.slack, first, last)
            if index not in self.shares:
                self.shares[index] = found.below.share, found.above.share
        self.chosen[index] = self.choice[index].lines(*self.shares[index])
        return self.chosen[index]

    def _span(self, index: int, affine: Affine, boxes: Boxes) -> Box:
        low, high = map(np.ascontiguousarray, self.linear.values(index, affine, boxes, self.spans))
        if index in self._by_tensor:
            group, slack = self._by_tensor[index], np.broadcast_to(affine.slack, low.shape[1:]).reshape(-1)
            least, largest = group.limits(slack)
            np.maximum.at(low.reshape(len(low), -1), (group.rows[group.beyond], group.places[group.beyond]), least)
            np.minimum.at(high.reshape(len(low), -1), (group.rows[~group.beyond], group.places[~group.beyond]), largest)
            self.impossible |= (low > high).reshape(len(low), -1).any(axis=1)
            high = np.maximum(low, high)
        return low, high

    def constrained(self, index: int, coefficients: np.ndarray) -> tuple[np.ndarray, np.ndarray | float]:
        """Take off what the splits of a tensor guarantee, times their multipliers."""
        group = self._by_tensor.get(index)
        if group is None:
            return coefficients, 0.0
        sizes = group.of_problems(self.multipliers)
        ends = group.ends(self._slack(index))
        found, value = coefficients.copy(), np.zeros(coefficients.shape[:2])
        np.add.at(found.reshape(len(found), -1), (group.rows, group.places), group.signs * sizes)
        largest = np.broadcast_to(self._affine(index).size, self.boxes[index][0].shape[1:]).reshape(-1)[group.places]
        loss = UNIT * (2 * len(group.rows) + 2) * sizes * (np.abs(ends) + largest)
        np.add.at(value[:, 0], group.rows, -group.signs * sizes * ends - loss)
        return found, value

    def _affine(self, index: int) -> Affine:
        affine = self.linear.affine[index]
        assert affine is not None
        return affine

    def _slack(self, index: int) -> np.ndarray:
        return np.broadcast_to(self._affine(index).slack, self.boxes[index][0].shape[1:]).reshape(-1)

    def ascend(self, rows: np.ndarray, start: int, needed: np.ndarray, steps: int,
               until: float = math.inf) -> np.ndarray:
        """Return the best bound float64 [n] of ``rows`` [n, 1, ...] times the codes of the tensor ``start``.

        Ends after ``steps``, when every bound is above ``needed`` [n], or ``until`` a time of :func:`time.monotonic`.
        Impossible problems have the bound inf. Afterwards ``values`` has the point where the last bound is attained.
        """
        best, concretise = np.full(len(rows), -np.inf), self.ball.concretise(self.linear.intervals)
        for step in range(steps):
            found = self.linear.lower(start, rows, self.boxes, concretise, guide=self)[:, 0]
            best = np.maximum(best, np.where(self.impossible, np.inf, found))
            self._carry_forward()
            if step == steps - 1 or (best > needed).all() or time.monotonic() > until:
                break
            self._climb(step)
        return best

    def _carry_forward(self) -> None:
        """Set ``values``: input codes where the bound is attained; of other tensors what goes into the rounding."""
        intervals = self.linear.intervals
        names = {index: name for name, index in intervals.twin.inputs.items()}
        codes = dict(self.ball.minimiser({names[index]: found for index, found in self.coefficients.items()
                                          if index in names}))
        relaxed = {index: codes[name] for index, name in names.items() if name in codes}
        self.values = dict(relaxed)
        for index in intervals.order:
            if index not in self.coefficients:
                continue
            rises = self.coefficients[index] > 0
            if index not in self.chosen:
                relaxed[index] = np.where(rises, *(end.astype(np.float64) for end in self.boxes[index]))
                continue
            affine, lines = self._affine(index), self.chosen[index]
            value = affine.forth(*(relaxed[source] for source in intervals.inputs_of[index]))
            self.values[index] = value.reshape(rises.shape)
            relaxed[index] = np.where(rises, lines.below_slope * self.values[index] + lines.below,
                                      lines.above_slope * self.values[index] + lines.above)

    def _climb(self, step: int) -> None:
        """Move all shares and multipliers a step up the bound."""
        rate = _RATE * _FADES**step
        for index, choice in self.choice.items():
            found, value = self.coefficients[index], self.values[index]
            moved: list[np.ndarray] = []
            for side, part, share in zip((choice.below, choice.above), (np.maximum(found, 0), np.minimum(found, 0)),
                                         self.shares[index], strict=True):
                slope = part * side.steepest * (value - side.at)
                moved.append(np.clip(share + rate * self._direction((index, len(moved)), slope, step), 0.0, 1.0))
            self.shares[index] = moved[0], moved[1]
        for index, group in self._by_tensor.items():
            if index not in self.values or index not in self.choice:
                continue
            flat = self.values[index].reshape(len(self.splits), -1)
            slope = group.signs * (flat[group.rows, group.places] - group.ends(self._slack(index)))
            size = np.abs(self.coefficients[index]).reshape(len(self.splits), -1).max(axis=1)[group.rows]
            step_up = rate * size * self._direction(index, slope, step)
            group.into(self.multipliers, np.maximum(group.of_problems(self.multipliers) + step_up, 0.0))

    def _direction(self, key: object, slope: np.ndarray, step: int) -> np.ndarray:
        """Return Adam's direction, about 1 where the slope keeps its sign."""
        mean, square = self._moments.get(key, (np.zeros_like(slope), np.zeros_like(slope)))
        mean, square = _MEAN * mean + (1 - _MEAN) * slope, _SQUARE * square + (1 - _SQUARE) * slope**2
        self._moments[key] = mean, square
        length = np.sqrt(square / (1 - _SQUARE ** (step + 1)))
        return np.asarray(mean / (1 - _MEAN ** (step + 1)) / (length + 1e-12 + 1e-3 * length.max(initial=0.0)))


@dataclass(frozen=True, eq=False)
class _Group:
    """The splits of one tensor: ``rows`` (problems), their ``numbers`` there, ``places`` and ``codes``, all int [m]."""

    rows: np.ndarray
    numbers: np.ndarray
    places: np.ndarray
    codes: np.ndarray
    beyond: np.ndarray

    @classmethod
    def of(cls, index: int, splits: Sequence[tuple[Split, ...]]) -> _Group:
        found = [(row, number, split.place, split.code, split.beyond) for row, several in enumerate(splits)
                 for number, split in enumerate(several) if split.tensor == index]
        columns = [np.array(column) for column in zip(*found, strict=True)]
        return cls(*columns)

    @property
    def signs(self) -> np.ndarray:
        """What a multiplier adds to the coefficient of the value: 1 below the code, -1 beyond it."""
        return np.asarray(np.where(self.beyond, -1.0, 1.0))

    def ends(self, slack: np.ndarray) -> np.ndarray:
        """Return the value that each split allows at most, or at least; ``slack`` by place."""
        reach = slack[self.places] + _OUTWARD
        return np.asarray(np.where(self.beyond, self.codes + 1 - reach, self.codes + reach))

    def limits(self, slack: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the least values of those beyond, and the largest of the others."""
        ends = self.ends(slack)
        return ends[self.beyond], ends[~self.beyond]

    def of_problems(self, multipliers: Sequence[np.ndarray]) -> np.ndarray:
        """Return the multiplier of each split."""
        return np.array([multipliers[row][number] for row, number in zip(self.rows, self.numbers, strict=True)])

    def into(self, multipliers: Sequence[np.ndarray], values: np.ndarray) -> None:
        """Write back the multiplier of each split."""
        for row, number, value in zip(self.rows, self.numbers, values, strict=True):
            multipliers[row][number] = value


def rows_of(shares: Shares, row: int) -> Shares:
    """Return the shares of one problem, in half the room."""
    return {index: (below[row].astype(np.float32), above[row].astype(np.float32))
            for index, (below, above) in shares.items()}


def stacked(shares: Sequence[Mapping[int, tuple[np.ndarray, np.ndarray]]]) -> Shares:
    """Return the shares of several problems, of the tensors for which each of them has some."""
    def side_of(index: int, side: int) -> np.ndarray:
        return np.stack([one[index][side] for one in shares]).astype(np.float64)

    every = set(shares[0]).intersection(*shares)
    return {index: (side_of(index, 0), side_of(index, 1)) for index in shares[0] if index in every}
