"""LOGISTIC and TANH: gemmlowp's fixed point for int8, a table of 256 sigmoids with interpolation for int16."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from tinyfuse.core.errors import ModelError
from tinyfuse.integer.arithmetic import TYPE_RANGE, divide_by_power
from tinyfuse.integer.operators.base import Node, need_centred, register, rescaled_codes, unary_tensors
from tinyfuse.integer.operators.fixed_point import logistic, tanh
from tinyfuse.integer.operators.table import Table, clamped, every_code
from tinyfuse.tflite.graph import Graph, Operator, Tensor

_EXACT_SHIFTS = {"LOGISTIC": (0,), "TANH": (0, 1)}
"""Powers of two by which TFLite Micro shifts int16 codes to the left instead of multiplying."""
_INTEGER_BITS = 4  # of the fixed-point argument: |x| < 16
_MOST_MULTIPLIER = 0xFFFF  # a larger one overflows the 32-bit product with a 16-bit code


@register("LOGISTIC")
def _logistic(operator: Operator, graph: Graph) -> Node:
    source, target = _tensors(operator, graph)
    if source.dtype == np.int16:
        return _int16_table(source, logistic_codes(_argument(operator, source)), _logistic_slope)
    if target.zero != -128:
        raise ModelError(f"'{target.name}': LOGISTIC needs output zero point -128, not {target.zero}")
    return _int8_table(operator, source, logistic, output_bits=8, zero=-128, slope=_logistic_slope)


@register("TANH")
def _tanh(operator: Operator, graph: Graph) -> Node:
    source, _ = _tensors(operator, graph)
    if source.dtype == np.int16:
        return _int16_table(source, tanh_codes(_argument(operator, source)), _tanh_slope)
    return _int8_table(operator, source, tanh, output_bits=7, zero=0, slope=_tanh_slope)


def logistic_codes(argument: np.ndarray) -> np.ndarray:
    """Compute 2^15 times the logistic function of ``argument`` in units of 1 / (3 * 4096)."""
    found = _interpolated(argument, 9, 0x7FFF << 10)
    return np.where(argument >= 0, found + (1 << 9), (1 << 25) - found + (1 << 9) - 1) >> 10


def tanh_codes(argument: np.ndarray) -> np.ndarray:
    """Compute 2^15 times the hyperbolic tangent of ``argument`` in units of 1 / (3 * 4096): 2 * sigmoid(2x) - 1."""
    found = _interpolated(argument, 8, 0xFFFF << 8) - (1 << 23)
    return np.where(argument >= 0, found + (1 << 7), -found + (1 << 7) - 1) >> 8


def _tensors(operator: Operator, graph: Graph) -> tuple[Tensor, Tensor]:
    source, target = unary_tensors(operator, graph)
    need_centred(operator, source, target)
    if target.dtype == np.int16 and _power_of_two(target.unit) != -15:
        raise ModelError(f"'{target.name}': {operator.name} needs output scale 1/32768, not {target.unit}")
    return source, target


def _int8_table(operator: Operator, source: Tensor, function: Callable[[int], int], *, output_bits: int, zero: int,
            slope: Callable[[np.ndarray], np.ndarray]) -> Table:
    """Make the int8 table. Beyond the fixed-point range the function has its limit, an end of the code range."""
    values = every_code(source) - source.zero
    real = source.unit * 2.0 ** (31 - _INTEGER_BITS)
    shift = math.frexp(real)[1]
    if not 0 <= shift <= 62:
        raise ModelError(f"'{source.name}': {operator.name} cannot use the input scale {source.unit}")
    radius = math.floor((2**_INTEGER_BITS - 1) * 2.0 ** (31 - _INTEGER_BITS - shift))
    low, high = TYPE_RANGE[source.dtype]
    unclamped = np.where(values <= -radius, low, high + 1)
    middle = np.abs(values) < radius
    fixed = rescaled_codes(operator, values[middle], real) if radius else values[:0]
    unclamped[middle] = [divide_by_power(function(int(x)), 31 - output_bits) + zero for x in fixed]
    steepness = slope(values * source.unit) * source.unit * 2.0**output_bits
    return clamped(source, source, unclamped, steepness)


def _int16_table(source: Tensor, codes: np.ndarray, slope: Callable[[np.ndarray], np.ndarray]) -> Table:
    """Make the int16 table; output codes are units of 1/32768."""
    return Table(source.dtype, codes.astype(np.int16), slope(every_code(source) * source.unit) * source.unit * 32768)


def _argument(operator: Operator, source: Tensor) -> np.ndarray:
    """Every int16 code in units of 1 / (3 * 4096)."""
    multiplier, shift = argument_scale(operator, source)
    return (every_code(source) * multiplier + (1 << shift >> 1)) >> shift


def argument_scale(operator: Operator, source: Tensor) -> tuple[int, int]:
    """Return (multiplier, right shift) that bring an int16 code to units of 1 / (3 * 4096).

    By a power of two where the scale allows it. Raises :class:`ModelError` for a scale beyond the reference's range.
    """
    power = _power_of_two(source.unit)
    if power is not None and power + 12 in _EXACT_SHIFTS[operator.name]:
        return 3 << (power + 12), 0
    multiplier, shift = source.unit * 4096.0 * 3.0, 0
    while multiplier <= 32767.0 / 2.0 and shift <= 30:
        multiplier, shift = multiplier * 2.0, shift + 1
    if not 1 <= multiplier <= _MOST_MULTIPLIER:  # below 1 TFLite Micro takes the scale for a power of two
        raise ModelError(f"'{source.name}': {operator.name} cannot use the input scale {source.unit}")
    return int(multiplier), shift


def _power_of_two(value: float) -> int | None:
    """Return log2 of ``value`` if that is an integer up to 0.001."""
    power = np.float32(math.log(value)) * np.float32(1.0 / math.log(2.0))
    nearest = float(np.rint(power))
    return int(nearest) if abs(float(power) - nearest) < 1e-3 else None


def _samples() -> np.ndarray:
    """65536 * sigmoid(k / 24), raised by half of what a chord loses in its middle; the last one is saturated."""
    sigmoid = 1 / (1 + np.exp(-np.arange(256) / 24))
    table = np.rint(65536 * (sigmoid + sigmoid * (1 - sigmoid) * (2 * sigmoid - 1) / 24**2 / 16)).astype(np.int64)
    table[255] = 65535
    return table


SIGMOIDS = _samples()
"""int64 [256]: the logistic function of k / 24 in units of 2^-16."""


def _interpolated(argument: np.ndarray, bits: int, last: int) -> np.ndarray:
    """65536 * 2^bits * sigmoid(argument / (24 * 2^bits)) for the absolute values; ``last`` beyond the table."""
    size = np.abs(argument)
    place = np.minimum(size >> bits, 254)
    found = (SIGMOIDS[place] << bits) + (size & ((1 << bits) - 1)) * (SIGMOIDS[place + 1] - SIGMOIDS[place])
    return np.where(size >> bits >= 255, last, found)


def _tanh_slope(x: np.ndarray) -> np.ndarray:
    return np.asarray(1 - np.tanh(x) ** 2)


def _logistic_slope(x: np.ndarray) -> np.ndarray:
    return 0.25 * _tanh_slope(x / 2)
