"""AVERAGE_POOL_2D and MAX_POOL_2D; MEAN over neighbouring axes, as in global average pooling."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from tinyfuse.core.errors import ModelError
from tinyfuse.firmware.operators.base import Kernel, Pair, Shape, hwc, in_and_out, is_wide, register, sides, window
from tinyfuse.firmware.scale import Scale, sized
from tinyfuse.integer.operators import mean, pooling
from tinyfuse.tflite.graph import Graph, Operator

_INT32 = 1 << 31


@dataclass(frozen=True, eq=False)
class Pool(Kernel):
    """A pooling of shape (h, w, c)."""

    in_shape: Shape
    out_shape: Shape
    kernel: Pair
    stride: Pair
    padding: Pair
    low: int
    high: int
    wide: int
    header = "tny_pool.h"
    kind = "pool"

    def members(self, number: int) -> Mapping[str, object]:
        return {**sides("in", self.in_shape[:2]), "channels": self.in_shape[2], **sides("out", self.out_shape[:2]),
                **window(self.kernel, self.stride, None, self.padding), "low": self.low, "high": self.high}


class AveragePool(Pool):
    call = "tny_average_pool", "wide"


class MaxPool(Pool):
    call = "tny_max_pool", "wide"


@register("AVERAGE_POOL_2D", "MAX_POOL_2D")
def _pool(graph: Graph, operator: Operator, node: pooling.Pool) -> Pool:
    source, target = in_and_out(graph, operator)
    height, width, stride_h, stride_w, _, _, top, left = (int(value) for value in node.window)
    sized(target.name, "sizes", (*source.shape, *target.shape), 16)
    sized(target.name, "kernel, stride or padding", (height, width, stride_h, stride_w, top, left), 8)
    kind = MaxPool if operator.name == "MAX_POOL_2D" else AveragePool
    return kind(target.name, (source.index,), target.index, hwc(source), hwc(target), (height, width),
                (stride_h, stride_w), (top, left), int(node.low), int(node.high), is_wide(source))


@dataclass(frozen=True, eq=False)
class Mean(Kernel):
    """Means of ``count`` values; ``outer`` and ``inner``: the sizes of the axes before and behind those that go."""

    outer: int
    count: int
    inner: int
    scale: Scale
    zero_in: int
    zero_out: int
    low: int
    high: int
    wide: int
    header = "tny_mean.h"
    kind = "mean"
    described = "outer", "count", "inner", "scale", "zero_in", "zero_out", "low", "high"
    call = "tny_mean", "wide"


@register("MEAN")
def _mean(graph: Graph, operator: Operator, node: mean.Mean) -> Mean:
    source, target = in_and_out(graph, operator)
    given = graph.tensors[operator.inputs[1]].data
    assert given is not None
    axes = sorted({int(axis) % len(source.shape) for axis in np.ravel(given)})
    first, last = (axes[0], axes[-1]) if axes else (1, 0)
    if axes != list(range(first, last + 1)):
        raise ModelError(f"'{target.name}': MEAN over the axes {axes} has no firmware kernel; they must be neighbours")
    outer, inner = int(np.prod(source.shape[:first])), int(np.prod(source.shape[last + 1:], dtype=int))
    if node.count << (16 if is_wide(source) else 8) >= _INT32:
        raise ModelError(f"'{target.name}': MEAN of {node.count} values can leave 32 bits")
    return Mean(target.name, (source.index,), target.index, outer, node.count, inner,
                Scale(node.multiplier, -node.shift), node.zero_in, node.zero_out, node.low, node.high, is_wide(source))
