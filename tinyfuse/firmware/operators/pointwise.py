"""Code by code: ADD of int8 tensors, QUANTIZE to another grid, and functions, those of int8 codes as tables."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from tinyfuse.core.errors import ModelError
from tinyfuse.firmware.c_text import array, braced, comment
from tinyfuse.firmware.operators.base import Kernel, Pair, in_and_out, is_wide, register
from tinyfuse.firmware.operators.elementwise import Scales, elementwise
from tinyfuse.firmware.operators.real import quotients
from tinyfuse.firmware.operators.wide_functions import wide_function
from tinyfuse.firmware.scale import Scale, fits, scale_of
from tinyfuse.integer.operators import binary
from tinyfuse.integer.operators.table import CODES, Table
from tinyfuse.tflite.graph import Graph, Operator

ADD_SHIFT = binary.LEFT_SHIFT[np.dtype(np.int8)]


@dataclass(frozen=True, eq=False)
class Unary(Kernel):
    """``size`` codes looked up in ``results`` int8 [256], that of -128 first."""

    size: int
    results: np.ndarray = field(repr=False)
    header = "tny_table.h"
    kind = "table"
    call = "tny_look_up", "size"
    in_place = True

    def tables(self, number: int) -> str:
        return f"/* {comment(self.name)} */\n" + array("int8_t", f"results{number}", self.results)

    def members(self, number: int) -> Mapping[str, object]:
        return {"results": f"results{number}"}


@register("ABS", "RSQRT", "RELU", "RELU6", "LEAKY_RELU", "LOGISTIC", "TANH", "ELU", "HARD_SWISH")
def _unary(graph: Graph, operator: Operator, node: Table) -> Kernel:
    source, target = in_and_out(graph, operator)
    if is_wide(source):
        return wide_function(graph, operator)
    return Unary(target.name, (source.index,), target.index, int(np.prod(target.shape)), node.values)


@dataclass(frozen=True, eq=False)
class Quantize(Kernel):
    """``size`` codes rescaled."""

    size: int
    scale: Scale
    zero_in: int
    zero_out: int
    low: int
    high: int
    wide_in: int
    wide_out: int
    header = "tny_quantize.h"
    kind = "quantize"
    call = "tny_quantize", "size", "wide_in", "wide_out"

    def members(self, number: int) -> Mapping[str, object]:
        low, high, zero = ("INT32_MIN" if value == -(1 << 31) else value for value in
                           (self.low, self.high, self.zero_out))
        return {"scale": self.scale, "zero_in": self.zero_in, "zero_out": zero, "low": low, "high": high}

    @property
    def replaceable(self) -> tuple[int, ...]:
        """A code that is no wider replaces what has been read."""
        return self.sources if self.wide_out <= self.wide_in else ()


@register("QUANTIZE")
def _quantize(graph: Graph, operator: Operator, node: Any) -> Kernel:
    source, target = in_and_out(graph, operator)
    if source.dtype == np.float32:
        return quotients(source, target)
    low, high = CODES[target.dtype]
    scale = scale_of(float(source.scale[0]) / float(target.scale[0]))
    return Quantize(target.name, (source.index,), target.index, int(np.prod(target.shape)), scale,
                    int(source.zero_point[0]), int(target.zero_point[0]), low, high, is_wide(source), is_wide(target))


@dataclass(frozen=True, eq=False)
class Add(Kernel):
    """ADD of ``size`` int8 values in pairs. ``zeros`` and ``scales``: of both operands and of the sum.

    ``lefts``: shifts of the operands before their scales, all of which shift to the right.
    """

    size: int
    zeros: tuple[int, int, int]
    scales: Scales
    low: int
    high: int
    lefts: Pair
    header = "tny_sum.h"
    kind = "add"
    call = "tny_add_tensors", "size"
    in_place = True

    def turned(self, first: int) -> Add:
        """Take tensor ``first`` as the first operand of the same sum."""
        if self.sources[0] == first:
            return self
        (a, b), (zero_a, zero_b, zero), (scale_a, scale_b, scale) = self.sources, self.zeros, self.scales
        return replace(self, sources=(b, a), zeros=(zero_b, zero_a, zero), lefts=self.lefts[::-1],
                       scales=(scale_b, scale_a, scale))

    def members(self, number: int) -> Mapping[str, object]:
        factors = map(_factor, self.scales, self.zeros, (*self.lefts, 0))
        return {**dict(zip(("conv", "other", "out"), factors, strict=True)), "low": self.low, "high": self.high,
                "narrow": (self.low, self.high) != (-128, 127)}


@register("ADD")
def _add(graph: Graph, operator: Operator, node: binary.Elementwise) -> Kernel:
    """Build the quick kernel where it can be proven, else the one for every case."""
    every = elementwise(graph, operator, node)
    shapes = {graph.tensors[index].shape for index in (*every.sources, every.target)}
    if every.wide or len(shapes) > 1:
        return every
    try:
        lefts, proven = _proven(every.name, every.scales)
    except ModelError:
        return every
    return Add(every.name, every.sources, every.target, int(np.prod(shapes.pop())), every.zeros, proven, every.low,
               every.high, lefts, constants=every.constants)


def _proven(name: str, scales: Scales) -> tuple[Pair, Scales]:
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
    """A ``tny_factor_t``: doubled where lanes take two bytes."""
    return braced({"multiplier": scale.multiplier, "half": 1 << scale.shift - 1, "zero": zero_point,
                   "left": f"{left} + (TNY_IMPL != 2)", "shift": scale.shift})
