"""The edges of a graph: float32 and uint8 inputs and outputs, which a converter puts around the integers.

QUANTIZE and DEQUANTIZE at the edges say what a code stands for and compute nothing else, so the integer core behind
them is the model, and an edge is a scale and a zero point. An ARG_MAX at the end names the class: the core's output is
what it looks at, for the place of the largest code is found from that.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from tinyfuse.tflite.graph import Graph, Operator, Tensor

ARG_MAX = "ARG_MAX"
_AT_THE_END = ("QUANTIZE", "DEQUANTIZE", "CAST", ARG_MAX)
UINT8_OFFSET = 128
"""A uint8 code minus the int8 code of the same value."""


@dataclass(frozen=True)
class Edge:
    """What the file itself takes or gives in the place of codes: float32, or uint8 with this zero point.

    ``dtype`` int32 or int64: the place of the largest code.
    """

    dtype: str
    scale: float
    zero_point: int


@dataclass(frozen=True)
class Stripped:
    """A graph without edges; ``edges`` by tensor of the graph, ``removed`` operators by their place in the file.

    ``same``: tensors that hold the codes of another one, which is read in their place.
    """

    graph: Graph
    edges: Mapping[int, Edge]
    removed: frozenset[int]
    same: Mapping[int, int]


def stripped(graph: Graph) -> Stripped:
    """Take QUANTIZE and DEQUANTIZE off the inputs and outputs of ``graph`` where the rest computes the same codes."""
    found = _Edges(graph)
    inputs = [found.behind(index) for index in graph.inputs]
    outputs: list[int] = []
    for index in graph.outputs:
        outputs.append(found.before(index, {*inputs, *outputs}))
    operators = [operator for operator in graph.operators if operator not in found.removed]
    operators = [replace(operator, inputs=tuple(found.same.get(index, index) for index in operator.inputs))
                 for operator in operators]
    core = replace(graph, operators=tuple(operators), inputs=tuple(inputs), outputs=tuple(outputs))
    return Stripped(core, found.edges, frozenset(operator.index for operator in found.removed), found.same)


class _Edges:
    def __init__(self, graph: Graph) -> None:
        self.graph, self.edges, self.same = graph, dict[int, Edge](), dict[int, int]()
        self.removed: list[Operator] = []
        self.makers = {operator.outputs[0]: operator for operator in graph.operators}

    def readers(self, index: int) -> list[Operator]:
        return [operator for operator in self.graph.operators if index in operator.inputs]

    def behind(self, index: int) -> int:
        """The tensor of codes that the input ``index`` becomes at once; itself where there is none."""
        source, readers = self.graph.tensors[index], self.readers(index)
        codes = [self.graph.tensors[operator.outputs[0]] for operator in readers]
        if not readers or index in self.graph.outputs or any(
                operator.name != "QUANTIZE" or not _same_numbers(source, target) or not _one_grid(codes[0], target) or
                target.index in self.graph.outputs for operator, target in zip(readers, codes, strict=True)):
            return index
        self.removed += readers
        self.same.update({target.index: codes[0].index for target in codes[1:]})
        self.edges[codes[0].index] = _edge(source, codes[0])
        return codes[0].index

    def before(self, index: int, taken: set[int]) -> int:
        """The tensor of codes that becomes the output ``index`` at the very end; itself where there is none."""
        target, maker = self.graph.tensors[index], self.makers.get(index)
        if maker is None or maker.name not in _AT_THE_END or maker in self.removed or self.readers(index):
            return index
        source = self.graph.tensors[maker.inputs[0]]
        says_it_all = (self.names_class(maker, source) if maker.name == ARG_MAX else
                       _is_number(target, source) if maker.name == "CAST" else _same_numbers(target, source))
        if source.index in taken or source.index not in self.makers or not says_it_all:
            return index
        self.removed.append(maker)
        self.edges[source.index] = _edge(target, source)
        return source.index


    def names_class(self, operator: Operator, source: Tensor) -> bool:
        """Whether an ARG_MAX names one class for each sample: the place among all codes of ``source``."""
        axis = self.graph.tensors[operator.inputs[1]].data
        classes = source.shape[-1:]
        return (axis is not None and axis.size == 1 and int(axis.ravel()[0]) in (-1, len(source.shape) - 1) and
                len(source.shape) > 1 and int(np.prod(source.shape[1:])) == int(np.prod(classes)) and
                source.dtype == np.int8 and len(source.scale) == 1)


def _same_numbers(edge: Tensor, codes: Tensor) -> bool:
    """Whether each code of ``codes`` is a value of ``edge`` that stands for the same number."""
    if codes.dtype not in (np.int8, np.int16) or len(codes.scale) != 1 or len(codes.zero_point) != 1:
        return False
    if edge.dtype == np.float32:
        return True
    return (edge.dtype == np.uint8 and codes.dtype == np.int8 and np.array_equal(edge.scale, codes.scale) and
            len(edge.zero_point) == 1 and edge.zero == codes.zero + UINT8_OFFSET)


def _is_number(edge: Tensor, codes: Tensor) -> bool:
    """Whether float32 values of ``edge`` are what ``codes`` stand for: truth values, or numbers of scale 1."""
    return edge.dtype == np.float32 and (codes.dtype == np.bool_ or (
        codes.dtype in (np.int8, np.int16) and len(codes.scale) == 1 and codes.unit == 1.0 and codes.zero == 0))


def _one_grid(first: Tensor, other: Tensor) -> bool:
    return first.dtype == other.dtype and first.has_grid_of(other)


def _edge(edge: Tensor, codes: Tensor) -> Edge:
    if codes.dtype == np.bool_:
        return Edge(edge.dtype.name, 1.0, 0)
    return Edge(edge.dtype.name, codes.unit, codes.zero + (UINT8_OFFSET if edge.dtype == np.uint8 else 0))
