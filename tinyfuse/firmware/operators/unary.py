"""RELU, RELU6, LEAKY_RELU, LOGISTIC and TANH of int8 tensors as operators of their own: tables, as in the twin."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from tinyfuse.core.errors import ModelError
from tinyfuse.firmware.c_text import array, comment
from tinyfuse.firmware.operators.base import At, Kernel, Layer, ends, is_wide, register
from tinyfuse.integer.operators.table import Table
from tinyfuse.tflite.graph import Graph, Operator


@dataclass(frozen=True, eq=False)
class Unary(Kernel):
    """``size`` codes looked up in ``results`` int8 [256], that of -128 first."""

    size: int
    results: np.ndarray = field(repr=False)

    @property
    def header(self) -> str:
        """See :class:`Kernel`."""
        return "tny_table.h"

    @property
    def over(self) -> tuple[int, ...]:
        """Each code is read before the one in its place is written."""
        return self.sources

    def tables(self, number: int) -> str:
        """See :class:`Kernel`."""
        return f"/* {comment(self.name)} */\n" + array("int8_t", f"results{number}", self.results)

    def descriptor(self, number: int) -> str:
        """See :class:`Kernel`."""
        return f"static const tny_table_t table{number} = {{results{number}, {number}, {self.target}}};\n"

    def calls(self, number: int, at: At, scratch: str) -> tuple[str, ...]:
        """See :class:`Kernel`."""
        return (f"tny_look_up(&table{number}, {at(self.sources[0])}, {at(self.target)}, {self.size});",)


@register("RELU", "RELU6", "LEAKY_RELU", "LOGISTIC", "TANH")
def _unary(graph: Graph, operator: Operator, node: Table) -> Layer:
    source, target = ends(graph, operator)
    if is_wide(source):
        raise ModelError(f"'{target.name}': {operator.name} of int16 tensors has no firmware kernel")
    return Unary(target.name, (source.index,), target.index, int(np.prod(target.shape)), node.values)
