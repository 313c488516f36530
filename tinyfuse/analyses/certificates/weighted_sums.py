"""Intervals of convolutions and FULLY_CONNECTED: exact sums at both ends, then the twin's own requantisation.

With codes x in [l, u] the smallest sum is the sum of min(w l, w u) over all weights w. Twice that is
w (l + u) - |w| (u - l): whole numbers, so that two maps of floats that hold every partial sum give both ends exactly.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tinyfuse.analyses.certificates.linear_maps import MAPS, LinearMap
from tinyfuse.analyses.certificates.rules import Box, Rule, Site, bounds, need_no_wrap
from tinyfuse.core.errors import ModelError
from tinyfuse.integer.arithmetic import TYPE_RANGE

_FLOAT32, _FLOAT64 = 1 << 24, 1 << 53  # whole numbers that each holds


@bounds(*MAPS)
def _weighted(site: Site) -> Rule:
    node, linear = site.node, MAPS[site.operator.name](site.node)
    largest = largest_sums(site, linear)
    _need_monotone(site, largest)
    kind = _exact_type(int(largest.max()))
    weights, sizes = linear.weights.astype(kind), np.abs(linear.weights).astype(kind)
    _prove(site, linear, sizes)

    def rule(boxes: Sequence[Box]) -> Box:
        (low, high), = boxes
        if np.array_equal(low, high):
            exact = node.forward([low])[0]
            return exact, exact
        wide = high.astype(np.int32)
        middle = linear.forth((wide + low - 2 * node.zero_in).astype(kind), weights)
        reach = linear.forth((wide - low).astype(kind), sizes)
        half = kind(0.5)
        return node.codes((middle - reach) * half)[0], node.codes((middle + reach) * half)[0]

    return rule


def largest_sums(site: Site, linear: LinearMap) -> np.ndarray:
    """Return by channel, int64, a bound of every partial sum of products, without the bias."""
    low, high = TYPE_RANGE[site.sources[0].dtype]
    sizes = np.abs(linear.weights)
    by_channel = sizes.sum(axis=(0, 1)).reshape(-1) if site.operator.name == "DEPTHWISE_CONV_2D" else \
        sizes.reshape(-1, sizes.shape[-1]).sum(axis=0)
    return np.asarray(by_channel * max(high - site.node.zero_in, site.node.zero_in - low))


def _need_monotone(site: Site, largest: np.ndarray) -> None:
    """Refuse sums that wrap around in C: the requantisation would not be monotone."""
    node, what = site.node, f"a sum of '{site.target.name}'"
    for size, bias, multiplier, shift in zip(largest, node.bias, node.multiplier, node.shift, strict=True):
        total = int(size) + abs(int(bias))
        if node.wide_sums:
            need_no_wrap(total * ((int(multiplier) >> 16) + 1) + (1 << 46), what, 64)
            need_no_wrap((total * (int(multiplier) + (1 << 16)) >> 31 - int(shift)) + 2, what)
        else:
            need_no_wrap(total << max(int(shift), 0), what)
            need_no_wrap((total * int(multiplier) >> 31 - int(shift)) + abs(node.zero_out) + 2, what)


def _exact_type(largest: int) -> type:
    if 2 * largest >= _FLOAT64:
        raise ModelError(f"sums up to {2 * largest} do not fit float64")
    return np.float32 if 2 * largest < _FLOAT32 else np.float64


def _prove(site: Site, linear: LinearMap, sizes: np.ndarray) -> None:
    """Check on extreme codes that the library adds plain products of the absolute weights.

    The twin has proved it for the weights. What is compared with is a product of whole numbers: the sum of all sums,
    which is that of each input times what the map sends back for it.
    """
    node = site.node
    drawn = np.random.default_rng(0).choice([0, 255], (1, *node.input_shape)).astype(np.int64)
    found = linear.forth(drawn.astype(sizes.dtype), sizes).astype(np.int64)
    shares = linear.back(np.ones((1, *node.output_shape), np.float64), sizes.astype(np.float64)).astype(np.int64)
    if int(found.sum()) != int((drawn * shares).sum()):
        raise ModelError("TensorFlow's convolution is not exact here (a fast-math or reduced-precision mode?); switch "
                         "off ONEDNN_DEFAULT_FPMATH_MODE and TF_SET_ONEDNN_FPMATH_MODE")
