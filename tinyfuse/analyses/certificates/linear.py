"""Linear bounds over the integer graph (CROWN, Zhang et al. 2018): from the difference of two codes back to the inputs.

A bound is a linear function of the codes of some tensors and a number. Going backwards each tensor is replaced by the
lines that enclose it (see relaxation.py), chosen by the sign of its coefficient, and those by its inputs, until only
input codes are left. An addition sends its coefficients to both its inputs, and they add up where paths meet.

Soundness in float64: a sum of m products loses at most m 2^-53 (1 + m 2^-53) of the sum of their absolute values. The
coefficients of a tensor times the largest codes there bound that sum, and this share of it is taken off at every step.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from tinyfuse.analyses.certificates.affine import Affine, affine_of
from tinyfuse.analyses.certificates.intervals import Boxes, Intervals
from tinyfuse.analyses.certificates.relaxation import Lines, enclosing
from tinyfuse.analyses.certificates.rules import Box

UNIT = 2.0**-52  # twice the relative error of one operation of float64
_MORE = 32  # operations on a term besides those of its sum
Concretise = Callable[[dict[int, np.ndarray]], np.ndarray]
"""Coefficients [n, k, ...] of input tensors to the least value [n, k] of their sum."""
Spans = Mapping[int, Box]
"""By tensor, the least and largest value before rounding, float64 [n, ...], where more is known than boxes say."""


class Guide(Protocol):
    """What chooses among lines on the way back; ``boxes`` [n, ...] are those of every tensor."""

    def saw(self, index: int, coefficients: np.ndarray) -> None:
        """Look at the coefficients [n, k, ...] of the codes of a tensor before it is replaced."""

    def lines(self, index: int, affine: Affine, boxes: Boxes) -> Lines:
        """Return lines [n, ...] over what goes into a tensor."""

    def constrained(self, index: int, coefficients: np.ndarray) -> tuple[np.ndarray, np.ndarray | float]:
        """Add what is known of the values before rounding to their coefficients, and return what it gives [n, k]."""


@dataclass(frozen=True, eq=False)
class SmallestArea:
    """Takes the lines that leave the smaller area, see relaxation.py for ``lean``."""

    linear: LinearBounds
    lean: float = 1.0
    spans: Spans = field(default_factory=dict)

    def saw(self, index: int, coefficients: np.ndarray) -> None:
        """Need nothing."""

    def lines(self, index: int, affine: Affine, boxes: Boxes) -> Lines:
        """Return the lines of a tensor."""
        low, high = self.linear.values(index, affine, boxes, self.spans)
        first, last = (end.astype(np.float64) for end in boxes[index])
        return enclosing(low, high, affine.slack, first, last, self.lean)

    def constrained(self, index: int, coefficients: np.ndarray) -> tuple[np.ndarray, np.ndarray | float]:
        """Know nothing more."""
        return coefficients, 0.0


@dataclass
class _State:
    """What is left of a bound: ``open`` coefficients [n, k, ...] by tensor, and the ``value`` [n, k] so far."""

    open: dict[int, np.ndarray]
    value: np.ndarray
    guide: Guide

    def add(self, index: int, coefficients: np.ndarray) -> None:
        self.open[index] = self.open[index] + coefficients if index in self.open else coefficients


class LinearBounds:
    """Linear bounds over the operators of ``intervals``."""

    def __init__(self, intervals: Intervals) -> None:
        self.intervals = intervals
        self.affine: dict[int, Affine | None] = {index: affine_of(site) for index, site in intervals.sites.items()}
        self.places = {index: place for place, index in enumerate(intervals.order)}

    def lower(self, start: int, coefficients: np.ndarray, boxes: Boxes, concretise: Concretise | None = None, *,
              depth: int | None = None, before_clamp: bool = False, guide: Guide | None = None) -> np.ndarray:
        """Bound the sum of ``coefficients`` [n, k, ...] times the codes of tensor ``start`` from below: float64 [n, k].

        ``boxes`` [n, ...] of every tensor before it. ``depth``: steps to go back, after which boxes decide; by default
        all, and then ``concretise`` (default: the boxes) decides at the inputs. ``before_clamp``: the coefficients are
        those of v, the value of ``start`` before it is rounded. ``guide`` chooses among lines.
        """
        state = _State({start: coefficients}, np.zeros(coefficients.shape[:2]), guide or SmallestArea(self))
        steps = 0
        for index in reversed(self.intervals.order[:self.places[start] + 1] if start in self.places else []):
            if index not in state.open:
                continue
            stop = depth is not None and steps >= depth
            self._step(index, state, boxes, before_clamp=before_clamp and index == start, stop=stop)
            steps += 1
        if not state.open:
            return state.value
        for index, left in state.open.items():
            state.guide.saw(index, left)
        found = of_boxes(state.open, boxes)
        if concretise is not None:
            found = np.maximum(found, concretise(state.open))
        return np.asarray(state.value + found)

    def _step(self, index: int, state: _State, boxes: Boxes, *, before_clamp: bool, stop: bool) -> None:
        """Replace a tensor by its inputs; where that cannot be, or gains nothing, by its box."""
        affine, (low, high), found = self.affine[index], boxes[index], state.open.pop(index)
        state.guide.saw(index, found)
        if affine is None or stop or (np.array_equal(low, high) and not before_clamp):
            state.value += of_boxes({index: found}, boxes)
            return
        if not before_clamp:
            found, offset = self._enclosed(index, affine, found, boxes, state.guide)
            state.value += offset
        n, k, *shape = found.shape
        flat = found.reshape(n * k, *shape)
        state.value += summed(found * affine.constant)
        loss = UNIT * (affine.terms + int(np.prod(shape)) + _MORE)
        state.value -= loss * summed(np.abs(found) * affine.size)
        for source, back in zip(self.intervals.inputs_of[index], affine.back, strict=True):
            sent = back(flat)
            state.add(source, sent.reshape(n, k, *sent.shape[1:]))

    def _enclosed(self, index: int, affine: Affine, found: np.ndarray, boxes: Boxes,
                  guide: Guide) -> tuple[np.ndarray, np.ndarray]:
        """Turn coefficients of codes into those of the values before rounding, and what the lines add [n, k]."""
        lines = guide.lines(index, affine, boxes)
        positive, negative = np.maximum(found, 0.0), np.minimum(found, 0.0)
        offset = summed(positive * lines.below[:, None] + negative * lines.above[:, None])
        loss = UNIT * (int(np.prod(found.shape[2:])) + _MORE)
        offset -= loss * summed(np.abs(found) * (np.abs(lines.below) + np.abs(lines.above))[:, None])
        of_values = positive * lines.below_slope[:, None] + negative * lines.above_slope[:, None]
        of_values, more = guide.constrained(index, of_values)
        return of_values, offset + more

    def values(self, index: int, affine: Affine, boxes: Boxes, spans: Spans) -> Box:
        """Return the least and largest value before rounding [n, ...], with room for what float64 loses."""
        ends = [end.astype(np.float64) for source in self.intervals.inputs_of[index] for end in boxes[source]]
        low, high = affine.span(*ends)
        loss = UNIT * (2 * affine.terms + _MORE) * affine.size * 2
        low, high = low - loss, high + loss
        if index in spans:
            low, high = np.maximum(low, spans[index][0]), np.minimum(high, spans[index][1])
        return low, high


def of_boxes(coefficients: dict[int, np.ndarray], boxes: Boxes) -> np.ndarray:
    """Return the least sum [n, k] of ``coefficients`` [n, k, ...] times codes of boxes [n, ...]."""
    total: np.ndarray = np.zeros(())
    for index, found in coefficients.items():
        low, high = (end.astype(np.float64)[:, None] for end in boxes[index])
        least = summed(np.maximum(found, 0.0) * low + np.minimum(found, 0.0) * high)
        total = total + least - size_loss(found, boxes[index])
    return np.asarray(total)


def size_loss(found: np.ndarray, box: Box) -> np.ndarray:
    """Bound what float64 loses of a sum of ``found`` [n, k, ...] times codes of a box: [n, k]."""
    largest = np.maximum(np.abs(box[0].astype(np.float64)), np.abs(box[1].astype(np.float64)))[:, None]
    return np.asarray(UNIT * (int(np.prod(found.shape[2:])) + _MORE) * summed(np.abs(found) * largest))


def summed(values: np.ndarray) -> np.ndarray:
    """Add up all but the first two axes."""
    return np.asarray(values.reshape(*values.shape[:2], -1).sum(axis=2))


def rows_at_once(shapes: Sequence[tuple[int, ...]], limit: int) -> int:
    """Return how many rows of coefficients, float64 of the largest of ``shapes``, fit ``limit`` bytes; at least 1."""
    largest = max(int(np.prod(shape)) for shape in shapes)
    return max(1, limit // (8 * 4 * largest))
