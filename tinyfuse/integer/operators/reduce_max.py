"""REDUCE_MAX and REDUCE_MIN over any axes but that of the batch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from tinyfuse.core.errors import ModelError
from tinyfuse.integer.operators.base import constant, need_shape, register, same_type, source_and_target
from tinyfuse.integer.operators.mean import reduced_axes, reduced_shape
from tinyfuse.tflite.graph import Graph, Operator


@register("REDUCE_MAX", "REDUCE_MIN")
class ReduceMax:
    """One REDUCE_MAX or REDUCE_MIN of int8 codes; of equals the first counts.

    Reference: ``micro/kernels/reduce_common.cc``.
    """

    def __init__(self, operator: Operator, graph: Graph) -> None:
        source, target = source_and_target(operator, graph, same_type("int8"))
        if not target.has_grid_of(source):
            raise ModelError(f"'{target.name}': {operator.name} cannot rescale; its input and output need one scale "
                             "and zero point")
        self.axes = reduced_axes(operator, source, constant(operator, graph, 1))
        need_shape(operator, target, reduced_shape(operator, source, self.axes))
        self.source, self.target, self.smallest = source.shape, target.shape, operator.name == "REDUCE_MIN"
        kept = [axis for axis in range(len(source.shape)) if axis not in self.axes]
        self.order = (*kept, *self.axes)

    def forward(self, inputs: Sequence[np.ndarray]) -> tuple[np.ndarray, Any]:
        rows = inputs[0].transpose(self.order).reshape(len(inputs[0]), int(np.prod(self.target)), -1)
        place = rows.argmin(axis=2) if self.smallest else rows.argmax(axis=2)
        found = np.take_along_axis(rows, place[..., np.newaxis], axis=2)
        return found.reshape(-1, *self.target[1:]), place

    def backward(self, saved: Any, gradient: np.ndarray) -> list[np.ndarray]:
        n, moved = len(gradient), [self.source[axis] for axis in self.order[1:]]
        rows = np.zeros((n, saved.shape[1], int(np.prod(moved)) // saved.shape[1]), np.float32)
        np.put_along_axis(rows, saved[..., np.newaxis], gradient.reshape(n, -1, 1), axis=2)
        return [np.ascontiguousarray(rows.reshape(n, *moved).transpose(np.argsort(self.order)))]
