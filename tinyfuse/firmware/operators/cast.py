"""CAST: numbers in another type."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tinyfuse.firmware.operators.base import Kernel, in_and_out, is_wide, register
from tinyfuse.firmware.operators.real import Dequantize
from tinyfuse.integer.operators import cast
from tinyfuse.tflite.graph import Graph, Operator


@dataclass(frozen=True, eq=False)
class Cast(Kernel):
    """``count`` numbers of width ``wide_in`` as numbers of width ``wide``, or as truth values."""

    count: int
    wide_in: int
    wide: int
    truth: int
    header = "tny_cast.h"
    kind = "cast"
    described = ("count",)
    call = "tny_cast", "wide_in", "wide", "truth"


@register("CAST")
def _cast(graph: Graph, operator: Operator, node: cast.Cast) -> Kernel:
    source, target = in_and_out(graph, operator)
    if target.dtype == np.float32:
        return Dequantize.of(source, target, 1.0, 0)
    return Cast(target.name, (source.index,), target.index, int(np.prod(source.shape)), is_wide(source),
                is_wide(target), int(target.dtype == np.bool_))
