"""MEAN, SUM, REDUCE_MAX and REDUCE_MIN over any axes; a mean over neighbouring ones, as in global pooling, is fast."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from tinyfuse.firmware.operators.base import Kernel, in_and_out, is_wide, register
from tinyfuse.firmware.operators.walk import Steps, contiguous, members, walk
from tinyfuse.firmware.scale import Scale
from tinyfuse.integer.operators import mean, reduce_all, reduce_max
from tinyfuse.tflite.graph import Graph, Operator, Tensor


@dataclass(frozen=True, eq=False)
class Mean(Kernel):
    """Means of ``count`` values; ``outer`` and ``inner``: the sizes of the axes before and behind those that go."""

    outer: int
    count: int
    inner: int
    scale: Scale
    zero_in: int
    zero_out: int
    low: int
    high: int
    wide: int
    header = "tny_mean.h"
    kind = "mean"
    described = "outer", "count", "inner", "scale", "zero_in", "zero_out", "low", "high"
    call = "tny_mean", "wide"


@dataclass(frozen=True, eq=False)
class Reduce(Kernel):
    """The sum of codes, rescaled, or (``what`` 1, 2) their largest or smallest; the axes as sizes, steps."""

    kept_axes: tuple[Steps, Steps]
    summed_axes: tuple[Steps, Steps]
    scale: Scale
    zero_in: int
    zero_out: int
    low: int
    high: int
    wide: int
    what: int
    header = "tny_reduce.h"
    kind = "reduce"
    described = "scale", "zero_in", "zero_out", "low", "high"
    call = "tny_reduce", "wide", "what"

    def members(self, number: int) -> Mapping[str, object]:
        (sizes, steps), (reduced_sizes, reduced_steps) = self.kept_axes, self.summed_axes
        return {**members(sizes=sizes, reduced_sizes=reduced_sizes, steps=steps, reduced_steps=reduced_steps),
                **super().members(number)}


@register("MEAN", "SUM")
def _mean(graph: Graph, operator: Operator, node: mean.Mean) -> Kernel:
    source, target = in_and_out(graph, operator)
    scale, wide = Scale(node.multiplier, -node.shift), is_wide(source)
    first, last = (node.axes[0], node.axes[-1]) if node.axes else (1, 0)
    if node.axes != tuple(range(first, last + 1)):
        kept, gone = _split(source, node.axes)
        return Reduce(target.name, (source.index,), target.index, kept, gone, scale, node.zero_in, node.zero_out,
                      node.low, node.high, wide, 0)
    outer, inner = np.prod(source.shape[:first], dtype=int), np.prod(source.shape[last + 1:], dtype=int)
    return Mean(target.name, (source.index,), target.index, int(outer), node.count, int(inner), scale,
                node.zero_in, node.zero_out, node.low, node.high, wide)


@register("REDUCE_MAX", "REDUCE_MIN")
def _largest(graph: Graph, operator: Operator, node: reduce_max.ReduceMax) -> Reduce:
    source, target = in_and_out(graph, operator)
    return Reduce(target.name, (source.index,), target.index, *_split(source, node.axes), Scale(0, 0), 0, 0, 0, 0,
                  is_wide(source), 2 if node.smallest else 1)


@register("REDUCE_ALL")
def _all(graph: Graph, operator: Operator, node: reduce_all.ReduceAll) -> Reduce:
    """The smallest of truth values."""
    source, target = in_and_out(graph, operator)
    return Reduce(target.name, (source.index,), target.index, *_split(source, node.axes), Scale(0, 0), 0, 0, 0, 0, 0, 2)


def _split(source: Tensor, axes: tuple[int, ...]) -> tuple[tuple[Steps, Steps], tuple[Steps, Steps]]:
    """Sizes and steps of the axes that stay, and of those that go."""
    steps, found = contiguous(source.shape), []
    for going in (False, True):
        chosen = [axis for axis in range(len(source.shape)) if (axis in axes) is going]
        sizes, moved = walk(source.name, [source.shape[axis] for axis in chosen], tuple(steps[axis] for axis in chosen))
        found.append((sizes, moved))
    return found[0], found[1]
