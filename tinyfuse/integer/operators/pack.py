"""PACK: tensors of one shape, computed or constant, beside each other along a new axis."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tinyfuse.core.errors import ModelError
from tinyfuse.integer.operators.base import Node, need_batch_axis, need_shape, register
from tinyfuse.tflite.graph import Graph, Operator

_TYPES = (np.int8, np.int16, np.float32)


@dataclass(frozen=True, eq=False)
class Pack:
    """The parts along the new ``axis``; None stands for the next computed input."""

    axis: int
    parts: tuple[np.ndarray | None, ...]

    def forward(self, inputs: Sequence[np.ndarray]) -> tuple[np.ndarray, Any]:
        rest, n = iter(inputs), len(inputs[0])
        arrays = [next(rest) if part is None else np.broadcast_to(part, (n, *part.shape[1:])) for part in self.parts]
        return np.stack(arrays, axis=self.axis), None

    def backward(self, saved: Any, gradient: np.ndarray) -> list[np.ndarray]:
        return [np.ascontiguousarray(gradient.take(number, axis=self.axis))
                for number, part in enumerate(self.parts) if part is None]


@register("PACK")
def _pack(operator: Operator, graph: Graph) -> Node:
    """TFLite Micro moves codes and looks at no scale."""
    target, parts = graph.tensors[operator.outputs[0]], [graph.tensors[index] for index in operator.inputs]
    axis, rank = int(operator.options["axis"]), len(target.shape)
    axis = axis + rank if axis < 0 else axis
    if not 1 <= axis < rank or all(part.data is not None for part in parts):
        raise ModelError(f"'{target.name}': PACK of {len(parts)} tensors along axis {axis} of {rank}; the axis must be "
                         f"1 to {rank - 1}, for 0 is the batch, and one or more tensors computed")
    if int(operator.options["values_count"]) != len(parts):
        raise ModelError(f"'{target.name}': PACK of {len(parts)} tensors, but its options count "
                         f"{operator.options['values_count']}; convert the model again")
    for part in parts:
        if part.dtype not in _TYPES or part.dtype != target.dtype or part.shape != parts[0].shape:
            raise ModelError(f"'{part.name}': PACK of {part.dtype} {list(part.shape)} into {target.dtype} "
                             f"{list(target.shape)}; all must have one type, int8 or int16, and one shape")
        need_batch_axis(operator, part)
    need_shape(operator, target, (*parts[0].shape[:axis], len(parts), *parts[0].shape[axis:]))
    return Pack(axis, tuple(part.data for part in parts))
