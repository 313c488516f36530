"""The operators of the firmware, one file for each family; importing the package fills the table.

The twin's operators are the proven arithmetic, so the constants are read off them.
"""

from __future__ import annotations

from dataclasses import replace

from tinyfuse.core.errors import ModelError
from tinyfuse.firmware.channels.ranges import ranges
from tinyfuse.firmware.operators import (
    bilinear,
    cast,
    convolution,
    depthwise,
    division,
    elementwise,
    layout,
    log_softmax,
    logic,
    matmul,
    plain_conv,
    pointwise,
    pooling,
    real,
    rearrange,
    recurrent,
    reduce,
    softmax,
    sums,
    transpose_conv,
)
from tinyfuse.firmware.operators.base import BUILDERS, ITEMS, Kernel, Layer
from tinyfuse.integer.twin import Twin
from tinyfuse.tflite.graph import Graph

__all__ = ["BUILDERS", "Kernel", "Layer", "bilinear", "cast", "convolution", "depthwise", "division", "elementwise",
           "layers_of", "layout", "log_softmax", "logic", "matmul", "plain_conv", "pointwise", "pooling", "real",
           "rearrange", "recurrent", "reduce", "softmax", "sums", "transpose_conv"]


def layers_of(twin: Twin) -> list[Layer]:
    """Build the layers of ``twin`` in their order; ModelError for an operator or type that the firmware lacks."""
    graph = replace(twin.graph, ranges=ranges(twin))
    return [_layer(twin, graph, number) for number in range(len(twin.steps))]


def _layer(twin: Twin, graph: Graph, number: int) -> Layer:
    operator, step = twin.graph.operators[number], twin.steps[number]
    title = f"{twin.graph.name}: operator {operator.index} ({operator.name})"
    if operator.name not in BUILDERS:
        raise ModelError(f"{title} has no firmware kernel; supported: {', '.join(sorted(BUILDERS))}")
    for index in (*step.inputs, operator.outputs[0]):
        tensor = twin.graph.tensors[index]
        if tensor.dtype.name not in ITEMS:
            raise ModelError(f"{title}: '{tensor.name}' is {tensor.dtype}; the firmware computes "
                             f"{', '.join(ITEMS)} tensors: convert the model with 8-bit or 16-bit activations")
    try:
        return BUILDERS[operator.name](graph, operator, step.node)
    except ModelError as error:
        raise ModelError(f"{title}: {error}") from error
