"""BATCH_MATMUL: products of matrices, both computed or the second constant; the axes before the last two broadcast."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from tinyfuse.core.errors import ModelError
from tinyfuse.integer.arithmetic import MOST_SHIFT_64, TYPE_RANGE, clamp, quantize_multiplier, rescaled, wrapped
from tinyfuse.integer.operators.base import need_batch_axis, need_centred, need_one_scale, need_shape, register
from tinyfuse.tflite.graph import Graph, Operator, Tensor

_AXES = range(2, 6)


@register("BATCH_MATMUL")
class BatchMatmul:
    """One BATCH_MATMUL. Reference: ``micro/kernels/batch_matmul.cc``.

    Sums are exact in float64: each product has at most 30 bits. ``turned``: which operands are transposed.
    """

    def __init__(self, operator: Operator, graph: Graph) -> None:
        self.operands, target = _tensors(operator, graph)
        first, second = self.operands
        self.turned = bool(operator.options["adj_x"]), bool(operator.options["adj_y"])
        shapes = [_turned_shape(one.shape, turned) for one, turned in zip(self.operands, self.turned, strict=True)]
        self.depth = shapes[0][-1]
        need_shape(operator, target, _product_shape(operator, *shapes))
        self._check_batch(operator, target)
        need_centred(operator, *self.operands, target)
        ratio = first.unit * second.unit / target.unit
        self.multiplier, self.shift = quantize_multiplier(ratio)
        self.dtype, self.zero_out, self.ratio = target.dtype, target.zero, np.float32(ratio)
        if self.dtype == np.int16 and self.shift > MOST_SHIFT_64:
            raise ModelError(f"'{target.name}': a rescaling by {ratio:.6g}; TFLite Micro's 64-bit sums are defined "
                             f"below 2^{MOST_SHIFT_64}, so give the output a larger scale")
        self.low, self.high = TYPE_RANGE[target.dtype]

    def _check_batch(self, operator: Operator, target: Tensor) -> None:
        """Rows of the batch must not meet: a matrix of two axes has the batch as its rows."""
        for one in self.operands:
            if one.data is None:
                need_batch_axis(operator, one)
        first, second = self.operands
        if len(target.shape) == 2 and (second.data is None or first.data is not None or self.turned[0]):
            raise ModelError(f"'{target.name}': BATCH_MATMUL of two axes needs a constant second operand, and the "
                             "first one not transposed")
        if any(one.data is None and len(one.shape) < len(target.shape) for one in self.operands):
            raise ModelError(f"'{target.name}': BATCH_MATMUL of {list(first.shape)} and {list(second.shape)} moves the "
                             "batch axis; computed operands need as many axes as the output")

    def _matrices(self, inputs: Sequence[np.ndarray], kind: type) -> list[np.ndarray]:
        """Both operands without their zero points, transposed where the operator does it."""
        given = iter(inputs)
        found = [(next(given) if one.data is None else one.data).astype(kind) - kind(one.zero) for one in self.operands]
        return [values.swapaxes(-1, -2) if turned else values
                for values, turned in zip(found, self.turned, strict=True)]

    def forward(self, inputs: Sequence[np.ndarray]) -> tuple[np.ndarray, Any]:
        first, second = self._matrices(inputs, np.float64)
        sums = (first @ second).astype(np.int64)
        if self.dtype == np.int8:
            values = wrapped(rescaled(sums, self.multiplier, self.shift) + self.zero_out)
        else:
            values = wrapped(_rescaled64(sums, self.multiplier, self.shift))
        out, inside = clamp(values, self.low, self.high, self.dtype)
        return out, (inputs, inside)

    def backward(self, saved: Any, gradient: np.ndarray) -> list[np.ndarray]:
        inputs, inside = saved
        first, second = self._matrices(inputs, np.float32)
        slope = gradient * inside * self.ratio
        shares = slope @ second.swapaxes(-1, -2), first.swapaxes(-1, -2) @ slope
        return [_shrunk(share.swapaxes(-1, -2) if turned else share, one) for one, turned, share in
                zip(self.operands, self.turned, shares, strict=True) if one.data is None]


def _rescaled64(sums: np.ndarray, multiplier: int, shift: int) -> np.ndarray:
    """Rescale with a 15-bit multiplier and one rounding, halves up."""
    small = (multiplier + (1 << 15)) >> 16 if multiplier < 0x7FFF0000 else 0x7FFF
    total = 15 - shift
    return np.asarray((sums * small + (1 << (total - 1))) >> total)


def _shrunk(share: np.ndarray, operand: Tensor) -> np.ndarray:
    """Add up the gradient along the axes that were broadcast."""
    axes = tuple(axis for axis in range(1, share.ndim) if operand.shape[axis] == 1 < share.shape[axis])
    return np.ascontiguousarray(share.sum(axis=axes, keepdims=True) if axes else share, np.float32)


def _turned_shape(shape: tuple[int, ...], turned: bool) -> tuple[int, ...]:
    return (*shape[:-2], shape[-1], shape[-2]) if turned else shape


def _product_shape(operator: Operator, first: tuple[int, ...], second: tuple[int, ...]) -> tuple[int, ...]:
    """The shape of the product, refused if there is none."""
    try:
        ahead = np.broadcast_shapes(first[:-2], second[:-2])
    except ValueError:
        ahead = (-1,)
    if first[-1] != second[-2] or ahead == (-1,):
        raise ModelError(f"{operator.name} of {list(first)} and {list(second)}: the depths, and all axes before the "
                         "last two, must fit")
    return (*ahead, first[-2], second[-1])


def _tensors(operator: Operator, graph: Graph) -> tuple[list[Tensor], Tensor]:
    """The two operands and the output, refused unless types and numbers of axes fit."""
    operands, target = [graph.tensors[index] for index in operator.inputs], graph.tensors[operator.outputs[0]]
    if all(one.data is not None for one in operands):
        raise ModelError(f"'{target.name}': BATCH_MATMUL of two constants; fold it into its result")
    for tensor in (*operands, target):
        if tensor.dtype not in TYPE_RANGE or tensor.dtype != target.dtype or len(tensor.shape) not in _AXES:
            raise ModelError(f"'{tensor.name}': BATCH_MATMUL of {tensor.dtype} {list(tensor.shape)} to {target.dtype} "
                             "is not supported; use int8 or int16 throughout, with 2 to 5 axes")
        need_one_scale(operator, tensor)
    return operands, target
