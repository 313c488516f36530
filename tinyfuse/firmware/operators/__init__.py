"""The operators of the firmware, one file for each family; importing the package fills the table.

The twin's operators are the proven arithmetic, so the constants are read off them.
"""

from __future__ import annotations

import numpy as np

from tinyfuse.core.errors import ModelError
from tinyfuse.firmware.operators import (
    add,
    concatenation,
    convolution,
    depthwise,
    mean,
    pad,
    pooling,
    quantize,
    softmax,
    unary,
)
from tinyfuse.firmware.operators.base import BUILDERS, Kernel, Layer
from tinyfuse.integer.twin import Twin

__all__ = ["BUILDERS", "Kernel", "Layer", "add", "concatenation", "convolution", "depthwise", "layers_of", "mean",
           "pad", "pooling", "quantize", "softmax", "unary"]


def layers_of(twin: Twin) -> list[Layer]:
    """The layers of ``twin`` in their order.

    Raises:
        ModelError: an operator or type that the firmware lacks, or sums that could leave their type on the device.
    """
    return [_layer(twin, number) for number in range(len(twin.steps))]


def _layer(twin: Twin, number: int) -> Layer:
    operator, step = twin.graph.operators[number], twin.steps[number]
    if operator.name not in BUILDERS:
        raise ModelError(f"operator {operator.name} has no firmware kernel; supported: {', '.join(sorted(BUILDERS))}")
    for index in (*step.inputs, operator.outputs[0]):
        tensor = twin.graph.tensors[index]
        if tensor.dtype not in (np.int8, np.int16):
            raise ModelError(f"'{tensor.name}' is {tensor.dtype}; the firmware computes int8 and int16 tensors: "
                             "convert the model with 8-bit or 16-bit activations")
    return BUILDERS[operator.name](twin.graph, operator, step.node)
