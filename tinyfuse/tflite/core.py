"""The integer core of a ``.tflite``: what computes codes from codes, sample by sample, between ports with names."""

from __future__ import annotations

import struct
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from tinyfuse.core.errors import ModelError, UsageError, nearest
from tinyfuse.tflite import flatbuffer
from tinyfuse.tflite.batch import Shapes, sample_shapes, with_shapes
from tinyfuse.tflite.edges import Edge, Stripped, stripped
from tinyfuse.tflite.editing import add_integers, operator_code
from tinyfuse.tflite.filter_state import expose_filters, hide_filters
from tinyfuse.tflite.four_bits import unpack_weights
from tinyfuse.tflite.graph import Graph
from tinyfuse.tflite.names import port_names
from tinyfuse.tflite.reading import check_operators, indices, simplified, typed_graph
from tinyfuse.tflite.reduced_batch import leave_batch
from tinyfuse.tflite.soundness import check_sound
from tinyfuse.tflite.space_to_batch import join_batches
from tinyfuse.tflite.variables import expose_state

_AS_RESHAPE = ("EXPAND_DIMS", "SQUEEZE")
"""Operators that count axes, which a new axis would shift."""
_CALLING = ("CALL_ONCE", "IF", "WHILE")
"""Operators that run another subgraph."""
_SHAPE_INPUT = {"RESHAPE": 1, "TRANSPOSE_CONV": 0}
"""Operators that read the shape of their output from an input."""


@dataclass(frozen=True)
class Core:
    """``graph`` and ``data``, a ``.tflite`` of the same tensors by index, compute the same; those of the file itself
    where nothing had to change. ``edges``: by name, how the file shows an input or output that is no integer there.

    ``file_inputs``: type and shape of each input of the file; ``file_operators``: names of its operators.
    """

    graph: Graph = field(repr=False)
    data: bytes = field(repr=False)
    edges: Mapping[str, Edge]
    file_inputs: tuple[tuple[str, tuple[int, ...]], ...]
    file_operators: tuple[str, ...]


def read_core(data: bytes, name: str, supported: Collection[str], output: str | None = None) -> Core:
    """Read the integer core of a ``.tflite`` from anywhere; ``name`` is used in errors.

    The graph is as :func:`tinyfuse.tflite.reading.read_graph` promises; its inputs and outputs have the names of the
    file's signature first (:mod:`tinyfuse.tflite.names`). ``output`` becomes the first of several.

    Raises :class:`ModelError`, in one line, for a damaged file or a model that tinyfuse cannot run, and
    :class:`UsageError` if it has no such ``output``.
    """
    model = flatbuffer.read(data, name)
    try:
        own = len(model.subgraphs[0].inputs if model.subgraphs[0].inputs is not None else ())
        unpacked = unpack_weights(model)
        variables = expose_state(model)
        memories = expose_filters(model)
        joined = join_batches(model)
        check_operators(model, supported)
        reduced = leave_batch(model)
        read = typed_graph(model, name)
        whole = simplified(read)
        found = stripped(whole)
        shapes = sample_shapes(found.graph)
        graph = with_shapes(found.graph, shapes)
        check_sound(graph)
        names = (port_names(model, whole.inputs, "input"), port_names(model, whole.outputs, "output"))
        graph = _named(graph, names)
    except ModelError as error:
        raise ModelError(f"{name}: {error}") from error
    chosen = _chosen(graph, output)
    edges = {graph.tensors[index].name: edge for index, edge in found.edges.items()}
    changed = (_with_axes_inside(model) or unpacked or variables or memories or joined or reduced or found.removed or
               shapes or chosen.outputs != graph.outputs or len(model.subgraphs) > 1)
    return Core(chosen, _written(model, replace(found, graph=chosen), shapes, memories) if changed else data, edges,
                tuple((whole.tensors[index].dtype.name, whole.tensors[index].shape) for index in whole.inputs[:own]),
                (*variables, *(operator.name for operator in read.operators)))


