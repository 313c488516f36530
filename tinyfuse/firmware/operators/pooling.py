"""AVERAGE_POOL_2D and MAX_POOL_2D."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from tinyfuse.firmware.operators.base import Kernel, Pair, Shape, hwc, in_and_out, is_wide, register, sides, window
from tinyfuse.integer.operators import pooling
from tinyfuse.tflite.graph import Graph, Operator


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
    kind = MaxPool if operator.name == "MAX_POOL_2D" else AveragePool
    return kind(target.name, (source.index,), target.index, hwc(source), hwc(target), (height, width),
                (stride_h, stride_w), (top, left), int(node.low), int(node.high), is_wide(source))
