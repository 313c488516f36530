"""Units of inner tensors: kernels only use ratios of scales, so a tensor may be written in any unit.

A fused RELU6 cuts at the label 6. Multiply the scale of a tensor by 6 / r and its RELU6 cuts at the real value r, on
exactly the code that is wanted. ADD, CONCATENATION, AVERAGE_POOL_2D, RESHAPE and QUANTIZE relate their tensors by
these scales, so that all tensors they connect form a class with one unit; between classes stand convolutions and dense
layers, whose weight scales take up the quotient. No code changes. Inputs and outputs keep their real unit; see
:mod:`tinyfuse.quantize.unit_changes` for where they meet a clamp.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tinyfuse.tflite.editing import constant, operator_code, set_constant, set_scale
from tinyfuse.tflite.flatbuffer import operator_name, schema


@dataclass(frozen=True)
class Places:
    """Where among its inputs an operator with weights has what it reads, its weights and its bias.

    ``axis``: of the output channels in the weights.
    """

    read: int = 0
    weights: int = 1
    bias: int = 2
    axis: int = 0


WEIGHTED = {"CONV_2D": Places(), "FULLY_CONNECTED": Places(), "DEPTHWISE_CONV_2D": Places(axis=3),
            "TRANSPOSE_CONV": Places(read=2, weights=1, bias=3)}
LONG_BIAS = ("DEPTHWISE_CONV_2D", "TRANSPOSE_CONV")
CUT = 6.0  # the label at which RELU6 cuts
MOVING = ("AVERAGE_POOL_2D", "MAX_POOL_2D", "MEAN", "RESHAPE", "EXPAND_DIMS", "SQUEEZE", "PAD", "TRANSPOSE",
          "CONCATENATION", "STRIDED_SLICE", "RESIZE_NEAREST_NEIGHBOR")
"""Operators whose output has the codes of what they read."""
REAL = ("MUL", "BATCH_MATMUL", "LOGISTIC", "TANH", "HARD_SWISH", "SOFTMAX")
_MANY = ("ADD", "SUB", "MUL", "BATCH_MATMUL", "CONCATENATION")
TYING = ("ADD", "SUB", "QUANTIZE", "LEAKY_RELU", "RELU", *MOVING)


def places(model: Any, operator: Any) -> Places:
    """Return where ``operator``, one with weights, has its inputs."""
    return WEIGHTED[operator_name(model, operator)]


def weights_of(model: Any, operator: Any) -> Any:
    """Return the tensor of weights of ``operator``."""
    return model.subgraphs[0].tensors[operator.inputs[places(model, operator).weights]]


def sources(model: Any, operator: Any) -> list[int]:
    """List the indices of the activation tensors that ``operator`` reads: neither weights nor shapes."""
    name = operator_name(model, operator)
    first = WEIGHTED[name].read if name in WEIGHTED else 0
    return [int(index) for index in (operator.inputs if name in _MANY else operator.inputs[first:first + 1])]


def with_input(model: Any, operator: Any, index: int) -> None:
    """Let ``operator``, one with weights, read the tensor ``index``."""
    given = [int(one) for one in operator.inputs]
    given[places(model, operator).read] = index
    operator.inputs = np.array(given, np.int32)


def copy_tensor(model: Any, index: int, name: bytes) -> int:
    """Add a copy of the tensor ``index``, named ``name``; return its index."""
    tensors = model.subgraphs[0].tensors
    tensors.append(copy.copy(tensors[index]))
    tensors[-1].name = name
    return len(tensors) - 1


def recode_constant(model: Any, index: int, made: int) -> bool:
    """Give tensor ``made``, int8 or int16, the values of the constant int8 tensor ``index`` in its own type and grid.

    Returns False, and does nothing, if ``index`` is no constant.
    """
    source, target = (model.subgraphs[0].tensors[one] for one in (index, made))
    if model.buffers[source.buffer].data is None:
        return False
    (given, zero), (scale, new_zero) = ((float(one.quantization.scale[0]), int(one.quantization.zeroPoint[0]))
                                        for one in (source, target))
    dtype = np.int16 if target.type == schema().TensorType.INT16 else np.int8
    real = (constant(model, source, np.int8).astype(np.float64) - zero) * given
    codes = np.clip(np.rint(real / scale) + new_zero, np.iinfo(dtype).min, np.iinfo(dtype).max).astype(dtype)
    set_constant(model, target, codes, np.array([scale]))
    set_scale(target, np.array([scale]), np.array([new_zero]))
    return True


def new_operator(model: Any, kind: str, version: int, inputs: Sequence[int], output: int) -> Any:
    """Make an operator, to be put into the graph; ``kind``: Quantize, Concatenation, ..., as its options are called."""
    operator = schema().OperatorT()
    operator.opcodeIndex = operator_code(model, kind.upper(), version)
    operator.inputs, operator.outputs = np.array(inputs, np.int32), np.array([output], np.int32)
    operator.builtinOptionsType = getattr(schema().BuiltinOptions, f"{kind}Options")
    operator.builtinOptions = getattr(schema(), f"{kind}OptionsT")()
    return operator


def unit_classes(model: Any) -> dict[int, int]:
    """Group the activation tensors that must share a unit: by tensor index, one member of its group."""
    parent: dict[int, int] = {}

    def find(tensor: int) -> int:
        while parent.setdefault(tensor, tensor) != tensor:
            tensor = parent[tensor]
        return tensor

    for operator in model.subgraphs[0].operators:
        target, read = find(int(operator.outputs[0])), [find(tensor) for tensor in sources(model, operator)]
        if operator_name(model, operator) in TYING:
            parent.update(dict.fromkeys(read, target))
    return {tensor: find(tensor) for tensor in parent}


def relabel(model: Any, cuts: Mapping[int, float], changes: Sequence[Any] = ()) -> dict[str, float]:
    """Write each class of tensors in the unit in which its RELU6 cut at the real values ``cuts``, by tensor index.

    All cuts of a class are equal. ``changes``: the operators of :func:`tinyfuse.quantize.unit_changes.change_units`.
    Returns by layer the factor on its weight scales.
    """
    graph, roots = model.subgraphs[0], unit_classes(model)
    factors = {roots[tensor]: CUT / cut for tensor, cut in cuts.items()}
    unit = {tensor: factors.get(root, 1.0) for tensor, root in roots.items()}
    for operator in changes:
        read, one = map(int, operator.inputs)
        unit[one] = unit[int(operator.outputs[0])] / unit[read]
    for tensor, factor in unit.items():
        _scale(graph.tensors[tensor], factor)
    found = {}
    for operator in graph.operators:
        if operator_name(model, operator) in WEIGHTED:
            at, given, made = places(model, operator), operator.inputs.tolist(), int(operator.outputs[0])
            read, weights, bias = given[at.read], given[at.weights], given[at.bias]
            factor = found[layer_of(graph.tensors[weights])] = unit[made] / unit[read]
            _scale(graph.tensors[weights], factor)
            _scale(graph.tensors[bias], unit[made])
    return found


def real_tensors(model: Any) -> list[int]:
    """List the tensors that keep their real unit: inputs, outputs, and those of products and curves."""
    graph = model.subgraphs[0]
    found = [*map(int, graph.inputs), *map(int, graph.outputs)]
    for operator in graph.operators:
        if operator_name(model, operator) in REAL:
            found += [*sources(model, operator), int(operator.outputs[0])]
    return list(dict.fromkeys(found))


def layer_of(weights: Any) -> str:
    """Read the name of a layer off that of its tensor of ``weights``."""
    return str(weights.name.decode().removesuffix("/weights"))


def in_unit(scale: np.ndarray, factor: float) -> np.ndarray:
    """Convert a float32 ``scale`` to another unit: ``factor`` is what one of the old unit is in the new one."""
    return (np.asarray(scale, np.float64) * factor).astype(np.float32)


def _scale(tensor: Any, factor: float) -> None:
    given = tensor.quantization
    if factor != 1.0:
        set_scale(tensor, in_unit(given.scale, factor), np.asarray(given.zeroPoint))
        tensor.quantization.quantizedDimension = given.quantizedDimension
