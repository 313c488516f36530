"""QUANTIZE from one grid of codes to another."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from tinyfuse.firmware.c_text import comment, numbers
from tinyfuse.firmware.operators.base import At, Kernel, Layer, ends, is_wide, register
from tinyfuse.firmware.scale import Scale, scale_of
from tinyfuse.integer.arithmetic import TYPE_RANGE
from tinyfuse.tflite.graph import Graph, Operator


@dataclass(frozen=True, eq=False)
class Quantize(Kernel):
    """``size`` codes rescaled; ``wides``: the types of input and output."""

    size: int
    scale: Scale
    zeros: tuple[int, int]
    low: int
    high: int
    wides: tuple[int, int]

    @property
    def header(self) -> str:
        """See :class:`Kernel`."""
        return "tny_quantize.h"

    @property
    def over(self) -> tuple[int, ...]:
        """A code that is no wider replaces what has been read."""
        return self.sources if self.wides[1] <= self.wides[0] else ()

    def descriptor(self, number: int) -> str:
        """See :class:`Kernel`."""
        return (f"/* {comment(self.name)} */\nstatic const tny_quantize_t quantize{number} = {{{self.scale}, " +
                numbers([*self.zeros, self.low, self.high, number, self.target]) + "};\n")

    def calls(self, number: int, at: At, scratch: str) -> tuple[str, ...]:
        """See :class:`Kernel`."""
        return (f"tny_quantize(&quantize{number}, {at(self.sources[0])}, {at(self.target)}, {self.size}, "
                f"{self.wides[0]}, {self.wides[1]});",)


@register("QUANTIZE")
def _quantize(graph: Graph, operator: Operator, node: Any) -> Layer:
    del node
    source, target = ends(graph, operator)
    low, high = TYPE_RANGE[target.dtype]
    scale = scale_of(float(source.scale[0]) / float(target.scale[0]))
    zeros = int(source.zero_point[0]), int(target.zero_point[0])
    return Quantize(target.name, (source.index,), target.index, int(np.prod(target.shape)), scale, zeros, low, high,
                    (is_wide(source), is_wide(target)))
