"""Operators that only move codes: RESHAPE, TRANSPOSE, STRIDED_SLICE, PAD and PADV2."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tinyfuse.core.errors import ModelError
from tinyfuse.integer.operators.base import Node, constant, need_shape, register, same_type, source_and_target
from tinyfuse.tflite.graph import Graph, Operator, Tensor

_MOVABLE = same_type("int8", "int16", "float32")
_MOST_AXES = {"TRANSPOSE": 5, "PAD": 5, "PADV2": 5, "STRIDED_SLICE": 4, "SLICE": 5, "UNPACK": 6, "SPLIT": 6,
              "SPLIT_V": 6}
"""What TFLite Micro's kernels take; of those that became a STRIDED_SLICE, by their option `of`."""


@dataclass(frozen=True)
class Reshape:
    """The same codes in another shape."""

    source: tuple[int, ...]
    target: tuple[int, ...]

    def forward(self, inputs: Sequence[np.ndarray]) -> tuple[np.ndarray, Any]:
        return inputs[0].reshape(-1, *self.target[1:]), None

    def backward(self, saved: Any, gradient: np.ndarray) -> list[np.ndarray]:
        return [gradient.reshape(-1, *self.source[1:])]


@dataclass(frozen=True)
class Transpose:
    """The axes in the order ``axes``; the first stays."""

    axes: tuple[int, ...]

    def forward(self, inputs: Sequence[np.ndarray]) -> tuple[np.ndarray, Any]:
        return np.ascontiguousarray(inputs[0].transpose(self.axes)), None

    def backward(self, saved: Any, gradient: np.ndarray) -> list[np.ndarray]:
        return [np.ascontiguousarray(gradient.transpose(np.argsort(self.axes)))]


@dataclass(frozen=True)
class Slice:
    """Codes [n, ...] at ``places``, one slice for each axis, then without the axes that the operator drops."""

    places: tuple[slice, ...]
    source: tuple[int, ...]
    target: tuple[int, ...]

    def forward(self, inputs: Sequence[np.ndarray]) -> tuple[np.ndarray, Any]:
        return inputs[0][self.places].reshape(-1, *self.target[1:]), None

    def backward(self, saved: Any, gradient: np.ndarray) -> list[np.ndarray]:
        found = np.zeros((len(gradient), *self.source[1:]), np.float32)
        window = found[self.places]
        window[...] = gradient.reshape(window.shape)
        return [found]


@dataclass(frozen=True)
class Pad:
    """Codes [n, ...] at ``places`` of an array that holds ``value`` elsewhere."""

    places: tuple[slice, ...]
    target: Tensor
    value: int | float

    def forward(self, inputs: Sequence[np.ndarray]) -> tuple[np.ndarray, Any]:
        out = np.full((len(inputs[0]), *self.target.shape[1:]), self.value, self.target.dtype)
        out[self.places] = inputs[0]
        return out, None

    def backward(self, saved: Any, gradient: np.ndarray) -> list[np.ndarray]:
        return [np.ascontiguousarray(gradient[self.places])]


@register("RESHAPE")
def _reshape(operator: Operator, graph: Graph) -> Node:
    source, target = source_and_target(operator, graph, same_type("int8", "int16", "int32", "int64", "float32"))
    for shape in (graph.tensors[index] for index in operator.inputs[1:]):
        if shape.data is None:
            raise ModelError(f"'{shape.name}': RESHAPE needs it constant, not computed")
    if np.prod(source.shape) != np.prod(target.shape):
        raise ModelError(f"'{target.name}': RESHAPE from {list(source.shape)} to {list(target.shape)} changes the "
                         "number of values, as where a converter did not know the batch: give the network's inputs "
                         "batch_size=1 and convert it again")
    return Reshape(source.shape, target.shape)


@register("TRANSPOSE")
def _transpose(operator: Operator, graph: Graph) -> Node:
    source, target = source_and_target(operator, graph, _MOVABLE)
    axes = tuple(int(axis) for axis in constant(operator, graph, 1).ravel())
    if sorted(axes) != list(range(len(source.shape))) or axes[0] != 0 or len(axes) > _MOST_AXES["TRANSPOSE"]:
        raise ModelError(f"'{target.name}': TRANSPOSE of {list(source.shape)} by {list(axes)}; the axes must be a "
                         f"permutation of at most {_MOST_AXES['TRANSPOSE']} that leaves the first in its place")
    need_shape(operator, target, [source.shape[axis] for axis in axes])
    return Transpose(axes)


