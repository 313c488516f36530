"""RELU, RELU6, LEAKY_RELU, QUANTIZE and DEQUANTIZE: tables of one output and one derivative for each input code.

A RELU that is fused belongs to the operator it is fused into.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from tinyfuse.core.errors import UsageError
from tinyfuse.integer.arithmetic import TYPE_RANGE, activation_range, clamp, wrapped
from tinyfuse.integer.operators.base import Node, need_centred, need_one_scale, register, rescaled_codes, unary_tensors
from tinyfuse.integer.operators.real import most_codes
from tinyfuse.tflite.graph import Graph, Operator, Tensor

CODES = TYPE_RANGE | {np.dtype(np.int32): (-(1 << 31), (1 << 31) - 1)}
"""The first and last value of each type."""


class Table:
    """``values`` (of the output's type) and ``slope`` for the codes of ``dtype``, the lowest first.

    ``slope`` is d output code / d input code of the operator without rounding, 0 where a clamp is active.
    """

    def __init__(self, dtype: np.dtype[Any], values: np.ndarray, slope: np.ndarray) -> None:
        self.first = TYPE_RANGE[dtype][0]
        self.values = np.ascontiguousarray(values)
        self.slope = np.ascontiguousarray(slope, np.float32)

    def forward(self, inputs: Sequence[np.ndarray]) -> tuple[np.ndarray, Any]:
        places = inputs[0].astype(np.int32) - self.first
        return self.values[places], places

    def backward(self, saved: Any, gradient: np.ndarray) -> list[np.ndarray]:
        return [gradient * self.slope[saved]]


def every_code(source: Tensor) -> np.ndarray:
    """List all codes of the type of ``source`` as int64, in the order of a :class:`Table`."""
    low, high = TYPE_RANGE[source.dtype]
    return np.arange(low, high + 1, dtype=np.int64)


def clamped(source: Tensor, target: Tensor, unclamped: np.ndarray, slope: float | np.ndarray,
            low: int | None = None, high: int | None = None) -> Table:
    """Make the table of ``unclamped`` int64 values that a clamp to [low, high] follows (default: all output codes)."""
    first, last = CODES[target.dtype]
    values, inside = clamp(unclamped, first if low is None else low, last if high is None else high, target.dtype)
    return Table(source.dtype, values, np.where(inside, slope, 0.0))


def _rescaling(operator: Operator, source: Tensor, target: Tensor, low: int | None = None) -> Table:
    real = source.unit / target.unit
    unclamped = wrapped(rescaled_codes(operator, every_code(source) - source.zero, real) + target.zero)
    return clamped(source, target, unclamped, real, low)


@register("RELU")
def _relu(operator: Operator, graph: Graph) -> Node:
    """max(x, 0), rescaled to the output's scale."""
    source, target = unary_tensors(operator, graph)
    need_centred(operator, source, target)
    return _rescaling(operator, source, target, low=target.zero)


@register("RELU6")
def _relu6(operator: Operator, graph: Graph) -> Node:
    """min(max(x, 0), 6). TFLite Micro clamps in the input's codes and never rescales; so does this."""
    source, target = unary_tensors(operator, graph)
    low, high = activation_range("RELU6", source.unit, source.zero, source.dtype)
    return clamped(source, target, every_code(source), 1.0, low, high)


@register("LEAKY_RELU")
def _leaky_relu(operator: Operator, graph: Graph) -> Node:
    """x, or alpha * x where x < 0."""
    source, target = unary_tensors(operator, graph)
    identity = source.unit / target.unit
    alpha = source.unit * float(np.float32(operator.options["alpha"])) / target.unit
    values = every_code(source) - source.zero
    positive, negative = values[values >= 0], values[values < 0]
    unclamped = np.concatenate([rescaled_codes(operator, negative, alpha),
                                rescaled_codes(operator, positive, identity)]) + target.zero
    return clamped(source, target, unclamped, np.where(values < 0, alpha, identity))


class FromFloat:
    """Codes of real numbers: round(x / scale), halves away from zero, plus the zero point.

    C leaves the conversion of numbers beyond int32 open; here they saturate and NaN counts as 0, as on a Cortex-M. More
    than ``most`` codes are refused (:mod:`tinyfuse.integer.operators.real`).
    """

    def __init__(self, target: Tensor, most: float = np.inf) -> None:
        self.most = most
        self.scale, self.zero_point, self.dtype = target.scale[0], target.zero, target.dtype
        self.low, self.high = TYPE_RANGE[target.dtype]

    def forward(self, inputs: Sequence[np.ndarray]) -> tuple[np.ndarray, Any]:
        with np.errstate(over="ignore"):
            quotient = (inputs[0] / self.scale).astype(np.float64)
        largest = float(np.abs(quotient).max(initial=0.0))
        if largest > self.most:
            raise UsageError(f"QUANTIZE of {largest:g} codes; C defines it below 2^31: give smaller integers")
        rounded = np.copysign(np.floor(np.abs(np.nan_to_num(quotient)) + 0.5), quotient)
        unclamped = np.clip(rounded, *CODES[np.dtype(np.int32)]) + self.zero_point
        return clamp(unclamped, self.low, self.high, self.dtype)

    def backward(self, saved: Any, gradient: np.ndarray) -> list[np.ndarray]:
        return [(gradient * saved / self.scale).astype(np.float32)]


@register("QUANTIZE")
def _quantize(operator: Operator, graph: Graph) -> Node:
    source, target = unary_tensors(operator, graph, {
        "float32": ("int8", "int16"), "int8": ("int8", "int16", "int32"), "int16": ("int8", "int16", "int32")})
    need_one_scale(operator, target)
    if source.dtype == np.float32:
        return FromFloat(target, most_codes(graph, source, target))
    return _rescaling(operator, source, target)


@register("DEQUANTIZE")
def _dequantize(operator: Operator, graph: Graph) -> Node:
    source, _ = unary_tensors(operator, graph, {"int8": ("float32",), "int16": ("float32",)})
    with np.errstate(over="ignore"):
        values = (every_code(source) - source.zero).astype(np.float32) * source.scale[0]
    return Table(source.dtype, values, np.full(len(values), source.scale[0]))
