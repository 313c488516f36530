"""Operators of two tensors that broadcast: ADD, SUB, MUL, SQUARED_DIFFERENCE, PRELU, MINIMUM and MAXIMUM."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from tinyfuse.firmware.operators.base import Kernel, is_wide, register
from tinyfuse.firmware.operators.walk import Steps, broadcast, is_whole, members, walk
from tinyfuse.firmware.scale import Scale, scale_of
from tinyfuse.integer.operators import binary
from tinyfuse.integer.operators.squared_difference import SQUARED_SHIFT
from tinyfuse.tflite.graph import Graph, Operator, Tensor

Scales = tuple[Scale, Scale, Scale]
_WHAT = {"ADD": "TNY_SUM", "SUB": "TNY_DIFFERENCE", "SQUARED_DIFFERENCE": "TNY_SQUARED_DIFFERENCE",
         "MUL": "TNY_PRODUCT", "PRELU": "TNY_PRELU", "MINIMUM": "TNY_MINIMUM", "MAXIMUM": "TNY_MAXIMUM"}
_ONE = Scale(0, 0)  # of what is not rescaled


@dataclass(frozen=True, eq=False)
class Elementwise(Kernel):
    """``what`` of two tensors; ``zeros`` and ``scales``: of both operands and of the output."""

    what: str
    sizes: Steps
    steps: tuple[Steps, Steps]
    zeros: tuple[int, int, int]
    scales: Scales
    left: int
    low: int
    high: int
    wide: int
    header = "tny_elementwise.h"
    kind = "elementwise"
    call: ClassVar[tuple[str, ...]] = ("tny_elementwise", "what", "wide")

    @property
    def replaceable(self) -> tuple[int, ...]:
        """Operands that are as large as the output."""
        return tuple(source for source, steps in zip(self.sources, self.steps, strict=True)
                     if is_whole(self.sizes, steps))

    def members(self, number: int) -> Mapping[str, object]:
        names = ("first", "second", "out")
        return {**members(sizes=self.sizes, first_steps=self.steps[0], second_steps=self.steps[1]),
                **dict(zip(names, self.scales, strict=True)),
                **{f"zero_{name}": zero for name, zero in zip(names, self.zeros, strict=True)}, "low": self.low,
                "high": self.high, "left": self.left}


def elementwise(graph: Graph, operator: Operator, node: binary.Elementwise) -> Elementwise:
    """Build the kernel that computes every case, quickly or not."""
    first, second, target = (graph.tensors[index] for index in (*operator.inputs, operator.outputs[0]))
    sizes, *steps = walk(target.name, target.shape, *(broadcast(one.shape, target.shape) for one in (first, second)))
    scales, left = _scales(operator, first, second, target)
    constants = {tensor.index: tensor.data for tensor in (first, second) if tensor.data is not None}
    return Elementwise(target.name, (first.index, second.index), target.index, _WHAT[operator.name], sizes,
                       (steps[0], steps[1]), (first.zero, second.zero, target.zero), scales, left,
                       int(node.arithmetic.low), int(node.arithmetic.high), is_wide(target), constants=constants)


@register("SUB", "MUL", "SQUARED_DIFFERENCE", "PRELU", "MINIMUM", "MAXIMUM")
def _elementwise(graph: Graph, operator: Operator, node: binary.Elementwise) -> Elementwise:
    return elementwise(graph, operator, node)


def _scales(operator: Operator, first: Tensor, second: Tensor, target: Tensor) -> tuple[Scales, int]:
    """The scales of both operands and of the output, and the shift to the left before the former two."""
    if operator.name in ("MINIMUM", "MAXIMUM"):
        return (_ONE, _ONE, _ONE), 0
    if operator.name == "MUL":
        return (_ONE, _ONE, scale_of(first.unit * second.unit / target.unit)), 0
    if operator.name == "PRELU":
        return (scale_of(first.unit / target.unit), _ONE, scale_of(first.unit * second.unit / target.unit)), 0
    common = 2.0 * max(first.unit, second.unit)
    if operator.name == "SQUARED_DIFFERENCE":
        left = SQUARED_SHIFT[target.dtype]
        out = common * common / ((1 << 2 * left) * target.unit)
    else:
        left = binary.LEFT_SHIFT[target.dtype]
        out = common / ((1 << left) * target.unit)
    return (scale_of(first.unit / common), scale_of(second.unit / common), scale_of(out)), left
