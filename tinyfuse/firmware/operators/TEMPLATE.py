"""A new operator of the firmware, from start to end: ABS of int8 tensors. Copy this file, and register the builder.

1. The C is a file in ``firmware_export/runtime``: ``tny_<operator>.h``, here ``TEMPLATE.h``.
2. This file has a :class:`Kernel` with the operator's constants, and a builder with ``@register("ABS")`` above it.
3. ``operators/__init__.py`` imports the file; that is the one registration.
4. A test compiles it for this machine and compares every value with the twin's and TFLite Micro's, as for this one.

The arithmetic is read off the twin's node, the file of the same name in ``tinyfuse/integer/operators``.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tinyfuse.core.errors import ModelError
from tinyfuse.firmware.operators.base import Kernel, in_and_out
from tinyfuse.firmware.scale import Scale
from tinyfuse.integer.operators.TEMPLATE import Absolute as Node
from tinyfuse.tflite.graph import Graph, Operator


@dataclass(frozen=True, eq=False)
class Absolute(Kernel):
    """ABS of ``size`` codes: clamp(scale * |code - zero_in| + zero_out); C calls tny_absolute(&it, in, out, size)."""

    size: int
    scale: Scale
    zero_in: int
    zero_out: int
    low: int
    high: int
    header = "TEMPLATE.h"
    kind = "absolute"
    described = "scale", "zero_in", "zero_out", "low", "high"
    call = "tny_absolute", "size"
    in_place = True


def absolute(graph: Graph, operator: Operator, node: Node) -> Absolute:
    """Build the layer; refuse, in one line, what the C does not compute."""
    source, target = in_and_out(graph, operator)
    if node.shift < -31:
        raise ModelError(f"'{target.name}': the output's scale is 2^31 times that of the input")
    return Absolute(target.name, (source.index,), target.index, int(np.prod(target.shape)),
                    Scale(node.multiplier, -node.shift), node.zero_in, node.zero_out, node.low, node.high)
