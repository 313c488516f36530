"""Comparisons, LOGICAL_AND, LOGICAL_OR, LOGICAL_NOT and SELECT_V2; a truth value is one byte."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from tinyfuse.firmware.operators.base import Kernel, is_wide, register
from tinyfuse.firmware.operators.walk import Steps, broadcast, members, walk
from tinyfuse.firmware.scale import Scale, scale_of
from tinyfuse.integer.operators import comparison
from tinyfuse.tflite.graph import Graph, Operator

_WHAT = {"EQUAL": "TNY_EQUAL", "NOT_EQUAL": "TNY_NOT_EQUAL", "GREATER": "TNY_GREATER",
         "GREATER_EQUAL": "TNY_GREATER_EQUAL", "LESS": "TNY_LESS", "LESS_EQUAL": "TNY_LESS_EQUAL",
         "LOGICAL_AND": "TNY_AND", "LOGICAL_OR": "TNY_OR", "LOGICAL_NOT": "TNY_NOT"}


@dataclass(frozen=True, eq=False)
class Logic(Kernel):
    """``what`` of two tensors, of which the second is the first where there is one only."""

    what: str
    sizes: Steps
    steps: tuple[Steps, Steps]
    zeros: tuple[int, int]
    scales: tuple[Scale, Scale]
    header = "tny_logic.h"
    kind = "logic"
    call = "tny_logic", "what"

    def members(self, number: int) -> Mapping[str, object]:
        names = ("first", "second")
        return {**members(sizes=self.sizes, first_steps=self.steps[0], second_steps=self.steps[1]),
                **dict(zip(names, self.scales, strict=True)),
                **{f"zero_{name}": zero for name, zero in zip(names, self.zeros, strict=True)}}


@dataclass(frozen=True, eq=False)
class Select(Kernel):
    """Codes of the second or third tensor, as the first one says."""

    sizes: Steps
    steps: tuple[Steps, Steps, Steps]
    wide: int
    header = "tny_logic.h"
    kind = "select"
    call = "tny_select", "wide"

    def members(self, number: int) -> Mapping[str, object]:
        condition, first, second = self.steps
        return members(sizes=self.sizes, condition_steps=condition, first_steps=first, second_steps=second)


@register(*_WHAT)
def _logic(graph: Graph, operator: Operator, node: comparison.Comparison | comparison.Logic) -> Logic:
    target = graph.tensors[operator.outputs[0]]
    sources = [graph.tensors[index] for index in operator.inputs][:2]
    sources = sources if len(sources) == 2 else sources * 2
    sizes, *steps = walk(target.name, target.shape, *(broadcast(one.shape, target.shape) for one in sources))
    compares = isinstance(node, comparison.Comparison)
    scales = [scale_of(one.unit) if compares else Scale(0, 0) for one in sources]
    zeros = [one.zero if compares else 0 for one in sources]
    return Logic(target.name, tuple(one.index for one in sources), target.index, _WHAT[operator.name], sizes,
                 (steps[0], steps[1]), (zeros[0], zeros[1]), (scales[0], scales[1]),
                 constants={one.index: one.data for one in sources if one.data is not None})


@register("SELECT_V2")
def _select(graph: Graph, operator: Operator, node: comparison.Select) -> Select:
    target, sources = graph.tensors[operator.outputs[0]], [graph.tensors[index] for index in operator.inputs]
    sizes, *steps = walk(target.name, target.shape, *(broadcast(one.shape, target.shape) for one in sources))
    return Select(target.name, tuple(operator.inputs), target.index, sizes, (steps[0], steps[1], steps[2]),
                  is_wide(target), constants={one.index: one.data for one in sources if one.data is not None})
