"""Two lines that enclose a rounded and clamped code over a span of values: the two-sided ReLU.

For v in [low, high] and a code y = clamp(round(v), first, last) with |round(v) - v| <= slack:
below_slope v + below <= y <= above_slope v + above. Each line turns about a pivot, where it meets the clamp, and may be
as steep as the chord to the far end: any share from 0 (a constant) to 1 of that slope is right, so that the choice is
free. Where only the lower clamp can act the choices of share 1 are the lines of CROWN (Zhang et al. 2018): the chord
above, and below v itself; which of 0 and 1 leaves the smaller area is its adaptive rule.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

_OUTWARD = 2.0**-40  # of all that is added up for an offset: far more than float64 loses there


class Lines(NamedTuple):
    """Slopes and offsets, each float64 of one shape."""

    below_slope: np.ndarray
    below: np.ndarray
    above_slope: np.ndarray
    above: np.ndarray


class Pivot(NamedTuple):
    """Lines on one side: they pass ``level`` at the value ``at``, with up to the slope ``steepest``.

    ``share``: 0 or 1, whichever leaves the smaller area. Arrays of one shape.
    """

    at: np.ndarray
    level: np.ndarray
    steepest: np.ndarray
    share: np.ndarray


class Choice(NamedTuple):
    """All lines below and above, and how far ``outward`` they are moved for what float64 loses."""

    below: Pivot
    above: Pivot
    outward: np.ndarray

    def lines(self, below: np.ndarray, above: np.ndarray) -> Lines:
        """Return the lines with these shares, 0 to 1, of the steepest slopes."""
        falls, rises = below * self.below.steepest, above * self.above.steepest
        return Lines(falls, self.below.level - falls * self.below.at - self.outward,
                     rises, self.above.level - rises * self.above.at + self.outward)


def choices(low: np.ndarray, high: np.ndarray, slack: np.ndarray, first: np.ndarray, last: np.ndarray,
            lean: float = 1.0) -> Choice:
    """Enclose the codes for v in [low, high], all of which lie in [first, last]; arrays that broadcast.

    ``lean`` weighs the area that constants leave: 1 takes the smaller area, less the constant more often.
    """
    low, high, slack, first, last = np.broadcast_arrays(low, high, slack, first, last)
    outward = _OUTWARD * (1.0 + np.abs(low) + np.abs(high) + np.abs(first) + np.abs(last) + slack)
    above = _above(low + slack, high + slack, first, last, lean)
    # The code is minus the clamp of -v: what holds above holds below with all signs turned.
    below = _above(slack - high, slack - low, -last, -first, lean)
    return Choice(below._replace(at=slack - below.at, level=-below.level), above._replace(at=above.at - slack), outward)


def enclosing(low: np.ndarray, high: np.ndarray, slack: np.ndarray, first: np.ndarray, last: np.ndarray,
              lean: float = 1.0) -> Lines:
    """Return the lines of :func:`choices` that leave the smaller area."""
    found = choices(low, high, slack, first, last, lean)
    return found.lines(found.below.share, found.above.share)


def _above(low: np.ndarray, high: np.ndarray, first: np.ndarray, last: np.ndarray, lean: float) -> Pivot:
    """Return the lines above clamp(w, first, last) for w in [low, high]; they turn about the end of its rise.

    Before the pivot the clamp lies below its chord, beyond it at its level.
    """
    level = np.minimum(np.maximum(high, first), last)
    rises = (level > low) & (level > first)
    start = np.maximum(low, first)
    with np.errstate(divide="ignore", invalid="ignore"):
        steepest = np.where(rises, (level - start) / (level - low), 0.0)
    beyond = level + steepest * (high - level)
    return Pivot(level, level, steepest, np.where(rises & (beyond - last <= lean * (last - start)), 1.0, 0.0))
