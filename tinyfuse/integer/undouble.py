"""Undoing the doubling of 9-bit weights: a stock ``.tflite`` writes the sum of w·x with w = u + v as [u, v] on [x, x].

Integer sums do not depend on their order, so the undoubled graph computes the same codes with half the products.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from tinyfuse.tflite.graph import Graph, Operator, Tensor

UNDOUBLED = "undoubled"
"""An option that no file can hold: the weights of this operator are sums of int8, held as int16."""
_CHANNELS_LAST = {"CONV_2D": 3, "FULLY_CONNECTED": 1}


def undoubled(graph: Graph) -> Graph:
    """Return ``graph`` without the CONCATENATIONs of a tensor with itself that only CONV_2D and FULLY_CONNECTED read.

    These read the tensor itself, with int16 weights u + v and the option UNDOUBLED. Tensors keep their indices.
    """
    twice = {operator.outputs[0]: operator.inputs[0] for operator in graph.operators if _doubles(operator, graph)}
    users: dict[int, list[Operator]] = {}
    for operator in graph.operators:
        for index in operator.inputs:
            users.setdefault(index, []).append(operator)
    twice = {made: source for made, source in twice.items() if made not in graph.outputs and
             all(_can_undouble(operator, graph, made, users) for operator in users.get(made, []))}
    tensors, operators = list(graph.tensors), []
    for operator in graph.operators:
        if operator.outputs[0] in twice:
            continue
        if operator.inputs[0] in twice:
            weights = operator.inputs[1]
            tensors[weights] = _sum(graph.tensors[weights])
            operator = replace(operator, inputs=(twice[operator.inputs[0]], *operator.inputs[1:]),
                               options={**operator.options, UNDOUBLED: True})
        operators.append(operator)
    return replace(graph, tensors=tuple(tensors), operators=tuple(operators))


def weight_type(operator: Operator) -> np.dtype[np.integer]:
    """Return the type that the weights of ``operator`` must have."""
    return np.dtype(np.int16 if operator.options.get(UNDOUBLED) else np.int8)


def _doubles(operator: Operator, graph: Graph) -> bool:
    """Whether ``operator`` puts a tensor beside itself, along the last axis and with unchanged codes."""
    if operator.name != "CONCATENATION" or len(operator.inputs) != 2 or len(set(operator.inputs)) != 1:
        return False
    source, made = graph.tensors[operator.inputs[0]], graph.tensors[operator.outputs[0]]
    return (source.data is None and made.shape == (*source.shape[:-1], 2 * source.shape[-1]) and
            operator.options.get("fused_activation_function") in (None, "NONE") and source.has_grid_of(made))


def _can_undouble(operator: Operator, graph: Graph, made: int, users: dict[int, list[Operator]]) -> bool:
    """Whether ``operator`` reads the doubled tensor ``made`` with weights of its own that can be added up."""
    if operator.name not in _CHANNELS_LAST or operator.inputs[0] != made or made in operator.inputs[1:]:
        return False
    weights = graph.tensors[operator.inputs[1]]
    return (weights.data is not None and weights.dtype == np.int8 and not weights.zero_point.any() and
            len(weights.shape) == _CHANNELS_LAST[operator.name] + 1 and len(users[operator.inputs[1]]) == 1 and
            weights.shape[-1] == graph.tensors[made].shape[-1])


def _sum(weights: Tensor) -> Tensor:
    assert weights.data is not None
    half = weights.shape[-1] // 2
    added = weights.data[..., :half].astype(np.int16) + weights.data[..., half:]
    added.setflags(write=False)
    return replace(weights, shape=(*weights.shape[:-1], half), dtype=added.dtype, data=added)
