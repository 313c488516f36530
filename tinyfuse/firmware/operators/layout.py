"""CONCATENATION, PACK, RESHAPE, PAD and PADV2: codes that move, if at all."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import accumulate

import numpy as np

from tinyfuse.firmware.operators.base import Kernel, Place, as_bits, in_and_out, is_wide, register
from tinyfuse.firmware.operators.walk import Steps, contiguous, members, walk
from tinyfuse.integer.operators import concatenation as nodes
from tinyfuse.integer.operators import layout, pack
from tinyfuse.tflite.graph import Graph, Operator


@dataclass(frozen=True, eq=False)
class Join(Kernel):
    """CONCATENATION of ``rows`` rows; ``widths``: the codes of one row in each part. RESHAPE is a join of one part."""

    widths: tuple[int, ...]
    rows: int
    wide: int
    header = "tny_copy.h"

    @property
    def aliased(self) -> int | None:
        """The only part."""
        return self.sources[0] if len(self.sources) == 1 else None

    def descriptor(self, number: int) -> str:
        return ""

    def calls(self, number: int, at: Place, scratch: str) -> tuple[str, ...]:
        if self.aliased is not None:
            return ()
        item, target = 1 << self.wide, at(self.target)
        row, starts = sum(self.widths), accumulate(self.widths, initial=0)
        copies = [f"tny_copy({at(part)}, {target} + {start * item}, {row * item}, {width * item}, {self.rows});"
                  for part, width, start in zip(self.sources, self.widths, starts, strict=False)]
        return (*copies, f"tny_trace_all({self.target}, {target}, {row * self.rows}, {self.wide});")


@register("CONCATENATION", "PACK")
def _join(graph: Graph, operator: Operator, node: nodes.Concatenation | pack.Pack) -> Join:
    target = graph.tensors[operator.outputs[0]]
    sources = [graph.tensors[index] for index in operator.inputs]
    constants = {source.index: as_bits(source.data) for source in sources if source.data is not None}
    return Join(target.name, tuple(operator.inputs), target.index,
                tuple(int(np.prod(source.shape[node.axis:], dtype=int)) for source in sources),
                int(np.prod(target.shape[1:node.axis], dtype=int)), is_wide(target), constants=constants)


@register("RESHAPE")
def _reshape(graph: Graph, operator: Operator, node: layout.Reshape) -> Join:
    source, target = in_and_out(graph, operator)
    return Join(target.name, (source.index,), target.index, (int(np.prod(source.shape)),), 1, is_wide(target))


@dataclass(frozen=True, eq=False)
class Pad(Kernel):
    """A tensor from place ``start`` on, in steps through one of ``count`` codes that holds ``value`` elsewhere."""

    sizes: Steps
    steps: Steps
    start: int
    count: int
    value: int
    wide: int
    header = "tny_pad.h"
    kind = "pad"
    described = "start", "count", "value"
    call = "tny_pad_tensor", "wide"

    def members(self, number: int) -> Mapping[str, object]:
        return {**members(sizes=self.sizes, steps=self.steps), **super().members(number)}


@register("PAD", "PADV2")
def _pad(graph: Graph, operator: Operator, node: layout.Pad) -> Pad:
    source, target = in_and_out(graph, operator)
    steps = contiguous(target.shape)
    start = sum(step * place.start for step, place in zip(steps[1:], node.places[1:], strict=True))
    sizes, found = walk(target.name, source.shape, steps)
    return Pad(target.name, (source.index,), target.index, sizes, found, start, int(np.prod(target.shape)),
               int(as_bits(np.array(node.value, target.dtype))), is_wide(target))
