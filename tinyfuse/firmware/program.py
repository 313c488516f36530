"""From an integer model to the program that is emitted for it."""

from __future__ import annotations

import numpy as np

from tinyfuse.core.errors import UsageError
from tinyfuse.firmware.emit import Port, Program
from tinyfuse.firmware.interface import check_identifier, member_names
from tinyfuse.firmware.operators import layers_of
from tinyfuse.firmware.plan import OPTIMIZE, check, plan
from tinyfuse.integer.interpreters import IntegerModel
from tinyfuse.integer.twin import Twin
from tinyfuse.integer.undouble import fold_doubled
from tinyfuse.tflite.graph import Graph


def program_of(model: IntegerModel, name: str, optimize: str = "ram") -> Program:
    """Plan ``model`` for the firmware; ``name`` becomes the prefix of every symbol.

    Raises:
        UsageError: ``name`` is no C identifier, or an unknown ``optimize``.
        ModelError: an operator or type that the firmware lacks, or sums that could leave 32 bits.
    """
    check_identifier(name)
    if optimize not in OPTIMIZE:
        raise UsageError(f"optimize '{optimize}'; allowed: {', '.join(OPTIMIZE)}")
    graph = fold_doubled(model.graph)
    layers = layers_of(Twin(graph))
    sizes = {tensor.index: int(np.prod(tensor.shape)) * tensor.dtype.itemsize for tensor in graph.tensors}
    found = check(plan(layers, graph.inputs, graph.outputs, sizes, optimize))
    names = member_names(graph.tensors[index].name for index in (*graph.inputs, graph.outputs[0]))
    ports = [_port(graph, index, name) for index, name in zip((*graph.inputs, graph.outputs[0]), names, strict=True)]
    return Program(name, found, layers, ports[:-1], ports[-1], small=optimize == "size")


def _port(graph: Graph, index: int, name: str) -> Port:
    tensor = graph.tensors[index]
    return Port(name, index, int(np.prod(tensor.shape)), float(tensor.scale[0]), int(tensor.zero_point[0]),
                f"{tensor.dtype.name}_t")
