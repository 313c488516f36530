"""LOG_SOFTMAX of int8 rows in fixed point: differences to the largest code less the logarithm of a sum of exponentials.

Source: ``tensorflow/lite/kernels/internal/{common.h,reference/log_softmax.h}``; the logarithm goes through a rational
function on [sqrt(1/2), 1] after both, x and x * sqrt(1/2), have been tried for the smaller distance.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numba
import numpy as np

from tinyfuse.core.errors import ModelError
from tinyfuse.integer.arithmetic import divide_by_power, multiply, quantize_multiplier, rescale
from tinyfuse.integer.operators.base import register, same_type, unary_tensors
from tinyfuse.integer.operators.fixed_point import (
    exp_negative,
    leading_zeros,
    reciprocal_of_one_plus,
    saturated_left,
)
from tinyfuse.integer.operators.softmax import argument
from tinyfuse.tflite.graph import Graph, Operator

_INTEGER_BITS = 5  # of exponents and logarithms, _SUM_BITS of the sum
_SUM_BITS = 12
_LONGEST = (1 << _SUM_BITS) - 1
_OUT_SCALE, _OUT_ZERO = 1 / 16, 127
_FOURTH_ROOT = math.sqrt(math.sqrt(2.0))


def _q0(value: float) -> int:
    return math.floor(value * 2.0**31 + 0.5)


_LOG_2, _ROOT_HALF, _FOURTH_ROOT_HALF = _q0(math.log(2.0)), _q0(math.sqrt(0.5)), _q0(math.sqrt(math.sqrt(0.5)))
_ALPHA_N, _ALPHA_D = _q0(11 / 240 * _FOURTH_ROOT), _q0(1 / 20 * _FOURTH_ROOT)
_ALPHA_I, _ALPHA_F = _q0(2 / _FOURTH_ROOT - _FOURTH_ROOT), _q0(1 / 4 * _FOURTH_ROOT)


@numba.njit(nogil=True, cache=True)
def logarithm(value):  # type: ignore[no-untyped-def]
    """Q5 natural logarithm of a Q12 number from 1 on."""
    bits, quarter = np.int64(25), np.int64(1) << np.int64(23)  # of the powers of two, with 6 integer bits
    zeros = leading_zeros(value)
    first = saturated_left(multiply(saturated_left(value, zeros - np.int64(1)), np.int64(_ROOT_HALF)), np.int64(1))
    other_zeros = leading_zeros(multiply(value, np.int64(_ROOT_HALF))) - np.int64(1)
    second = saturated_left(value, other_zeros)
    power = max(((np.int64(_SUM_BITS) - zeros) << bits) + quarter,
                ((np.int64(_SUM_BITS) - other_zeros) << bits) - quarter)
    r = min(first, second)
    p = (r + np.int64(_FOURTH_ROOT_HALF) + np.int64(1)) >> np.int64(1)
    q = np.int64(2) * (r - np.int64(_FOURTH_ROOT_HALF))
    square = multiply(q, q)
    above = multiply(q, r) + multiply(multiply(q, square), np.int64(_ALPHA_N))
    below = (multiply(p, np.int64(_ALPHA_I) + q + multiply(np.int64(_ALPHA_D), square)) +
             multiply(np.int64(_ALPHA_F), q))
    rest = multiply(divide_by_power(above, np.int64(6)), reciprocal_of_one_plus(below))
    return saturated_left(multiply(power, np.int64(_LOG_2)) + rest, np.int64(1))


@numba.njit(nogil=True, cache=True)
def _log_softmax(codes, multiplier, shift, radius, back_multiplier, back_shift, out, share, inside):  # type: ignore[no-untyped-def]
    """Compute rows of int8 codes, with ``share`` (float32 probabilities) and ``inside`` (no clamp)."""
    for i in range(codes.shape[0]):
        top, total = np.int64(codes[i].max()), np.int64(0)
        for c in range(codes.shape[1]):
            difference = np.int64(codes[i, c]) - top
            share[i, c] = 0
            if difference >= -radius:
                power = exp_negative(rescale(difference, multiplier, shift), _INTEGER_BITS)
                share[i, c] = power
                total += divide_by_power(power, np.int64(_SUM_BITS))
        log = logarithm(total)
        least = max(-radius - np.int64(1), rescale(log - (np.int64(1) << np.int64(31)), back_multiplier, back_shift))
        for c in range(codes.shape[1]):
            difference = np.int64(codes[i, c]) - top
            share[i, c] /= np.float64(total) * (1 << _SUM_BITS)
            value = np.int64(-129)
            if difference > least:
                value = divide_by_power(rescale(difference, multiplier, shift) - log, np.int64(22)) + np.int64(127)
            out[i, c] = min(max(value, np.int64(-128)), np.int64(127))
            inside[i, c] = (value >= -128) & (value <= 127)


@register("LOG_SOFTMAX")
class LogSoftmax:
    """LOG_SOFTMAX over the last axis."""

    def __init__(self, operator: Operator, graph: Graph) -> None:
        source, target = unary_tensors(operator, graph, same_type("int8"))
        if target.unit != _OUT_SCALE or target.zero != _OUT_ZERO:
            raise ModelError(f"'{target.name}': LOG_SOFTMAX needs output scale {_OUT_SCALE} and zero point "
                             f"{_OUT_ZERO}, not {target.unit} and {target.zero}")
        if len(source.shape) < 2 or source.shape[-1] > _LONGEST:
            raise ModelError(f"'{source.name}': LOG_SOFTMAX over {source.shape[-1]} values of {list(source.shape)}; at "
                             f"most {_LONGEST} fit its sum, and the first axis must not be the last one")
        self.multiplier, self.shift, self.radius = argument(source, 1.0)
        self.back_multiplier, self.back_shift = quantize_multiplier((1 << 31 - self.shift) / self.multiplier)
        self.depth, self.steepness = source.shape[-1], np.float32(source.unit / target.unit)

    def forward(self, inputs: Sequence[np.ndarray]) -> tuple[np.ndarray, Any]:
        rows = np.require(inputs[0].reshape(-1, self.depth), requirements=("C", "W"))  # numba compiles for each layout
        out, share, inside = np.empty(rows.shape, np.int8), np.empty(rows.shape), np.empty(rows.shape, np.uint8)
        _log_softmax(rows, self.multiplier, self.shift, self.radius, self.back_multiplier, self.back_shift, out, share,
                     inside)
        return out.reshape(inputs[0].shape), (share.astype(np.float32), inside)

    def backward(self, saved: Any, gradient: np.ndarray) -> list[np.ndarray]:
        share, inside = saved
        slope = gradient.reshape(share.shape) * inside
        found = self.steepness * (slope - share * slope.sum(axis=1, keepdims=True))
        return [found.astype(np.float32).reshape(gradient.shape)]
