"""CONCATENATION along any axis but that of the batch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

import numpy as np

from tinyfuse.core.errors import ModelError
from tinyfuse.integer.operators.base import Node, need_centred, need_shape, register
from tinyfuse.tflite.graph import Graph, Operator, Tensor

_MOST_PARTS, _MOST_AXES = 10, 6  # what TFLite Micro's kernel takes


@dataclass(frozen=True, eq=False)
class Concatenation:
    """The parts one after the other along ``axis``, up to ``part_ends``; None stands for the next computed input."""

    axis: int
    parts: tuple[np.ndarray | None, ...]
    part_ends: tuple[int, ...]

    def forward(self, inputs: Sequence[np.ndarray]) -> tuple[np.ndarray, Any]:
        rest, n = iter(inputs), len(inputs[0])
        arrays = [next(rest) if part is None else np.broadcast_to(part, (n, *part.shape[1:])) for part in self.parts]
        return np.concatenate(arrays, axis=self.axis), None

    def backward(self, saved: Any, gradient: np.ndarray) -> list[np.ndarray]:
        pieces = np.split(gradient, self.part_ends[:-1], axis=self.axis)
        return [np.ascontiguousarray(piece) for piece, part in zip(pieces, self.parts, strict=True) if part is None]


@register("CONCATENATION")
def _build(operator: Operator, graph: Graph) -> Node:
    target = graph.tensors[operator.outputs[0]]
    parts = [graph.tensors[index] for index in operator.inputs]
    axis, rank = int(operator.options["axis"]), len(target.shape)
    axis = axis + rank if axis < 0 else axis
    if not 1 <= axis < rank <= _MOST_AXES:
        raise ModelError(f"'{target.name}': CONCATENATION along axis {axis} of {rank}; allowed are axes 1 to "
                         f"{rank - 1}, not that of the batch, of at most {_MOST_AXES}")
    if not 1 <= len(parts) <= _MOST_PARTS or all(part.data is not None for part in parts):
        raise ModelError(f"'{target.name}': CONCATENATION of {len(parts)} inputs; it takes 1 to {_MOST_PARTS}, one or "
                         "more of them computed")
    if operator.options["fused_activation_function"] != "NONE":
        raise ModelError(f"'{target.name}': CONCATENATION cannot have a fused activation")
    for part in parts:
        _check_part(operator, part, target, axis)
    sizes = [part.shape[axis] for part in parts]
    need_shape(operator, target, (*target.shape[:axis], sum(sizes), *target.shape[axis + 1:]))
    return Concatenation(axis, tuple(part.data for part in parts), tuple(accumulate(sizes)))


def _check_part(operator: Operator, part: Tensor, target: Tensor, axis: int) -> None:
    """A part has the type, the quantisation and, along the other axes, the shape of the output."""
    if part.dtype != target.dtype:
        raise ModelError(f"'{part.name}': CONCATENATION of {part.dtype} into {target.dtype}; the types must be equal")
    rest = [tensor.shape[:axis] + tensor.shape[axis + 1:] for tensor in (part, target)]
    if len(part.shape) != len(target.shape) or rest[0] != rest[1] or part.shape[0] != 1:
        raise ModelError(f"'{part.name}': CONCATENATION of {list(part.shape)} into {list(target.shape)} along axis "
                         f"{axis}; the other axes must be equal and the first must be 1")
    if part.dtype == np.int8 and not part.has_grid_of(target):
        raise ModelError(f"'{part.name}': CONCATENATION needs one scale and zero point for all inputs and the output")
    need_centred(operator, part, target)
