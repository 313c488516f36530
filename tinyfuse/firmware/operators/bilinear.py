"""RESIZE_BILINEAR of int8 images."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from tinyfuse.firmware.operators.base import Kernel, Pair, Shape, hwc, in_and_out, register, sides
from tinyfuse.integer.operators.resize_bilinear import ResizeBilinear as Node
from tinyfuse.tflite.graph import Graph, Operator


@dataclass(frozen=True, eq=False)
class Bilinear(Kernel):
    """Output place i of an axis reads at i * ``step`` + ``start``, in units of 1/1024 of a pixel."""

    in_shape: Shape
    out_shape: Shape
    step: Pair
    start: Pair
    header = "tny_bilinear.h"
    kind = "bilinear"
    call = ("tny_bilinear",)

    def members(self, number: int) -> Mapping[str, object]:
        return {**sides("in", self.in_shape[:2]), "channels": self.in_shape[2], **sides("out", self.out_shape[:2]),
                **sides("step", self.step), **sides("start", self.start)}


@register("RESIZE_BILINEAR")
def _bilinear(graph: Graph, operator: Operator, node: Node) -> Bilinear:
    source, target = in_and_out(graph, operator)
    rows, columns = node.axes
    return Bilinear(target.name, (source.index,), target.index, hwc(source), hwc(target), (rows.step, columns.step),
                    (rows.start, columns.start))
