"""STRIDED_SLICE, TRANSPOSE, BROADCAST_TO, GATHER, RESIZE_NEAREST_NEIGHBOR, MIRROR_PAD and more: codes that move."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from tinyfuse.core.errors import ModelError
from tinyfuse.firmware.c_text import array, comment
from tinyfuse.firmware.operators.base import Kernel, in_and_out, is_wide, register
from tinyfuse.firmware.operators.layout import Join
from tinyfuse.firmware.operators.walk import AXES, Steps, broadcast, contiguous, is_whole, members, walk
from tinyfuse.integer.operators import (
    blocks,
    broadcast_to,
    gather,
    gather_nd,
    layout,
    lookup,
    mirror_pad,
    resize_nearest,
)
from tinyfuse.tflite.graph import Graph, Operator, Tensor


@dataclass(frozen=True, eq=False)
class Move(Kernel):
    """Codes of the input from ``start`` on, in the order of a walk."""

    sizes: Steps
    steps: Steps
    start: int
    wide: int
    header = "tny_move.h"
    kind = "move"
    call = "tny_move", "wide"

    def members(self, number: int) -> Mapping[str, object]:
        return {**members(sizes=self.sizes, steps=self.steps), "start": self.start}


def _moved(source: Tensor, target: Tensor, shape: tuple[int, ...], steps: Steps, start: int) -> Kernel:
    """Build the walk; codes that all stay where they are need no work."""
    sizes, found = walk(target.name, shape, steps)
    if start == 0 and is_whole(sizes, found) and np.prod(source.shape) == np.prod(target.shape):
        return Join(target.name, (source.index,), target.index, (int(np.prod(source.shape)),), 1, is_wide(target))
    return Move(target.name, (source.index,), target.index, sizes, found, start, is_wide(target))


@register("TRANSPOSE")
def _transpose(graph: Graph, operator: Operator, node: layout.Transpose) -> Kernel:
    source, target = in_and_out(graph, operator)
    steps = contiguous(source.shape)
    return _moved(source, target, target.shape, tuple(steps[axis] for axis in node.axes), 0)


@register("STRIDED_SLICE")
def _slice(graph: Graph, operator: Operator, node: layout.Slice) -> Kernel:
    source, target = in_and_out(graph, operator)
    cuts = [range(size)[place] for size, place in zip(source.shape, node.places, strict=True)]
    steps = contiguous(source.shape)
    start = sum(step * cut.start for step, cut in zip(steps, cuts, strict=True))
    return _moved(source, target, tuple(map(len, cuts)),
                  tuple(step * cut.step for step, cut in zip(steps, cuts, strict=True)), start)


@register("DEPTH_TO_SPACE", "SPACE_TO_DEPTH")
def _blocks(graph: Graph, operator: Operator, node: blocks.Blocks) -> Kernel:
    source, target = in_and_out(graph, operator)
    steps = contiguous(node.parts)
    return _moved(source, target, tuple(node.parts[axis - 1] for axis in node.order),
                  tuple(steps[axis - 1] for axis in node.order), 0)


@register("BROADCAST_TO")
def _repeat(graph: Graph, operator: Operator, node: broadcast_to.Repeat) -> Kernel:
    source, target = in_and_out(graph, operator)
    return _moved(source, target, target.shape, broadcast(source.shape, target.shape), 0)


@dataclass(frozen=True, eq=False)
class Take(Kernel):
    """Codes at ``places`` of each axis, counted in codes."""

    places: tuple[np.ndarray, ...] = field(repr=False)
    wide: int
    header = "tny_take.h"
    kind = "take"
    call = "tny_take", "wide"

    def tables(self, number: int) -> str:
        return f"/* {comment(self.name)} */\n" + array("uint32_t", f"places{number}", np.concatenate(self.places))

    def members(self, number: int) -> Mapping[str, object]:
        return {**members(sizes=map(len, self.places)), "places": f"places{number}"}


@register("MIRROR_PAD", "REVERSE_V2")
def _take(graph: Graph, operator: Operator, node: mirror_pad.Take) -> Take:
    source, target = in_and_out(graph, operator)
    found = [places * step for places, step in zip(node.places, contiguous(source.shape)[1:], strict=True)]
    if len(found) > AXES:
        raise ModelError(f"'{target.name}' has {len(found)} axes beside the batch; the firmware knows at most {AXES}")
    return Take(target.name, (source.index,), target.index, (*([np.zeros(1, int)] * (AXES - len(found))), *found),
                is_wide(target))


@dataclass(frozen=True, eq=False)
class Pick(Kernel):
    """Parts of ``width`` codes: for each number of ``outer`` those of ``inner``, which are below ``inner_size``.

    Without ``outer`` all ``outer_count`` are taken.
    """

    outer: np.ndarray | None = field(repr=False)
    outer_count: int
    inner: np.ndarray = field(repr=False)
    inner_size: int
    width: int
    wide: int
    header = "tny_pick.h"
    kind = "pick"
    call = "tny_pick", "wide"

    def tables(self, number: int) -> str:
        outer = "" if self.outer is None else array("uint32_t", f"outer{number}", self.outer)
        return f"/* {comment(self.name)} */\n{outer}{array('uint32_t', f'inner{number}', self.inner)}"

    def members(self, number: int) -> Mapping[str, object]:
        return {"outer": "NULL" if self.outer is None else f"outer{number}", "inner": f"inner{number}",
                "outer_count": self.outer_count, "inner_count": len(self.inner), "inner_size": self.inner_size,
                "width": self.width}


@dataclass(frozen=True, eq=False)
class Gather(Kernel):
    """For each of ``outer`` parts, ``count`` times ``inner`` codes of ``size``; the second source tells which."""

    outer: int
    size: int
    count: int
    inner: int
    header = "tny_gather.h"
    kind = "gather"
    described = "outer", "size", "count", "inner"
    call = ("tny_gather_places",)


def _looked_up(graph: Graph, operator: Operator) -> Gather:
    source, places = (graph.tensors[index] for index in operator.inputs[:2])
    axis = int(operator.options["axis"]) % len(source.shape)
    target = graph.tensors[operator.outputs[0]]
    return Gather(target.name, (source.index, places.index), target.index,
                  int(np.prod(source.shape[:axis], dtype=int)), source.shape[axis], int(np.prod(places.shape)),
                  int(np.prod(source.shape[axis + 1:], dtype=int)),
                  constants={} if source.data is None else {source.index: source.data})


@register("GATHER")
def _gather(graph: Graph, operator: Operator, node: gather.Gather | lookup.Lookup) -> Kernel:
    source, target = in_and_out(graph, operator)
    if isinstance(node, lookup.Lookup):
        return _looked_up(graph, operator)
    outer, width = np.prod(source.shape[:node.axis], dtype=int), np.prod(source.shape[node.axis + 1:], dtype=int)
    return Pick(target.name, (source.index,), target.index, None, int(outer), node.places.reshape(-1),
                source.shape[node.axis], int(width), is_wide(source))


@register("GATHER_ND")
def _gather_nd(graph: Graph, operator: Operator, node: gather_nd.GatherNd) -> Pick:
    source, target = in_and_out(graph, operator)
    return Pick(target.name, (source.index,), target.index, None, 1, node.places, node.size, node.width,
                is_wide(source))


@register("RESIZE_NEAREST_NEIGHBOR")
def _resize(graph: Graph, operator: Operator, node: resize_nearest.ResizeNearest) -> Pick:
    source, target = in_and_out(graph, operator)
    return Pick(target.name, (source.index,), target.index, node.rows, len(node.rows), node.columns, source.shape[2],
                source.shape[3], is_wide(source))
