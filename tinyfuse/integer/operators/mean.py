"""MEAN over any axes but the batch: one exact sum, then one rescaling that holds the division as well."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from tinyfuse.core.errors import ModelError
from tinyfuse.integer.arithmetic import TYPE_RANGE, clamp, quantize_multiplier, rescaled
from tinyfuse.integer.operators.base import constant, need_shape, register, source_and_target
from tinyfuse.tflite.graph import Graph, Operator, Tensor

_MOST_AXES = 5  # of the tensor; TFLite Micro keeps their sizes in an array of this length


@register("MEAN")
class Mean:
    """One MEAN. Reference: ``reference/reduce.h``, QuantizedMeanOrSum, which TFLite Micro uses for all scales."""

    def __init__(self, operator: Operator, graph: Graph) -> None:
        source, target = source_and_target(operator, graph)
        self.axes = _axes(operator, source, constant(operator, graph, 1))
        self.with_ones = [1 if axis in self.axes else size for axis, size in enumerate(source.shape)]
        need_shape(operator, target, self.with_ones if operator.options["keep_dims"] else
                      [size for axis, size in enumerate(source.shape) if axis not in self.axes])
        self.count = int(np.prod([source.shape[axis] for axis in self.axes]))
        ratio = source.unit / target.unit
        multiplier, shift = quantize_multiplier(ratio)
        more = min(self.count.bit_length() - 1, 32, 31 + shift)  # as much precision as the shift leaves room for
        self.multiplier, self.shift = (multiplier << more) // self.count, shift - more
        self.zero_in, self.zero_out = source.zero, target.zero
        self.low, self.high = TYPE_RANGE[target.dtype]
        self.slope = np.float32(ratio / self.count)
        self.source_shape, self.target_shape, self.dtype = source.shape[1:], target.shape[1:], target.dtype

    def forward(self, inputs: Sequence[np.ndarray]) -> tuple[np.ndarray, Any]:
        sums = inputs[0].sum(axis=self.axes, dtype=np.int64) - self.zero_in * self.count
        values = (rescaled(sums, self.multiplier, self.shift) + self.zero_out).reshape(-1, *self.target_shape)
        return clamp(values, self.low, self.high, self.dtype)

    def backward(self, saved: Any, gradient: np.ndarray) -> list[np.ndarray]:
        share = (gradient * saved * self.slope).reshape(-1, *self.with_ones[1:])
        return [np.ascontiguousarray(np.broadcast_to(share, (len(gradient), *self.source_shape)))]


def _axes(operator: Operator, source: Tensor, given: np.ndarray) -> tuple[int, ...]:
    """The reduced axes, counted from the front, each once, in rising order."""
    rank = len(source.shape)
    if rank > _MOST_AXES:
        raise ModelError(f"'{source.name}' has {rank} axes; {operator.name} takes at most {_MOST_AXES}")
    axes = {int(axis) + rank if axis < 0 else int(axis) for axis in np.ravel(given)}
    if not axes <= set(range(1, rank)):
        raise ModelError(f"'{source.name}': {operator.name} over axes {np.ravel(given).tolist()} of "
                         f"{list(source.shape)}; allowed are 1 to {rank - 1}, for axis 0 is the batch")
    return tuple(sorted(axes))
