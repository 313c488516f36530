"""The papers' own scheme, simulated in float: every parameter of a layer rounded to 2^n values from min to max.

Nakano et al. 2024, section VI. It is kept apart from the deployed integers: activations and inputs stay float.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tinyfuse.core.errors import RecipeError
from tinyfuse.nn.network import Network
from tinyfuse.nn.origin import branch
from tinyfuse.quantize.recipe import Recipe


def round_minmax(weights: np.ndarray, bits: int) -> np.ndarray:
    """Round to 2^bits equally spaced values from min to max: s = (max - min) / (2^n - 1), w' = s q + min."""
    low, high = float(weights.min()), float(weights.max())
    step = (high - low) / (2**bits - 1)
    if step == 0:  # one value, or a range of so few of the smallest numbers that all of them are kept
        return weights.copy()
    return np.asarray(np.rint((weights.astype(np.float64) - low) / step) * step + low, weights.dtype)


def simulate(network: Network, recipe: Recipe) -> Any:
    """Copy the model of ``network`` with its kernels, biases and batch norm parameters rounded to ``recipe``.

    Each array is a layer of its own in the sense of the paper; moving statistics are not parameters and stay.
    """
    if recipe.scheme != "minmax":
        raise RecipeError(f"recipe '{recipe.name}' has scheme '{recipe.scheme}'; 'minmax' is simulated in float")
    from tf_keras.models import clone_model

    copy = clone_model(network.model)
    copy.set_weights(network.model.get_weights())
    recipe.check_network([layer.name for layer in copy.layers if layer.weights], tuple(copy.input_shape))
    for layer in copy.layers:
        for variable in layer.trainable_weights:
            bits = recipe.bits_for(layer.name, branch(network.origin(layer.name)))
            variable.assign(round_minmax(np.asarray(variable), bits))
    return copy
