"""From an integer model to the program that is emitted for it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tinyfuse.core.errors import UsageError
from tinyfuse.firmware.c_text import check_identifier, member_names
from tinyfuse.firmware.operators import Layer, layers_of
from tinyfuse.firmware.operators.base import Weighted
from tinyfuse.firmware.plan import Plan, check_buffers, plan
from tinyfuse.firmware.toolchain import OPTIMIZE
from tinyfuse.integer.model import IntegerModel
from tinyfuse.integer.twin import Twin
from tinyfuse.integer.undouble import undoubled
from tinyfuse.tflite.graph import Graph


@dataclass(frozen=True, eq=False)
class Member:
    """An input or output as the interface shows it: ``size`` codes of C type ``ctype``; ``name`` is a C identifier."""

    name: str
    tensor: int
    size: int
    scale: float
    zero_point: int
    ctype: str


@dataclass(frozen=True, eq=False)
class Program:
    """All that is emitted: ``name`` is a C identifier, ``layers`` those of the plan in the order of the graph.

    ``optimize``: what it is planned for, one of toolchain.OPTIMIZE.
    """

    name: str
    plan: Plan
    layers: Sequence[Layer] = field(repr=False)
    inputs: Sequence[Member]
    output: Member
    optimize: str

    @property
    def weighted(self) -> list[Weighted]:
        """The layers that have weights."""
        return [layer for layer in self.layers if isinstance(layer, Weighted)]

    @property
    def interface(self) -> dict[str, Any]:
        """What the harness needs to know."""
        *inputs, output = [{"name": port.name, "size": port.size} for port in (*self.inputs, self.output)]
        return {"name": self.name, "inputs": inputs, "output": output, "layers": len(self.layers),
                "optimize": self.optimize}


def program_of(model: IntegerModel, name: str, optimize: str = "ram") -> Program:
    """Plan ``model`` for the firmware; ``name`` becomes the prefix of every symbol.

    Raises UsageError for no C identifier or an unknown ``optimize``, ModelError for an operator or type that the
    firmware lacks, or sums that could leave 32 bits.
    """
    check_identifier(name)
    if optimize not in OPTIMIZE:
        raise UsageError(f"optimize '{optimize}'; allowed: {', '.join(OPTIMIZE)}")
    graph = undoubled(model.graph)
    layers = layers_of(Twin(graph))
    sizes = {tensor.index: int(np.prod(tensor.shape)) * tensor.dtype.itemsize for tensor in graph.tensors}
    found = plan(layers, graph.inputs, graph.outputs, sizes, optimize)
    check_buffers(found.buffers.values())
    shown = (*graph.inputs, graph.outputs[0])
    names = member_names(graph.tensors[index].name for index in shown)
    members = [_member(graph, index, name) for index, name in zip(shown, names, strict=True)]
    return Program(name, found, layers, members[:-1], members[-1], optimize)


def _member(graph: Graph, index: int, name: str) -> Member:
    tensor = graph.tensors[index]
    return Member(name, index, int(np.prod(tensor.shape)), float(tensor.scale[0]), int(tensor.zero_point[0]),
                f"{tensor.dtype.name}_t")
