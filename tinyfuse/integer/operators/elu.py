"""ELU of int8 tensors: a table of float32 results, accepted where no code depends on the last bit of ``exp``."""

from __future__ import annotations

import numpy as np

from tinyfuse.core.errors import ModelError
from tinyfuse.integer.operators.base import Node, register, same_type, unary_tensors
from tinyfuse.integer.operators.table import clamped, every_code
from tinyfuse.tflite.graph import Graph, Operator, Tensor

_NEIGHBOURS = (-1, 0, 1)
"""Units in the last place by which mathematical libraries differ from the nearest float32."""


@register("ELU")
def _elu(operator: Operator, graph: Graph) -> Node:
    """x, or e^x - 1 where x < 0. Reference: ``micro/kernels/elu.cc``, which fills its table in float32."""
    source, target = unary_tensors(operator, graph, same_type("int8"))
    x = np.float32(source.unit) * (every_code(source) - source.zero).astype(np.float32)
    powers = np.exp(np.minimum(x, 0).astype(np.float64)).astype(np.float32)
    codes = [_codes(x, _beside(powers, step), target) for step in _NEIGHBOURS]
    if any(not np.array_equal(codes[0], other) for other in codes):
        raise ModelError(f"'{target.name}': with these scales a code of ELU depends on the last bit of a float32 "
                         "exponential, which differs from library to library; change the output's scale a little")
    slope = np.where(x < 0, powers, np.float32(1)) * (source.unit / target.unit)
    return clamped(source, target, codes[0], slope)


def _beside(values: np.ndarray, step: int) -> np.ndarray:
    """The float32 that lies ``step`` (-1, 0, 1) places from each value; 1 stays, for e^0 is exact everywhere."""
    moved = np.nextafter(values, np.float32(step * np.inf)) if step else values
    return np.where(values == 1, values, moved)


def _codes(x: np.ndarray, powers: np.ndarray, target: Tensor) -> np.ndarray:
    transformed = np.where(x < 0, powers - np.float32(1), x)
    quotient = (transformed * (np.float32(1) / np.float32(target.unit))).astype(np.float64)
    rounded = np.copysign(np.floor(np.abs(quotient) + 0.5), quotient).astype(np.float32)
    found = (rounded + np.float32(target.zero)).astype(np.float64)
    if np.abs(found).max() >= 2.0**31:
        raise ModelError(f"'{target.name}': ELU gives codes up to {np.abs(found).max():.6g}, which leave TFLite "
                         "Micro's 32 bits; give its output a larger scale")
    return found.astype(np.int64)
