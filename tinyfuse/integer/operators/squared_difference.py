"""SQUARED_DIFFERENCE: both operands on one scale with more bits, subtracted, squared, rescaled."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tinyfuse.integer.arithmetic import TYPE_RANGE, quantize_multiplier, rescaled, wrapped
from tinyfuse.integer.operators.base import need_centred, register
from tinyfuse.integer.operators.binary import ARITHMETIC, Arithmetic, Elementwise
from tinyfuse.tflite.graph import Operator, Tensor

SQUARED_SHIFT = {np.dtype(np.int8): 7, np.dtype(np.int16): 0}
"""Bits of headroom of the operands."""


def _squares(operator: Operator, sources: Sequence[Tensor], target: Tensor) -> Arithmetic:
    """Reference: ``micro/kernels/squared_difference.cc``."""
    need_centred(operator, *sources, target)
    bits, twice = SQUARED_SHIFT[target.dtype], 2.0 * max(source.unit for source in sources)
    first, second = (quantize_multiplier(source.unit / twice) for source in sources)
    zero_a, zero_b, zero_out = (tensor.zero for tensor in (*sources, target))
    final = quantize_multiplier(twice * twice / ((1 << 2 * bits) * target.unit))

    def values(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        one, other = ((codes.astype(np.int64) - zero) << bits for codes, zero in ((a, zero_a), (b, zero_b)))
        difference = rescaled(one, *first) - rescaled(other, *second)
        return wrapped(rescaled(difference * difference, *final) + zero_out)

    def slopes(a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, ...]:
        one, other = ((codes.astype(np.float32) - np.float32(tensor.zero)) * np.float32(tensor.unit)
                      for codes, tensor in zip((a, b), sources, strict=True))
        steep = (one - other) * np.float32(2 / target.unit)
        return steep * np.float32(sources[0].unit), steep * np.float32(-sources[1].unit)

    return Arithmetic(values, slopes, *TYPE_RANGE[target.dtype])


ARITHMETIC["SQUARED_DIFFERENCE"] = _squares
register("SQUARED_DIFFERENCE")(Elementwise)
