"""MEAN and SUM over any axes but the batch: one exact sum, then one rescaling that holds the division as well."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from tinyfuse.core.errors import ModelError
from tinyfuse.integer.arithmetic import TYPE_RANGE, clamp, quantize_multiplier, rescaled, wrapped
from tinyfuse.integer.operators.base import constant, need_shape, register, source_and_target
from tinyfuse.tflite.graph import Graph, Operator, Tensor

_MOST_AXES = 5  # of the tensor; TFLite Micro keeps their sizes in an array of this length


@register("MEAN", "SUM")
class Mean:
    """One MEAN or SUM. Reference: ``reference/reduce.h``, QuantizedMeanOrSum, used for all scales."""

    def __init__(self, operator: Operator, graph: Graph) -> None:
        source, target = source_and_target(operator, graph)
        self.axes = reduced_axes(operator, source, constant(operator, graph, 1))
        self.with_ones = [1 if axis in self.axes else size for axis, size in enumerate(source.shape)]
        need_shape(operator, target, reduced_shape(operator, source, self.axes))
        self.count = int(np.prod([source.shape[axis] for axis in self.axes]))
        ratio = source.unit / target.unit
        multiplier, shift = quantize_multiplier(ratio)
        divisor = self.count if operator.name == "MEAN" else 1
        more = min(divisor.bit_length() - 1, 32, 31 + shift)  # as much precision as the shift leaves room for
        self.multiplier, self.shift = (multiplier << more) // divisor, shift - more
        self.zero_in, self.zero_out = source.zero, target.zero
        self.low, self.high = TYPE_RANGE[target.dtype]
        self.slope = np.float32(ratio / divisor)
        self.source_shape, self.target_shape, self.dtype = source.shape[1:], target.shape[1:], target.dtype

    def forward(self, inputs: Sequence[np.ndarray]) -> tuple[np.ndarray, Any]:
        sums = inputs[0].sum(axis=self.axes, dtype=np.int64) - self.zero_in * self.count
        values = wrapped(rescaled(sums, self.multiplier, self.shift) + self.zero_out)
        return clamp(values.reshape(-1, *self.target_shape), self.low, self.high, self.dtype)

    def backward(self, saved: Any, gradient: np.ndarray) -> list[np.ndarray]:
        share = (gradient * saved * self.slope).reshape(-1, *self.with_ones[1:])
        return [np.ascontiguousarray(np.broadcast_to(share, (len(gradient), *self.source_shape)))]


def reduced_axes(operator: Operator, source: Tensor, given: np.ndarray) -> tuple[int, ...]:
    """Return the reduced axes, counted from the front, each once, in rising order."""
    rank = len(source.shape)
    if rank > _MOST_AXES:
        raise ModelError(f"'{source.name}' has {rank} axes; {operator.name} takes at most {_MOST_AXES}")
    axes = {int(axis) + rank if axis < 0 else int(axis) for axis in np.ravel(given)}
    if not axes <= set(range(1, rank)):
        raise ModelError(f"'{source.name}': {operator.name} over axes {np.ravel(given).tolist()} of "
                         f"{list(source.shape)}; allowed are 1 to {rank - 1}, for axis 0 is the batch")
    return tuple(sorted(axes))


def reduced_shape(operator: Operator, source: Tensor, axes: tuple[int, ...]) -> list[int]:
    """Return the shape that is left without ``axes``, which the option keep_dims leaves with size 1."""
    if operator.options["keep_dims"]:
        return [1 if axis in axes else size for axis, size in enumerate(source.shape)]
    return [size for axis, size in enumerate(source.shape) if axis not in axes]
