"""QUANTIZE between integer types and from float32, and DEQUANTIZE to float32."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from tinyfuse.integer.arithmetic import TYPE_RANGE
from tinyfuse.integer.operators.base import Node, register
from tinyfuse.integer.operators.checks import one_scale, rescaled_codes, same_shape, source_and_target
from tinyfuse.integer.operators.table import Table, clamped, every_code
from tinyfuse.tflite.graph import Graph, Operator, Tensor

_RANGE = TYPE_RANGE | {np.dtype(np.int32): (-(1 << 31), (1 << 31) - 1)}


class FromFloat:
    """Codes of real numbers: round(x / scale), halves away from zero, plus the zero point.

    C leaves the conversion of numbers beyond int32 open; here they saturate and NaN counts as 0, as on a Cortex-M.
    """

    def __init__(self, target: Tensor) -> None:
        self.scale, self.zero_point, self.dtype = target.scale[0], int(target.zero_point[0]), target.dtype
        self.low, self.high = TYPE_RANGE[target.dtype]

    def forward(self, inputs: Sequence[np.ndarray], keep: bool) -> tuple[np.ndarray, Any]:
        with np.errstate(over="ignore"):
            quotient = (inputs[0] / self.scale).astype(np.float64)
        rounded = np.copysign(np.floor(np.abs(np.nan_to_num(quotient)) + 0.5), quotient)
        unclamped = np.clip(rounded, *_RANGE[np.dtype(np.int32)]) + self.zero_point
        inside = (unclamped >= self.low) & (unclamped <= self.high) if keep else None
        return np.clip(unclamped, self.low, self.high).astype(self.dtype), inside

    def backward(self, saved: Any, gradient: np.ndarray) -> list[np.ndarray]:
        return [(gradient * saved / self.scale).astype(np.float32)]


@register("QUANTIZE")
def _quantize(operator: Operator, graph: Graph) -> Node:
    source, target = source_and_target(operator, graph, {
        "float32": ("int8", "int16"), "int8": ("int8", "int16", "int32"), "int16": ("int8", "int16", "int32")})
    same_shape(operator, source, target)
    one_scale(operator, target)
    if source.dtype == np.float32:
        return FromFloat(target)
    real = float(source.scale[0]) / float(target.scale[0])
    unclamped = rescaled_codes(operator, every_code(source.dtype) - int(source.zero_point[0]), real)
    return clamped(source.dtype, unclamped + int(target.zero_point[0]), *_RANGE[target.dtype], target.dtype, real)


@register("DEQUANTIZE")
def _dequantize(operator: Operator, graph: Graph) -> Node:
    source, target = source_and_target(operator, graph, {"int8": ("float32",), "int16": ("float32",)})
    same_shape(operator, source, target)
    with np.errstate(over="ignore"):
        values = (every_code(source.dtype) - int(source.zero_point[0])).astype(np.float32) * source.scale[0]
    return Table(source.dtype, values, np.full(len(values), source.scale[0]))
