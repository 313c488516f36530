"""From an integer model to the program that is emitted for it."""

from __future__ import annotations

import re

import numpy as np

from tinyfuse.errors import UsageError
from tinyfuse.firmware.emit import Port, Program
from tinyfuse.firmware.layers import layers_of
from tinyfuse.firmware.plan import OPTIMIZE, check, plan
from tinyfuse.integer.fold import fold_doubled
from tinyfuse.integer.graph import Graph
from tinyfuse.integer.interpreters import IntegerModel
from tinyfuse.integer.twin import Twin

_IDENTIFIER = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,39}\Z")


def program_of(model: IntegerModel, name: str, optimize: str = "ram") -> Program:
    """Plan ``model`` for the firmware; ``name`` becomes the prefix of every symbol.

    Raises:
        UsageError: ``name`` is no C identifier, or an unknown ``optimize``.
        ModelError: an operator or type that the firmware lacks, or sums that could leave 32 bits.
    """
    if not _IDENTIFIER.match(name):
        raise UsageError(f"'{name}' is no name for C: give a letter, then letters, digits and _ (at most 40)")
    if optimize not in OPTIMIZE:
        raise UsageError(f"optimize '{optimize}'; allowed: {', '.join(OPTIMIZE)}")
    graph = fold_doubled(model.graph)
    layers = layers_of(Twin(graph))
    sizes = {tensor.index: int(np.prod(tensor.shape)) for tensor in graph.tensors}
    found = check(plan(layers, graph.inputs, graph.outputs, sizes, optimize))
    return Program(name, found, layers, [_port(graph, index, sizes) for index in graph.inputs],
                   _port(graph, graph.outputs[0], sizes), small=optimize == "size")


def _port(graph: Graph, index: int, sizes: dict[int, int]) -> Port:
    tensor = graph.tensors[index]
    identifier = re.sub(r"[^A-Za-z0-9_]", "_", tensor.name)
    return Port(identifier if identifier[0].isalpha() else f"in_{identifier}", index, sizes[index],
                float(tensor.scale[0]), int(tensor.zero_point[0]))
