"""The inputs of a ``.tflite``: named, in the network's order, with 8-bit codes over the range of values of each.

TensorFlow calibrates inputs as it does inner tensors. Here the 256 codes of an input cover its declared range (and 0,
as kernels want), so that any value it may take has a code, and an adversary the same grid under every recipe.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from tinyfuse.data.samples import Input
from tinyfuse.quantize.tensor_units import copy_tensor, new_operator, sources
from tinyfuse.tflite.editing import set_scale
from tinyfuse.tflite.flatbuffer import operator_name

# Operators whose int8 kernels need one grid for what they read and make.
_SAME_GRID = ("RESHAPE", "AVERAGE_POOL_2D", "MAX_POOL_2D", "TRANSPOSE", "PAD", "SQUEEZE", "EXPAND_DIMS", "SLICE",
              "STRIDED_SLICE", "RESIZE_NEAREST_NEIGHBOR")
Quantisation = tuple[np.float32, int]  # scale and zero point


def input_grid(given: Input) -> Quantisation:
    """Find the scale and zero point with which the codes -128 to 127 cover the values of an input."""
    low, high = min(given.low, 0.0), max(given.high, 0.0)
    scale = (high - low) / 255
    return np.float32(scale), -128 - round(low / scale)


def name_inputs(model: Any, inputs: Sequence[Input]) -> None:
    """Name and order the inputs of ``model`` (an object tree) and give each its grid, and the output its name.

    What only passes codes on (a RESHAPE, the concatenation of inputs of one grid) has the grid of what it reads; a
    CONCATENATION of several grids gets a QUANTIZE before it.
    """
    graph, names = model.subgraphs[0], [one.name for one in inputs]
    signature = {entry.name.decode(): int(entry.tensorIndex) for entry in model.signatureDefs[0].inputs}
    graph.inputs = np.array([signature[name] for name in names], np.int32)
    model.signatureDefs[0].inputs.sort(key=lambda entry: names.index(entry.name.decode()))
    graph.tensors[graph.outputs[0]].name = b"logits"
    for one in inputs:
        graph.tensors[signature[one.name]].name = one.name.encode()
        _set_grid(graph.tensors[signature[one.name]], input_grid(one))
    _pass_grids_on(model, set(signature.values()))


def _pass_grids_on(model: Any, changed: set[int]) -> None:
    """Give ``changed`` tensors' grids to what has to share them, or requantise; ``changed`` grows."""
    graph, operators = model.subgraphs[0], []
    for operator in graph.operators:
        name, read, target = operator_name(model, operator), sources(model, operator), int(operator.outputs[0])
        if name in (*_SAME_GRID, "CONCATENATION") and changed & set(read):
            grids = {_grid(graph.tensors[index]) for index in read}
            if len(grids) == 1:
                _set_grid(graph.tensors[target], grids.pop())
                changed.add(target)
            else:
                operators += _requantised(model, operator, _grid(graph.tensors[target]))
        operators.append(operator)
    graph.operators = operators


def _requantised(model: Any, operator: Any, grid: Quantisation) -> list[Any]:
    """Make the QUANTIZE operators that bring what a CONCATENATION reads to ``grid``."""
    tensors, made = model.subgraphs[0].tensors, []
    operator.inputs = np.array(operator.inputs)  # what was read from a file cannot be changed
    for place, index in enumerate(operator.inputs.tolist()):
        if _grid(tensors[index]) != grid:
            operator.inputs[place] = copy_tensor(model, index, tensors[index].name + b"/requantised")
            _set_grid(tensors[-1], grid)
            made.append(new_operator(model, "Quantize", 2, [index], len(tensors) - 1))
    return made


def _grid(tensor: Any) -> Quantisation:
    return np.float32(tensor.quantization.scale[0]), int(tensor.quantization.zeroPoint[0])


def _set_grid(tensor: Any, grid: Quantisation) -> None:
    set_scale(tensor, np.array([grid[0]]), np.array([grid[1]]))
