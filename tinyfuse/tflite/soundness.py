"""What must hold for a graph before anything executes it: wiring, names and quantisation."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from tinyfuse.core.errors import ModelError

if TYPE_CHECKING:
    from tinyfuse.tflite.graph import Graph, Tensor

QUANTISED = (np.dtype(np.int8), np.dtype(np.int16))
PASSING = {"CONCATENATION", "DEQUANTIZE", "PAD", "PADV2", "QUANTIZE", "RESHAPE", "STRIDED_SLICE", "TRANSPOSE"}
"""Operators without arithmetic: a graph of these alone is no float model."""
SMALLEST_SCALE, LARGEST_SCALE = 2.0**-60, 2.0**60
"""Of computed tensors. Constants may have smaller scales, such as weights that are all but zero."""


def check(graph: Graph) -> None:
    """Raise :class:`ModelError` unless ``graph`` can be executed from its inputs to its outputs, in integers."""
    _check_inputs(graph)
    _check_order(graph)
    computed = [graph.tensors[index] for index in (*graph.inputs, *(op.outputs[0] for op in graph.operators))]
    if not any(tensor.dtype in QUANTISED for tensor in computed) and {op.name for op in graph.operators} - PASSING:
        raise ModelError("it is a float model; convert it with int8 inputs and outputs")
    for tensor in graph.tensors:
        _check_quantisation(tensor)
    for tensor in computed:
        _check_computed(tensor)
    for indices, what in ((graph.inputs, "input"), (graph.outputs, "output")):
        for tensor in (graph.tensors[index] for index in indices):
            if tensor.shape[:1] != (1,):
                raise ModelError(f"its {what} '{tensor.name}' has shape {list(tensor.shape)}, which moves the batch "
                                 "axis; the first axis must be 1: convert the model with batch size 1")


def _check_inputs(graph: Graph) -> None:
    _check_indices(graph, "graph", (*graph.inputs, *graph.outputs))
    if not graph.inputs or not graph.outputs:
        raise ModelError(f"it has {len(graph.inputs)} inputs and {len(graph.outputs)} outputs; at least one of each is "
                         "needed")
    names = [graph.tensors[index].name for index in graph.inputs]
    if not all(names) or len(set(names)) < len(names):
        raise ModelError(f"its inputs are named {', '.join(repr(name) for name in names[:8])}; give each a name of its "
                         "own, as inputs are bound by name")
    for index in graph.inputs:
        if graph.tensors[index].data is not None:
            raise ModelError(f"its input '{graph.tensors[index].name}' is a constant; convert the model again")


def _check_order(graph: Graph) -> None:
    """Each operator reads constants, inputs and what was computed before it, and writes a tensor of its own."""
    known = set(graph.inputs)
    for operator in graph.operators:
        title, output = f"operator {operator.index} ({operator.name})", operator.outputs[0]
        _check_indices(graph, title, (*(index for index in operator.inputs if index != -1), output))
        for index in operator.inputs:
            if index >= 0 and graph.tensors[index].data is None and index not in known:
                raise ModelError(f"{title} reads '{graph.tensors[index].name}' before anything computes it; the "
                                 "operators must be in the order of execution")
        if output in known or graph.tensors[output].data is not None:
            raise ModelError(f"{title} writes '{graph.tensors[output].name}', which is an input, a constant or "
                             "computed already; each tensor must be written once")
        known.add(output)
    for index in graph.outputs:
        if index not in known or index in graph.inputs:
            raise ModelError(f"no operator computes its output '{graph.tensors[index].name}'; convert the model again")


def _check_indices(graph: Graph, title: str, indices: tuple[int, ...]) -> None:
    count = len(graph.tensors)
    for index in indices:
        if not 0 <= index < count:
            raise ModelError(f"{title} refers to tensor {index}, but there are {count}; fetch or convert the file "
                             "again")


def _check_quantisation(tensor: Tensor) -> None:
    """One scale, or for a constant one per slice along its axis; as many zero points, inside the type's range."""
    scales, zeros = len(tensor.scale), len(tensor.zero_point)
    along = tensor.shape[tensor.axis] if 0 <= tensor.axis < len(tensor.shape) else 1
    allowed = {1, along} if tensor.data is not None else {1}
    if scales != zeros or (scales and scales not in allowed) or (tensor.dtype in QUANTISED and not scales):
        raise ModelError(f"tensor '{tensor.name}' {tensor.dtype}{list(tensor.shape)} has {scales} scales and {zeros} "
                         f"zero points along axis {tensor.axis}; expected are {' or '.join(map(str, sorted(allowed)))} "
                         "of each: convert the model to int8")
    wrong = tensor.scale[~((tensor.scale > 0) & (tensor.scale <= LARGEST_SCALE))]
    if len(wrong):
        raise ModelError(f"tensor '{tensor.name}' has a scale of {float(wrong[0])}; scales must be positive and at "
                         f"most {LARGEST_SCALE:g}")
    if tensor.dtype.kind == "i" and zeros:
        limits = np.iinfo(tensor.dtype)
        if tensor.zero_point.min() < limits.min or tensor.zero_point.max() > limits.max:
            raise ModelError(f"tensor '{tensor.name}' has a zero point outside {tensor.dtype}, {limits.min} to "
                             f"{limits.max}; convert the model again")


def _check_computed(tensor: Tensor) -> None:
    if len(tensor.scale) and tensor.scale[0] < SMALLEST_SCALE:
        raise ModelError(f"tensor '{tensor.name}' has scale {float(tensor.scale[0])}; at least {SMALLEST_SCALE:g} is "
                         "supported")
    if not tensor.shape and (tensor.dtype in QUANTISED or tensor.dtype == np.float32):
        raise ModelError(f"tensor '{tensor.name}' has no axes; convert the model with fixed shapes")
