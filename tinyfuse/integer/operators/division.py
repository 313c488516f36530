"""DIV of int8 codes: one over the second operand in fixed point, times the first, rescaled."""

from __future__ import annotations

from collections.abc import Sequence

import numba
import numpy as np

from tinyfuse.core.errors import ModelError
from tinyfuse.integer.arithmetic import quantize_multiplier, rescaled, wrapped
from tinyfuse.integer.operators.base import fused_range, register
from tinyfuse.integer.operators.binary import ARITHMETIC, Arithmetic, Elementwise
from tinyfuse.integer.operators.fixed_point import reciprocal_of_one_plus
from tinyfuse.tflite.graph import Operator, Tensor

_MOST_RIGHT = 31  # bits of a shift to the right
_LARGEST = 255  # of a code without its zero point


BY_ZERO = -1515870788
"""In the place of 1 / 0, as a multiplier: what Newton's steps make of it where 32-bit sums wrap around."""


@numba.njit(cache=True)
def _reciprocals(most):  # type: ignore[no-untyped-def]
    """1 / n as multiplier * 2^(-shift - 31) for n from 0 to ``most``: rows of multiplier and shift."""
    found = np.empty((most + 1, 2), np.int64)
    for n in range(most + 1):
        zeros = np.int64(32)
        while n >> (np.int64(32) - zeros):
            zeros -= np.int64(1)
        fraction = (np.int64(n) << zeros) - (np.int64(1) << np.int64(31))
        found[n, 0] = reciprocal_of_one_plus(fraction) if n else np.int64(BY_ZERO)
        found[n, 1] = np.int64(31) - zeros
    return found


def quotients(first: np.ndarray, second: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return int64 (values, shifts) with ``first`` / ``second`` ~ value * 2^-shift, for codes without zero points.

    C leaves division by 0 open; here it is :data:`BY_ZERO`, as compilers make it whose sums wrap around.
    """
    signed = np.where(second < 0, -first, first)
    multipliers, right = (column[np.abs(second)] for column in _reciprocals(_LARGEST).T)
    room = 31 - np.frexp(np.abs(signed) - (signed < 0))[1].astype(np.int64)  # sign bits but one, as clrsb counts
    return np.asarray(rescaled(signed << room, multipliers, np.int64(0))), right + room


def _division(operator: Operator, sources: Sequence[Tensor], target: Tensor) -> Arithmetic:
    """Reference: ``micro/kernels/div.cc``, ``reference/div.h``."""
    if target.dtype != np.int8:
        raise ModelError(f"'{target.name}': DIV of {target.dtype}; TFLite Micro divides int8 codes")
    first, second = sources
    with np.errstate(over="ignore", divide="ignore"):
        real = float(first.scale[0] / (second.scale[0] * target.scale[0]))  # in float32, as the reference does
    multiplier, shift = quantize_multiplier(real)
    zero_a, zero_b, zero_out = (tensor.zero for tensor in (*sources, target))

    def values(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        found, right = quotients(a.astype(np.int64) - zero_a, b.astype(np.int64) - zero_b)
        return wrapped(rescaled(found, multiplier, shift - right) + zero_out)

    def slopes(a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, ...]:
        one, other = (codes.astype(np.float32) - np.float32(zero) for codes, zero in ((a, zero_a), (b, zero_b)))
        inverse = np.divide(np.float32(real), other, out=np.zeros_like(other), where=other != 0)
        return np.broadcast_to(inverse, np.broadcast_shapes(a.shape, b.shape)), -one * inverse * np.divide(
            1, other, out=np.zeros_like(other), where=other != 0)

    _check_shifts(target, real, shift, sources)
    return Arithmetic(values, slopes, *fused_range(operator, target))


def _check_shifts(target: Tensor, real: float, shift: int, sources: Sequence[Tensor]) -> None:
    """Refuse scales with which a pair of codes is shifted by more bits than C defines, or to the left."""
    codes = [np.arange(-128, 128) if one.data is None else np.unique(one.data).astype(np.int64) for one in sources]
    rights = quotients(*np.meshgrid(*(one - tensor.zero for one, tensor in zip(codes, sources, strict=True))))[1]
    if rights.min() < shift or rights.max() - shift > _MOST_RIGHT:
        raise ModelError(f"'{target.name}': DIV rescales quotients by {real:.6g}, for which TFLite Micro's arithmetic "
                         "shifts by more bits than C defines; give the output another scale")


ARITHMETIC["DIV"] = _division
register("DIV")(Elementwise)
