"""BROADCAST_TO: codes that are repeated along axes of size 1."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tinyfuse.core.errors import ModelError
from tinyfuse.integer.operators.base import Node, constant, register, source_and_target
from tinyfuse.tflite.graph import Graph, Operator

_MOST_AXES = 5


@dataclass(frozen=True)
class Repeat:
    """Codes [n, ...], seen as [n, *full_shape], in the shape ``target``."""

    full_shape: tuple[int, ...]
    source: tuple[int, ...]
    target: tuple[int, ...]

    def forward(self, inputs: Sequence[np.ndarray]) -> tuple[np.ndarray, Any]:
        codes = inputs[0].reshape(-1, *self.full_shape)
        return np.ascontiguousarray(np.broadcast_to(codes, (len(codes), *self.target))), None

    def backward(self, saved: Any, gradient: np.ndarray) -> list[np.ndarray]:
        axes = tuple(axis for axis, (given, found) in enumerate(zip(self.full_shape, self.target, strict=True), 1)
                     if given < found)
        return [gradient.sum(axis=axes).reshape(-1, *self.source)]


@register("BROADCAST_TO")
def _broadcast_to(operator: Operator, graph: Graph) -> Node:
    """Reference: ``micro/kernels/broadcast_to.cc``."""
    source, target = source_and_target(operator, graph)
    wanted = constant(operator, graph, 1, graph.tensors[operator.inputs[1]].dtype)
    if wanted.ravel().tolist() != list(target.shape):
        raise ModelError(f"'{target.name}' has shape {list(target.shape)}, but BROADCAST_TO makes "
                         f"{wanted.ravel()[:8].tolist()}; convert the model again")
    whole = (1,) * (len(target.shape) - len(source.shape)) + source.shape
    if len(target.shape) > _MOST_AXES or len(whole) != len(target.shape) or any(
            given not in (1, found) for given, found in zip(whole, target.shape, strict=True)):
        raise ModelError(f"'{target.name}': BROADCAST_TO of {list(source.shape)} to {list(target.shape)}; at most "
                         f"{_MOST_AXES} axes, of which those of size 1 are repeated")
    return Repeat(whole[1:], source.shape[1:], target.shape[1:])
