"""GATHER: the parts of a tensor whose numbers are constant, along any axis but that of the batch.

Numbers that are computed: see :mod:`tinyfuse.integer.operators.lookup`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tinyfuse.core.errors import ModelError
from tinyfuse.integer.operators.base import Node, constant, need_shape, register, same_type, source_and_target
from tinyfuse.integer.operators.lookup import lookup
from tinyfuse.tflite.graph import Graph, Operator


@dataclass(frozen=True, eq=False)
class Gather:
    """Codes [n, ...] at ``places`` (any shape) of ``axis``."""

    axis: int
    places: np.ndarray
    source: tuple[int, ...]

    def forward(self, inputs: Sequence[np.ndarray]) -> tuple[np.ndarray, Any]:
        return inputs[0].take(self.places, axis=self.axis), None

    def backward(self, saved: Any, gradient: np.ndarray) -> list[np.ndarray]:
        shape = *self.source[1:self.axis], self.places.size, *self.source[self.axis + 1:]
        return [returned(gradient.reshape(-1, *shape), self.places.reshape(-1), self.axis, self.source[self.axis])]


def returned(gradient: np.ndarray, places: np.ndarray, axis: int, size: int) -> np.ndarray:
    """Add up what was taken at ``places`` along ``axis``, in an array with ``size`` of them there."""
    found = np.zeros((*gradient.shape[:axis], size, *gradient.shape[axis + 1:]), np.float32)
    into, given = np.moveaxis(found, axis, 0), np.moveaxis(gradient, axis, 0)
    for number, place in enumerate(places):
        into[place] += given[number]
    return found


@register("GATHER")
def _gather(operator: Operator, graph: Graph) -> Node:
    if len(operator.inputs) > 1 and operator.inputs[1] >= 0 and graph.tensors[operator.inputs[1]].data is None:
        return lookup(operator, graph)
    source, target = source_and_target(operator, graph, same_type("int8"))
    places, rank = constant(operator, graph, 1), len(source.shape)
    axis = int(operator.options["axis"])
    axis = axis + rank if axis < 0 else axis
    if not 1 <= axis < rank or operator.options["batch_dims"]:
        raise ModelError(f"'{target.name}': GATHER along axis {axis} of {list(source.shape)} with "
                         f"{operator.options['batch_dims']} batch axes; allowed are axes 1 to {rank - 1} and none")
    if places.size and not 0 <= places.min() <= places.max() < source.shape[axis]:
        raise ModelError(f"'{target.name}': GATHER of places {places.min()} to {places.max()}; there are "
                         f"{source.shape[axis]}")
    need_shape(operator, target, (*source.shape[:axis], *places.shape, *source.shape[axis + 1:]))
    return Gather(axis, places.astype(np.int64), source.shape)
