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
from tinyfuse.integer.arithmetic import TYPE_RANGE, divide_by_power, multiply
from tinyfuse.integer.operators.base import need_centred, register, rescaled_codes, unary_tensors
from tinyfuse.integer.operators.fixed_point import exp_negative, leading_zeros, reciprocal_of_one_plus
from tinyfuse.tflite.graph import Graph, Operator, Tensor

_INTEGER_BITS = 5  # of the argument of exp, and _SUM_BITS of the sum
_SUM_BITS = 12
STEP_INT16 = 10.0 / 65535.0
"""Between two places in the table of 16-bit exponentials, as a difference of exponents."""
_OUTPUT = {("int8", "int8"): (2.0**-8, -128, 511), ("int8", "int16"): (2.0**-16, -32768, 4095),
           ("int16", "int16"): (2.0**-15, 0, 65535)}
"""For each pair of types the output scale, the zero point, and the longest row whose sum fits."""


@register("SOFTMAX")
class Softmax:
    """Softmax over the last axis; ``exps`` by difference to the row's largest code."""

    def __init__(self, operator: Operator, graph: Graph) -> None:
        source, target = unary_tensors(operator, graph, {"int8": ("int8", "int16"), "int16": ("int16",)})
        _check(source, target)
        beta = float(np.float32(operator.options["beta"]))
        self.int16 = source.dtype == np.int16
        self.exps = _exps_int16(operator, source, beta) if self.int16 else _exps(source, beta)
        self.dtype, self.depth, self.low = target.dtype, source.shape[-1], TYPE_RANGE[target.dtype][0]
        self.steepness = beta * source.unit / target.unit

    def forward(self, inputs: Sequence[np.ndarray]) -> tuple[np.ndarray, Any]:
        rows = np.require(inputs[0].reshape(-1, self.depth), requirements=("C", "W"))  # numba compiles for each layout
        out = np.empty(rows.shape, self.dtype)
        share, inside = np.empty(rows.shape, np.float32), np.empty(rows.shape, np.uint8)
        if self.int16:
            _softmax_int16(rows, self.exps, _RECIPROCALS, out, share)
            inside[:] = 1
        else:
            _softmax(rows, self.exps, self.low, out, share, inside)
        return out.reshape(inputs[0].shape), (share, inside)

    def backward(self, saved: Any, gradient: np.ndarray) -> list[np.ndarray]:
        share, inside = saved
        slope = gradient.reshape(share.shape) * inside
        mean = (slope * share).sum(axis=1, keepdims=True)
        return [(self.steepness * share * (slope - mean)).astype(np.float32).reshape(gradient.shape)]


def _check(source: Tensor, target: Tensor) -> None:
    """Refuse other output codes than TFLite Micro's, and rows whose sum does not fit."""
    scale, zero, longest = _OUTPUT[str(source.dtype), str(target.dtype)]
    tolerance = 0.0 if target.dtype == np.int8 else 0.001 * scale
    if abs(target.unit - scale) > tolerance or target.zero != zero:
        raise ModelError(f"'{target.name}': SOFTMAX {source.dtype} -> {target.dtype} needs output scale {scale} and "
                         f"zero point {zero}, not {target.unit} and {target.zero}")
    if len(source.shape) < 2 or source.shape[-1] > longest:
        raise ModelError(f"'{source.name}': SOFTMAX over {source.shape[-1]} values of {list(source.shape)}; at most "
                         f"{longest} fit its sum, and the first axis must not be the last one")


def argument(source: Tensor, beta: float) -> tuple[int, int, int]:
    """Return (multiplier, shift, radius): a difference d to the largest code stands for the Q5 exponent
    -(d * 2^shift) * multiplier / 2^31 of e; beyond the radius the exponential counts as 0.
    """
    real = min(beta * source.unit * 2.0 ** (31 - _INTEGER_BITS), 2.0**31 - 1)
    if not (real > 1 and math.isfinite(beta)):
        raise ModelError(f"'{source.name}': SOFTMAX cannot use scale {source.unit} with beta {beta}")
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


def _exps_int16(operator: Operator, source: Tensor, beta: float) -> np.ndarray:
    """Q15 exp(-beta * scale * difference) for the differences 0..65535, interpolated in a table over [-10, 0]."""
    need_centred(operator, source)
    scaled = rescaled_codes(operator, -np.arange(65536, dtype=np.int64), source.unit * beta / STEP_INT16)
    return _interpolate(np.clip(scaled + 32767, -32768, 32767), EXPONENTIALS)


def _lookup_table(function: Callable[[np.ndarray], np.ndarray], first: float, last: float) -> np.ndarray:
    """513 samples of ``function`` on [first, last] in units of 2^-15, corrected mid-way, in TFLite Micro's float32."""
    start = np.float32(first)
    step = np.float32((np.float32(last) - start) / np.float32(512))
    unit, place = np.float32(32768), np.arange(513, dtype=np.float32)
    samples = function(start + place * step) * unit
    middles = function(start + place[:512] * step + step / np.float32(2)) * unit
    chord = _half_away((samples[1:] + _half_away(samples[:-1])) / np.float32(2))
    bias = _half_away((chord - _half_away(middles)) / np.float32(2))
    table = _half_away(samples)
    table[:512] -= bias
    return np.asarray(np.clip(table, -32768, 32767).astype(np.int64))


def _half_away(values: np.ndarray) -> np.ndarray:
    return np.asarray(np.copysign(np.floor(np.abs(values.astype(np.float64)) + 0.5), values).astype(np.float32))


def _interpolate(codes: np.ndarray, table: np.ndarray) -> np.ndarray:
    place = 256 + (codes >> 7)
    return np.asarray(table[place] + (((table[place + 1] - table[place]) * (codes & 127) + 64) >> 7))


EXPONENTIALS, RECIPROCALS = _lookup_table(np.exp, -10.0, 0.0), _lookup_table(lambda x: 1 / (1 + x), 0.0, 1.0)
"""Tables of 16-bit softmax."""
_RECIPROCALS = _interpolate(np.arange(-32768, 32768), RECIPROCALS)


@numba.njit(nogil=True, cache=True)
def _softmax(codes, exps, low, out, share, inside):  # type: ignore[no-untyped-def]
    """Compute rows of int8 codes, with ``share`` (float32 probabilities) and ``inside`` (no clamp)."""
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
            share[i, c] = exps[top - codes[i, c]] / (np.float64(total) * (1 << _SUM_BITS))
            inside[i, c] = value <= -low - 1


@numba.njit(nogil=True, cache=True)
def _softmax_int16(codes, exps, reciprocals, out, share):  # type: ignore[no-untyped-def]
    """Compute rows of int16 codes; the reciprocal comes from a table of 1 / (1 + x)."""
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
            share[i, c] = exps[top - codes[i, c]] / np.float64(total)
