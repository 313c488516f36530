"""ADD of two tensors of one shape."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from tinyfuse.core.errors import ModelError
from tinyfuse.firmware.c_text import comment, numbers
from tinyfuse.firmware.operators.base import At, Kernel, Layer, is_wide, register
from tinyfuse.firmware.scale import Scale, fits, scale_of
from tinyfuse.integer.arithmetic import activation_range
from tinyfuse.integer.operators.binary import LEFT_SHIFT
from tinyfuse.tflite.graph import Graph, Operator

ADD_SHIFT = LEFT_SHIFT[np.dtype(np.int8)]


@dataclass(frozen=True, eq=False)
class Add(Kernel):
    """ADD of ``size`` int8 values; ``lefts``: by what operands are shifted before they are multiplied with their
    scales; ``scales``: of both operands and of the sum, all with shifts to the right.
    """

    size: int
    zeros: tuple[int, int, int]
    lefts: tuple[int, int]
    scales: tuple[Scale, Scale, Scale]
    low: int
    high: int

    @property
    def header(self) -> str:
        """See :class:`Kernel`."""
        return "tny_sum.h"

    @property
    def over(self) -> tuple[int, ...]:
        """Each value is read before the one in its place is written."""
        return self.sources

    def turned(self, first: int) -> Add:
        """The same sum with tensor ``first`` as its first operand."""
        if self.sources[0] == first:
            return self
        (a, b), (zero_a, zero_b, zero), (scale_a, scale_b, scale) = self.sources, self.zeros, self.scales
        return replace(self, sources=(b, a), zeros=(zero_b, zero_a, zero), lefts=self.lefts[::-1],
                       scales=(scale_b, scale_a, scale))

    def descriptor(self, number: int) -> str:
        """See :class:`Kernel`."""
        factors = ", ".join(map(_factor, self.scales, self.zeros, (*self.lefts, 0)))
        narrow = (self.low, self.high) != (-128, 127)
        return (f"/* {comment(self.name)} */\nstatic const tny_add_t add{number} = {{\n  {factors},\n  "
                f"{numbers([self.low, self.high, narrow, number, self.target])}}};\n")

    def calls(self, number: int, at: At, scratch: str) -> tuple[str, ...]:
        """See :class:`Kernel`."""
        return (f"tny_add_tensors(&add{number}, {at(self.sources[0])}, {at(self.sources[1])}, {at(self.target)}, "
                f"{self.size});",)


@dataclass(frozen=True, eq=False)
class WideAdd(Kernel):
    """:class:`Add` of int16 values."""

    size: int
    zeros: tuple[int, int, int]
    scales: tuple[Scale, Scale, Scale]
    low: int
    high: int

    @property
    def header(self) -> str:
        """See :class:`Kernel`."""
        return "tny_sum.h"

    @property
    def over(self) -> tuple[int, ...]:
        """As for int8 values."""
        return self.sources

    def descriptor(self, number: int) -> str:
        """See :class:`Kernel`."""
        return (f"/* {comment(self.name)} */\nstatic const tny_wide_add_t add{number} = {{"
                f"{', '.join(map(str, self.scales))}, " +
                numbers([*self.zeros, self.low, self.high, number, self.target]) + "};\n")

    def calls(self, number: int, at: At, scratch: str) -> tuple[str, ...]:
        """See :class:`Kernel`."""
        return (f"tny_add_wide(&add{number}, {at(self.sources[0])}, {at(self.sources[1])}, {at(self.target)}, "
                f"{self.size});",)


@register("ADD")
def _add(graph: Graph, operator: Operator, node: Any) -> Layer:
    del node
    left, right, target = (graph.tensors[index] for index in (*operator.inputs, operator.outputs[0]))
    if not left.shape == right.shape == target.shape:
        raise ModelError(f"'{target.name}': ADD with broadcasting, of {list(left.shape)} and {list(right.shape)}, has "
                         "no firmware kernel")
    bits = LEFT_SHIFT[target.dtype]
    first, second, out = (float(tensor.scale[0]) for tensor in (left, right, target))
    common = 2.0 * max(first, second)
    scales = scale_of(first / common), scale_of(second / common), scale_of(common / ((1 << bits) * out))
    low, high = activation_range(str(operator.options["fused_activation_function"]), out, int(target.zero_point[0]),
                                 target.dtype)
    zeros = int(left.zero_point[0]), int(right.zero_point[0]), int(target.zero_point[0])
    constants = {tensor.index: tensor.data for tensor in (left, right) if tensor.data is not None}
    ends = target.name, (left.index, right.index), target.index, int(np.prod(target.shape))
    if is_wide(target):
        return WideAdd(*ends, zeros, scales, low, high, constants=constants)
    lefts, proven = _proven(target.name, scales)
    return Add(*ends, zeros, lefts, proven, low, high, constants=constants)


def _proven(name: str, scales: tuple[Scale, Scale, Scale]) -> tuple[tuple[int, int], tuple[Scale, Scale, Scale]]:
    """Shifts and scales, all to the right, if no step of an int8 addition can leave 32 bits."""
    # 1/2 is the only factor of an operand with shift 0: one more to the left and one to the right change nothing.
    first, second = (1 - min(scale.shift, 1) for scale in scales[:2])
    found = (Scale(scales[0].multiplier, scales[0].shift + first),
             Scale(scales[1].multiplier, scales[1].shift + second), scales[2])
    for scale, half in zip(found, (first, second, 0), strict=True):
        fits(name, 255 << ADD_SHIFT + half, scale)
    if scales[2].shift < 1:
        raise ModelError(f"'{name}': the scale of its output is 2^18 times smaller than those of its inputs")
    return (ADD_SHIFT + first, ADD_SHIFT + second), found


def _factor(scale: Scale, zero_point: int, left: int) -> str:
    """Doubled where lanes take two bytes."""
    return (f"{{{scale.multiplier}, {1 << scale.shift - 1}, {zero_point}, TNY_PER_LANE({left + 1}, {left}), "
            f"{scale.shift}}}")
