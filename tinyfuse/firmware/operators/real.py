"""DEQUANTIZE, and QUANTIZE of real numbers: between them tensors hold the bits of float32 numbers, no core floats."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from tinyfuse.firmware.operators.base import Kernel, in_and_out, is_wide, register
from tinyfuse.tflite.graph import Graph, Operator, Tensor

_DIGITS = 24
"""Of the mantissa of a float32 number."""


@dataclass(frozen=True, eq=False)
class Dequantize(Kernel):
    """(x - ``zero_in``) * ``scale`` of ``count`` integers of width ``wide_in``."""

    count: int
    scale: float
    zero_in: int
    wide_in: int
    header = "tny_real.h"
    kind = "dequantize"
    described = "count", "zero_in"
    call = "tny_dequantize", "wide_in"

    @classmethod
    def of(cls, source: Tensor, target: Tensor, scale: float, zero_in: int) -> Dequantize:
        """Build it for all of ``source``."""
        return cls(target.name, (source.index,), target.index, int(np.prod(source.shape)), scale, zero_in,
                   is_wide(source))

    def members(self, number: int) -> Mapping[str, object]:
        return {**super().members(number), **_parts(self.scale)}


@dataclass(frozen=True, eq=False)
class Quotients(Kernel):
    """round(x / ``scale``) + ``zero_out`` of ``count`` real numbers, clamped to ``low`` and ``high``."""

    count: int
    scale: float
    zero_out: int
    low: int
    high: int
    wide: int
    header = "tny_real.h"
    kind = "quotient"
    described = "count", "zero_out", "low", "high"
    call = "tny_quotients", "wide"
    in_place = True

    def members(self, number: int) -> Mapping[str, object]:
        return {**super().members(number), **_parts(self.scale)}


def quotients(source: Tensor, target: Tensor) -> Quotients:
    """Build QUANTIZE of the real numbers of ``source``, whose quotients the twin has proven to be small."""
    limits = np.iinfo(target.dtype)
    return Quotients(target.name, (source.index,), target.index, int(np.prod(source.shape)), target.unit, target.zero,
                     int(limits.min), int(limits.max), is_wide(target))


@register("DEQUANTIZE")
def _dequantize(graph: Graph, operator: Operator, node: object) -> Dequantize:
    source, target = in_and_out(graph, operator)
    return Dequantize.of(source, target, source.unit, source.zero)


def _parts(scale: float) -> dict[str, int]:
    """Take ``scale``, a float32 number, as mantissa * 2^exponent with a mantissa of 24 bits."""
    fraction, exponent = math.frexp(scale)
    return {"mantissa": int(fraction * (1 << _DIGITS)), "exponent": exponent - _DIGITS}
