"""One over a square root in fixed point, as L2_NORMALIZATION and RSQRT take it."""

from __future__ import annotations

import numba
import numpy as np

_ROUNDS = 5
_HALF_THREE = (1 << 28) + (1 << 27)  # 3/2 with three integer bits
_HALF_ROOT_OF_TWO = 1518500250
_MOST = (1 << 31) - 1


@numba.njit(inline="always")
def _times(a, b):  # type: ignore[no-untyped-def]
    """Return a * b / 2^31 of values from 0 on, halves up."""
    return (a * b + (np.int64(1) << np.int64(30))) >> np.int64(31)


@numba.njit(cache=True)
def _inverse_root(value):  # type: ignore[no-untyped-def]
    """Return (multiplier, shift to the left) of one over the root of ``value``: five rounds of Newton from 1."""
    if value <= 1:
        return np.int64(_MOST), np.int64(0)
    shift = np.int64(11)
    while value >= 1 << 29:
        value, shift = value // 4, shift + 1
    while value < 1 << 27:
        value, shift = value * 4, shift - 1
    half = ((value >> 1) + 1) >> 1
    x = np.int64(1) << np.int64(28)
    for _ in range(_ROUNDS):
        cube = min(_times(_times(x, x), x) << np.int64(6), np.int64(_MOST))
        x = min((_times(np.int64(_HALF_THREE), x) - _times(half, cube)) << np.int64(3), np.int64(_MOST))
    x = _times(x, np.int64(_HALF_ROOT_OF_TWO))
    if shift < 0:
        x, shift = x << -shift, np.int64(0)
    return x, -shift


@numba.njit(cache=True)
def _inverse_roots(values, multipliers, shifts):  # type: ignore[no-untyped-def]
    for i in range(len(values)):
        multipliers[i], shifts[i] = _inverse_root(values[i])


def inverse_roots(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return int64 multipliers and shifts for ``values`` from 0 to 2^31 - 1.

    ``GetInvSqrtQuantizedMultiplierExp``; 0 counts as 1. The factor is multiplier * 2^(shift - 31).
    """
    multipliers, shifts = np.empty(values.size, np.int64), np.empty(values.size, np.int64)
    _inverse_roots(np.ascontiguousarray(values, np.int64).reshape(-1), multipliers, shifts)
    return multipliers.reshape(values.shape), shifts.reshape(values.shape)
