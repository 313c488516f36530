"""MEAN over neighbouring axes, as in global average pooling."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tinyfuse.core.errors import ModelError
from tinyfuse.firmware.c_text import comment, numbers
from tinyfuse.firmware.operators.base import At, Kernel, Layer, ends, is_wide, register
from tinyfuse.firmware.scale import Scale
from tinyfuse.integer.operators.mean import Mean as Node
from tinyfuse.tflite.graph import Graph, Operator

_INT32 = 1 << 31


@dataclass(frozen=True, eq=False)
class Mean(Kernel):
    """Means of ``sizes[1]`` values; ``sizes``: of the axes before, of those that go, and of those behind."""

    sizes: tuple[int, int, int]
    scale: Scale
    zero_in: int
    zero_out: int
    low: int
    high: int
    wide: int

    @property
    def header(self) -> str:
        """See :class:`Kernel`."""
        return "tny_mean.h"

    def descriptor(self, number: int) -> str:
        """See :class:`Kernel`."""
        return (f"/* {comment(self.name)} */\nstatic const tny_mean_t mean{number} = {{{numbers(self.sizes)}, "
                f"{self.scale}, " + numbers([self.zero_in, self.zero_out, self.low, self.high, number, self.target]) +
                "};\n")

    def calls(self, number: int, at: At, scratch: str) -> tuple[str, ...]:
        """See :class:`Kernel`."""
        return (f"tny_mean(&mean{number}, {at(self.sources[0])}, {at(self.target)}, {self.wide});",)


@register("MEAN")
def _mean(graph: Graph, operator: Operator, node: Node) -> Layer:
    source, target = ends(graph, operator)
    given = graph.tensors[operator.inputs[1]].data
    assert given is not None
    axes = sorted({int(axis) % len(source.shape) for axis in np.ravel(given)})
    first, last = (axes[0], axes[-1]) if axes else (1, 0)
    if axes != list(range(first, last + 1)):
        raise ModelError(f"'{target.name}': MEAN over the axes {axes} has no firmware kernel; they must be neighbours")
    sizes = (int(np.prod(source.shape[:first])), node.count, int(np.prod(source.shape[last + 1:], dtype=int)))
    if node.count << (16 if is_wide(source) else 8) >= _INT32:
        raise ModelError(f"'{target.name}': MEAN of {node.count} values can leave 32 bits")
    return Mean(target.name, (source.index,), target.index, sizes, Scale(node.multiplier, -node.shift), node.zero_in,
                node.zero_out, node.low, node.high, is_wide(source))
