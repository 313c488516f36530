"""A network of two inputs and six operators with drawn weights, small enough that all its codes can be tried."""

from __future__ import annotations

import numpy as np
from one_operator import Spec, Step, build


def small_network(rng: np.random.Generator, dtype: type = np.int8) -> bytes:
    """Two inputs: a convolution each, one with stride, ADD, a pooling, CONCATENATION and a dense layer."""
    def conv(shape: tuple[int, ...]) -> np.ndarray:
        return rng.integers(-60, 61, shape).astype(np.int8)

    zero = int(rng.integers(-100, 100)) if dtype == np.int8 else 0
    wide = np.int32 if dtype == np.int8 else np.int64
    scale = 0.05 if dtype == np.int8 else 0.05 / 200
    specs = [Spec([1, 4, 4, 1], dtype, [scale], [zero], name="a"), Spec([1, 4, 4, 2], dtype, [scale], name="b"),
             Spec([3, 3, 3, 1], scale=[0.01], data=conv((3, 3, 3, 1))),
             Spec([3], wide, data=rng.integers(-300, 300, 3)), Spec([1, 4, 4, 3], dtype, [scale], [zero]),
             Spec([3, 1, 1, 2], scale=[0.02], data=conv((3, 1, 1, 2))), Spec([1, 4, 4, 3], dtype, [scale], [zero]),
             Spec([1, 4, 4, 3], dtype, [1.5 * scale], [zero]), Spec([1, 2, 2, 3], dtype, [1.5 * scale], [zero]),
             Spec([1, 12], dtype, [1.5 * scale], [zero]), Spec([2], np.int32, (), (), data=np.array([1, 12], np.int32)),
             Spec([3, 12], scale=[0.02], data=conv((3, 12))), Spec([1, 3], dtype, [4 * scale])]
    padding = {"padding": 0, "strideH": 1, "strideW": 1, "dilationHFactor": 1, "dilationWFactor": 1}
    pool = {"padding": 1, "strideH": 2, "strideW": 2, "filterHeight": 2, "filterWidth": 2}
    return build(specs, [
        Step("CONV_2D", [0, 2, 3], [4], "Conv2DOptions", {**padding, "fusedActivationFunction": 1}),
        Step("CONV_2D", [1, 5], [6], "Conv2DOptions", padding),
        Step("ADD", [4, 6], [7], "AddOptions", {"fusedActivationFunction": 1}),
        Step("AVERAGE_POOL_2D", [7], [8], "Pool2DOptions", pool),
        Step("RESHAPE", [8, 10], [9], "ReshapeOptions", {"newShape": [1, 12]}),
        Step("FULLY_CONNECTED", [9, 11], [12], "FullyConnectedOptions", {})], [0, 1], [12])
