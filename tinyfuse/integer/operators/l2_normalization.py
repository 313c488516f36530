"""L2_NORMALIZATION: the codes of the last axis divided by their length, in units of 1/128."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from tinyfuse.core.errors import ModelError
from tinyfuse.integer.arithmetic import TYPE_RANGE, clamp, rescaled
from tinyfuse.integer.operators.base import register, same_type, unary_tensors
from tinyfuse.integer.operators.inverse_root import inverse_roots
from tinyfuse.tflite.graph import Graph, Operator

OUTPUT_BITS = 7
_MOST_AXES, _MOST_DEPTH = 4, 1 << 15  # whose squares add up within 32 bits
_INT8 = np.dtype(np.int8)


@register("L2_NORMALIZATION")
class L2Normalization:
    """One L2_NORMALIZATION, which reads no scale. Reference: ``reference/integer_ops/l2normalization.h``."""

    def __init__(self, operator: Operator, graph: Graph) -> None:
        source, target = unary_tensors(operator, graph, same_type("int8"))
        if len(source.shape) > _MOST_AXES or source.shape[-1] >= _MOST_DEPTH or operator.options[
                "fused_activation_function"] != "NONE":
            raise ModelError(f"'{target.name}': L2_NORMALIZATION of {list(source.shape)} with activation "
                             f"{operator.options['fused_activation_function']}; at most {_MOST_AXES} axes, fewer than "
                             f"{_MOST_DEPTH} codes in the last, and no activation are allowed")
        self.zero = source.zero

    def forward(self, inputs: Sequence[np.ndarray]) -> tuple[np.ndarray, Any]:
        values = inputs[0].astype(np.int64) - self.zero
        squares = (values * values).sum(axis=-1, keepdims=True)
        multiplier, shift = inverse_roots(squares)
        out, inside = clamp(rescaled(values, multiplier, shift + OUTPUT_BITS), *TYPE_RANGE[_INT8], _INT8)
        return out, (values.astype(np.float32), np.maximum(squares, 1).astype(np.float32), inside)

    def backward(self, saved: Any, gradient: np.ndarray) -> list[np.ndarray]:
        values, squares, inside = saved
        length = np.sqrt(squares)
        slopes = gradient * inside * np.float32(1 << OUTPUT_BITS) / length
        return [slopes - values * (slopes * values).sum(axis=-1, keepdims=True) / squares]
