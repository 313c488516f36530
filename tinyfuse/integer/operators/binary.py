"""ADD, SUB, MUL, MINIMUM and MAXIMUM of two tensors, with broadcasting; int8 ones as a table of 65,536 cases."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numba
import numpy as np

from tinyfuse.core.errors import ModelError
from tinyfuse.integer.arithmetic import TYPE_RANGE, clamp, quantize_multiplier, rescaled, wrapped
from tinyfuse.integer.operators.base import fused_range, need_batch_axis, need_centred, need_one_scale, register
from tinyfuse.tflite.graph import Graph, Operator, Tensor

_SECOND_TYPE = {"PRELU": np.dtype(np.int8)}
"""Of operators whose second operand has one type, whatever the others have."""
_OTHER = {"PRELU": ", but int8 for alpha"}
_MOST_AXES = 6  # that TFLite Micro broadcasts over
LEFT_SHIFT = {np.dtype(np.int8): 20, np.dtype(np.int16): 15}
"""Bits of headroom that sums are computed with."""


class Arithmetic(NamedTuple):
    """What one operator computes of codes [n, m] or [1, m], its slopes float32 for both in codes, and the clamp."""

    values: Callable[[np.ndarray, np.ndarray], np.ndarray]
    slopes: Callable[[np.ndarray, np.ndarray], Sequence[np.ndarray | np.float32]]
    low: int
    high: int


def _sums(operator: Operator, sources: Sequence[Tensor], target: Tensor) -> Arithmetic:
    """ADD and SUB: both operands rescaled to one scale with more bits, added or subtracted, rescaled once more.

    Reference: ``micro/kernels/{add,sub}_common.cc``, ``reference/integer_ops/add.h``.
    """
    sign = 1 if operator.name == "ADD" else -1
    bits = LEFT_SHIFT[target.dtype]
    twice = 2.0 * max(source.unit for source in sources)
    first, second = (quantize_multiplier(source.unit / twice) for source in sources)
    zero_a, zero_b, zero_out = (tensor.zero for tensor in (*sources, target))
    real = twice / ((1 << bits) * target.unit)
    final = quantize_multiplier(real)
    if real >= 1 or final[1] > 0:
        raise ModelError(f"'{target.name}' has scale {target.unit:.3g}, too small for {operator.name} of inputs with "
                         f"scale {twice / 2:.3g}: TFLite Micro needs more than {twice / (1 << bits):.3g}")

    def values(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        one, other = ((codes.astype(np.int64) - zero) << bits for codes, zero in ((a, zero_a), (b, zero_b)))
        total = rescaled(one, *first) + sign * rescaled(other, *second)
        return np.asarray(rescaled(total, *final) + zero_out)

    slopes = np.float32(sources[0].unit / target.unit), np.float32(sign * sources[1].unit / target.unit)
    return Arithmetic(values, lambda a, b: slopes, *fused_range(operator, target))


def _products(operator: Operator, sources: Sequence[Tensor], target: Tensor) -> Arithmetic:
    """MUL: the product of the operands without their zero points, rescaled.

    Reference: ``micro/kernels/mul_common.cc``, ``reference/integer_ops/mul.h``.
    """
    need_centred(operator, *sources, target)
    real = sources[0].unit * sources[1].unit / target.unit
    zero_a, zero_b, zero_out = (tensor.zero for tensor in (*sources, target))
    final = quantize_multiplier(real)

    def values(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        product = (a.astype(np.int64) - zero_a) * (b.astype(np.int64) - zero_b)
        return wrapped(rescaled(product, *final) + zero_out)

    def slopes(a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, ...]:
        return tuple((codes.astype(np.float32) - np.float32(zero)) * np.float32(real)
                     for codes, zero in ((b, zero_b), (a, zero_a)))

    return Arithmetic(values, slopes, *fused_range(operator, target))


def _extremes(operator: Operator, sources: Sequence[Tensor], target: Tensor) -> Arithmetic:
    """MINIMUM and MAXIMUM of the codes themselves: TFLite Micro looks at no scale. Of equals the first counts."""
    smaller = operator.name == "MINIMUM"

    def slopes(a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        first = a <= b if smaller else a >= b
        return first.astype(np.float32), (~first).astype(np.float32)

    return Arithmetic(np.minimum if smaller else np.maximum, slopes, *TYPE_RANGE[target.dtype])


ARITHMETIC: dict[str, Callable[[Operator, Sequence[Tensor], Tensor], Arithmetic]] = {
    "ADD": _sums, "SUB": _sums, "MUL": _products, "MINIMUM": _extremes, "MAXIMUM": _extremes}
"""Builtin name -> its arithmetic, bound to the scales of two operands and an output."""


@numba.njit(nogil=True, cache=True)
def _look_up(a, b, table, mask, out, inside):  # type: ignore[no-untyped-def]
    """Write entry 256 * a + b of ``table`` to ``out`` and of ``mask`` to ``inside``; a, b are uint8."""
    for i in range(out.shape[0]):
        x, y = a[i if a.shape[0] > 1 else 0], b[i if b.shape[0] > 1 else 0]
        for j in range(out.shape[1]):
            place = (np.uint32(x[j]) << np.uint32(8)) | np.uint32(y[j])
            out[i, j] = table[place]
            inside[i, j] = mask[place]


class Operand:
    """One of the two inputs, brought to rows [n, size] (computed) or [1, size] (constant) of the output's shape."""

    def __init__(self, source: Tensor, shape: tuple[int, ...]) -> None:
        self.shape, self.broadcast = source.shape[1:], shape[1:]
        missing = len(shape) - len(source.shape)
        # The batch axis of a tensor with fewer axes than the output comes first all the same.
        self.spread = (1,) * missing + source.shape[1:] if source.data is None else ()
        self.summed = tuple(axis for axis, (given, wanted) in
                            enumerate(zip(self.spread, self.broadcast, strict=False), 1) if given < wanted)
        self.constant = None if source.data is None else np.broadcast_to(source.data, shape).reshape(1, -1).copy()

    def rows_of(self, codes: np.ndarray) -> np.ndarray:
        """Bring codes [n, ...] of the input to [n, size]."""
        if self.summed:
            codes = np.broadcast_to(codes.reshape(-1, *self.spread), (len(codes), *self.broadcast))
        return np.ascontiguousarray(codes).reshape(len(codes), -1)

    def gradient_of(self, gradient: np.ndarray) -> np.ndarray:
        """Bring a gradient [n, size] with respect to the output's shape to that of this input [n, ...]."""
        if self.summed:
            gradient = gradient.reshape(-1, *self.broadcast).sum(axis=self.summed)
        return gradient.reshape(-1, *self.shape)


