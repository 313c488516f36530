"""MIRROR_PAD and REVERSE_V2: places of every axis but that of the batch, taken in another order."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tinyfuse.core.errors import ModelError
from tinyfuse.integer.operators.base import Node, constant, need_shape, register, same_type, source_and_target
from tinyfuse.integer.operators.gather import returned
from tinyfuse.tflite.graph import Graph, Operator

_REFLECT = 0  # mode: the edge itself is not repeated
_MOST_REVERSED = 8


@dataclass(frozen=True, eq=False)
class Take:
    """Codes [n, ...] at ``places``: an array of places for each axis but the first."""

    places: tuple[np.ndarray, ...]
    source: tuple[int, ...]

    def forward(self, inputs: Sequence[np.ndarray]) -> tuple[np.ndarray, Any]:
        return inputs[0][np.ix_(np.arange(len(inputs[0])), *self.places)], None

    def backward(self, saved: Any, gradient: np.ndarray) -> list[np.ndarray]:
        for axis, places in enumerate(self.places, 1):
            gradient = returned(gradient, places, axis, self.source[axis])
        return [gradient]


@register("MIRROR_PAD")
def _mirror_pad(operator: Operator, graph: Graph) -> Node:
    """Reference: ``micro/kernels/mirror_pad.cc``, GetInputDimension."""
    source, target = source_and_target(operator, graph, same_type("int8"))
    least = 1 if int(operator.options["mode"]) == _REFLECT else 0
    paddings = constant(operator, graph, 1)
    if paddings.shape != (len(source.shape), 2) or paddings[0].any() or any(
            not 0 <= pad <= size - least for size, pair in zip(source.shape, paddings.tolist(), strict=True)
            for pad in pair):
        raise ModelError(f"'{target.name}': MIRROR_PAD of {list(source.shape)} by {paddings.tolist()}; two numbers for "
                         "each axis are needed, no larger than the axis mirrors, and none for the batch")
    mode = "reflect" if least else "symmetric"
    places = [np.pad(np.arange(size), tuple(pair), mode=mode)  # type: ignore[call-overload]
              for size, pair in zip(source.shape, paddings.tolist(), strict=True)]
    need_shape(operator, target, map(len, places))
    return Take(tuple(places[1:]), source.shape)


@register("REVERSE_V2")
def _reverse(operator: Operator, graph: Graph) -> Node:
    """Reference: ``reference/reverse.h``."""
    source, target = source_and_target(operator, graph)
    rank = len(source.shape)
    given = constant(operator, graph, 1)
    if given.ndim != 1:
        raise ModelError(f"'{target.name}': the axes of REVERSE_V2 have shape {list(given.shape)}; TFLite Micro takes "
                         "a list of them alone")
    axes = sorted(int(axis) + rank if axis < 0 else int(axis) for axis in given)
    if rank > _MOST_REVERSED or not axes or axes != list(range(axes[0], axes[-1] + 1)) or not (
            axes[0] >= 1 and axes[-1] < rank):
        raise ModelError(f"'{target.name}': REVERSE_V2 of {list(source.shape)} along axes {axes}; they must be "
                         "neighbours, without the first")
    need_shape(operator, target, source.shape)
    return Take(tuple(np.arange(size)[::-1] if axis in axes else np.arange(size)
                      for axis, size in enumerate(source.shape))[1:], source.shape)
