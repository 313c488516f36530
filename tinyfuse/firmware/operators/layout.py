"""CONCATENATION, PACK, RESHAPE, PAD and PADV2: codes that move, if at all."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import accumulate

import numpy as np

from tinyfuse.core.errors import ModelError
from tinyfuse.firmware.operators.base import Kernel, Place, Shape, in_and_out, is_wide, register, sides
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
        item, target = 1 + self.wide, at(self.target)
        row, starts = sum(self.widths), accumulate(self.widths, initial=0)
        copies = [f"tny_copy({at(part)}, {target} + {start * item}, {row * item}, {width * item}, {self.rows});"
                  for part, width, start in zip(self.sources, self.widths, starts, strict=False)]
        return (*copies, f"tny_trace_all({self.target}, {target}, {row * self.rows}, {self.wide});")


@register("CONCATENATION")
def _concatenation(graph: Graph, operator: Operator, node: nodes.Concatenation) -> Join:
    target = graph.tensors[operator.outputs[0]]
    sources = [graph.tensors[index] for index in operator.inputs]
    constants = {source.index: source.data for source in sources if source.data is not None}
    return Join(target.name, tuple(operator.inputs), target.index,
                tuple(int(np.prod(source.shape[node.axis:])) for source in sources),
                int(np.prod(target.shape[1:node.axis], dtype=int)), is_wide(target), constants=constants)


@register("PACK")
def _pack(graph: Graph, operator: Operator, node: pack.Pack) -> Join:
    target = graph.tensors[operator.outputs[0]]
    sources = [graph.tensors[index] for index in operator.inputs]
    constants = {source.index: source.data for source in sources if source.data is not None}
    return Join(target.name, tuple(operator.inputs), target.index,
                tuple(int(np.prod(source.shape[node.axis:], dtype=int)) for source in sources),
                int(np.prod(target.shape[1:node.axis], dtype=int)), is_wide(target), constants=constants)


@register("RESHAPE")
def _reshape(graph: Graph, operator: Operator, node: layout.Reshape) -> Join:
    source, target = in_and_out(graph, operator)
    return Join(target.name, (source.index,), target.index, (int(np.prod(source.shape)),), 1, is_wide(target))


@dataclass(frozen=True, eq=False)
class Pad(Kernel):
    """A tensor of shape (h, w, c) at ``before`` in one that holds ``value`` elsewhere."""

    in_shape: Shape
    out_shape: Shape
    before: Shape
    value: int
    wide: int
    header = "tny_pad.h"
    kind = "pad"
    call = "tny_pad_tensor", "wide"

    def members(self, number: int) -> Mapping[str, object]:
        return {**sides("in", self.in_shape), **sides("out", self.out_shape),
                **dict(zip(("top", "left", "front"), self.before, strict=True)), "value": self.value}


@register("PAD", "PADV2")
def _pad(graph: Graph, operator: Operator, node: layout.Pad) -> Pad:
    source, target = in_and_out(graph, operator)
    before = (0, *(place.start for place in node.places[1:]))
    in_shape, out_shape, begins = _joined(target.name, source.shape, target.shape, before)
    return Pad(target.name, (source.index,), target.index, in_shape, out_shape, begins, int(node.value),
               is_wide(target))


def _joined(name: str, given: tuple[int, ...], found: tuple[int, ...], before: tuple[int, ...]) -> list[Shape]:
    """Sizes before and after, and the places ahead, of three axes: those without padding belong to the one before."""
    axes: list[tuple[int, int, int]] = []
    for size, whole, ahead in zip(given, found, before, strict=True):
        if axes and size == whole:
            axes[-1] = axes[-1][0] * size, axes[-1][1] * size, axes[-1][2] * size
        else:
            axes.append((size, whole, ahead))
    axes = axes[1:] if axes[0] == (1, 1, 0) else axes
    if len(axes) > 3:
        raise ModelError(f"'{name}' is padded along {len(axes)} axes; the firmware pads at most 3")
    return list(zip(*([(1, 1, 0)] * (3 - len(axes)) + axes), strict=True))
