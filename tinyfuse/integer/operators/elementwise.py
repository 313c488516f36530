"""ADD, SUB, MUL, MINIMUM and MAXIMUM of two tensors, with broadcasting; 8-bit ones are one table of all pairs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numba
import numpy as np

from tinyfuse.core.errors import ModelError
from tinyfuse.integer.operators.base import Node, register
from tinyfuse.integer.operators.binary import PAIRS, Fill
from tinyfuse.integer.operators.checks import one_scale
from tinyfuse.tflite.graph import Graph, Operator, Tensor

_MOST_AXES = 6  # that TFLite Micro broadcasts over
_TYPES = (np.dtype(np.int8), np.dtype(np.int16))


@numba.njit(nogil=True, cache=True)
def _look_up(a, b, table, mask, out, inside):  # type: ignore[no-untyped-def]
    """The same as ``Pairs.fill`` for uint8 views of int8 codes: entry 256 * a + b of ``table`` and ``mask``."""
    keep = inside.size > 0
    for i in range(out.shape[0]):
        x, y = a[i if a.shape[0] > 1 else 0], b[i if b.shape[0] > 1 else 0]
        for j in range(out.shape[1]):
            place = (np.uint32(x[j]) << np.uint32(8)) | np.uint32(y[j])
            out[i, j] = table[place]
            if keep:
                inside[i, j] = mask[place]


@numba.njit(nogil=True, cache=True)
def _masked(gradient, inside, slope, out):  # type: ignore[no-untyped-def]
    """Write gradient * inside * slope; all but the number ``slope`` are flat."""
    for i in range(gradient.size):
        out[i] = gradient[i] * np.float32(inside[i]) * slope


class Operand:
    """One of the two inputs, brought to rows [n, size] (computed) or [1, size] (constant) of the output's shape."""

    def __init__(self, source: Tensor, shape: tuple[int, ...]) -> None:
        self.shape, self.whole = source.shape[1:], shape[1:]
        missing = len(shape) - len(source.shape)
        # The batch axis of a tensor with fewer axes than the output comes first all the same.
        self.spread = (1,) * missing + source.shape[1:] if source.data is None else ()
        self.summed = tuple(axis for axis, (given, whole) in enumerate(zip(self.spread, self.whole, strict=False), 1)
                            if given < whole)
        self.rows = None if source.data is None else np.broadcast_to(source.data, shape).reshape(1, -1).copy()

    def take(self, codes: np.ndarray) -> np.ndarray:
        """Codes [n, ...] of the input as [n, size]."""
        n = len(codes)
        if self.summed:
            codes = np.broadcast_to(codes.reshape(n, *self.spread), (n, *self.whole))
        return np.ascontiguousarray(codes).reshape(n, -1)

    def give(self, gradient: np.ndarray) -> np.ndarray:
        """The gradient [n, size] with respect to the output's shape, for this input [n, ...]."""
        n = len(gradient)
        if self.summed:
            gradient = gradient.reshape(n, *self.whole).sum(axis=self.summed)
        return gradient.reshape(n, *self.shape)


class Elementwise:
    """One operator of two operands; ``PAIRS`` holds its arithmetic."""

    def __init__(self, operator: Operator, graph: Graph) -> None:
        sources, target = _tensors(operator, graph)
        self.pairs = PAIRS[operator.name](operator, sources, target)
        self.operands = [Operand(source, target.shape) for source in sources]
        self.dtype, self.shape = target.dtype, target.shape[1:]
        self.tables = _tables(self.pairs.fill) if target.dtype == np.int8 else None

    def forward(self, inputs: Sequence[np.ndarray], keep: bool) -> tuple[np.ndarray, Any]:
        given = iter(inputs)
        a, b = (operand.take(next(given)) if operand.rows is None else operand.rows for operand in self.operands)
        out = np.empty((len(inputs[0]), a.shape[1]), self.dtype)
        inside = np.empty(out.shape if keep else (0, 0), np.uint8)
        if self.tables is None:
            self.pairs.fill(a, b, out, inside)
        else:
            _look_up(a.view(np.uint8), b.view(np.uint8), *self.tables, out, inside)
        return out.reshape(len(out), *self.shape), (a, b, inside) if keep else None

    def backward(self, saved: Any, gradient: np.ndarray) -> list[np.ndarray]:
        a, b, inside = saved
        flat = np.ascontiguousarray(gradient, np.float32).reshape(inside.shape)
        found = []
        for operand, slope in zip(self.operands, self.pairs.slopes(a, b), strict=True):
            if operand.rows is None:
                found.append(operand.give(_times(flat, inside, slope)))
        return found


def _times(gradient: np.ndarray, inside: np.ndarray, slope: np.ndarray | np.float32) -> np.ndarray:
    if isinstance(slope, np.ndarray):
        return np.asarray(gradient * inside * slope)
    out = np.empty(gradient.shape, np.float32)
    _masked(gradient.reshape(-1), inside.reshape(-1), slope, out.reshape(-1))
    return out


def _tables(fill: Fill) -> tuple[np.ndarray, np.ndarray]:
    """Output codes int8 and the unclamped pairs uint8, for all 65,536 pairs of codes read as unsigned bytes."""
    codes = np.arange(256, dtype=np.uint8).view(np.int8)
    table, mask = np.empty((1, 65536), np.int8), np.empty((1, 65536), np.uint8)
    fill(np.repeat(codes, 256)[None], np.tile(codes, 256)[None], table, mask)
    return table[0], mask[0]


def _tensors(operator: Operator, graph: Graph) -> tuple[list[Tensor], Tensor]:
    """The two operands and the output, refused unless types and shapes fit and the batch axis stays first."""
    sources, target = [graph.tensors[index] for index in operator.inputs], graph.tensors[operator.outputs[0]]
    if all(source.data is not None for source in sources):
        raise ModelError(f"'{target.name}': {operator.name} of two constants; at least one must be computed, so fold "
                         "it into its result")
    for tensor in (*sources, target):
        if tensor.dtype not in _TYPES or tensor.dtype != target.dtype:
            raise ModelError(f"'{tensor.name}': {operator.name} of {tensor.dtype} to {target.dtype} is not supported; "
                             "use int8 or int16 throughout")
        one_scale(operator, tensor)
        if tensor.data is None and tensor.shape[:1] != (1,):
            raise ModelError(f"'{tensor.name}': {operator.name} with shape {list(tensor.shape)} moves the batch axis; "
                             "the first axis must stay 1")
    try:
        shape = np.broadcast_shapes(*(source.shape for source in sources))
    except ValueError:
        shape = ()
    if shape != target.shape or len(shape) > _MOST_AXES:
        raise ModelError(f"'{target.name}' has shape {list(target.shape)}, but {operator.name} of "
                         f"{' and '.join(str(list(source.shape)) for source in sources)} cannot give it; "
                         f"shapes broadcast over at most {_MOST_AXES} axes")
    return sources, target


@register(*PAIRS)
def _build(operator: Operator, graph: Graph) -> Node:
    return Elementwise(operator, graph)
