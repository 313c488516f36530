"""HARD_SWISH of int8 tensors, x * relu6(x + 3) / 6, in fixed point with 16 bits."""

from __future__ import annotations

import numpy as np

from tinyfuse.core.errors import ModelError
from tinyfuse.integer.arithmetic import quantize_multiplier
from tinyfuse.integer.operators.base import Node, register, same_type, unary_tensors
from tinyfuse.integer.operators.table import clamped, every_code
from tinyfuse.tflite.graph import Graph, Operator

_LAST = (1 << 15) - 1
_MOST_RIGHT, _MOST_LEFT = 15, 31


@register("HARD_SWISH")
def _hard_swish(operator: Operator, graph: Graph) -> Node:
    """Reference: ``micro/kernels/hard_swish_common.cc``, ``reference/hard_swish.h``."""
    source, target = unary_tensors(operator, graph, same_type("int8"))
    fine = np.float32(1 / 128) * np.float32(source.unit)
    out, out_shift = _short(float(fine / np.float32(target.unit)))
    gate, gate_shift = _short(float(fine / (np.float32(3) / np.float32(32768))))
    if not -_MOST_RIGHT <= out_shift <= 0 or not -_MOST_RIGHT <= gate_shift <= _MOST_LEFT:
        raise ModelError(f"'{target.name}': HARD_SWISH from scale {source.unit:.6g} to {target.unit:.6g} is beyond "
                         "TFLite Micro's 16 bits; the output's scale must be 1/128 to 256 times the input's")
    values = (every_code(source) - source.zero) << 7
    opening = (_gate(values, gate, gate_shift) + (1 << 15)) >> 1
    product = _towards_zero(opening * _high(values, out))
    unclamped = (_divided(product, -out_shift) + target.zero).astype(np.int16).astype(np.int64)
    x = (every_code(source) - source.zero) * source.unit
    slope = np.where(x <= -3, 0, np.where(x >= 3, 1, (2 * x + 3) / 6)) * (source.unit / target.unit)
    return clamped(source, target, unclamped, slope)


def _short(real: float) -> tuple[int, int]:
    """A multiplier of 15 bits and its shift."""
    multiplier, shift = quantize_multiplier(real)
    return min((multiplier + (1 << 15)) >> 16, _LAST), shift


def _gate(values: np.ndarray, multiplier: int, shift: int) -> np.ndarray:
    """X / 3 in units of 2^-15, saturated: the last bit of a shift to the left comes after the multiplication."""
    if shift > 0:
        values = np.clip(values << (shift - 1), -_LAST - 1, _LAST)
    values = _high(values, multiplier)
    if shift > 0:
        return np.asarray(np.clip(values << 1, -_LAST - 1, _LAST))
    return _divided(values, -shift)


def _high(values: np.ndarray, multiplier: int) -> np.ndarray:
    """``values`` * ``multiplier`` / 2^15, halves up."""
    return np.asarray((values * multiplier + (1 << 14)) >> 15)


def _towards_zero(products: np.ndarray) -> np.ndarray:
    return np.asarray(np.sign(products) * (np.abs(products) >> 15))


def _divided(values: np.ndarray, exponent: int) -> np.ndarray:
    """``values`` / 2^exponent, halves away from zero."""
    return np.asarray(np.sign(values) * ((np.abs(values) + (1 << exponent >> 1)) >> exponent))
