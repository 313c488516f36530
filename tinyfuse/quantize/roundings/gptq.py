"""Method "gptq": weights are rounded one by one, and those still free make up for each rounding error.

GPTQ (Frantar et al. 2023, eq. 1 and 2, algorithm 1), the Cholesky form of OBQ (Frantar & Alistarh 2022): with U
upper triangular and U^T U = H^-1, rounding column j with e = (w_j - q_j) / U_jj moves each later column l by -e U_jl.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from tinyfuse.quantize.weight_codes import RoundedLayer, place

DAMPING = 0.01  # of the mean diagonal of H, added to it: keeps its inverse tame (GPTQ, step 3, "Cholesky")
NO_INPUT = 1e-100  # a mean diagonal below it is that of inputs that are always 0


def refine(layer: RoundedLayer) -> RoundedLayer:
    """Round ``layer`` again on its grid; a channel whose codes so far have no more error d^T H d keeps those."""
    near, found = layer.codes, place(layer.codes, _compensated(layer))
    worse = layer.error(found) >= layer.error(near)
    found.values[worse] = near.values[worse]
    return replace(layer, codes=found)


def _compensated(layer: RoundedLayer) -> np.ndarray:
    """Round columns in the order of falling H_jj: those that matter most while most others can still make up."""
    flat = (len(layer.kernel), -1)
    scale, stride, limit = (part.reshape(flat) for part in layer.codes.points(layer.kernel.shape))
    free, values = layer.kernel.reshape(flat).copy(), np.zeros(scale.shape)
    order = np.argsort(-np.diag(layer.moment), kind="stable")
    factor = inverse_factor(layer.moment[np.ix_(order, order)])
    for row, column in enumerate(order):
        step = scale[:, column] * stride[:, column]
        q = np.clip(np.rint(free[:, column] / step), -limit[:, column], limit[:, column])
        values[:, column] = stride[:, column] * q
        error = (free[:, column] - q * step) / factor[row, row]
        free[:, order[row + 1:]] -= np.outer(error, factor[row, row + 1:])
    return values.reshape(layer.kernel.shape)


def inverse_factor(moment: np.ndarray) -> np.ndarray:
    """Compute the upper triangular U float64 [k, k] with U^T U = (H + damping)^-1, for an H of rank 0 too."""
    mean = np.diag(moment).mean()
    damped = moment + DAMPING * (mean if mean > NO_INPUT else 1.0) * np.eye(len(moment))
    return np.linalg.cholesky(np.linalg.inv(damped)).T
