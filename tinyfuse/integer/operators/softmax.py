"""SOFTMAX: exponentials of the differences to the largest code as a table, then one reciprocal for each row.

Source: ``tensorflow/lite/kernels/internal/reference/softmax.h`` and ``micro/kernels/softmax_common.cc``.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numba
import numpy as np

from tinyfuse.core.errors import ModelError
from tinyfuse.integer.arithmetic import TYPE_RANGE
from tinyfuse.integer.operators.base import Node, register
from tinyfuse.integer.operators.checks import centred, rescaled_codes, same_shape, source_and_target
from tinyfuse.integer.operators.fixed_point import (
    divide_by_power,
    exp_negative,
    leading_zeros,
    multiply,
    reciprocal_of_one_plus,
)
from tinyfuse.tflite.graph import Graph, Operator, Tensor

_INTEGER_BITS = 5  # of the argument of exp, and _SUM_BITS of the sum
_SUM_BITS = 12
STEP_WIDE = 10.0 / 65535.0
"""Between two places in the table of 16-bit exponentials, as a difference of exponents."""
_OUTPUT = {("int8", "int8"): (2.0**-8, -128, 511), ("int8", "int16"): (2.0**-16, -32768, 4095),
           ("int16", "int16"): (2.0**-15, 0, 65535)}
"""For each pair of types the output scale, the zero point, and the longest row whose sum fits."""


class Softmax:
    """Softmax over the last axis; ``exps`` by difference to the row's largest code."""

    def __init__(self, source: Tensor, target: Tensor, beta: float, exps: np.ndarray) -> None:
        self.exps, self.dtype, self.depth = exps, target.dtype, source.shape[-1]
        self.low = TYPE_RANGE[target.dtype][0]
        self.steepness = beta * float(source.scale[0]) / float(target.scale[0])
        self.wide = source.dtype == np.int16

    def forward(self, inputs: Sequence[np.ndarray], keep: bool) -> tuple[np.ndarray, Any]:
        rows = inputs[0].reshape(-1, self.depth)
        out = np.empty(rows.shape, self.dtype)
        share = np.empty(rows.shape if keep else (0, 0), np.float32)
        inside = np.empty(share.shape, np.uint8)
        if self.wide:
            _softmax_wide(rows, self.exps, _RECIPROCALS, out, share)
            inside[:] = 1
        else:
            _softmax(rows, self.exps, self.low, out, share, inside)
        return out.reshape(inputs[0].shape), (share, inside)

    def backward(self, saved: Any, gradient: np.ndarray) -> list[np.ndarray]:
        share, inside = saved
        slope = gradient.reshape(share.shape) * inside
        mean = (slope * share).sum(axis=1, keepdims=True)
        return [(self.steepness * share * (slope - mean)).astype(np.float32).reshape(gradient.shape)]


@register("SOFTMAX")
def _build(operator: Operator, graph: Graph) -> Node:
    source, target = source_and_target(operator, graph, {"int8": ("int8", "int16"), "int16": ("int16",)})
    same_shape(operator, source, target)
    scale, zero, longest = _OUTPUT[str(source.dtype), str(target.dtype)]
    tolerance = 0.0 if target.dtype == np.int8 else 0.001 * scale
    if abs(float(target.scale[0]) - scale) > tolerance or int(target.zero_point[0]) != zero:
        raise ModelError(f"'{target.name}': SOFTMAX {source.dtype} -> {target.dtype} needs output scale {scale} and "
                         f"zero point {zero}, not {float(target.scale[0])} and {int(target.zero_point[0])}")
    if len(source.shape) < 2 or source.shape[-1] > longest:
        raise ModelError(f"'{source.name}': SOFTMAX over {source.shape[-1]} values of {list(source.shape)}; at most "
                         f"{longest} fit its sum, and the first axis must not be the last one")
    beta = float(np.float32(operator.options["beta"]))
    exps = _exps_wide(operator, source, beta) if source.dtype == np.int16 else _exps(source, beta)
    return Softmax(source, target, beta, exps)


def argument(source: Tensor, beta: float) -> tuple[int, int, int]:
    """(multiplier, shift, radius): a difference d to the largest code stands for the Q5 exponent
    -(d * 2^shift) * multiplier / 2^31 of e; beyond the radius the exponential counts as 0.
    """
    real = min(beta * float(source.scale[0]) * 2.0 ** (31 - _INTEGER_BITS), 2.0**31 - 1)
    if not (real > 1 and math.isfinite(beta)):
        raise ModelError(f"'{source.name}': SOFTMAX cannot use scale {float(source.scale[0])} with beta {beta}")
    mantissa, shift = math.frexp(real)
    radius = math.floor((2**_INTEGER_BITS - 1) * 2.0 ** (31 - _INTEGER_BITS - shift))
    return int(mantissa * 2.0**31 + 0.5), shift, min(radius, 255)


