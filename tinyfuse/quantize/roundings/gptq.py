"""Method "gptq": weights are rounded one by one, and those still free make up for each rounding error.

GPTQ (Frantar et al. 2023, eq. 1 and 2, algorithm 1), the Cholesky form of OBQ (Frantar & Alistarh 2022): with U
upper triangular and U^T U = H^-1, rounding column j with e = (w_j - q_j) / U_jj moves each later column l by -e U_jl.
"""

from __future__ import annotations

import numpy as np

from tinyfuse.quantize.roundings.mse import quadratic_error
from tinyfuse.quantize.weight_codes import Codes, Grid, nearest, placed

DAMPING = 0.01  # of the mean diagonal of H, added to it: keeps its inverse tame (GPTQ, step 3, "Cholesky")
NO_INPUT = 1e-100  # a mean diagonal below it is that of inputs that are always 0


def compensated(kernel: np.ndarray, on: Grid, moment: np.ndarray) -> Codes:
    """Codes of ``kernel`` float64 [o, ..., i] on the grid ``on``, rounded with compensation for d^T H d.

    ``moment`` is H float64 [k, k]. Columns go in the order of falling H_jj, so that those that matter most are
    rounded while most others can still make up for them. A channel whose nearest codes have no more error keeps those.
    """
    near = nearest(kernel, on)
    found = placed(on, _rounded(kernel, on, moment).reshape(kernel.shape))
    worse = quadratic_error(kernel - found.real, moment) >= quadratic_error(kernel - near.real, moment)
    found.values[worse] = near.values[worse]
    return found


def _rounded(kernel: np.ndarray, on: Grid, moment: np.ndarray) -> np.ndarray:
    """Whole numbers [o, k] on the grid."""
    flat = (len(kernel), -1)
    scale, stride, limit = (part.reshape(flat) for part in on.points(kernel.shape))
    free, values = kernel.reshape(flat).copy(), np.zeros(scale.shape)
    order = np.argsort(-np.diag(moment), kind="stable")
    factor = inverse_factor(moment[np.ix_(order, order)])
    for place, column in enumerate(order):
        step = scale[:, column] * stride[:, column]
        q = np.clip(np.rint(free[:, column] / step), -limit[:, column], limit[:, column])
        values[:, column] = stride[:, column] * q
        error = (free[:, column] - q * step) / factor[place, place]
        free[:, order[place + 1:]] -= np.outer(error, factor[place, place + 1:])
    return values


def inverse_factor(moment: np.ndarray) -> np.ndarray:
    """Upper triangular U float64 [k, k] with U^T U = (H + damping)^-1, for an H of rank 0 too."""
    mean = np.diag(moment).mean()
    damped = moment + DAMPING * (mean if mean > NO_INPUT else 1.0) * np.eye(len(moment))
    return np.linalg.cholesky(np.linalg.inv(damped)).T
