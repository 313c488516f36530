"""From an integer model to the program that is emitted for it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tinyfuse.core.errors import UsageError
from tinyfuse.firmware.c_names import check_identifier, member_names
from tinyfuse.firmware.channels.removal import without_constants
from tinyfuse.firmware.operators import Layer, layers_of
from tinyfuse.firmware.operators.base import Weighted
from tinyfuse.firmware.plan import Plan, check_buffers, plan
from tinyfuse.firmware.toolchain import OPTIMIZE
from tinyfuse.firmware.two_cores import Schedule, on_two_cores
from tinyfuse.integer.class_values import half_of
from tinyfuse.integer.model import IntegerModel
from tinyfuse.integer.twin import Twin
from tinyfuse.integer.undouble import undoubled

_CTYPES = {"bool": "int8_t"}
"""C types of ports that are not called as in Python: a truth value is one byte."""
CORES = (1, 2)
"""How many cores of one chip may share the work."""


@dataclass(frozen=True, eq=False)
class Member:
    """An input or output as the interface shows it: ``size`` codes of C type ``ctype``; ``name`` is a C identifier.

    ``limits``: the first and the last code. ``edge``: what the ``.tflite`` itself takes or gives in their place, such
    as float32.
    """

    name: str
    tensor: int
    size: int
    scale: float
    zero_point: int
    ctype: str
    limits: tuple[int, int]
    edge: str

    @property
    def dtype(self) -> np.dtype[Any]:
        """The type of its codes."""
        return np.dtype(self.ctype.removesuffix("_t"))

    @property
    def bytes(self) -> int:
        """Memory that its codes take."""
        return self.size * self.dtype.itemsize


@dataclass(frozen=True, eq=False)
class Program:
    """All that is emitted: ``name`` is a C identifier, ``layers`` those of the plan in the order of the graph.

    ``optimize``: what it is planned for, one of toolchain.OPTIMIZE. ``left``: the channels that are computed, of the
    tensors that have others in the model. ``half``: the output code of one half where one sigmoid names two classes.
    ``schedule``: which core does which step of the plan, None for one core.
    """

    name: str
    plan: Plan
    layers: Sequence[Layer] = field(repr=False)
    inputs: Sequence[Member]
    outputs: Sequence[Member]
    optimize: str
    left: Mapping[int, np.ndarray] = field(repr=False)
    half: int | None = None
    schedule: Schedule | None = None

    @property
    def output(self) -> Member:
        """The output whose largest code is the class: the first."""
        return self.outputs[0]

    @property
    def weighted(self) -> list[Weighted]:
        """The layers that have weights."""
        return [layer for layer in self.layers if isinstance(layer, Weighted)]

    @property
    def interface(self) -> dict[str, Any]:
        """What the harness needs to know."""
        inputs, outputs = ([{"name": port.name, "size": port.size} for port in ports]
                           for ports in (self.inputs, self.outputs))
        return {"name": self.name, "inputs": inputs, "outputs": outputs, "layers": len(self.layers),
                "optimize": self.optimize}


def program_of(model: IntegerModel, name: str, optimize: str = "ram", *, keep_constant: bool = False,
               cores: int = 1) -> Program:
    """Plan ``model`` for the firmware; ``name`` becomes the prefix of every symbol.

    Channels that are constant or reach no output are removed, unless ``keep_constant``. ``cores`` of one chip share
    the work: 1 or 2.

    Raises UsageError for no C identifier, an unknown ``optimize`` or a network that two ``cores`` cannot share,
    ModelError for an operator or type that the firmware lacks.
    """
    check_identifier(name)
    if optimize not in OPTIMIZE:
        raise UsageError(f"optimize '{optimize}'; allowed: {', '.join(OPTIMIZE)}")
    if cores not in CORES:
        raise UsageError(f"{cores} cores; allowed: {', '.join(map(str, CORES))}")
    whole = Twin(undoubled(model.graph))
    tries = [(whole, {})] if keep_constant else [without_constants(whole)]
    if optimize == "ram" and tries[0][1]:
        tries.append(without_constants(whole, in_place=True))
    planned = [_planned(twin, optimize, cores) for twin, _ in tries]
    best = min(range(len(tries)), key=lambda one: planned[one][1].arena_bytes)
    graph, left = tries[best][0].graph, tries[best][1]
    layers, found, schedule = planned[best]
    check_buffers(found.buffers.values())
    ports = (*model.inputs, *model.outputs)
    places = (*graph.inputs, *graph.outputs)
    members = [Member(name, index, int(np.prod(port.shape)), port.scale, port.zero_point,
                      _CTYPES.get(port.dtype, f"{port.dtype}_t"), (port.grid.low, port.grid.high),
                      model.edges[port.name].dtype if port.name in model.edges else port.dtype)
               for name, index, port in zip(member_names(port.name for port in ports), places, ports, strict=True)]
    count = len(model.inputs)
    return Program(name, found, layers, members[:count], members[count:], optimize, left, half_of(model.graph),
                   schedule)


def _planned(twin: Twin, optimize: str, cores: int) -> tuple[list[Layer], Plan, Schedule | None]:
    graph, layers = twin.graph, layers_of(twin)
    sizes = {tensor.index: int(np.prod(tensor.shape)) * tensor.dtype.itemsize for tensor in graph.tensors}
    found = plan(layers, graph.inputs, graph.outputs, sizes, optimize)
    if cores == 1:
        return layers, found, None
    names = {index: graph.tensors[index].name for index in graph.inputs}
    return layers, *on_two_cores(found, names, graph.outputs, sizes)
