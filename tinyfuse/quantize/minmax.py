"""The papers' own scheme: per-layer min-max over 2^n levels, weights only, simulated in float.

Nakano et al. 2024, section VI: r = [min W_l, max W_l] is cut into 2^n values and every parameter of the layer is
rounded to the nearest. It is kept apart from the deployed integers: activations and inputs stay float.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tinyfuse.core.errors import RecipeError
from tinyfuse.nn.zoo.fusion import build
from tinyfuse.quantize.folded_layers import branch_of
from tinyfuse.quantize.recipe import Precision


def round_minmax(weights: np.ndarray, bits: int) -> np.ndarray:
    """Nearest of 2^bits equally spaced values from min to max: s = (max - min) / (2^n - 1), w' = s q + min."""
    low, high = float(weights.min()), float(weights.max())
    step = (high - low) / (2**bits - 1)
    if step == 0:  # one value, or a range of so few of the smallest numbers that all of them are kept
        return weights.copy()
    return np.asarray(np.rint((weights.astype(np.float64) - low) / step) * step + low, weights.dtype)


def simulate(model: Any, precision: Precision) -> Any:
    """A copy of ``model`` whose kernels, biases and batch norm parameters are rounded to ``precision``.

    Each array is a layer of its own in the sense of the paper; moving statistics are not parameters and stay.
    """
    if precision.scheme != "minmax":
        raise RecipeError(f"recipe '{precision.name}' has scheme '{precision.scheme}'; 'minmax' is simulated in float")
    copy = build(model.name)
    copy.set_weights(model.get_weights())
    precision.check_layers([layer.name for layer in copy.layers if layer.weights])
    for layer in copy.layers:
        for variable in layer.trainable_weights:
            bits = precision.bits_for(layer.name, branch_of(layer.name))
            variable.assign(round_minmax(np.asarray(variable), bits))
    return copy