def _with_axes_inside(model: Any) -> bool:
    """Whether a tensor had scales along an axis it lacks, which LiteRT refuses and no kernel reads; it is 0 now."""
    wrong = [tensor.quantization for tensor in model.subgraphs[0].tensors if tensor.quantization is not None and
             tensor.quantization.quantizedDimension not in range(max(1, len(indices(tensor.shape))))]
    for quantization in wrong:
        quantization.quantizedDimension = 0
    return bool(wrong)


def _named(graph: Graph, names: tuple[Sequence[str], Sequence[str]]) -> Graph:
    by_tensor = dict(zip((*graph.inputs, *graph.outputs), (*names[0], *names[1]), strict=True))
    return replace(graph, tensors=tuple(replace(tensor, name=by_tensor[place]) if place in by_tensor else tensor
                                        for place, tensor in enumerate(graph.tensors)))


def _chosen(graph: Graph, output: str | None) -> Graph:
    """``graph`` with its output called ``output`` before the others."""
    if output is None:
        return graph
    by_name = {graph.tensors[index].name: index for index in graph.outputs}
    if output not in by_name:
        raise UsageError(f"{graph.name} has no output '{output}'{nearest(output, by_name)}; it has "
                         f"{', '.join(by_name)}")
    first = by_name[output]
    return replace(graph, outputs=(first, *(index for index in graph.outputs if index != first)))


def _written(model: Any, found: Stripped, shapes: Shapes, memories: dict[int, int]) -> bytes:
    """The ``.tflite`` of ``found``, made of the object tree that the file was read into."""
    raw, graph = model.subgraphs[0], found.graph
    _reshape(model, shapes)
    raw.operators = [operator for place, operator in enumerate(raw.operators) if place not in found.removed]
    for operator in raw.operators:
        operator.inputs = np.array([found.same.get(int(index), int(index)) for index in
                                    (() if operator.inputs is None else operator.inputs)], np.int32)
    raw.inputs = np.array(graph.inputs, np.int32)
    raw.outputs = np.array(hide_filters(model, graph.outputs, memories), np.int32)
    model.signatureDefs = None  # of tensors that are gone
    if not any(flatbuffer.operator_name(model, operator) in _CALLING for operator in raw.operators):
        model.subgraphs = [raw]
    try:
        return flatbuffer.write(model)
    except (TypeError, ValueError, AttributeError, struct.error) as error:
        raise ModelError(f"{graph.name}: its integer core cannot be written ({error}); convert the model with int8 "
                         "inputs and outputs and batch size 1") from error


def _reshape(model: Any, shapes: Shapes) -> None:
    """Give the tensors of the first subgraph their new ``shapes``, and operators that were told the old ones."""
    raw = model.subgraphs[0]
    for operator in raw.operators:
        name, output = flatbuffer.operator_name(model, operator), int(operator.outputs[0])
        if name in _AS_RESHAPE and {int(operator.inputs[0]), output} & shapes.keys():
            reshape = operator_code(model, "RESHAPE", 1)
            known = raw.tensors[output].shape  # None: a file that gives none
            new = add_integers(model, shapes.get(output, () if known is None else tuple(known)))
            operator.opcodeIndex, operator.inputs = reshape, np.array([operator.inputs[0], new], np.int32)
            operator.builtinOptions, operator.builtinOptionsType = None, 0
        elif name == "SLICE" and output in shapes:
            _tell_shape(model, operator, 2, shapes[output])
        elif name in _SHAPE_INPUT and output in shapes:
            _tell_shape(model, operator, _SHAPE_INPUT[name], shapes[output])
    for index, shape in shapes.items():
        raw.tensors[index].shape, raw.tensors[index].shapeSignature = np.array(shape, np.int32), None


def _tell_shape(model: Any, operator: Any, place: int, shape: Sequence[int]) -> None:
    """Replace a constant input, or the option, that says the shape of the output."""
    if getattr(operator.builtinOptions, "newShape", None) is not None:
        operator.builtinOptions.newShape = np.array(shape, np.int32)
    if place < len(operator.inputs) and operator.inputs[place] >= 0:
        data = model.buffers[model.subgraphs[0].tensors[operator.inputs[place]].buffer].data
        if data is not None and len(data):
            new = add_integers(model, shape)
            operator.inputs = np.array([*operator.inputs[:place], new, *operator.inputs[place + 1:]], np.int32)
