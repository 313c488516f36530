"""RSQRT: one over the square root of int8 codes from the zero point on, as in layer normalisation; a table."""

from __future__ import annotations

import math

import numpy as np

from tinyfuse.core.errors import ModelError
from tinyfuse.integer.arithmetic import TYPE_RANGE, quantize_multiplier, rescaled, wrapped
from tinyfuse.integer.operators.base import Node, register, same_type, unary_tensors
from tinyfuse.integer.operators.inverse_root import inverse_roots
from tinyfuse.integer.operators.table import clamped, every_code
from tinyfuse.tflite.graph import Graph, Operator

_BITS = 20  # of the root's fraction
_MOST_RIGHT = 31  # bits of a shift to the right


@register("RSQRT")
def _rsqrt(operator: Operator, graph: Graph) -> Node:
    """Reference: ``micro/kernels/elementwise.cc``, RsqrtEvalQuantized; 0 gives the largest code."""
    source, target = unary_tensors(operator, graph, same_type("int8"))
    low, high = TYPE_RANGE[source.dtype]
    if source.zero != low:
        raise ModelError(f"'{source.name}' has zero point {source.zero}; RSQRT needs {low}, for TFLite Micro ends an "
                         "inference with a code below the zero point: convert the model with a range that begins at 0")
    values = every_code(source) - source.zero
    real = 1.0 / (math.sqrt(source.unit) * target.unit)
    multiplier, shift = quantize_multiplier(real)
    if multiplier and shift - _BITS < -_MOST_RIGHT:
        raise ModelError(f"'{target.name}': RSQRT rescales by {real:.6g}; TFLite Micro's arithmetic is defined from "
                         f"2^{_BITS - _MOST_RIGHT} on: give the tensors smaller scales")
    roots = rescaled(np.int64(1), *(np.asarray(one) for one in _shifted(values)))
    unclamped = wrapped(rescaled(roots, multiplier, shift - _BITS) + target.zero)
    unclamped[values == 0] = high
    given = np.maximum(values, 1) * source.unit
    slope = np.where(values > 0, -0.5 * given**-1.5 * source.unit / target.unit, 0.0)
    return clamped(source, target, unclamped, slope)


def _shifted(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    multipliers, shifts = inverse_roots(values)
    return multipliers, shifts + _BITS
