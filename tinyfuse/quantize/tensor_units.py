"""Units of inner tensors: kernels only use ratios of scales, so a tensor may be written in any unit.

A fused RELU6 cuts at the label 6. Multiply the scale of a tensor by 6 / r and its RELU6 cuts at the real value r, on
exactly the code that is wanted. ADD, CONCATENATION, AVERAGE_POOL_2D, RESHAPE and QUANTIZE relate their tensors by
these scales, so that all tensors they connect form a class with one unit; between classes stand convolutions and dense
layers, whose weight scales take up the quotient. No code and no multiplier changes beyond the rounding of float32
scales. Inputs and outputs keep their real unit.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from tinyfuse.core.errors import ConversionError
from tinyfuse.tflite import flatbuffer

WEIGHTED = ("CONV_2D", "FULLY_CONNECTED")
CUT = 6.0
"""The label at which RELU6 cuts."""
_MANY = ("ADD", "CONCATENATION")
_TYING = (*_MANY, "AVERAGE_POOL_2D", "RESHAPE", "QUANTIZE")


def sources(model: Any, operator: Any) -> list[int]:
    """Indices of the activation tensors that ``operator`` reads: neither weights nor shapes."""
    many = flatbuffer.operator_name(model, operator) in _MANY
    return [int(index) for index in (operator.inputs if many else operator.inputs[:1])]


def classes(model: Any) -> dict[int, int]:
    """For each activation tensor the representative of all tensors that must have its unit."""
    parent: dict[int, int] = {}

    def find(tensor: int) -> int:
        while parent.setdefault(tensor, tensor) != tensor:
            tensor = parent[tensor]
        return tensor

    for operator in model.subgraphs[0].operators:
        target = find(int(operator.outputs[0]))
        tied = flatbuffer.operator_name(model, operator) in _TYING
        for tensor in sources(model, operator):
            root = find(tensor)
            if tied:
                parent[root] = target
    return {tensor: find(tensor) for tensor in parent}


def relabel(model: Any, cuts: Mapping[int, float]) -> dict[str, float]:
    """Write each class of tensors in the unit in which its RELU6 cut at the real values ``cuts``, by tensor index.

    All cuts of a class are equal. Returns the factor on the weight scales of each layer (by the name of its weights
    without ``/weights``).

    Raises:
        ConversionError: a cut in the class of an input or output.
    """
    graph, roots = model.subgraphs[0], classes(model)
    factors = {roots[tensor]: CUT / cut for tensor, cut in cuts.items()}
    for end in (*graph.inputs, *graph.outputs):
        if roots[int(end)] in factors:
            raise ConversionError(f"the unit of '{graph.tensors[end].name.decode()}' is that of activations with a "
                                  "clamp, but inputs and outputs keep their unit: give these activations 8 bits")
    for tensor, root in roots.items():
        _scale(graph.tensors[tensor], factors.get(root, 1.0))
    found = {}
    for operator in graph.operators:
        if flatbuffer.operator_name(model, operator) in WEIGHTED:
            read, made = (factors.get(roots[int(index)], 1.0) for index in (operator.inputs[0], operator.outputs[0]))
            weights, bias = (graph.tensors[index] for index in operator.inputs[1:3])
            found[weights.name.decode().removesuffix("/weights")] = made / read
            _scale(weights, made / read)
            _scale(bias, made)
    return found


def in_unit(scale: np.ndarray, factor: float) -> np.ndarray:
    """Float32 ``scale`` in a unit that is ``factor`` times as fine."""
    return (np.asarray(scale, np.float64) * factor).astype(np.float32)


def _scale(tensor: Any, factor: float) -> None:
    given = tensor.quantization
    if factor != 1.0:
        flatbuffer.set_scale(tensor, in_unit(given.scale, factor), np.asarray(given.zeroPoint))
