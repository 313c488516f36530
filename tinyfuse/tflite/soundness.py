"""Whether a graph can be executed: the order of its operators, and the numbers that their kernels read."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from tinyfuse.core.errors import ModelError
from tinyfuse.tflite.graph import Graph, Operator, Tensor

QUANTISED = (np.dtype(np.int8), np.dtype(np.int16))
COMPUTED = ("int8", "int16", "int32", "int64", "float32")
"""Types of computed tensors that an executor knows, beside truth values."""
PASSING = {"CONCATENATION", "DEQUANTIZE", "PAD", "PADV2", "QUANTIZE", "RESHAPE", "STRIDED_SLICE", "TRANSPOSE"}
"""Operators without arithmetic: a graph of these alone is no float model."""
SMALLEST_SCALE, LARGEST_SCALE = 2.0**-60, 2.0**60
"""Of computed tensors. Constants may have smaller scales, such as weights that are all but zero."""
_WEIGHTED = ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED", "TRANSPOSE_CONV")


def check_order(graph: Graph) -> None:
    """Raise unless each operator reads constants, inputs and what was computed before, and writes tensors of its own.

    Operators may have several outputs here, and indices may be anything.
    """
    _check_indices(graph, "graph", (*graph.inputs, *graph.outputs))
    if not graph.inputs or not graph.outputs:
        raise ModelError(f"it has {len(graph.inputs)} inputs and {len(graph.outputs)} outputs; at least one of each is "
                         "needed")
    for index in graph.inputs:
        if graph.tensors[index].data is not None:
            raise ModelError(f"its input '{graph.tensors[index].name}' is a constant; convert the model again")
    if len(set(graph.inputs)) < len(graph.inputs):
        raise ModelError("one tensor is two of its inputs; convert the model again")
    known = set(graph.inputs)
    for operator in graph.operators:
        _check_operator(graph, operator, known)
        known.update(operator.outputs)
    for index in graph.outputs:
        if index not in known or index in graph.inputs:
            raise ModelError(f"no operator computes its output '{graph.tensors[index].name}'; convert the model again")


def _check_operator(graph: Graph, operator: Operator, known: set[int]) -> None:
    title = f"operator {operator.index} ({operator.name})"
    _check_indices(graph, title, (*(index for index in operator.inputs if index != -1), *operator.outputs))
    for index in operator.inputs:
        if index >= 0 and graph.tensors[index].data is None and index not in known:
            raise ModelError(f"{title} reads '{graph.tensors[index].name}' before anything computes it; the "
                             "operators must be in the order of execution")
    if not operator.outputs:
        raise ModelError(f"{title} has 0 outputs; convert the model again")
    for index in operator.outputs:
        if index in known or graph.tensors[index].data is not None or operator.outputs.count(index) > 1:
            raise ModelError(f"{title} writes '{graph.tensors[index].name}', which is an input, a constant or "
                             "computed already; each tensor must be written once")


def _check_indices(graph: Graph, title: str, indices: Iterable[int]) -> None:
    for index in indices:
        if not 0 <= index < len(graph.tensors):
            raise ModelError(f"{title} refers to tensor {index}, but there are {len(graph.tensors)}; fetch or convert "
                             "the file again")


def check_sound(graph: Graph) -> None:
    """Raise :class:`ModelError` unless ``graph``, whose order is sound, can be executed in integers."""
    computed = [graph.tensors[index] for index in graph.computed]
    kinds = {tensor.dtype.name for tensor in computed}
    if "float32" in kinds and not kinds & {"int8", "int16", "uint8"} and {op.name for op in graph.operators} - PASSING:
        raise ModelError("it is a float model; convert it to int8: give the converter a representative data set and "
                         "TFLITE_BUILTINS_INT8, or let `tinyfuse quantize` write it")
    makers = {index: operator for operator in graph.operators for index in operator.outputs}
    for tensor in computed:
        _check_computed(tensor, makers.get(tensor.index))
    for tensor in _read_by_kernels(graph):
        _check_quantisation(tensor)
    for indices, what in ((graph.inputs, "input"), (graph.outputs, "output")):
        for tensor in (graph.tensors[index] for index in indices):
            if tensor.shape[:1] != (1,):
                raise ModelError(f"its {what} '{tensor.name}' has shape {list(tensor.shape)}, whose first axis cannot "
                                 "be taken for a batch of samples that are computed alike; convert the model with "
                                 "batch size 1")


def _check_computed(tensor: Tensor, maker: Operator | None) -> None:
    """A type that an executor knows, a scale that is not all but zero, axes."""
    made = "" if maker is None else f" of operator {maker.index} ({maker.name})"
    if tensor.dtype == np.uint8:
        raise ModelError(f"'{tensor.name}'{made} is uint8, as in models of TensorFlow 1, which TFLite Micro's kernels "
                         "no longer take: convert the float network again to int8 (uint8 inputs and outputs are no "
                         "hindrance)")
    if tensor.dtype.name not in COMPUTED and tensor.dtype != np.bool_:
        raise ModelError(f"'{tensor.name}'{made} is {tensor.dtype}; supported are {', '.join(COMPUTED)}: convert the "
                         "model to int8")
    if len(tensor.scale) and 0 < tensor.unit < SMALLEST_SCALE:
        raise ModelError(f"tensor '{tensor.name}'{made} has scale {tensor.unit}; at least {SMALLEST_SCALE:g} is needed")
    if not tensor.shape and (tensor.dtype in QUANTISED or tensor.dtype == np.float32):
        raise ModelError(f"tensor '{tensor.name}'{made} has no axes; convert the model with fixed shapes")


def _read_by_kernels(graph: Graph) -> list[Tensor]:
    """The tensors whose scales and zero points a kernel reads: no biases, no plain integers, no floats."""
    biases = {operator.inputs[2] for operator in graph.operators if operator.name in _WEIGHTED and
              len(operator.inputs) > 2}
    used = {index for operator in graph.operators for index in operator.inputs if index >= 0} | {*graph.computed}
    return [graph.tensors[index] for index in sorted(used) if graph.tensors[index].dtype in QUANTISED or
            (graph.tensors[index].data is None and index not in biases)]


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