@register(*ARITHMETIC)
class Elementwise:
    """One operator of two operands; :data:`ARITHMETIC` holds what it computes."""

    def __init__(self, operator: Operator, graph: Graph) -> None:
        sources, target = _tensors(operator, graph)
        self.arithmetic = ARITHMETIC[operator.name](operator, sources, target)
        self.operands = [Operand(source, target.shape) for source in sources]
        self.dtype, self.shape = target.dtype, target.shape[1:]
        # All pairs of codes, read as unsigned bytes.
        codes = np.arange(256, dtype=np.uint8).view(np.int8)
        self.tables = self._codes(np.repeat(codes, 256), np.tile(codes, 256)) if target.dtype == np.int8 else None

    def forward(self, inputs: Sequence[np.ndarray]) -> tuple[np.ndarray, Any]:
        given = iter(inputs)
        a, b = (operand.rows_of(next(given)) if operand.constant is None else operand.constant
                for operand in self.operands)
        if self.tables is None:
            out, inside = self._codes(a, b)
        else:
            out = np.empty((len(inputs[0]), a.shape[1]), self.dtype)
            inside = np.empty(out.shape, bool)
            _look_up(a.view(np.uint8), b.view(np.uint8), *self.tables, out, inside)
        return out.reshape(len(out), *self.shape), (a, b, inside)

    def _codes(self, a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Output codes, and where the clamp did nothing."""
        return clamp(self.arithmetic.values(a, b), self.arithmetic.low, self.arithmetic.high, self.dtype)

    def backward(self, saved: Any, gradient: np.ndarray) -> list[np.ndarray]:
        a, b, inside = saved
        masked = gradient.reshape(inside.shape) * inside
        return [operand.gradient_of(masked * slope) for operand, slope in
                zip(self.operands, self.arithmetic.slopes(a, b), strict=True) if operand.constant is None]


def _tensors(operator: Operator, graph: Graph) -> tuple[list[Tensor], Tensor]:
    """The two operands and the output, refused unless types and shapes fit and the batch axis stays first."""
    sources, target = [graph.tensors[index] for index in operator.inputs], graph.tensors[operator.outputs[0]]
    if all(source.data is not None for source in sources):
        raise ModelError(f"'{target.name}': {operator.name} of two constants; at least one must be computed, so fold "
                         "it into its result")
    for place, tensor in enumerate((*sources, target)):
        wanted = _SECOND_TYPE.get(operator.name, target.dtype) if place == 1 else target.dtype
        if tensor.dtype not in TYPE_RANGE or tensor.dtype != wanted:
            raise ModelError(f"'{tensor.name}': {operator.name} of {tensor.dtype} to {target.dtype} is not supported; "
                             f"use int8 or int16 throughout{_OTHER.get(operator.name, '')}")
        need_one_scale(operator, tensor)
        if tensor.data is None:
            need_batch_axis(operator, tensor)
    try:
        shape = np.broadcast_shapes(*(source.shape for source in sources))
    except ValueError:
        shape = ()
    if shape != target.shape or len(shape) > _MOST_AXES:
        raise ModelError(f"'{target.name}' has shape {list(target.shape)}, but {operator.name} of "
                         f"{' and '.join(str(list(source.shape)) for source in sources)} cannot give it; "
                         f"shapes broadcast over at most {_MOST_AXES} axes")
    return sources, target
