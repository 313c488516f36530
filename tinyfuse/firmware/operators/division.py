"""DIV of int8 tensors."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tinyfuse.firmware.operators.base import register
from tinyfuse.firmware.operators.elementwise import Elementwise
from tinyfuse.firmware.operators.walk import broadcast, walk
from tinyfuse.firmware.scale import Scale, scale_of
from tinyfuse.integer.operators import binary
from tinyfuse.tflite.graph import Graph, Operator


@dataclass(frozen=True, eq=False)
class Division(Elementwise):
    """The first operand divided by the second; ``scales[2]`` brings the quotient to the output's scale."""

    header = "tny_division.h"
    kind = "elementwise"
    call = ("tny_division",)


@register("DIV")
def _division(graph: Graph, operator: Operator, node: binary.Elementwise) -> Division:
    first, second, target = (graph.tensors[index] for index in (*operator.inputs, operator.outputs[0]))
    sizes, *steps = walk(target.name, target.shape, *(broadcast(one.shape, target.shape) for one in (first, second)))
    out = scale_of(float(np.float32(first.unit) / (np.float32(second.unit) * np.float32(target.unit))))
    constants = {tensor.index: tensor.data for tensor in (first, second) if tensor.data is not None}
    return Division(target.name, (first.index, second.index), target.index, "", sizes, (steps[0], steps[1]),
                    (first.zero, second.zero, target.zero), (Scale(0, 0), Scale(0, 0), out), 0,
                    int(node.arithmetic.low), int(node.arithmetic.high), 0, constants=constants)
