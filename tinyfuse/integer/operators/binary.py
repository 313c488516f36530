"""What ADD, SUB, MUL, MINIMUM and MAXIMUM do with one pair of codes, and the slopes of each."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numba
import numpy as np

from tinyfuse.core.errors import ModelError
from tinyfuse.integer.arithmetic import activation_range, quantize_multiplier, rescale, wrap32
from tinyfuse.integer.operators.checks import centred
from tinyfuse.tflite.graph import Operator, Tensor

LEFT_SHIFT = {np.dtype(np.int8): 20, np.dtype(np.int16): 15}
"""Bits of headroom that sums are computed with."""

Fill = Callable[[np.ndarray, np.ndarray, np.ndarray, np.ndarray], None]
Slopes = Callable[[np.ndarray, np.ndarray], Sequence[np.ndarray | np.float32]]


@dataclass(frozen=True)
class Pairs:
    """``fill(a, b, out, inside)``: write the codes of pairs, and where the clamp did nothing unless that is empty.

    All are [n, m]; ``a`` and ``b`` may be [1, m]. ``slopes(a, b)``: float32 d out / d a and d out / d b in codes.
    """

    fill: Fill = field(repr=False)
    slopes: Slopes = field(repr=False)


@numba.njit(nogil=True, cache=True)
def _fill_sums(a, b, first, second, final, sign, left_shift, low, high, out, inside):  # type: ignore[no-untyped-def]
    """Both operands rescaled to one scale with ``left_shift`` more bits, added or subtracted, rescaled once more.

    ``first``, ``second`` and ``final`` are (zero point, multiplier, shift).
    """
    keep = inside.size > 0
    for i in range(out.shape[0]):
        x, y = a[i if a.shape[0] > 1 else 0], b[i if b.shape[0] > 1 else 0]
        for j in range(out.shape[1]):
            one = rescale(wrap32((np.int64(x[j]) - first[0]) << left_shift), first[1], first[2])
            other = rescale(wrap32((np.int64(y[j]) - second[0]) << left_shift), second[1], second[2])
            value = rescale(wrap32(one + sign * other), final[1], final[2]) + final[0]
            out[i, j] = min(max(value, low), high)
            if keep:
                inside[i, j] = (value >= low) & (value <= high)


@numba.njit(nogil=True, cache=True)
def _fill_products(a, b, zero_a, zero_b, final, low, high, out, inside):  # type: ignore[no-untyped-def]
    """The product of the operands without their zero points, rescaled by ``final``."""
    keep = inside.size > 0
    for i in range(out.shape[0]):
        x, y = a[i if a.shape[0] > 1 else 0], b[i if b.shape[0] > 1 else 0]
        for j in range(out.shape[1]):
            product = wrap32((np.int64(x[j]) - zero_a) * (np.int64(y[j]) - zero_b))
            value = rescale(product, final[1], final[2]) + final[0]
            out[i, j] = min(max(value, low), high)
            if keep:
                inside[i, j] = (value >= low) & (value <= high)


def _sums(operator: Operator, sources: Sequence[Tensor], target: Tensor) -> Pairs:
    """ADD and SUB. Reference: ``micro/kernels/{add,sub}_common.cc``, ``reference/integer_ops/add.h``."""
    sign = 1 if operator.name == "ADD" else -1
    bits = LEFT_SHIFT[target.dtype]
    scales, scale_out = [float(source.scale[0]) for source in sources], float(target.scale[0])
    twice = 2.0 * max(scales)
    first, second = ((int(source.zero_point[0]), *quantize_multiplier(scale / twice))
                     for source, scale in zip(sources, scales, strict=True))
    real = twice / ((1 << bits) * scale_out)
    final = int(target.zero_point[0]), *quantize_multiplier(real)
    if real >= 1 or final[2] > 0:
        raise ModelError(f"'{target.name}' has scale {scale_out:.3g}, too small for {operator.name} of inputs with "
                         f"scale {max(scales):.3g}: TFLite Micro needs more than {twice / (1 << bits):.3g}")
    low, high = _clamp(operator, target)

    def fill(a: np.ndarray, b: np.ndarray, out: np.ndarray, inside: np.ndarray) -> None:
        _fill_sums(a, b, first, second, final, sign, bits, low, high, out, inside)

    slopes = np.float32(scales[0] / scale_out), np.float32(sign * scales[1] / scale_out)
    return Pairs(fill, lambda a, b: slopes)


def _products(operator: Operator, sources: Sequence[Tensor], target: Tensor) -> Pairs:
    """MUL. Reference: ``micro/kernels/mul_common.cc``, ``reference/integer_ops/mul.h``."""
    centred(operator, *sources, target)
    real = float(sources[0].scale[0]) * float(sources[1].scale[0]) / float(target.scale[0])
    zero_a, zero_b = (int(source.zero_point[0]) for source in sources)
    final = int(target.zero_point[0]), *quantize_multiplier(real)
    low, high = _clamp(operator, target)

    def fill(a: np.ndarray, b: np.ndarray, out: np.ndarray, inside: np.ndarray) -> None:
        _fill_products(a, b, zero_a, zero_b, final, low, high, out, inside)

    def slopes(a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, ...]:
        return tuple((codes.astype(np.float32) - np.float32(zero)) * np.float32(real)
                     for codes, zero in ((b, zero_b), (a, zero_a)))

    return Pairs(fill, slopes)


def _extremes(operator: Operator, sources: Sequence[Tensor], target: Tensor) -> Pairs:
    """MINIMUM and MAXIMUM of the codes themselves: TFLite Micro looks at no scale. Of equals the first counts."""
    del sources, target
    smaller = operator.name == "MINIMUM"
    choose = np.minimum if smaller else np.maximum

    def fill(a: np.ndarray, b: np.ndarray, out: np.ndarray, inside: np.ndarray) -> None:
        choose(a, b, out=out)
        inside[...] = 1

    def slopes(a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        first = a <= b if smaller else a >= b
        return first.astype(np.float32), (~first).astype(np.float32)

    return Pairs(fill, slopes)


def _clamp(operator: Operator, target: Tensor) -> tuple[int, int]:
    return activation_range(str(operator.options["fused_activation_function"]), float(target.scale[0]),
                            int(target.zero_point[0]), target.dtype)


PAIRS: dict[str, Callable[[Operator, Sequence[Tensor], Tensor], Pairs]] = {
    "ADD": _sums, "SUB": _sums, "MUL": _products, "MINIMUM": _extremes, "MAXIMUM": _extremes}
"""Builtin name -> its arithmetic, bound to the scales of two operands and an output."""
