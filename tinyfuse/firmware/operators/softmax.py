"""SOFTMAX in fixed point: exponentials are computed for int8 codes, interpolated in a table for int16 codes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from tinyfuse.firmware.c_text import array
from tinyfuse.firmware.operators.base import Kernel, in_and_out, is_wide, register
from tinyfuse.firmware.scale import Scale, scale_of
from tinyfuse.integer.operators.softmax import EXPONENTIALS, RECIPROCALS, STEP_INT16, argument
from tinyfuse.integer.operators.softmax import Softmax as Node
from tinyfuse.tflite.graph import Graph, Operator


@dataclass(frozen=True, eq=False)
class Softmax(Kernel):
    """Rows of ``depth`` int8 codes. A difference d to the largest code is brought to the exponent of e by
    ``multiplier`` after a shift to the left; beyond ``radius`` the exponential is 0.
    """

    rows: int
    depth: int
    multiplier: int
    shift: int
    radius: int
    wide: int
    header = "tny_softmax.h"
    kind = "softmax"
    described = "multiplier", "shift", "radius", "depth"
    call = "tny_softmax", "rows", "wide"

    @property
    def replaceable(self) -> tuple[int, ...]:
        """Each code is read for the last time when its own share is written."""
        return () if self.wide else self.sources


@dataclass(frozen=True, eq=False)
class WideSoftmax(Kernel):
    """Rows of ``depth`` int16 codes; ``scale`` brings differences to the places of the table of exponentials."""

    rows: int
    depth: int
    scale: Scale
    header = "tny_softmax_wide.h"
    kind = "softmax_wide"
    call = "tny_softmax_wide", "rows"
    in_place = True

    def shared(self) -> tuple[str, ...]:
        return ("/* Samples for interpolation: exp on [-10, 0] and 1 / (1 + x) on [0, 1], 2^-15 being one. */\n" +
                array("int16_t", "exponentials", EXPONENTIALS) + array("int16_t", "reciprocals", RECIPROCALS),)

    def members(self, number: int) -> Mapping[str, object]:
        return {"exponentials": "exponentials", "reciprocals": "reciprocals", "scale": self.scale, "depth": self.depth}


@register("SOFTMAX")
def _softmax(graph: Graph, operator: Operator, node: Node) -> Kernel:
    source, target = in_and_out(graph, operator)
    depth, beta = node.depth, float(np.float32(operator.options["beta"]))
    rows = int(np.prod(source.shape)) // depth
    if is_wide(source):
        return WideSoftmax(target.name, (source.index,), target.index, rows, depth,
                           scale_of(float(source.scale[0]) * beta / STEP_INT16))
    return Softmax(target.name, (source.index,), target.index, rows, depth, *argument(source, beta), is_wide(target))
