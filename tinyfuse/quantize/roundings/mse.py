"""Method "mse": grids that cut off the few largest weights of a channel where that leaves less error in all."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tinyfuse.quantize.weight_codes import LEAST_REACH, Grid, Slice, grid, nearest

REACHES = np.linspace(1.0, LEAST_REACH, 81)
SWEEPS = 2  # over the slices of a layer: each slice's reach is chosen given the others'


def quadratic_error(difference: np.ndarray, moment: np.ndarray) -> np.ndarray:
    """d^T H d of each output channel, float64 [o]: ``difference`` [o, ..., i], ``moment`` H [k, k]."""
    flat = difference.reshape(len(difference), -1)
    return np.asarray(((flat @ moment) * flat).sum(axis=1))


def clipped_grid(kernel: np.ndarray, slices: Sequence[Slice], moment: np.ndarray, *, least_scale: np.ndarray) -> Grid:
    """The grid on which the nearest codes of ``kernel`` float64 [o, ..., i] leave the least d^T H d per channel.

    ``moment`` is H float64 [k, k]; each of :data:`REACHES` is tried for each slice. With equal errors the longer
    reach stays. ``least_scale`` [o]: see :func:`tinyfuse.quantize.weight_codes.quantize`.
    """
    best = np.ones((len(kernel), len(slices)))
    least = _error(kernel, slices, moment, best, least_scale)
    for _ in range(SWEEPS if len(slices) > 1 else 1):
        for j in range(len(slices)):
            for reach in REACHES[1:]:
                tried = best.copy()
                tried[:, j] = reach
                error = _error(kernel, slices, moment, tried, least_scale)
                better = error < least
                best[better, j], least = reach, np.minimum(error, least)
    return grid(kernel, slices, least_scale=least_scale, reach=best)


def _error(kernel: np.ndarray, slices: Sequence[Slice], moment: np.ndarray, reach: np.ndarray,
           least_scale: np.ndarray) -> np.ndarray:
    codes = nearest(kernel, grid(kernel, slices, least_scale=least_scale, reach=reach))
    return quadratic_error(kernel - codes.real, moment)
