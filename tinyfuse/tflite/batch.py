"""Graphs whose first axis is not 1: a batch of B samples becomes one sample, a tensor without a batch gets one.

Executors feed samples one by one. Shapes change, no code does.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

from tinyfuse.tflite.graph import Graph, Operator, Tensor

Shapes = Mapping[int, tuple[int, ...]]
MAX_RANK = 6  # with the axis that is added
_POINTWISE = frozenset({
    "ABS", "ADD", "CAST", "DEQUANTIZE", "DIV", "ELU", "FULLY_CONNECTED", "HARD_SWISH", "LEAKY_RELU", "LOGISTIC",
    "LOG_SOFTMAX", "L2_NORMALIZATION", "MAXIMUM", "MINIMUM", "MUL", "QUANTIZE", "RELU", "RELU6", "RESHAPE", "RSQRT",
    "SOFTMAX", "SQUARED_DIFFERENCE", "SUB", "TANH"})
"""Operators that compute the same with an axis of size 1 before all others."""
_ALIKE = _POINTWISE | {"AVERAGE_POOL_2D", "CONV_2D", "DEPTHWISE_CONV_2D", "DEPTH_TO_SPACE", "EQUAL", "GREATER",
                       "GREATER_EQUAL", "LESS", "LESS_EQUAL", "LOGICAL_AND", "LOGICAL_NOT", "LOGICAL_OR", "MAX_POOL_2D",
                       "MIRROR_PAD", "NOT_EQUAL", "PAD", "PADV2", "PRELU", "RESIZE_BILINEAR", "RESIZE_NEAREST_NEIGHBOR",
                       "SELECT_V2", "SPACE_TO_DEPTH", "TRANSPOSE_CONV"}
"""Operators that compute each sample of a batch alike if their outputs hold as many as their inputs."""


def sample_shapes(graph: Graph) -> Shapes:
    """Find the new shapes, by tensor, with which ``graph`` computes one sample; empty where it already does.

    A batch is one where every computed tensor has the same first axis and every operator keeps samples apart. Else a
    tensor whose first axis is no batch gets one, if what makes and reads it does not count axes from the left.
    """
    computed = [graph.tensors[index] for index in graph.computed]
    other = [tensor for tensor in computed if tensor.shape[:1] != (1,)]
    batches = {tensor.shape[:1] for tensor in computed if len(tensor.shape) > 1}
    if other and len(batches) == 1 and all(len(tensor.shape) > 1 for tensor in computed) and all(
            _keeps_samples_apart(operator, graph) for operator in graph.operators):
        return {tensor.index: (1, *tensor.shape[1:]) for tensor in computed}
    touched: dict[int, list[Operator]] = {}
    for operator in graph.operators:
        for index in (*operator.inputs, *operator.outputs):
            touched.setdefault(index, []).append(operator)
    return {tensor.index: (1, *tensor.shape) for tensor in other if len(tensor.shape) < MAX_RANK and
            all(operator.name in _POINTWISE for operator in touched.get(tensor.index, []))}


def with_shapes(graph: Graph, shapes: Shapes) -> Graph:
    """Return ``graph`` whose tensors have the new ``shapes``."""
    return replace(graph, tensors=tuple(replace(tensor, shape=shapes[place]) if place in shapes else tensor
                                        for place, tensor in enumerate(graph.tensors)))


def _keeps_samples_apart(operator: Operator, graph: Graph) -> bool:
    if operator.name in _ALIKE:
        return True
    source = graph.tensors[operator.inputs[0]]
    return operator.name in _BY_AXIS and _BY_AXIS[operator.name](operator, graph, source)


def _numbers(operator: Operator, graph: Graph, place: int) -> list[int]:
    """The constant integers of an input; empty if it has none."""
    data = graph.tensors[operator.inputs[place]].data if place < len(operator.inputs) else None
    return [] if data is None else [int(value) for value in data.ravel()]


def _axis_is_inner(operator: Operator, graph: Graph, source: Tensor) -> bool:
    """A constant part would have to hold the same for every sample."""
    return (int(operator.options["axis"]) % len(source.shape) != 0 and
            all(graph.tensors[index].data is None for index in operator.inputs))


def _axes_are_inner(operator: Operator, graph: Graph, source: Tensor) -> bool:
    axes = _numbers(operator, graph, 1)
    return bool(axes) and all(axis % len(source.shape) for axis in axes)


def _all_computed(operator: Operator, graph: Graph, source: Tensor) -> bool:
    """A constant would have to hold the same for every sample."""
    return all(graph.tensors[index].data is None for index in operator.inputs)


def _matrices_are_inner(operator: Operator, graph: Graph, source: Tensor) -> bool:
    """Both operands have an axis before their matrices."""
    return all(len(graph.tensors[index].shape) > 2 or graph.tensors[index].data is not None
               for index in operator.inputs) and len(source.shape) > 2


def _first_axis_stays(operator: Operator, graph: Graph, source: Tensor) -> bool:
    return _numbers(operator, graph, 1)[:1] == [0]


def _first_axis_is_whole(operator: Operator, graph: Graph, source: Tensor) -> bool:
    """All samples that go in come out, in their order."""
    starts, stops, steps = (_numbers(operator, graph, place)[:1] for place in (1, 2, 3))
    masks = {key: int(operator.options[f"{key}_mask"]) & 1 for key in ("begin", "end", "shrink_axis")}
    if not starts or not stops or steps != [1] or masks["shrink_axis"]:
        return False
    kept = slice(None if masks["begin"] else starts[0], None if masks["end"] else stops[0])
    return kept.indices(source.shape[0]) == (0, source.shape[0], 1)


_BY_AXIS: Mapping[str, Callable[[Operator, Graph, Tensor], bool]] = {
    **dict.fromkeys(("MEAN", "SUM", "REDUCE_ALL", "REDUCE_MAX", "REDUCE_MIN", "ARG_MAX", "ARG_MIN", "CUMSUM",
                     "REVERSE_V2"), _axes_are_inner),
    "ADD_N": _all_computed, "BATCH_MATMUL": _matrices_are_inner, "CONCATENATION": _axis_is_inner,
    "PACK": _axis_is_inner, "TRANSPOSE": _first_axis_stays, "STRIDED_SLICE": _first_axis_is_whole}
