"""Element-wise operators as tables: one output and one derivative for each of the 256 or 65536 input codes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numba
import numpy as np

from tinyfuse.integer.arithmetic import TYPE_RANGE


class Table:
    """``values`` (of the output's type) and ``slope`` for the codes of ``dtype``, the lowest first.

    ``slope`` is d output code / d input code of the operator without rounding, 0 where a clamp is active.
    """

    def __init__(self, dtype: np.dtype[Any], values: np.ndarray, slope: np.ndarray) -> None:
        self.first = TYPE_RANGE[dtype][0]
        self.values = np.ascontiguousarray(values)
        self.slope = np.ascontiguousarray(slope, np.float32)

    def forward(self, inputs: Sequence[np.ndarray], keep: bool) -> tuple[np.ndarray, Any]:
        codes = inputs[0]
        out = np.empty(codes.shape, self.values.dtype)
        look_up(codes.reshape(-1), self.first, self.values, out.reshape(-1))
        return out, codes if keep else None

    def backward(self, saved: Any, gradient: np.ndarray) -> list[np.ndarray]:
        found = np.empty(gradient.shape, np.float32)
        weigh(saved.reshape(-1), self.first, self.slope, gradient.reshape(-1), found.reshape(-1))
        return [found]


def every_code(dtype: np.dtype[Any]) -> np.ndarray:
    """All codes of ``dtype`` as int64, in the order of a :class:`Table`."""
    low, high = TYPE_RANGE[dtype]
    return np.arange(low, high + 1, dtype=np.int64)


def clamped(dtype: np.dtype[Any], unclamped: np.ndarray, low: int, high: int, target: np.dtype[Any],
            slope: float | np.ndarray) -> Table:
    """The table of ``unclamped`` int64 values that a clamp to [low, high] follows."""
    inside = (unclamped >= low) & (unclamped <= high)
    return Table(dtype, np.clip(unclamped, low, high).astype(target), np.where(inside, slope, 0.0))


@numba.njit(nogil=True, cache=True)
def look_up(codes, first, values, out):  # type: ignore[no-untyped-def]
    """Write values[code - first] for each code."""
    for i in range(codes.size):
        out[i] = values[np.int64(codes[i]) - first]


@numba.njit(nogil=True, cache=True)
def weigh(codes, first, slope, gradient, out):  # type: ignore[no-untyped-def]
    """Write gradient * slope[code - first] for each code."""
    for i in range(codes.size):
        out[i] = gradient[i] * slope[np.int64(codes[i]) - first]
