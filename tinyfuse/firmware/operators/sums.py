"""ADD_N, CUMSUM, ARG_MAX, ARG_MIN and L2_NORMALIZATION of int8 tensors."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tinyfuse.firmware.operators.base import Kernel, Place, in_and_out, register
from tinyfuse.firmware.scale import Scale
from tinyfuse.integer.operators import arg_max, l2_normalization, running_sum
from tinyfuse.tflite.graph import Graph, Operator


@dataclass(frozen=True, eq=False)
class RunningSum(Kernel):
    """Sums that begin at ``start``: of the codes so far along an axis, or (``tensors``) of those of several tensors."""

    sums: running_sum.Sums
    outer: int
    count: int
    inner: int
    tensors: bool
    flags: tuple[int, int]
    header = "tny_running_sum.h"
    kind = "running_sum"

    def members(self, number: int) -> dict[str, object]:
        scales = {name: Scale(scale[0], -scale[1]) for name, scale in (("in", self.sums.scale),
                                                                      ("out", self.sums.final))}
        return {**scales, "start": self.sums.start, "outer": self.outer, "count": self.count, "inner": self.inner,
                "zero_in": self.sums.zero_in, "zero_out": self.sums.zero_out}

    def calls(self, number: int, at: Place, scratch: str) -> tuple[str, ...]:
        if self.tensors:
            parts = ", ".join(at(source) for source in self.sources)
            return (f"tny_add_n(&running_sum{number}, (const int8_t *const[]){{{parts}}}, {len(self.sources)}, "
                    f"{at(self.target)});",)
        return (f"tny_cumsum(&running_sum{number}, {at(self.sources[0])}, {at(self.target)}, {self.flags[0]}, "
                f"{self.flags[1]});",)


@register("ADD_N")
def _add_n(graph: Graph, operator: Operator, node: running_sum.AddN) -> RunningSum:
    sources, target = [graph.tensors[index] for index in operator.inputs], graph.tensors[operator.outputs[0]]
    return RunningSum(target.name, tuple(operator.inputs), target.index, node, 1, int(np.prod(target.shape)), 1, True,
                      (0, 0), constants={one.index: one.data for one in sources if one.data is not None})


@register("CUMSUM")
def _cumsum(graph: Graph, operator: Operator, node: running_sum.CumSum) -> RunningSum:
    source, target = in_and_out(graph, operator)
    return RunningSum(target.name, (source.index,), target.index, node, *_around(source.shape, node.axis), False,
                      (int(node.exclusive), int(node.reverse)))


@dataclass(frozen=True, eq=False)
class ArgMax(Kernel):
    """Places int32 of the largest or smallest of ``count`` codes."""

    outer: int
    count: int
    inner: int
    smallest: int
    header = "tny_arg_max.h"
    kind = "arg_max"
    described = "outer", "count", "inner"
    call = "tny_arg_max", "smallest"


@register("ARG_MAX", "ARG_MIN")
def _arg_max(graph: Graph, operator: Operator, node: arg_max.ArgMax) -> ArgMax:
    source, target = in_and_out(graph, operator)
    return ArgMax(target.name, (source.index,), target.index, *_around(source.shape, node.axis), int(node.smallest))


def _around(shape: tuple[int, ...], axis: int) -> tuple[int, int, int]:
    """Codes before, along and behind ``axis``."""
    return int(np.prod(shape[:axis], dtype=int)), shape[axis], int(np.prod(shape[axis + 1:], dtype=int))


@dataclass(frozen=True, eq=False)
class L2Norm(Kernel):
    """``rows`` of ``depth`` codes, each divided by its length."""

    rows: int
    depth: int
    zero: int
    header = "tny_l2_norm.h"
    kind = "l2_norm"
    described = "rows", "depth", "zero"
    call = ("tny_l2_norm",)
    in_place = True


@register("L2_NORMALIZATION")
def _l2_norm(graph: Graph, operator: Operator, node: l2_normalization.L2Normalization) -> L2Norm:
    source, target = in_and_out(graph, operator)
    return L2Norm(target.name, (source.index,), target.index, int(np.prod(source.shape[:-1], dtype=int)),
                  source.shape[-1], node.zero)
