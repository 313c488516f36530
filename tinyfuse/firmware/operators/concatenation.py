"""CONCATENATION and RESHAPE: codes that move, if at all."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import accumulate

import numpy as np

from tinyfuse.firmware.operators.base import At, Kernel, Layer, ends, is_wide, register
from tinyfuse.integer.operators.concatenation import Concatenation
from tinyfuse.integer.operators.layout import Reshape
from tinyfuse.tflite.graph import Graph, Operator


@dataclass(frozen=True, eq=False)
class Join(Kernel):
    """CONCATENATION of ``rows`` rows; ``widths``: the codes of one row in each part. RESHAPE is a join of one part."""

    widths: tuple[int, ...]
    rows: int
    wide: int

    @property
    def header(self) -> str:
        """See :class:`Kernel`."""
        return "" if self.aliased is not None else "tny_copy.h"

    @property
    def aliased(self) -> int | None:
        """The only part."""
        return self.sources[0] if len(self.sources) == 1 else None

    def calls(self, number: int, at: At, scratch: str) -> tuple[str, ...]:
        """See :class:`Kernel`."""
        if self.aliased is not None:
            return ()
        item, target = 1 + self.wide, at(self.target)
        row, starts = sum(self.widths), accumulate(self.widths, initial=0)
        copies = [f"tny_copy({at(part)}, {target} + {start * item}, {row * item}, {width * item}, {self.rows});"
                  for part, width, start in zip(self.sources, self.widths, starts, strict=False)]
        return (*copies, f"tny_trace_all({self.target}, {target}, {row * self.rows}, {self.wide});")


@register("CONCATENATION")
def _concatenation(graph: Graph, operator: Operator, node: Concatenation) -> Layer:
    target = graph.tensors[operator.outputs[0]]
    sources = [graph.tensors[index] for index in operator.inputs]
    constants = {source.index: source.data for source in sources if source.data is not None}
    return Join(target.name, tuple(operator.inputs), target.index,
                tuple(int(np.prod(source.shape[node.axis:])) for source in sources),
                int(np.prod(target.shape[1:node.axis], dtype=int)), is_wide(target), constants=constants)


@register("RESHAPE")
def _reshape(graph: Graph, operator: Operator, node: Reshape) -> Layer:
    del node
    source, target = ends(graph, operator)
    return Join(target.name, (source.index,), target.index, (int(np.prod(source.shape)),), 1, is_wide(target))
