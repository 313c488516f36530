"""MEAN over any axes but the batch: one exact sum, then one rescaling that holds the division as well."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numba
import numpy as np

from tinyfuse.core.errors import ModelError
from tinyfuse.integer.arithmetic import TYPE_RANGE, quantize_multiplier, rescale, wrap32
from tinyfuse.integer.operators.base import Node, register
from tinyfuse.integer.operators.checks import constant, require_shape, same_type, source_and_target
from tinyfuse.tflite.graph import Graph, Operator, Tensor

_MOST_AXES = 5  # of the tensor; TFLite Micro keeps their sizes in an array of this length


@numba.njit(nogil=True, cache=True)
def _mean(codes, zero_in, multiplier, shift, zero_out, low, high, out, inside):  # type: ignore[no-untyped-def]
    """Rescaled sums of ``codes`` [n, reduced, kept] over the middle axis, clamped, to ``out`` [n, kept]."""
    keep = inside.size > 0
    n, reduced, kept = codes.shape
    total = np.empty(kept, np.int32)
    for i in range(n):
        total[:] = 0
        for j in range(reduced):
            for k in range(kept):
                total[k] += np.int32(codes[i, j, k])
        for k in range(kept):
            value = rescale(wrap32(np.int64(total[k]) - zero_in * reduced), multiplier, shift) + zero_out
            out[i, k] = min(max(value, low), high)
            if keep:
                inside[i, k] = (value >= low) & (value <= high)


class Mean:
    """One MEAN. Reference: ``reference/reduce.h``, QuantizedMeanOrSum, which TFLite Micro uses for all scales."""

    def __init__(self, operator: Operator, graph: Graph) -> None:
        source, target = source_and_target(operator, graph, same_type("int8", "int16"))
        reduced = _axes(operator, source, constant(operator, graph, 1))
        kept = [axis for axis in range(1, len(source.shape)) if axis not in reduced]
        whole = [1 if axis in reduced else size for axis, size in enumerate(source.shape)]
        require_shape(operator, target, whole if operator.options["keep_dims"] else
                      [size for axis, size in enumerate(source.shape) if axis not in reduced])
        self.order, self.whole = (0, *reduced, *kept), whole[1:]
        self.count = int(np.prod([source.shape[axis] for axis in reduced]))
        ratio = float(source.scale[0]) / float(target.scale[0])
        self.multiplier, self.shift = _divided(*quantize_multiplier(ratio), self.count)
        self.zero_in, self.zero_out = int(source.zero_point[0]), int(target.zero_point[0])
        self.low, self.high = TYPE_RANGE[target.dtype]
        self.slope = np.float32(ratio / self.count)
        self.source_shape, self.target_shape, self.dtype = source.shape[1:], target.shape[1:], target.dtype

    def forward(self, inputs: Sequence[np.ndarray], keep: bool) -> tuple[np.ndarray, Any]:
        n = len(inputs[0])
        codes = np.ascontiguousarray(inputs[0].transpose(self.order)).reshape(n, self.count, -1)
        out = np.empty((n, codes.shape[2]), self.dtype)
        inside = np.empty(out.shape if keep else (0, 0), np.uint8)
        _mean(codes, self.zero_in, self.multiplier, self.shift, self.zero_out, self.low, self.high, out, inside)
        return out.reshape(n, *self.target_shape), inside

    def backward(self, saved: Any, gradient: np.ndarray) -> list[np.ndarray]:
        n = len(gradient)
        share = (gradient.reshape(saved.shape) * saved * self.slope).reshape(n, *self.whole)
        return [np.ascontiguousarray(np.broadcast_to(share, (n, *self.source_shape)))]


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


def _divided(multiplier: int, shift: int, count: int) -> tuple[int, int]:
    """The multiplier and shift with 1 / ``count`` in them: as much precision as the shift leaves room for."""
    more = min(count.bit_length() - 1, 32, 31 + shift)
    return (multiplier << more) // count, shift - more


@register("MEAN")
def _build(operator: Operator, graph: Graph) -> Node:
    return Mean(operator, graph)
