"""RELU, RELU6 and LEAKY_RELU as operators of their own (fused ones belong to the operator they are fused into)."""

from __future__ import annotations

import numpy as np

from tinyfuse.integer.arithmetic import TYPE_RANGE, activation_range
from tinyfuse.integer.operators.base import Node, register
from tinyfuse.integer.operators.checks import (
    QUANTISED,
    centred,
    rescaled_codes,
    same_shape,
    same_type,
    source_and_target,
)
from tinyfuse.integer.operators.table import clamped, every_code
from tinyfuse.tflite.graph import Graph, Operator


@register("RELU")
def _relu(operator: Operator, graph: Graph) -> Node:
    """max(x, 0), rescaled to the output's scale."""
    source, target = source_and_target(operator, graph, same_type(*QUANTISED))
    same_shape(operator, source, target)
    centred(operator, source, target)
    real, zero = float(source.scale[0]) / float(target.scale[0]), int(target.zero_point[0])
    unclamped = rescaled_codes(operator, every_code(source.dtype) - int(source.zero_point[0]), real) + zero
    return clamped(source.dtype, unclamped, zero, TYPE_RANGE[target.dtype][1], target.dtype, real)


@register("RELU6")
def _relu6(operator: Operator, graph: Graph) -> Node:
    """min(max(x, 0), 6). TFLite Micro clamps in the input's codes and never rescales; so does this."""
    source, target = source_and_target(operator, graph, same_type(*QUANTISED))
    same_shape(operator, source, target)
    low, high = activation_range("RELU6", float(source.scale[0]), int(source.zero_point[0]), source.dtype)
    return clamped(source.dtype, every_code(source.dtype), low, high, target.dtype, 1.0)


@register("LEAKY_RELU")
def _leaky_relu(operator: Operator, graph: Graph) -> Node:
    """x, or alpha * x where x < 0."""
    source, target = source_and_target(operator, graph, same_type(*QUANTISED))
    same_shape(operator, source, target)
    identity = float(source.scale[0]) / float(target.scale[0])
    alpha = float(source.scale[0]) * float(np.float32(operator.options["alpha"])) / float(target.scale[0])
    values = every_code(source.dtype) - int(source.zero_point[0])
    positive, negative = values[values >= 0], values[values < 0]
    unclamped = np.concatenate([rescaled_codes(operator, negative, alpha),
                                rescaled_codes(operator, positive, identity)]) + int(target.zero_point[0])
    return clamped(source.dtype, unclamped, *TYPE_RANGE[target.dtype], target.dtype,
                   np.where(values < 0, alpha, identity))
