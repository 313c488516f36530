"""BATCH_MATMUL of two computed tensors, or of one and a constant."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from tinyfuse.firmware.operators.base import Kernel, is_wide, register
from tinyfuse.firmware.operators.plain_conv import shortened
from tinyfuse.firmware.operators.walk import Steps, broadcast, contiguous, members, walk
from tinyfuse.firmware.scale import Scale
from tinyfuse.integer.operators.batch_matmul import BatchMatmul as Node
from tinyfuse.tflite.graph import Graph, Operator, Tensor


@dataclass(frozen=True, eq=False)
class Matmul(Kernel):
    """Sums of ``depth`` products; ``depths``: codes between neighbouring ones in both operands."""

    sizes: Steps
    steps: tuple[Steps, Steps]
    depth: int
    depths: tuple[int, int]
    scale: Scale
    zeros: tuple[int, int, int]
    wide: int
    header = "tny_matmul.h"
    kind = "matmul"
    call = "tny_matmul", "wide"

    def members(self, number: int) -> Mapping[str, object]:
        return {**members(sizes=self.sizes, first_steps=self.steps[0], second_steps=self.steps[1]),
                "depth": self.depth, "first_depth": self.depths[0], "second_depth": self.depths[1],
                "scale": self.scale, **dict(zip(("zero_first", "zero_second", "zero_out"), self.zeros, strict=True))}


@register("BATCH_MATMUL")
def _matmul(graph: Graph, operator: Operator, node: Node) -> Matmul:
    first, second, target = (graph.tensors[index] for index in (*operator.inputs, operator.outputs[0]))
    rows, row_depth = _steps(first, target, turned=node.turned[0])
    columns, column_depth = _steps(second, target, turned=not node.turned[1])
    sizes, *steps = walk(target.name, target.shape, (*rows, 0), (*columns[:-1], 0, columns[-1]))
    scale = Scale(node.multiplier, -node.shift)
    constants = {tensor.index: tensor.data for tensor in (first, second) if tensor.data is not None}
    return Matmul(target.name, (first.index, second.index), target.index, sizes, (steps[0], steps[1]), node.depth,
                  (row_depth, column_depth), shortened(scale) if is_wide(target) else scale,
                  (first.zero, second.zero, target.zero), is_wide(target), constants=constants)


def _steps(tensor: Tensor, target: Tensor, *, turned: bool) -> tuple[Steps, int]:
    """Steps along the axes of the output before the last two and along the own axis that stays; those of the depth."""
    ahead = broadcast((*tensor.shape[:-2], 1, 1), (*target.shape[:-2], 1, 1))[:-2]
    size = tensor.shape[-2] * tensor.shape[-1]
    row, column = contiguous(tensor.shape)[-2:]
    stays, depth = (column, row) if turned else (row, column)
    return (*(step * size for step in ahead), stays), depth
