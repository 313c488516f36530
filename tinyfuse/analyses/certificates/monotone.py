"""Intervals of operators that rise with every input: moves, poolings, means and sums."""

from __future__ import annotations

import numpy as np

from tinyfuse.analyses.certificates.rules import Rule, Site, bounds, need_no_wrap, rising
from tinyfuse.core.errors import ModelError
from tinyfuse.integer.arithmetic import TYPE_RANGE
from tinyfuse.integer.operators.lookup import Lookup


@bounds("RESHAPE", "TRANSPOSE", "STRIDED_SLICE", "PAD", "PADV2", "CONCATENATION", "PACK", "DEPTH_TO_SPACE",
        "SPACE_TO_DEPTH", "MIRROR_PAD", "REVERSE_V2", "GATHER", "BROADCAST_TO", "RESIZE_NEAREST_NEIGHBOR",
        "AVERAGE_POOL_2D", "MAX_POOL_2D", "REDUCE_MAX", "REDUCE_MIN")
def _moved(site: Site) -> Rule:
    if isinstance(site.node, Lookup):
        raise ModelError(f"'{site.target.name}': GATHER at computed places has no bounds")
    return rising(site.node)


@bounds("RESIZE_BILINEAR")
def _blended(site: Site) -> Rule:
    """Rises unless a weight is negative; beyond the edge one is, but there both neighbours are one pixel."""
    for axis in site.node.axes:
        if ((axis.weights < 0).any(axis=0) & (axis.places[0] != axis.places[1])).any():
            raise ModelError(f"'{site.target.name}': a weight of a neighbour below 0 has no bounds")
    return rising(site.node)


@bounds("MEAN", "SUM")
def _mean(site: Site) -> Rule:
    low, high = TYPE_RANGE[site.sources[0].dtype]
    node = site.node
    most = node.count * max(high - node.zero_in, node.zero_in - low)
    what = f"the sum of '{site.target.name}'"
    need_no_wrap(most << max(node.shift, 0), what)
    need_no_wrap((most * node.multiplier >> 31 - node.shift) + abs(node.zero_out) + 2, what)
    return rising(node)


@bounds("ADD_N", "CUMSUM")
def _sums(site: Site) -> Rule:
    node = site.node
    ends = np.abs(node.shifted(np.arange(-128, 128).astype(np.int8))).max()
    places = site.sources[0].shape[node.axis] if site.operator.name == "CUMSUM" else len(site.operator.inputs)
    start = int(np.abs(np.asarray(node.start)).max())
    need_no_wrap((int(ends) * places + start) << max(int(node.final[1]), 0), f"the sum of '{site.target.name}'")
    return rising(node)
