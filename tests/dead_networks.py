"""Small networks of whose channels many are dead, constant or read by nothing."""

from __future__ import annotations

import numpy as np
from side_by_side import Net

STRIDES = {"padding": 0, "strideH": 1, "strideW": 1}
RELU = {"fusedActivationFunction": 1}


def grid(net: Net, channels: int, dtype: type) -> int:
    return net.tensor([1, 6, 6, channels], dtype, scale=0.05, zero=-128 if dtype == np.int8 else 0)


def convolved(net: Net, source: int, channels: int, size: int, dtype: type, *, depthwise: bool = False,
              dead: bool = True) -> int:
    """A convolution with RELU, of whose channels some are 0 whatever goes in, and some another code."""
    before = net.specs[source].shape[-1]
    weights = net.rng.integers(-9, 10, (1, size, size, channels) if depthwise else (channels, size, size, before))
    bias = net.rng.integers(-200, 200, channels)
    if dead:
        bias[::2] = -60_000 if dtype == np.int8 else -200_000_000
        (weights.T if depthwise else weights)[1] = 0
        bias[1] = 900
    scale = [0.01] * channels
    held = net.constant(weights, np.int8, scale, [0] * channels, 3 if depthwise else 0)
    added = net.constant(bias, np.int32 if dtype == np.int8 else np.int64, [0.0005] * channels, [0] * channels)
    more = {"depthMultiplier": channels // before} if depthwise else {}
    return net.step("DEPTHWISE_CONV_2D" if depthwise else "CONV_2D", [source, held, added], grid(net, channels, dtype),
                    "DepthwiseConv2DOptions" if depthwise else "Conv2DOptions", {**STRIDES, **RELU, **more})


def network(seed: int, dtype: type = np.int8) -> bytes:
    """Two branches that are added, then joined with a third; a depthwise layer, a pool, a flat view, a dense layer."""
    net = Net(np.random.default_rng(seed))
    x = net.input([1, 6, 6, 8], dtype, scale=0.05, zero=-7 if dtype == np.int8 else 0)
    a, b = (convolved(net, x, 16, 3, dtype) for _ in "ab")
    both = net.step("ADD", [a, b], grid(net, 16, dtype), "AddOptions")
    deep = convolved(net, both, 16, 3, dtype, depthwise=True, dead=bool(seed % 2))
    more = convolved(net, deep, 16, 1, dtype)
    join = net.step("CONCATENATION", [more, deep], grid(net, 32, dtype), "ConcatenationOptions", {"axis": 3})
    pooled = net.tensor([1, 3, 3, 32], dtype, scale=0.05, zero=-128 if dtype == np.int8 else 0)
    net.step("MAX_POOL_2D", [join], pooled, "Pool2DOptions", {"padding": 1, "strideH": 2, "strideW": 2,
                                                            "filterHeight": 2, "filterWidth": 2})
    flat = net.step("RESHAPE", [pooled], net.tensor([1, 288], dtype, scale=0.05, zero=net.specs[pooled].zero_point[0]),
                    "ReshapeOptions")
    weights = net.constant(net.rng.integers(-9, 10, (10, 288)), np.int8, [0.01], [0])
    net.step("FULLY_CONNECTED", [flat, weights], net.tensor([1, 10], dtype, scale=0.3), "FullyConnectedOptions")
    return net.data()
