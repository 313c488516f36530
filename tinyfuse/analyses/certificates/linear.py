"""Linear bounds over the integer graph (CROWN, Zhang et al. 2018): from the difference of two codes back to the inputs.

A bound is a linear function of the codes of some tensors and a number. Going backwards each tensor is replaced by the
lines that enclose it (see relaxation.py), chosen by the sign of its coefficient, and those by its inputs, until only
input codes are left. An addition sends its coefficients to both its inputs, and they add up where paths meet.

Soundness in float64: a sum of m products loses at most m 2^-53 (1 + m 2^-53) of the sum of their absolute values. The
coefficients of a tensor times the largest codes there bound that sum, and this share of it is taken off at every step.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from tinyfuse.analyses.certificates.affine import Affine, affine_of
from tinyfuse.analyses.certificates.intervals import Boxes, Intervals
from tinyfuse.analyses.certificates.relaxation import Lines, enclosing
from tinyfuse.analyses.certificates.rules import Box

UNIT = 2.0**-52  # twice the relative error of one operation of float64
_MORE = 32  # operations on a term besides those of its sum
Concretise = Callable[[dict[int, np.ndarray]], np.ndarray]
"""Coefficients [n, k, ...] of input tensors to the least value [n, k] of their sum."""


@dataclass
class _State:
    """What is left of a bound: ``open`` coefficients [n, k, ...] by tensor, and the ``value`` [n, k] so far.

    ``lean`` chooses among lines.
    """

    open: dict[int, np.ndarray]
    value: np.ndarray
    lean: float

    def add(self, index: int, coefficients: np.ndarray) -> None:
        self.open[index] = self.open[index] + coefficients if index in self.open else coefficients


class LinearBounds:
    """Linear bounds over the operators of ``intervals``."""

    def __init__(self, intervals: Intervals) -> None:
        self.intervals = intervals
        self.affine: dict[int, Affine | None] = {index: affine_of(site) for index, site in intervals.sites.items()}
        self.places = {index: place for place, index in enumerate(intervals.order)}

    def lower(self, start: int, coefficients: np.ndarray, boxes: Boxes, concretise: Concretise | None = None, *,
              depth: int | None = None, before_clamp: bool = False, lean: float = 1.0) -> np.ndarray:
        """Bound the sum of ``coefficients`` [n, k, ...] times the codes of tensor ``start`` from below: float64 [n, k].

        ``boxes`` [n, ...] of every tensor before it. ``depth``: steps to go back, after which boxes decide; by default
        all, and then ``concretise`` (default: the boxes) decides at the inputs. ``before_clamp``: the coefficients are
        those of v, the value of ``start`` before it is rounded. ``lean`` chooses among lines, see relaxation.py.
        """
        state = _State({start: coefficients}, np.zeros(coefficients.shape[:2]), lean)
        steps = 0
        for index in reversed(self.intervals.order[:self.places[start] + 1] if start in self.places else []):
            if index not in state.open:
                continue
            stop = depth is not None and steps >= depth
            self._step(index, state, boxes, before_clamp=before_clamp and index == start, stop=stop)
            steps += 1
        if not state.open:
            return state.value
        found = of_boxes(state.open, boxes)
        if concretise is not None:
            found = np.maximum(found, concretise(state.open))
        return np.asarray(state.value + found)

    def _step(self, index: int, state: _State, boxes: Boxes, *, before_clamp: bool, stop: bool) -> None:
        """Replace a tensor by its inputs; where that cannot be, or gains nothing, by its box."""
        affine, (low, high) = self.affine[index], boxes[index]
        if affine is None or stop or (np.array_equal(low, high) and not before_clamp):
            state.value += of_boxes({index: state.open.pop(index)}, boxes)
            return
        found = state.open.pop(index)
        if not before_clamp:
            found, offset = self._enclosed(index, affine, found, boxes, state.lean)
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
                  lean: float) -> tuple[np.ndarray, np.ndarray]:
        """Turn coefficients of codes into those of the values before rounding, and what the lines add [n, k]."""
        lines = self.lines(index, affine, boxes, lean)
        positive, negative = np.maximum(found, 0.0), np.minimum(found, 0.0)
        offset = summed(positive * lines.below[:, None] + negative * lines.above[:, None])
        loss = UNIT * (int(np.prod(found.shape[2:])) + _MORE)
        offset -= loss * summed(np.abs(found) * (np.abs(lines.below) + np.abs(lines.above))[:, None])
        return positive * lines.below_slope[:, None] + negative * lines.above_slope[:, None], offset

    def lines(self, index: int, affine: Affine, boxes: Boxes, lean: float = 1.0) -> Lines:
        """Return the lines of a tensor [n, ...] over the boxes of its inputs."""
        low, high = self.values(index, affine, boxes)
        first, last = (end.astype(np.float64) for end in boxes[index])
        return enclosing(low, high, affine.slack, first, last, lean)

    def values(self, index: int, affine: Affine, boxes: Boxes) -> Box:
        """Return the least and largest value before rounding [n, ...], with room for what float64 loses."""
        ends = [end.astype(np.float64) for source in self.intervals.inputs_of[index] for end in boxes[source]]
        low, high = affine.span(*ends)
        loss = UNIT * (2 * affine.terms + _MORE) * affine.size * 2
        return low - loss, high + loss


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
