"""Functions of int16 codes, for which a table would be too large: ABS, RELU, RELU6, LEAKY_RELU, LOGISTIC, TANH."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from tinyfuse.firmware.c_text import array
from tinyfuse.firmware.operators.base import Kernel, in_and_out
from tinyfuse.firmware.scale import Scale, scale_of
from tinyfuse.integer.arithmetic import TYPE_RANGE, activation_range
from tinyfuse.integer.operators.sigmoid import SIGMOIDS, argument_scale
from tinyfuse.tflite.graph import Graph, Operator, Tensor

_IDENTITY = Scale(1 << 30, -1)


@dataclass(frozen=True, eq=False)
class Slopes(Kernel):
    """``size`` codes, rescaled by ``negative`` below 0 and by ``positive`` from 0 on."""

    size: int
    negative: Scale
    positive: Scale
    zero_in: int
    zero_out: int
    low: int
    high: int
    header = "tny_slopes.h"
    kind = "slopes"
    described = "negative", "positive", "zero_in", "zero_out", "low", "high"
    call = "tny_slopes", "size"
    in_place = True


@dataclass(frozen=True, eq=False)
class AbsoluteWide(Kernel):
    """The sizes of ``size`` codes, rescaled."""

    size: int
    scale: Scale
    header = "tny_absolute.h"
    kind = "absolute"
    described = ("scale",)
    call = "tny_absolute", "size"
    in_place = True


@dataclass(frozen=True, eq=False)
class SigmoidWide(Kernel):
    """LOGISTIC or (``tangent``) TANH of ``size`` codes; ``multiplier`` and ``shift`` lead to the table's units."""

    size: int
    multiplier: int
    shift: int
    tangent: int
    header = "tny_sigmoid_wide.h"
    kind = "sigmoid_wide"
    call = "tny_sigmoid_wide", "size", "tangent"
    in_place = True

    def shared(self) -> tuple[str, ...]:
        return (sigmoid_table(),)

    def members(self, number: int) -> Mapping[str, object]:
        return {"sigmoids": "sigmoids", "multiplier": self.multiplier, "shift": self.shift}


def sigmoid_table() -> str:
    """Write the samples that all kernels with a logistic function of 16 bits share."""
    return ("/* The logistic function of k / 24, in units of 2^-16. */\n" + array("uint16_t", "sigmoids", SIGMOIDS))


def wide_function(graph: Graph, operator: Operator) -> Kernel:
    """Build the kernel of a function of int16 codes."""
    source, target = in_and_out(graph, operator)
    name = target.name, (source.index,), target.index, int(np.prod(target.shape))
    if operator.name in ("LOGISTIC", "TANH"):
        return SigmoidWide(*name, *argument_scale(operator, source), int(operator.name == "TANH"))
    if operator.name == "ABS":
        return AbsoluteWide(*name, scale_of(source.unit / target.unit))
    negative, positive, zero_in, zero_out, low, high = _SLOPES[operator.name](operator, source, target)
    return Slopes(*name, negative, positive, zero_in, zero_out, low, high)


Parts = tuple[Scale, Scale, int, int, int, int]


def _relu(operator: Operator, source: Tensor, target: Tensor) -> Parts:
    scale = scale_of(source.unit / target.unit)
    return scale, scale, source.zero, target.zero, target.zero, TYPE_RANGE[target.dtype][1]


def _relu6(operator: Operator, source: Tensor, target: Tensor) -> Parts:
    return _IDENTITY, _IDENTITY, 0, 0, *activation_range("RELU6", source.unit, source.zero, source.dtype)


def _leaky_relu(operator: Operator, source: Tensor, target: Tensor) -> Parts:
    alpha = source.unit * float(np.float32(operator.options["alpha"])) / target.unit
    return scale_of(alpha), scale_of(source.unit / target.unit), source.zero, target.zero, *TYPE_RANGE[target.dtype]


_SLOPES: dict[str, Callable[[Operator, Tensor, Tensor], Parts]] = {
    "RELU": _relu, "RELU6": _relu6, "LEAKY_RELU": _leaky_relu}
