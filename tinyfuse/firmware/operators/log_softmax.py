"""LOG_SOFTMAX of int8 rows."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tinyfuse.firmware.operators.base import Kernel, in_and_out, register
from tinyfuse.integer.operators.log_softmax import LogSoftmax as Node
from tinyfuse.tflite.graph import Graph, Operator


@dataclass(frozen=True, eq=False)
class LogSoftmax(Kernel):
    """Rows of ``depth`` codes; ``back_multiplier`` and ``back_shift`` bring a logarithm to a difference of codes."""

    rows: int
    depth: int
    multiplier: int
    shift: int
    radius: int
    back_multiplier: int
    back_shift: int
    header = "tny_log_softmax.h"
    kind = "log_softmax"
    described = "multiplier", "back_multiplier", "shift", "back_shift", "radius", "depth"
    call = "tny_log_softmax", "rows"
    in_place = True


@register("LOG_SOFTMAX")
def _log_softmax(graph: Graph, operator: Operator, node: Node) -> LogSoftmax:
    source, target = in_and_out(graph, operator)
    return LogSoftmax(target.name, (source.index,), target.index, int(np.prod(source.shape)) // node.depth, node.depth,
                      node.multiplier, node.shift, node.radius, node.back_multiplier, -node.back_shift)
