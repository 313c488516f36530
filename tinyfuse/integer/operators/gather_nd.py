"""GATHER_ND: parts of a tensor at constant places along several axes, of which the first is that of the batch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tinyfuse.core.errors import ModelError
from tinyfuse.integer.operators.base import Node, constant, need_shape, register, same_type, source_and_target
from tinyfuse.integer.operators.gather import returned
from tinyfuse.tflite.graph import Graph, Operator

_MOST_AXES = 5  # that TFLite Micro looks up


@dataclass(frozen=True, eq=False)
class GatherNd:
    """Of each sample, seen as ``size`` parts of ``width`` codes, those at ``places``."""

    places: np.ndarray
    size: int
    width: int
    source: tuple[int, ...]
    target: tuple[int, ...]

    def forward(self, inputs: Sequence[np.ndarray]) -> tuple[np.ndarray, Any]:
        parts = inputs[0].reshape(-1, self.size, self.width)
        return parts.take(self.places, axis=1).reshape(-1, *self.target[1:]), None

    def backward(self, saved: Any, gradient: np.ndarray) -> list[np.ndarray]:
        parts = gradient.reshape(-1, len(self.places), self.width)
        return [returned(parts, self.places, 1, self.size).reshape(-1, *self.source[1:])]


@register("GATHER_ND")
def _gather_nd(operator: Operator, graph: Graph) -> Node:
    """Reference: ``micro/kernels/gather_nd.cc``."""
    source, target = source_and_target(operator, graph, same_type("int8"))
    indices = constant(operator, graph, 1)
    axes = indices.shape[-1] if indices.ndim else 0
    if indices.ndim < 2 or not 1 <= axes <= min(_MOST_AXES, len(source.shape)):
        raise ModelError(f"'{target.name}': GATHER_ND of {list(source.shape)} with indices {list(indices.shape)}; the "
                         f"last axis must count 1 to {min(_MOST_AXES, len(source.shape))} axes, another one come first")
    looked_up = source.shape[:axes]
    if indices.min(initial=0) < 0 or (indices.size and (indices.reshape(-1, axes).max(axis=0) >= looked_up).any()):
        raise ModelError(f"'{target.name}': GATHER_ND of places {indices.min()} to {indices.max()}; they must lie in "
                         f"{list(looked_up)}")
    need_shape(operator, target, (*indices.shape[:-1], *source.shape[axes:]))
    places = np.ravel_multi_index(tuple(indices.reshape(-1, axes).T.astype(np.int64)), looked_up)
    return GatherNd(np.asarray(places), int(np.prod(looked_up)), int(np.prod(source.shape[axes:], dtype=np.int64)),
                    source.shape, target.shape)