def _exps(source: Tensor, beta: float) -> np.ndarray:
    """Q0 exp(-beta * scale * difference) for the differences 0..255; those too far away count as 0."""
    multiplier, shift, radius = argument(source, beta)
    exps = np.zeros(256, np.int64)
    for difference in range(radius + 1):
        exps[difference] = exp_negative(multiply(-difference << shift, multiplier), _INTEGER_BITS)
    return exps


def _exps_wide(operator: Operator, source: Tensor, beta: float) -> np.ndarray:
    """Q15 exp(-beta * scale * difference) for the differences 0..65535, interpolated in a table over [-10, 0]."""
    centred(operator, source)
    scaled = rescaled_codes(operator, -np.arange(65536, dtype=np.int64),
                            float(source.scale[0]) * beta / STEP_WIDE)
    return _interpolate(np.clip(scaled + 32767, -32768, 32767), EXPONENTIALS)


def _lookup_table(function: Callable[[np.ndarray], np.ndarray], first: float, last: float) -> np.ndarray:
    """513 int16 samples of ``function`` on [first, last], units of 2^-15, corrected for the error mid-way between them.

    In float32 step by step, as TFLite Micro computes it.
    """
    start = np.float32(first)
    step = np.float32((np.float32(last) - start) / np.float32(512))
    unit = np.float32(32768)
    place = np.arange(513, dtype=np.float32)
    samples = function(start + place * step) * unit
    middles = function(start + place[:512] * step + step / np.float32(2)) * unit
    chord = _half_away((samples[1:] + _half_away(samples[:-1])) / np.float32(2))
    bias = _half_away((chord - _half_away(middles)) / np.float32(2))
    table = _half_away(samples)
    table[:512] -= bias
    clipped: np.ndarray = np.clip(table, -32768, 32767).astype(np.int64)
    return clipped


def _half_away(values: np.ndarray) -> np.ndarray:
    rounded: np.ndarray = np.copysign(np.floor(np.abs(values.astype(np.float64)) + 0.5), values).astype(np.float32)
    return rounded


def _interpolate(codes: np.ndarray, table: np.ndarray) -> np.ndarray:
    place = 256 + (codes >> 7)
    found: np.ndarray = table[place] + (((table[place + 1] - table[place]) * (codes & 127) + 64) >> 7)
    return found


EXPONENTIALS, RECIPROCALS = _lookup_table(np.exp, -10.0, 0.0), _lookup_table(lambda x: 1 / (1 + x), 0.0, 1.0)
"""Tables of 16-bit softmax."""
_RECIPROCALS = _interpolate(np.arange(-32768, 32768), RECIPROCALS)


@numba.njit(nogil=True, cache=True)
def _softmax(codes, exps, low, out, share, inside):  # type: ignore[no-untyped-def]
    """Rows of int8 codes; ``share`` (float32 probabilities) and ``inside`` (no clamp) may be empty (not wanted)."""
    bits = np.int64(7 if low == -128 else 15)
    for i in range(codes.shape[0]):
        top = np.int64(codes[i].max())
        total = np.int64(0)
        for c in range(codes.shape[1]):
            total += divide_by_power(exps[top - codes[i, c]], np.int64(_SUM_BITS))
        zeros = leading_zeros(total)
        scale = reciprocal_of_one_plus((total << zeros) - (np.int64(1) << np.int64(31)))
        exponent = np.int64(_SUM_BITS) - zeros + np.int64(30) - bits
        for c in range(codes.shape[1]):
            value = divide_by_power(multiply(scale, exps[top - codes[i, c]]), exponent) + low
            out[i, c] = min(value, -low - 1)
            if share.size > 0:
                share[i, c] = exps[top - codes[i, c]] / (np.float64(total) * (1 << _SUM_BITS))
                inside[i, c] = value <= -low - 1


@numba.njit(nogil=True, cache=True)
def _softmax_wide(codes, exps, reciprocals, out, share):  # type: ignore[no-untyped-def]
    """Rows of int16 codes; the reciprocal comes from a table of 1 / (1 + x)."""
    for i in range(codes.shape[0]):
        top = np.int64(codes[i].max())
        total = np.int64(0)
        for c in range(codes.shape[1]):
            total += exps[top - codes[i, c]]
        zeros = leading_zeros(total)
        shifted = ((total << (zeros - np.int64(1))) + np.int64(1 << 13)) >> np.int64(14)
        place = min(max(shifted - np.int64((1 << 15) + (1 << 16)), np.int64(-32768)), np.int64(32767))
        scale, right = reciprocals[place + 32768], np.int64(31) - zeros
        half = np.int64(1) << (right - np.int64(1))
        for c in range(codes.shape[1]):
            value = (exps[top - codes[i, c]] * scale + half) >> right
            out[i, c] = min(max(value, np.int64(0)), np.int64(32767))
            if share.size > 0:
                share[i, c] = exps[top - codes[i, c]] / np.float64(total)
