"""ARG_MAX and ARG_MIN of int8 codes along one axis: int32 places; of equals the first counts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from tinyfuse.core.errors import ModelError
from tinyfuse.integer.operators.base import constant, need_shape, register, source_and_target
from tinyfuse.tflite.graph import Graph, Operator


@register("ARG_MAX", "ARG_MIN")
class ArgMax:
    """One ARG_MAX or ARG_MIN. Reference: ``reference/arg_min_max.h``. Places have no gradient."""

    def __init__(self, operator: Operator, graph: Graph) -> None:
        source, target = source_and_target(operator, graph, {"int8": ("int32",)})
        given, rank = constant(operator, graph, 1), len(source.shape)
        self.axis = int(given.ravel()[0]) if given.size == 1 else 0
        self.axis += rank if self.axis < 0 else 0
        if not 1 <= self.axis < rank:
            raise ModelError(f"'{target.name}': {operator.name} of {list(source.shape)} along {given.tolist()}; one "
                             f"axis from 1 to {rank - 1} is allowed, for axis 0 is the batch")
        need_shape(operator, target, (*source.shape[:self.axis], *source.shape[self.axis + 1:]))
        self.smallest, self.source = operator.name == "ARG_MIN", source.shape[1:]

    def forward(self, inputs: Sequence[np.ndarray]) -> tuple[np.ndarray, Any]:
        find = np.argmin if self.smallest else np.argmax
        return find(inputs[0], axis=self.axis).astype(np.int32), None

    def backward(self, saved: Any, gradient: np.ndarray) -> list[np.ndarray]:
        return [np.zeros((len(gradient), *self.source), np.float32)]
