"""REDUCE_ALL over any axes but that of the batch: whether all truth values hold."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from tinyfuse.integer.operators.base import constant, need_shape, register, same_type, source_and_target
from tinyfuse.integer.operators.mean import reduced_axes, reduced_shape
from tinyfuse.tflite.graph import Graph, Operator


@register("REDUCE_ALL")
class ReduceAll:
    """One REDUCE_ALL of truth values. Reference: ``micro/kernels/reduce_common.cc``, EvalAllHelper."""

    def __init__(self, operator: Operator, graph: Graph) -> None:
        source, target = source_and_target(operator, graph, same_type("bool"))
        self.axes = reduced_axes(operator, source, constant(operator, graph, 1))
        need_shape(operator, target, reduced_shape(operator, source, self.axes))
        self.source, self.target = source.shape[1:], target.shape[1:]

    def forward(self, inputs: Sequence[np.ndarray]) -> tuple[np.ndarray, Any]:
        return inputs[0].all(axis=self.axes).reshape(-1, *self.target), None

    def backward(self, saved: Any, gradient: np.ndarray) -> list[np.ndarray]:
        """No gradient: a truth value does not change a little."""
        return [np.zeros((len(gradient), *self.source), np.float32)]
