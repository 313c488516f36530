"""Branch and bound: one sample is certified, falsified by codes that do it, or open when its time is over.

A problem is a box for every tensor and one other class that might win. What linear bounds do not decide (tuned.py) is
split in two at one code, of the tensor whose lines lose most at the point where the bound is attained, or of an input
where these are few or nothing is lost inside; of the two halves each has closer lines. The class is proved when all
parts are. Every such point is tried on the twin, and a box of few codes is tried whole, so that splitting ends with
the truth if it is given the time (Bunel et al. 2020).
"""

from __future__ import annotations

import heapq
import itertools
import math
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from tinyfuse.analyses.certificates.ball import Ball
from tinyfuse.analyses.certificates.intervals import Boxes, joined
from tinyfuse.analyses.certificates.rules import Box
from tinyfuse.analyses.certificates.tighten import tightened
from tinyfuse.analyses.certificates.tuned import Shares, Split, Tuned, rows_of, stacked
from tinyfuse.attacks.adversarial import misclassified
from tinyfuse.data.samples import Batch

if TYPE_CHECKING:
    from tinyfuse.analyses.certificates.certify import Certifier

BRANCHES = "branches"
"""The name of this method in rows."""
ENUMERATED = 4096
"""Points of a box up to which all of them are tried."""
_ROOT_STEPS, _STEPS = 50, 6  # of the ascent
_FEW_INPUTS = 12  # free codes of inputs up to which they are split first
_LEAST_LOSS = 1e-6  # of a code, which float64 may pretend
_AT_ONCE = 1 << 19  # codes of all tensors of the problems that are split together
_MOST_BYTES = 1 << 29  # of problems that wait


@dataclass(order=True)
class _Part:
    """A problem that waits, with the split that comes next; ordered by its ``bound``, the worst first."""

    bound: float
    number: int
    boxes: Boxes = field(compare=False)
    splits: tuple[Split, ...] = field(compare=False)
    multipliers: np.ndarray = field(compare=False)
    shares: Shares = field(compare=False)
    next: Split = field(compare=False)


class FalsifiedError(Exception):
    """Codes in the ball change the class; they are its argument."""


