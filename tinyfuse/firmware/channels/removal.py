"""The same network without the channels that need not be computed: every code that is left is what it was."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from tinyfuse.firmware.channels.needed import Needed, folded, needed_channels
from tinyfuse.firmware.channels.ranges import Range, ranges, weights_of
from tinyfuse.integer.twin import Twin
from tinyfuse.tflite.graph import Graph, Operator, Tensor

_OUTPUT_AXIS = {"CONV_2D": 0, "DEPTHWISE_CONV_2D": 3, "FULLY_CONNECTED": 0}


def without_constants(twin: Twin, *, in_place: bool = False) -> tuple[Twin, dict[int, np.ndarray]]:
    """Remove channels that are constant or reach no output; return the rest, and the channels left of each tensor.

    Constant ones are folded into the biases of what reads them. Tensors keep their indices; those of which all channels
    are left are not in the table. The codes of what is left are the same, bit for bit. ``in_place``: a few more
    stay, so that convolutions can still replace what they read.
    """
    found = ranges(twin)
    needed = needed_channels(twin, found, in_place=in_place)
    if all(channels.all() for channels in needed.values()):
        return twin, {}
    made = _Made(twin.graph, found, needed)
    operators = tuple(map(made.operator, twin.graph.operators))
    less = Twin(replace(twin.graph, tensors=tuple(made.tensors), operators=operators))
    return less, {index: np.flatnonzero(one) for index, one in needed.items() if not one.all()}


class _Made:
    """The tensors of the smaller graph: computed ones in their places, new constants behind all."""

    def __init__(self, graph: Graph, found: Mapping[int, Range], needed: Needed) -> None:
        self.graph, self.found, self.needed = graph, found, needed
        self.tensors = [self._smaller(tensor) for tensor in graph.tensors]

    def _smaller(self, tensor: Tensor) -> Tensor:
        channels = self.needed.get(tensor.index)
        if channels is None or channels.all():
            return tensor
        return replace(tensor, shape=(*tensor.shape[:-1], int(channels.sum())))

    def operator(self, operator: Operator) -> Operator:
        """Give ``operator`` constants for the channels that are left."""
        ends = [self.needed[index] for index in (*operator.inputs, *operator.outputs) if index in self.needed]
        if all(channels.all() for channels in ends):
            return operator
        change = _CHANGES.get(operator.name)
        return change(self, operator) if change else operator

    def constant(self, tensor: Tensor, data: np.ndarray, **changed: Any) -> int:
        """Add a constant like ``tensor``; return its index."""
        data = np.ascontiguousarray(data)
        data.setflags(write=False)
        index = len(self.tensors)
        self.tensors.append(replace(tensor, index=index, shape=data.shape, dtype=data.dtype, data=data, **changed))
        return index


def _weighted(made: _Made, operator: Operator) -> Operator:
    """Slice weights and biases; fold what constant inputs add to each sum."""
    source, tensor = made.graph.tensors[operator.inputs[0]], made.graph.tensors[operator.inputs[1]]
    outputs, inputs = made.needed[operator.outputs[0]], made.needed[source.index]
    assert tensor.data is not None
    data = np.compress(outputs, tensor.data, axis=_OUTPUT_AXIS[operator.name])
    if operator.name != "DEPTHWISE_CONV_2D" and not inputs.all():
        data = data[..., inputs]
    grids = {name: values[outputs] if len(values) == len(outputs) > 1 else values
             for name, values in (("scale", tensor.scale), ("zero_point", tensor.zero_point))}
    bias = _bias(made, operator, _moved(made, operator)[outputs], outputs)
    return replace(operator, inputs=(source.index, made.constant(tensor, data, **grids), *bias))


def _moved(made: _Made, operator: Operator) -> np.ndarray:
    """What the inputs that are no longer there add to each output's sum, int64."""
    source, weights = made.graph.tensors[operator.inputs[0]], weights_of(made.graph, operator)
    gone = ~made.needed[source.index]
    if operator.name == "DEPTHWISE_CONV_2D" or weights is None or not gone.any():
        return np.zeros(len(made.needed[operator.outputs[0]]), np.int64)
    constant = gone & folded(made.graph, operator, made.found)  # the others have no weight in what is left
    shares = weights * np.where(constant, made.found[source.index][0] - source.zero, 0) if constant.any() else weights[
        ..., :0]
    return np.asarray(shares.sum(axis=(1, 2)))


def _bias(made: _Made, operator: Operator, moved: np.ndarray, outputs: np.ndarray) -> tuple[int, ...]:
    """The bias of the outputs that are left as a new constant; where there is none and nothing to add, what was."""
    index = operator.inputs[2] if len(operator.inputs) > 2 else -1
    if index >= 0:
        old = made.graph.tensors[index]
        assert old.data is not None
        grids = {name: values[outputs] if len(values) == len(outputs) > 1 else values
                 for name, values in (("scale", old.scale), ("zero_point", old.zero_point))}
        return (made.constant(old, (old.data[outputs].astype(np.int64) + moved).astype(old.dtype), **grids),)
    if not moved.any():
        return operator.inputs[2:]
    source, weights = (made.graph.tensors[place] for place in operator.inputs[:2])
    unit = (source.unit * weights.scale.astype(np.float64)).astype(np.float32)
    scale = unit[outputs] if len(unit) == len(outputs) > 1 else unit
    wide = source.dtype == np.int16
    return (made.constant(source, moved.astype(np.int64 if wide else np.int32), name="", axis=0, scale=scale,
                          zero_point=np.zeros(len(scale), np.int64)),)


def _sum(made: _Made, operator: Operator) -> Operator:
    """ADD: a constant operand loses the same channels."""
    outputs = made.needed[operator.outputs[0]]

    def cut(index: int) -> int:
        tensor = made.graph.tensors[index]
        if tensor.data is None or tensor.shape[-1:] != (len(outputs),) or len(outputs) == 1:
            return index
        return made.constant(tensor, tensor.data[..., outputs])

    return replace(operator, inputs=tuple(map(cut, operator.inputs)))


_CHANGES: Mapping[str, Callable[[_Made, Operator], Operator]] = {
    "CONV_2D": _weighted, "DEPTHWISE_CONV_2D": _weighted, "FULLY_CONNECTED": _weighted, "ADD": _sum}
"""Operators with constants that have a place for each channel; the shapes of all others follow their tensors."""
