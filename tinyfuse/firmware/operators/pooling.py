"""AVERAGE_POOL_2D and MAX_POOL_2D."""

from __future__ import annotations

from dataclasses import dataclass

from tinyfuse.firmware.c_text import comment, numbers
from tinyfuse.firmware.operators.base import At, Kernel, Layer, Shape, ends, hwc, is_wide, register
from tinyfuse.firmware.scale import sized
from tinyfuse.integer.operators.pooling import Pool as Node
from tinyfuse.tflite.graph import Graph, Operator


@dataclass(frozen=True, eq=False)
class Pool(Kernel):
    """A pooling of shape (h, w, c) by ``function`` of the runtime."""

    function: str
    in_shape: Shape
    out_shape: Shape
    kernel: tuple[int, int]
    stride: tuple[int, int]
    padding: tuple[int, int]
    low: int
    high: int
    wide: int

    @property
    def header(self) -> str:
        """See :class:`Kernel`."""
        return "tny_pool.h"

    def descriptor(self, number: int) -> str:
        """See :class:`Kernel`."""
        return (f"/* {comment(self.name)} */\nstatic const tny_pool_t pool{number} = {{" +
                numbers([*self.in_shape, *self.out_shape[:2], *self.kernel, *self.stride, *self.padding, self.low,
                         self.high, number, self.target]) + "};\n")

    def calls(self, number: int, at: At, scratch: str) -> tuple[str, ...]:
        """See :class:`Kernel`."""
        return (f"{self.function}(&pool{number}, {at(self.sources[0])}, {at(self.target)}, {self.wide});",)


_FUNCTIONS = {"AVERAGE_POOL_2D": "tny_average_pool", "MAX_POOL_2D": "tny_max_pool"}


@register(*_FUNCTIONS)
def _pool(graph: Graph, operator: Operator, node: Node) -> Layer:
    source, target = ends(graph, operator)
    height, width, stride_h, stride_w, _, _, top, left = (int(value) for value in node.window)
    sized(target.name, "sizes", (*source.shape, *target.shape), 16)
    sized(target.name, "kernel, stride or padding", (height, width, stride_h, stride_w, top, left), 8)
    return Pool(target.name, (source.index,), target.index, _FUNCTIONS[operator.name], hwc(source), hwc(target),
                (height, width), (stride_h, stride_w), (top, left), int(node.low), int(node.high), is_wide(source))