class Branching:
    """The sample of ``ball`` (one) with the class ``label``, until the time ``until`` of :func:`time.monotonic`."""

    def __init__(self, certifier: Certifier, ball: Ball, label: int, until: float) -> None:
        self.certifier, self.ball, self.until = certifier, ball, until
        self.linear, self.intervals, self.margins = certifier.linear, certifier.intervals, certifier.margins
        self.label = np.array([label])
        self.names = {index: name for name, index in self.intervals.twin.inputs.items()}
        self.spans: Boxes = {}
        self.parts = itertools.count()

    def run(self) -> tuple[bool, Batch | None]:
        """Return whether the class is proved, and otherwise codes [1, ...] that change it, or None: open."""
        try:
            return (True, None) if self._enumerated(self.ball) else (self._proved(), None)
        except FalsifiedError as error:
            return False, error.args[0]

    def _proved(self) -> bool:
        rows = self.margins.coefficients(self.label)[0][:, None]
        needed = self.margins.needed(self.label)[0] - 1.0  # a whole number above it is enough
        boxes = self.intervals.propagate(self.intervals.columns(self.ball.boxes))
        left = np.arange(len(rows))
        for tighter in (False, True):
            if tighter:
                now = time.monotonic()
                boxes, self.spans = tightened(self.linear, self.ball, boxes, now + (self.until - now) / 2)
            parts = joined([boxes] * len(left))
            tuned = self._tuned(parts, [()] * len(left))
            bounds = tuned.ascend(rows[left], self.margins.logits, needed[left], _ROOT_STEPS, self.until)
            self._try(tuned)
            left = left[bounds <= needed[left]]
            if not len(left):
                return True
        return all(self._class_proved(rows[place:place + 1], float(needed[place]), boxes) for place in left)

    def _class_proved(self, row: np.ndarray, needed: float, boxes: Boxes) -> bool:
        """Split until every part is proved against one other class; False when the time or the memory is over."""
        size = sum(low[0].size for low, _ in boxes.values())
        width, most = max(1, min(16, _AT_ONCE // size)), max(16, _MOST_BYTES // (10 * size))
        waiting = self._bounded(row, needed, boxes, [()], [np.zeros(0)], None)
        while waiting:
            if time.monotonic() > self.until or len(waiting) > most:
                return False
            taken = [heapq.heappop(waiting) for _ in range(min(width, len(waiting)))]
            for part in self._halves(taken, row, needed):
                heapq.heappush(waiting, part)
        return True

    def _halves(self, taken: list[_Part], row: np.ndarray, needed: float) -> list[_Part]:
        boxes, splits, multipliers, shares = [], [], [], []
        for part in taken:
            for beyond in (False, True):
                split = Split(part.next.tensor, part.next.place, part.next.code, beyond)
                boxes.append(cut(part.boxes, split))
                inner = split.tensor not in self.names
                splits.append((*part.splits, split) if inner else part.splits)
                multipliers.append(np.append(part.multipliers, 0.0) if inner else part.multipliers.copy())
                shares.append(part.shares)
        together, possible = self._narrowed(joined(boxes))
        kept = np.flatnonzero(possible)
        if not len(kept):
            return []
        return self._bounded(row, needed, {index: (low[kept], high[kept]) for index, (low, high) in together.items()},
                             [splits[one] for one in kept], [multipliers[one] for one in kept],
                             stacked([shares[one] for one in kept]))

    def _narrowed(self, boxes: Boxes) -> tuple[Boxes, np.ndarray]:
        """Carry ``boxes`` [n, ...] forward, never leaving them; and tell bool [n] which are not empty."""
        possible: np.ndarray = np.ones(len(next(iter(boxes.values()))[0]), bool)

        def tighter(index: int, found: Boxes) -> Box:
            low, high = (choose(one, own) for choose, one, own in
                         zip((np.maximum, np.minimum), found[index], boxes[index], strict=True))
            possible[(low > high).reshape(len(low), -1).any(axis=1)] = False
            return low, np.maximum(low, high)

        return self.intervals.propagate({index: boxes[index] for index in self.names}, tighter), possible

    def _bounded(self, row: np.ndarray, needed: float, boxes: Boxes, splits: list[tuple[Split, ...]],
                 multipliers: list[np.ndarray], shares: Shares | None) -> list[_Part]:
        """Bound problems; return a heap of those that are not proved, and tell of codes that falsify."""
        tuned = self._tuned(boxes, splits, shares, multipliers)
        rows, count = np.repeat(row, len(splits), axis=0), len(splits)
        bounds = tuned.ascend(rows, self.margins.logits, np.full(count, needed), _STEPS if shares else _ROOT_STEPS,
                              self.until)
        self._try(tuned)
        waiting = []
        for place in np.flatnonzero(bounds <= needed):
            part = {index: (low[[place]], high[[place]]) for index, (low, high) in boxes.items()}
            if self._enumerated(self._ball(part)):
                continue
            waiting.append(_Part(float(bounds[place]), next(self.parts), part, splits[place], multipliers[place],
                                 rows_of(tuned.shares, int(place)), self._next(tuned, int(place))))
        heapq.heapify(waiting)
        return waiting

    def _tuned(self, boxes: Boxes, splits: list[tuple[Split, ...]], shares: Shares | None = None,
               multipliers: list[np.ndarray] | None = None) -> Tuned:
        spans = {index: (np.repeat(low, len(splits), axis=0), np.repeat(high, len(splits), axis=0))
                 for index, (low, high) in self.spans.items()}
        return Tuned(self.linear, self._ball(boxes), boxes, spans, splits, shares or {}, multipliers or [])

    def _ball(self, boxes: Boxes) -> Ball:
        """The balls of problems: that of the sample in their boxes of the inputs."""
        count = len(next(iter(boxes.values()))[0])
        clean = {name: np.repeat(values, count, axis=0) for name, values in self.ball.clean.items()}
        return Ball({name: boxes[index] for index, name in self.names.items()}, clean, self.ball.lengths,
                    self.ball.joint)

    def _try(self, tuned: Tuned) -> None:
        """Try the points where bounds are attained."""
        self._check(*tuned.ball.inside({name: tuned.values[index] for index, name in self.names.items()
                                        if index in tuned.values}))

    def _check(self, codes: Batch, inside: np.ndarray) -> None:
        """Raise FalsifiedError if some codes that lie in the ball change the class."""
        if not inside.any():
            return
        given = {name: values[inside] for name, values in codes.items()}
        wrong = misclassified(self.certifier.target.logits(given), np.repeat(self.label, int(inside.sum())))
        if wrong.any():
            raise FalsifiedError({name: values[wrong][:1] for name, values in given.items()})

    def _enumerated(self, ball: Ball) -> bool:
        """Try all points of a ball if they are few; whether it was done, so that none changes the class."""
        free = [(name, place, int(low.flat[place]), int(high.flat[place])) for name, (low, high) in ball.boxes.items()
                for place in np.flatnonzero(low < high)]
        if len(free) > ENUMERATED or math.prod(high - low + 1 for *_, low, high in free) > ENUMERATED:
            return False
        points = np.array(list(itertools.product(*(range(low, high + 1) for *_, low, high in free)))).reshape(
            -1, len(free))
        codes = {name: np.repeat(low.astype(np.float64), len(points), axis=0) for name, (low, _) in ball.boxes.items()}
        for column, (name, place, _, _) in enumerate(free):
            codes[name].reshape(len(points), -1)[:, place] = points[:, column]
        clean = {name: np.repeat(values, len(points), axis=0) for name, values in ball.clean.items()}
        boxes = {name: (np.repeat(low, len(points), axis=0), np.repeat(high, len(points), axis=0))
                 for name, (low, high) in ball.boxes.items()}
        self._check(*Ball(boxes, clean, ball.lengths, ball.joint).inside(codes))
        return True

    def _next(self, tuned: Tuned, row: int) -> Split:
        """Choose what to split: an input where few are free, else the code whose lines lose most."""
        free = sum(int((tuned.boxes[index][0][row] < tuned.boxes[index][1][row]).sum()) for index in self.names)
        best, found = 0.0, None
        for index in tuned.chosen if free > _FEW_INPUTS else ():
            lost = _lost(tuned, index, row)
            place = int(lost.argmax())
            if lost[place] > best + _LEAST_LOSS:
                best, found = float(lost[place]), Split(index, place, _code(tuned, index, row, place), beyond=False)
        return found or self._widest(tuned, row)

    def _widest(self, tuned: Tuned, row: int) -> Split:
        """Split the input code that moves the bound most in its middle; there is one, or all would be tried."""
        best, found = -1.0, None
        for index in self.names:
            low, high = (end[row].reshape(-1).astype(np.int64) for end in tuned.boxes[index])
            rate = np.abs(tuned.coefficients[index][row]).reshape(-1) if index in tuned.coefficients else np.zeros(1)
            moved = np.where(low < high, rate * (high - low) + 1e-9 * (high - low), -1.0)
            place = int(moved.argmax())
            if moved[place] > best:
                best = float(moved[place])
                found = Split(index, place, int(low[place] + high[place]) // 2, beyond=False)
        assert found is not None
        return found


def cut(boxes: Boxes, split: Split) -> Boxes:
    """Return boxes [1, ...] with one end of one code moved by a split."""
    low, high = (end.copy() for end in boxes[split.tensor])
    if split.beyond:
        low.reshape(-1)[split.place] = split.code + 1
    else:
        high.reshape(-1)[split.place] = split.code
    return {**boxes, split.tensor: (low, high)}


def _lost(tuned: Tuned, index: int, row: int) -> np.ndarray:
    """What the lines of a tensor lose at the point where the bound is attained, by place; roundings apart."""
    affine = tuned.linear.affine[index]
    assert affine is not None
    found, value = tuned.coefficients[index][row], tuned.values[index][row]
    first, last = (end[row].astype(np.float64) for end in tuned.boxes[index])
    lines = [one[row] for one in tuned.chosen[index]]
    slope, offset = (np.where(found > 0, *pair) for pair in ((lines[0], lines[2]), (lines[1], lines[3])))
    gap = np.abs(np.clip(value, first, last) - slope * value - offset) - slope * affine.slack
    return np.asarray(np.where(first < last, np.abs(found) * gap, 0.0)).reshape(-1)


def _code(tuned: Tuned, index: int, row: int, place: int) -> int:
    """Where to split a code: at the clamp where the point is, so that one part is a constant, else in the middle."""
    first, last = (int(end[row].reshape(-1)[place]) for end in tuned.boxes[index])
    value = float(tuned.values[index][row].reshape(-1)[place])
    low, high = (float(end[row].reshape(-1)[place]) for end in tuned.reached[index])
    if low < first - 1 and (value <= (first + last) / 2 or high <= last + 1):
        return first
    return last - 1 if high > last + 1 else (first + last) // 2
