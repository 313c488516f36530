"""ABS: the size of a number, rescaled; a table of all codes."""

from __future__ import annotations

import numpy as np

from tinyfuse.integer.arithmetic import wrapped
from tinyfuse.integer.operators.base import Node, need_centred, register, rescaled_codes, unary_tensors
from tinyfuse.integer.operators.table import clamped, every_code
from tinyfuse.tflite.graph import Graph, Operator


@register("ABS")
def _absolute(operator: Operator, graph: Graph) -> Node:
    """Reference: ``micro/kernels/elementwise.cc``, AbsEvalQuantized."""
    source, target = unary_tensors(operator, graph)
    need_centred(operator, source, target)
    values, real = every_code(source) - source.zero, source.unit / target.unit
    unclamped = wrapped(rescaled_codes(operator, np.abs(values), real) + target.zero)
    return clamped(source, target, unclamped, np.sign(values) * real)
