"""GATHER with places that the model computes or is given, such as the rows of an embedding.

TFLite Micro copies from wherever a place points, without a look at it. So a place has to lie in the tensor: proven from
how it was computed, or, of an input, demanded of whoever gives it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tinyfuse.core.errors import ModelError, UsageError
from tinyfuse.integer.operators.base import Node, need_batch_axis, need_shape
from tinyfuse.tflite.graph import Graph, Operator, Tensor

_SAME_NUMBERS = ("RESHAPE", "SQUEEZE", "EXPAND_DIMS", "TRANSPOSE", "STRIDED_SLICE", "SLICE")
_CODES = {"int8": (-128, 127), "int16": (-(1 << 15), (1 << 15) - 1), "bool": (0, 1)}

Bounds = tuple[int, int] | None
ANY = -(1 << 31), (1 << 31) - 1
"""The first and the last int32."""


@dataclass(frozen=True, eq=False)
class Lookup:
    """Parts of ``table`` (constant, int8 [size, ...]) or, without one, of each sample along ``axis``."""

    axis: int
    table: np.ndarray | None
    source: tuple[int, ...]
    places: tuple[int, ...]

    def forward(self, inputs: Sequence[np.ndarray]) -> tuple[np.ndarray, Any]:
        places, size = inputs[-1], self.source[self.axis]
        if places.size and not 0 <= places.min() <= places.max() < size:
            raise UsageError(f"GATHER of places {places.min()} to {places.max()}; they lie between 0 and {size - 1}")
        if self.table is not None:
            return self.table[places], places
        made = [one.take(where.reshape(self.places), axis=self.axis - 1) for one, where in
                zip(inputs[0], places, strict=True)]
        shape = *self.source[1:self.axis], 1, *self.places, *self.source[self.axis + 1:]
        return np.stack(made).reshape(-1, *shape), places

    def backward(self, saved: Any, gradient: np.ndarray) -> list[np.ndarray]:
        """A place does not change a little; what was read gets what its copies have."""
        nothing = np.zeros(saved.shape, np.float32)
        if self.table is not None:
            return [nothing]
        found = np.zeros((len(saved), *self.source[1:]), np.float32)
        before, behind = self.source[1:self.axis], self.source[self.axis + 1:]
        parts = gradient.reshape(len(saved), *before, -1, *behind)
        for number, where in enumerate(saved.reshape(len(saved), -1)):
            into, given = (np.moveaxis(one[number], self.axis - 1, 0) for one in (found, parts))
            np.add.at(into, where, given)
        return [found, nothing]


def lookup(operator: Operator, graph: Graph) -> Node:
    """Build GATHER with computed places. Reference: ``micro/kernels/gather.cc``."""
    source, places, target = (graph.tensors[index] for index in (*operator.inputs[:2], operator.outputs[0]))
    axis = int(operator.options["axis"])
    axis = axis + len(source.shape) if axis < 0 else axis
    given = [str(one.dtype) for one in (source, places, target)]
    if given != ["int8", "int32", "int8"] or operator.options["batch_dims"]:
        raise ModelError(f"'{target.name}': GATHER of {given[0]} at computed {given[1]} places to {given[2]} with "
                         f"{operator.options['batch_dims']} batch axes; int8 at int32 to int8 without any is supported")
    for tensor in (places, target, *([] if source.data is not None else [source])):
        need_batch_axis(operator, tensor)
    fixed = source.data is not None
    if not (axis == 0 if fixed else 1 <= axis < len(source.shape)):
        raise ModelError(f"'{target.name}': GATHER along axis {axis} of {list(source.shape)} at computed places; "
                         "allowed is axis 0 of a constant, and another one of a computed tensor")
    _check_places(graph, places, source.shape[axis], target)
    need_shape(operator, target, (*source.shape[:axis], *places.shape, *source.shape[axis + 1:]))
    return Lookup(axis, source.data, source.shape, places.shape[1:])


def _check_places(graph: Graph, places: Tensor, size: int, target: Tensor) -> None:
    bounds = number_bounds(graph).get(places.index, ANY)
    if bounds is not None and not 0 <= bounds[0] <= bounds[1] < size:
        raise ModelError(f"'{target.name}': GATHER of places '{places.name}', which may be {bounds[0]} to {bounds[1]}; "
                         f"TFLite Micro reads beyond what it has, 0 to {size - 1}, without a word")


def number_bounds(graph: Graph) -> dict[int, Bounds]:
    """Bound the numbers in each computed int32 tensor; None for those that are given, by one who keeps them small."""
    found = dict[int, Bounds](dict.fromkeys(graph.inputs))
    for operator in graph.operators:
        if graph.tensors[operator.outputs[0]].dtype == np.int32:
            found[operator.outputs[0]] = _made(graph, operator, found)
    return found


def _made(graph: Graph, operator: Operator, found: dict[int, Bounds]) -> Bounds:
    if operator.name in _SAME_NUMBERS or _is_copy(graph, operator):
        return found.get(operator.inputs[0], ANY)
    if operator.name in ("ARG_MAX", "ARG_MIN"):
        source, axes = (graph.tensors[one] for one in operator.inputs[:2])
        return 0, source.shape[int(np.ravel(axes.data)[0])] - 1 if axes.data is not None else ANY[1]
    if operator.name == "CAST":
        return _CODES.get(graph.tensors[operator.inputs[0]].dtype.name, ANY)
    return ANY


def _is_copy(graph: Graph, operator: Operator) -> bool:
    """Whether it is a CAST of int32 to int32."""
    return operator.name == "CAST" and graph.tensors[operator.inputs[0]].dtype == np.int32


def input_limit(graph: Graph, index: int) -> int | None:
    """Find how many numbers from 0 on the input ``index`` may hold, as a GATHER reads it as places; None: any."""
    reached, sizes = {index}, list[int]()
    for operator in graph.operators:
        if (operator.name in _SAME_NUMBERS or _is_copy(graph, operator)) and operator.inputs[0] in reached:
            reached.update(operator.outputs)
        elif operator.name == "GATHER" and len(operator.inputs) > 1 and operator.inputs[1] in reached:
            shape, axis = graph.tensors[operator.inputs[0]].shape, int(operator.options["axis"])
            sizes += [shape[axis]] if -len(shape) <= axis < len(shape) else []
    return min(sizes, default=None)
