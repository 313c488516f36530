"""Initial weights that keep the width of intervals from layer to layer (Shi et al. 2021, section 3.1).

Weights of standard deviation sqrt(2 pi) / fan_in have a mean size of 2 / fan_in: a layer doubles the radius of a box,
and the ReLU after it halves that again.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from tinyfuse.nn.kernels import WEIGHTED, attribute, columns, own_axes
from tinyfuse.nn.origin import parents

PASSING = ("ReLU", "BatchNormalization", "Activation", "Flatten", "Reshape", "AveragePooling2D", "MaxPooling2D",
           "GlobalAveragePooling2D", "Dropout")


def is_fresh(model: Any) -> bool:
    """Tell whether ``model`` has not been trained: all its biases and the means of its batch norms are still 0."""
    found = [getattr(layer, name, None) for layer in model.layers for name in ("bias", "moving_mean")]
    return not any(np.any(np.asarray(one)) for one in found if one is not None)


def initialise(model: Any, seed: int) -> None:
    """Draw the kernels of ``model`` anew; those that read a sum, whose boxes are twice as wide, are half as large."""
    rng = np.random.default_rng([seed, 3])
    for layer in model.layers:
        kind = type(layer).__name__
        if kind in WEIGHTED:
            variable = getattr(layer, attribute(kind))
            shape = columns(kind, np.zeros(variable.shape, np.float32)).shape
            deviation = math.sqrt(2 * math.pi) / math.prod(shape[:-1]) * (0.5 if _reads_sum(layer) else 1.0)
            values = rng.normal(0, deviation, shape).astype(np.float32)
            variable.assign(own_axes(kind, values, tuple(variable.shape)))


def _reads_sum(layer: Any) -> bool:
    before = parents(layer)[0]
    while type(before).__name__ in PASSING:
        before = parents(before)[0]
    return type(before).__name__ == "Add"
