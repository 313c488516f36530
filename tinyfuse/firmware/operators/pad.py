"""PAD and PADV2 of an image: rows, columns and channels around it."""

from __future__ import annotations

from dataclasses import dataclass

from tinyfuse.firmware.c_text import comment, numbers
from tinyfuse.firmware.operators.base import At, Kernel, Layer, Shape, ends, hwc, is_wide, register
from tinyfuse.firmware.scale import sized
from tinyfuse.integer.operators.layout import Pad as Node
from tinyfuse.tflite.graph import Graph, Operator


@dataclass(frozen=True, eq=False)
class Pad(Kernel):
    """A tensor of shape (h, w, c) at ``before`` in one that holds ``value`` elsewhere."""

    in_shape: Shape
    out_shape: Shape
    before: Shape
    value: int
    wide: int

    @property
    def header(self) -> str:
        """See :class:`Kernel`."""
        return "tny_pad.h"

    def descriptor(self, number: int) -> str:
        """See :class:`Kernel`."""
        return (f"/* {comment(self.name)} */\nstatic const tny_pad_t pad{number} = {{" +
                numbers([*self.in_shape, *self.out_shape, *self.before, self.value, number, self.target]) + "};\n")

    def calls(self, number: int, at: At, scratch: str) -> tuple[str, ...]:
        """See :class:`Kernel`."""
        return (f"tny_pad_tensor(&pad{number}, {at(self.sources[0])}, {at(self.target)}, {self.wide});",)


@register("PAD", "PADV2")
def _pad(graph: Graph, operator: Operator, node: Node) -> Layer:
    source, target = ends(graph, operator)
    top, left, front = (0, 0, *(place.start for place in node.places[1:]))[-3:]
    in_shape, out_shape = hwc(source), hwc(target)
    sized(target.name, "sizes", out_shape, 16)
    return Pad(target.name, (source.index,), target.index, in_shape, out_shape, (top, left, front), int(node.value),
               is_wide(target))
