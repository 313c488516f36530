"""Two lines that enclose a rounded and clamped code over a span of values: the two-sided ReLU.

For v in [low, high] and a code y = clamp(round(v), first, last) with |round(v) - v| <= slack:
below_slope v + below <= y <= above_slope v + above. Where only the lower clamp can act these are the lines of CROWN
(Zhang et al. 2018, adaptive): the chord above, and below either v or the clamp, whichever leaves the smaller area.
Both are right, so the choice is free: ``lean`` weighs the area that the clamp leaves.
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


def enclosing(low: np.ndarray, high: np.ndarray, slack: np.ndarray, first: np.ndarray, last: np.ndarray,
              lean: float = 1.0) -> Lines:
    """Enclose the codes for v in [low, high], all of which lie in [first, last]; arrays that broadcast.

    ``lean``: 1 takes the smaller area, less the constant line more often.
    """
    low, high, slack, first, last = np.broadcast_arrays(low, high, slack, first, last)
    outward = _OUTWARD * (1.0 + np.abs(low) + np.abs(high) + np.abs(first) + np.abs(last) + slack)
    above_slope, above = _above(low + slack, high + slack, first, last, lean)
    # The code is minus the clamp of -v: what holds above holds below with all signs turned.
    below_slope, below = _above(slack - high, slack - low, -last, -first, lean)
    return Lines(below_slope, -below - below_slope * slack - outward,
                 above_slope, above + above_slope * slack + outward)


def _above(low: np.ndarray, high: np.ndarray, first: np.ndarray, last: np.ndarray,
           lean: float) -> tuple[np.ndarray, np.ndarray]:
    """Return slope and offset of a line above clamp(w, first, last) for w in [low, high]."""
    end = np.minimum(high, last)
    rises = (end > low) & (end > first)
    with np.errstate(divide="ignore", invalid="ignore"):
        chord = np.where(rises, (end - first) / (end - low), 0.0)
    slope = np.where(low >= first, 1.0, chord)
    start = np.where(low >= first, low, first)
    # Beyond the upper clamp the line goes on; the constant is better where it would go on for long.
    at_end = start + slope * (high - low)
    flat = ~rises | (at_end - last > lean * (last - start))
    slope = np.where(flat, 0.0, slope)
    offset = np.where(flat, np.where(rises, last, np.minimum(np.maximum(high, first), last)), start - slope * low)
    return slope, offset
