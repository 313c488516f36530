"""Method "mse": grids that cut off the few largest weights of a channel where that leaves less error in all."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np

from tinyfuse.quantize.weight_codes import LEAST_REACH, Codes, RoundedLayer, make_grid, nearest

REACHES = np.linspace(1.0, LEAST_REACH, 81)
SWEEPS = 2  # over the slices of a layer: each slice's reach is chosen given the others'


def refine(layer: RoundedLayer) -> RoundedLayer:
    """Give ``layer`` the nearest codes of the grid that leaves the least error d^T H d in each channel.

    Each of :data:`REACHES` is tried for each slice; with equal errors the longer reach stays.
    """
    def clipped(reach: np.ndarray) -> Codes:
        return nearest(layer.kernel, make_grid(layer.kernel, slices, least_scale=layer.least_scale, reach=reach))

    slices = layer.codes.slices
    best = np.ones((len(layer.kernel), len(slices)))
    least = layer.error(clipped(best))
    for _ in range(SWEEPS if len(slices) > 1 else 1):
        for j, reach in itertools.product(range(len(slices)), REACHES[1:]):
            tried = best.copy()
            tried[:, j] = reach
            error = layer.error(clipped(tried))
            best[error < least, j], least = reach, np.minimum(error, least)
    return replace(layer, codes=clipped(best))
