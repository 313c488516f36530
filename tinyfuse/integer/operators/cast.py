"""CAST of integers and truth values: the same numbers in another type, of which no scale is read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tinyfuse.integer.operators.base import Node, register, unary_tensors
from tinyfuse.tflite.graph import Graph, Operator

_WHOLE = ("int8", "int16", "int32", "bool")
_TYPES = dict.fromkeys(_WHOLE, (*_WHOLE, "float32"))
"""C leaves open what becomes of real numbers beyond an integer type, so none is a source."""


@dataclass(frozen=True)
class Cast:
    """Numbers as ``dtype``: what does not fit wraps around, what is not 0 is true."""

    dtype: np.dtype[Any]
    slope: np.float32

    def forward(self, inputs: Sequence[np.ndarray]) -> tuple[np.ndarray, Any]:
        return inputs[0].astype(self.dtype), None

    def backward(self, saved: Any, gradient: np.ndarray) -> list[np.ndarray]:
        """Straight-through between numbers; a truth value does not change a little."""
        return [gradient * self.slope]


@register("CAST")
def _cast(operator: Operator, graph: Graph) -> Node:
    """Reference: ``micro/kernels/cast.cc``."""
    source, target = unary_tensors(operator, graph, _TYPES)
    return Cast(target.dtype, np.float32(np.bool_ not in (source.dtype, target.dtype)))
