"""DEPTH_TO_SPACE and SPACE_TO_DEPTH: channels that become square blocks of pixels, and back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tinyfuse.core.errors import ModelError
from tinyfuse.integer.operators.base import Node, need_shape, register, same_type, source_and_target
from tinyfuse.tflite.graph import Graph, Operator


@dataclass(frozen=True)
class Blocks:
    """Codes [n, ...] seen as [n, *parts], whose axes (from 1 on) then come in the order ``order``."""

    parts: tuple[int, ...]
    order: tuple[int, ...]
    source: tuple[int, ...]
    target: tuple[int, ...]

    def forward(self, inputs: Sequence[np.ndarray]) -> tuple[np.ndarray, Any]:
        turned = inputs[0].reshape(-1, *self.parts).transpose(0, *self.order)
        return turned.reshape(-1, *self.target[1:]), None

    def backward(self, saved: Any, gradient: np.ndarray) -> list[np.ndarray]:
        moved = [self.parts[axis - 1] for axis in self.order]
        turned = gradient.reshape(-1, *moved).transpose(0, *(1 + np.argsort(self.order)))
        return [turned.reshape(-1, *self.source[1:])]


@register("DEPTH_TO_SPACE", "SPACE_TO_DEPTH")
def _blocks(operator: Operator, graph: Graph) -> Node:
    source, target = source_and_target(operator, graph, same_type("int8"))
    size, spreads = int(operator.options["block_size"]), operator.name == "DEPTH_TO_SPACE"
    shape = source.shape
    fits = len(shape) == 4 and size > 0 and (shape[3] % (size * size) == 0 if spreads else
                                             shape[1] % size == shape[2] % size == 0)
    if not fits:
        raise ModelError(f"'{target.name}': {operator.name} of {list(shape)} in blocks of {size} by {size}; they must "
                         "divide four axes")
    _, height, width, depth = shape
    if spreads:
        need_shape(operator, target, (1, height * size, width * size, depth // (size * size)))
        return Blocks((height, width, size, size, depth // (size * size)), (1, 3, 2, 4, 5), shape, target.shape)
    need_shape(operator, target, (1, height // size, width // size, depth * size * size))
    return Blocks((height // size, size, width // size, size, depth), (1, 3, 2, 4, 5), shape, target.shape)