@register("STRIDED_SLICE")
def _strided_slice(operator: Operator, graph: Graph) -> Node:
    source, target = source_and_target(operator, graph, same_type("int8", "int16", "int32", "float32"))
    begins, stops, strides = (constant(operator, graph, place).ravel().tolist() for place in (1, 2, 3))
    most = _MOST_AXES.get(str(operator.options.get("of")), _MOST_AXES["STRIDED_SLICE"])
    if not len(begins) == len(stops) == len(strides) == len(source.shape) <= most:
        raise ModelError(f"'{target.name}': STRIDED_SLICE of {list(source.shape)} needs a begin, an end and a stride "
                         f"for each of at most {most} axes")
    if any(operator.options.get(key) for key in ("ellipsis_mask", "new_axis_mask", "offset")):
        raise ModelError(f"'{target.name}': STRIDED_SLICE with an ellipsis, a new axis or an offset is not supported")
    dropped = [_masked(operator, "shrink_axis_mask", axis) for axis in range(len(begins))]
    places = [_places(operator, axis, size, begins[axis], stops[axis], strides[axis])
              for axis, size in enumerate(source.shape)]
    if dropped[0] or len(places[0]) != 1:
        raise ModelError(f"'{target.name}': STRIDED_SLICE cuts the batch axis; the first axis must stay as it is")
    need_shape(operator, target, [len(one) for one, drop in zip(places, dropped, strict=True) if not drop])
    cuts = (slice(one.start, None if one.stop < 0 else one.stop, one.step) for one in places[1:])
    return Slice((slice(None), *cuts), source.shape, target.shape)


def _masked(operator: Operator, key: str, axis: int) -> bool:
    return bool(int(operator.options[key]) >> axis & 1)


def _places(operator: Operator, axis: int, size: int, begin: int, end: int, stride: int) -> range:
    """Return the places of ``axis`` that stay, one or more, by Python's own rules; just one if the output lacks it."""
    if _masked(operator, "shrink_axis_mask", axis):
        place = begin + size if begin < 0 else begin
        if not 0 <= place < size or stride < 1:
            raise ModelError(f"{operator.name} takes place {begin} with stride {stride} of {size}; allowed are {-size} "
                             f"to {size - 1} with a positive stride")
        return range(place, place + 1)
    cut = slice(None if _masked(operator, "begin_mask", axis) else begin,
                None if _masked(operator, "end_mask", axis) else end, stride)
    places = range(*cut.indices(size)) if stride else range(0)
    if not places:
        raise ModelError(f"{operator.name} from {begin} to {end} by {stride} keeps nothing of the {size} places of "
                         f"axis {axis}; it must keep one or more")
    return places


@register("PAD", "PADV2")
def _pad(operator: Operator, graph: Graph) -> Node:
    source, target = source_and_target(operator, graph, same_type("int8", "int16", "int32", "float32"))
    paddings, most = constant(operator, graph, 1), _MOST_AXES[operator.name]
    if paddings.size != 2 * len(source.shape) or paddings.min() < 0 or len(source.shape) > most:
        raise ModelError(f"'{target.name}': {operator.name} of {list(source.shape)} needs two numbers from 0 for each "
                         f"of at most {most} axes, not {paddings.tolist()}")
    pairs = paddings.reshape(-1, 2).tolist()
    need_shape(operator, target, [size + sum(pair) for size, pair in zip(source.shape, pairs, strict=True)])
    places = tuple(slice(before, before + size) for size, (before, _) in zip(source.shape, pairs, strict=True))
    return Pad((slice(None), *places[1:]), target, _padding_value(operator, graph, target))


def _padding_value(operator: Operator, graph: Graph, target: Tensor) -> int | float:
    """The output's zero point for int8, else 0, unless PADV2 gives a value in the output's own quantisation."""
    if len(operator.inputs) < 3:
        return target.zero if target.dtype == np.int8 else 0
    value = graph.tensors[operator.inputs[2]]
    content = constant(operator, graph, 2, target.dtype)
    if content.size != 1 or (target.dtype == np.int8 and not value.has_grid_of(target)):
        raise ModelError(f"'{value.name}': {operator.name} needs one padding value with the output's scale and zero "
                         "point")
    return content.ravel()[0].item()  # type: ignore[no-any-return]
