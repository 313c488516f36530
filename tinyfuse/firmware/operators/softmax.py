"""SOFTMAX in fixed point: exponentials are computed for int8 codes, interpolated in a table for int16 codes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tinyfuse.firmware.c_text import array, comment, numbers
from tinyfuse.firmware.operators.base import At, Kernel, Layer, ends, is_wide, register
from tinyfuse.firmware.scale import Scale, scale_of
from tinyfuse.integer.operators.softmax import EXPONENTIALS, RECIPROCALS, STEP_WIDE, argument
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

    @property
    def header(self) -> str:
        """See :class:`Kernel`."""
        return "tny_softmax.h"

    @property
    def over(self) -> tuple[int, ...]:
        """Each code is read for the last time when its own share is written."""
        return () if self.wide else self.sources

    def descriptor(self, number: int) -> str:
        """See :class:`Kernel`."""
        return (f"/* {comment(self.name)} */\nstatic const tny_softmax_t softmax{number} = {{" +
                numbers([self.multiplier, self.shift, self.radius, self.depth, number, self.target]) + "};\n")

    def calls(self, number: int, at: At, scratch: str) -> tuple[str, ...]:
        """See :class:`Kernel`."""
        return (f"tny_softmax(&softmax{number}, {at(self.sources[0])}, {at(self.target)}, {self.rows}, {self.wide});",)


@dataclass(frozen=True, eq=False)
class WideSoftmax(Kernel):
    """Rows of ``depth`` int16 codes; ``scale`` brings differences to the places of the table of exponentials."""

    rows: int
    depth: int
    scale: Scale

    @property
    def header(self) -> str:
        """See :class:`Kernel`."""
        return "tny_softmax_wide.h"

    @property
    def over(self) -> tuple[int, ...]:
        """As for int8 codes."""
        return self.sources

    def shared(self) -> tuple[str, ...]:
        """See :class:`Kernel`."""
        return ("/* Samples for interpolation: exp on [-10, 0] and 1 / (1 + x) on [0, 1], 2^-15 being one. */\n" +
                array("int16_t", "exponentials", EXPONENTIALS) + array("int16_t", "reciprocals", RECIPROCALS),)

    def descriptor(self, number: int) -> str:
        """See :class:`Kernel`."""
        return (f"/* {comment(self.name)} */\nstatic const tny_softmax_wide_t softmax{number} = {{exponentials, "
                f"reciprocals, {self.scale}, {numbers([self.depth, number, self.target])}}};\n")

    def calls(self, number: int, at: At, scratch: str) -> tuple[str, ...]:
        """See :class:`Kernel`."""
        return (f"tny_softmax_wide(&softmax{number}, {at(self.sources[0])}, {at(self.target)}, {self.rows});",)


@register("SOFTMAX")
def _softmax(graph: Graph, operator: Operator, node: Node) -> Layer:
    source, target = ends(graph, operator)
    depth, beta = node.depth, float(np.float32(operator.options["beta"]))
    rows = int(np.prod(source.shape)) // depth
    if is_wide(source):
        return WideSoftmax(target.name, (source.index,), target.index, rows, depth,
                           scale_of(float(source.scale[0]) * beta / STEP_WIDE))
    return Softmax(target.name, (source.index,), target.index, rows, depth, *argument(source, beta), is_wide(target))
