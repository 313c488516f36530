"""Changes of unit: between tensors that keep their real unit and activations that are cut in theirs.

Where an input, an output or a factor of MUL is in the unit class of a clamp, through a sum or a concatenation, MUL by a
constant stands between them. The constant's code is 1 and its scale the quotient of both units: no code changes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from tinyfuse.core.errors import ConversionError
from tinyfuse.quantize.tensor_units import REAL, TYING, copy_tensor, new_operator, real_tensors, sources, unit_classes
from tinyfuse.tflite.editing import set_constant
from tinyfuse.tflite.flatbuffer import operator_name, schema

_VERSIONS = {False: 3, True: 4}  # of MUL: for int8 with any ratio of scales, and for int16


def change_units(model: Any, cuts: Mapping[int, float]) -> list[Any]:
    """Put a MUL wherever a tensor that keeps its unit is in the class of a clamp; return the new operators.

    ``cuts``: by tensor index, as for :func:`tinyfuse.quantize.tensor_units.relabel`, which sets the constants' scales.
    """
    graph, roots = model.subgraphs[0], unit_classes(model)
    clamped, made = {roots[tensor] for tensor in cuts}, list[Any]()
    makers = {int(operator.outputs[0]): operator for operator in graph.operators}
    for index in real_tensors(model):
        if roots[index] not in clamped:
            continue
        maker = makers.get(index)
        _check_output(model, index)
        new = copy_tensor(model, index, graph.tensors[index].name + b"/unit")
        if maker is None or operator_name(model, maker) in REAL:
            _read_instead(model, index, new, TYING)
        else:
            _read_instead(model, index, new, REAL)
            _replace_output(model, index, new)
        if model.buffers[graph.tensors[index].buffer].data is None:  # a constant is simply there twice
            made.append(_multiplication(model, index, new))
            place = 0 if maker is None else list(map(id, graph.operators)).index(id(maker)) + 1
            graph.operators = [*graph.operators[:place], made[-1], *graph.operators[place:]]
    return made


def _check_output(model: Any, index: int) -> None:
    graph = model.subgraphs[0]
    if index in map(int, graph.outputs) and graph.tensors[index].type == schema().TensorType.INT16:
        raise ConversionError(f"'{graph.tensors[index].name.decode()}', an output of the network, would have 9 bits; "
                              "give the layers that make it 8 activation bits or fewer, by a rule in a recipe file")


def _read_instead(model: Any, index: int, new: int, kinds: tuple[str, ...]) -> None:
    """Let the operators of these ``kinds`` read ``new`` in place of ``index``."""
    for operator in model.subgraphs[0].operators:
        if operator_name(model, operator) in kinds and index in sources(model, operator):
            operator.inputs = np.where(np.asarray(operator.inputs) == index, new, operator.inputs).astype(np.int32)


def _replace_output(model: Any, index: int, new: int) -> None:
    graph = model.subgraphs[0]
    if index not in map(int, graph.outputs):
        return
    graph.tensors[index].name, graph.tensors[new].name = graph.tensors[new].name, graph.tensors[index].name
    graph.outputs = np.where(np.asarray(graph.outputs) == index, new, graph.outputs).astype(np.int32)
    for signature in model.signatureDefs or []:
        for entry in signature.outputs:
            entry.tensorIndex = new if int(entry.tensorIndex) == index else entry.tensorIndex


def _multiplication(model: Any, index: int, new: int) -> Any:
    """Make MUL of ``index`` by a constant of code 1 to ``new``."""
    graph = model.subgraphs[0]
    wide = graph.tensors[index].type == schema().TensorType.INT16
    one = copy_tensor(model, index, graph.tensors[index].name + b"/unit_change")
    set_constant(model, graph.tensors[one], np.ones(1, np.int16 if wide else np.int8), np.ones(1))
    return new_operator(model, "Mul", _VERSIONS[wide], [index, one], new)
