"""Method "bias": biases take back what rounded weights add to each channel's mean output."""

from __future__ import annotations

import numpy as np


def corrected_bias(bias: np.ndarray, kernel: np.ndarray, rounded: np.ndarray, mean: np.ndarray) -> np.ndarray:
    """Bias b - (W_q - W) E[x], float64 [o] (Nagel et al. 2019, section 4.2, with E[x] measured instead of derived).

    ``bias`` [o]; ``kernel`` W and ``rounded`` W_q float64 [o, ..., i]; ``mean`` E[x] float64 [k].
    """
    return np.asarray(bias - (rounded - kernel).reshape(len(kernel), -1) @ mean)
