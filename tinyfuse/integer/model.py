"""An integer model as it is deployed: a ``.tflite`` whose inputs and outputs are bound by name, never by position."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from tinyfuse.core.errors import InputsError, ModelError, UsageError, nearest
from tinyfuse.core.files import read_limited
from tinyfuse.data.samples import Batch
from tinyfuse.tflite.core import read_core
from tinyfuse.tflite.edges import Edge
from tinyfuse.tflite.graph import Graph
from tinyfuse.tflite.names import display
from tinyfuse.threats.code_grid import InputGrid

Codes = Mapping[str, np.ndarray]
"""Input name -> integer codes [n, ...]; all arrays have the same first dimension."""
Tick = Callable[[], None]
MAX_FILE_BYTES = 256 << 20


@dataclass(frozen=True)
class Port:
    """One input or output: codes of ``shape`` [1, ...]; real value = scale * (code - zero_point).

    Codes are int8 or int16; others are numbers (int32, of scale 1 where the file gives none) or truth values (bool).
    ``within``: the first and the last number, where others would reach beyond a table or out of C's arithmetic.
    """

    name: str
    shape: tuple[int, ...]
    scale: float
    zero_point: int
    dtype: str
    within: tuple[int, int] | None = None

    @property
    def grid(self) -> InputGrid:
        """The codes that the tensor can hold."""
        if self.dtype == "bool":
            return InputGrid(1.0, 0, 0, 1)
        if self.within is not None:
            return InputGrid(self.scale, self.zero_point, *self.within)
        limits = np.iinfo(self.dtype)
        return InputGrid(self.scale, self.zero_point, int(limits.min), int(limits.max))


@dataclass(frozen=True)
class IntegerModel:
    """The integer core of a ``.tflite`` (``source``, its bytes as given), and where it came from (``name``).

    ``data`` are the bytes that executors run, whose tensors are those of ``graph``: ``source`` itself if its inputs and
    outputs are integers and hold one sample. ``edges``: by name, float32 and uint8 inputs and outputs of the file that
    stand for the codes of a port. ``file_inputs``, ``file_operators``: types and shapes of the inputs of the file, and
    names of its operators.
    ``chosen``: whether the first of several outputs was asked for.
    """

    name: str
    source: bytes = field(repr=False)
    data: bytes = field(repr=False)
    graph: Graph = field(repr=False)
    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]
    edges: Mapping[str, Edge] = field(default_factory=dict)
    file_inputs: tuple[tuple[str, tuple[int, ...]], ...] = ()
    file_operators: tuple[str, ...] = ()
    chosen: bool = True

    @property
    def output(self) -> Port:
        """The output whose largest code names the class; :class:`UsageError` if none of several was chosen."""
        if not self.chosen:
            names = ", ".join(port.name for port in self.outputs)
            raise UsageError(f"{self.name} has the outputs {names}; say which one names the class (--output NAME)")
        return self.outputs[0]

    @property
    def grids(self) -> dict[str, InputGrid]:
        """The input codes by name."""
        return {port.name: port.grid for port in self.inputs}

    def codes_of(self, inputs: Batch) -> dict[str, np.ndarray]:
        """Round real ``inputs`` [n, ...] to the codes (int32) of this model; inputs that it does not take are left out.

        Raises :class:`InputsError` if one of its inputs is missing or has another shape.
        """
        for port in self.inputs:
            if port.name not in inputs or inputs[port.name].shape[1:] != port.shape[1:]:
                raise InputsError(f"{self.name} {self._misfit(port, inputs)}")
        return {port.name: port.grid.quantise(inputs[port.name]) for port in self.inputs}

    def _misfit(self, port: Port, inputs: Batch) -> str:
        """Say how ``port`` and the inputs of the data differ."""
        wanted, given = list(port.shape[1:]), {name: list(values.shape[1:]) for name, values in inputs.items()}
        if port.name in given:
            return (f"takes '{port.name}' as {wanted}, but the data have it as {given[port.name]}; bring the data to "
                    "that shape, or give a model of these data")
        have = " and ".join(f"'{name}' {shape}" for name, shape in given.items()) or "nothing"
        return (f"takes '{port.name}' {wanted}, which the data lack{nearest(port.name, given)}; they have {have}: give "
                "data with the inputs of the model, or a model of these data")

    def columns(self, codes: Codes) -> dict[int, np.ndarray]:
        """Return the codes of all inputs by tensor index, as :func:`input_tensors` checks them."""
        return input_tensors(self.graph, codes, self.grids, {})


def load_model(source: str | Path | bytes, *, name: str | None = None, output: str | None = None) -> IntegerModel:
    """Read a ``.tflite`` file or its bytes; ``name`` is used in errors and rows (default: the path).

    ``output`` is the one of several outputs that names the class, and comes first.
    Raises :class:`ModelError` if it is missing, damaged or no model of integers between its edges, and
    :class:`UsageError` for an output that it does not have.
    """
    from tinyfuse.integer.operators import OPERATORS

    label = name or (str(source) if not isinstance(source, bytes) else "model")
    data = source if isinstance(source, bytes) else read_limited(source, MAX_FILE_BYTES, ModelError)
    core = read_core(data, label, OPERATORS, output)
    graph = core.graph
    return IntegerModel(label, data, core.data, graph, tuple(_port(graph, index) for index in graph.inputs),
                        tuple(_port(graph, index) for index in graph.outputs), core.edges, core.file_inputs,
                        core.file_operators, len(graph.outputs) == 1 or output is not None)


def _port(graph: Graph, index: int) -> Port:
    from tinyfuse.integer.operators.real import number_range

    tensor = graph.tensors[index]
    if tensor.dtype in (np.int32, np.bool_) and len(tensor.scale) < 2:
        scale, zero = (tensor.unit, tensor.zero) if len(tensor.scale) else (1.0, 0)
        return Port(tensor.name, tensor.shape, scale, zero, tensor.dtype.name, number_range(graph, index))
    if tensor.dtype not in (np.int8, np.int16) or len(tensor.scale) != 1:
        what = "input" if index in graph.inputs else "output"
        raise ModelError(f"{graph.name}: its {what} '{display(tensor.name)}' is {tensor.dtype}, and no QUANTIZE or "
                         "DEQUANTIZE at the edge tells its codes; convert the model with int8 inputs and outputs")
    return Port(tensor.name, tensor.shape, tensor.unit, tensor.zero, tensor.dtype.name)


def input_tensors(graph: Graph, codes: Codes, names: Collection[str],
                  held: Mapping[int, np.ndarray]) -> dict[int, np.ndarray]:
    """Add ``codes`` of the inputs ``names`` to the tensors ``held`` by index, in the type and shape [n, ...] of each.

    Raises :class:`UsageError` if an input is missing or the tensors hold different numbers of samples.
    """
    found = dict(held)
    for tensor in (graph.tensors[index] for index in graph.inputs):
        if tensor.name in names:
            if tensor.name not in codes:
                raise UsageError(f"{graph.name} needs input '{tensor.name}'; given: {', '.join(codes)}")
            found[tensor.index] = np.ascontiguousarray(codes[tensor.name], tensor.dtype).reshape(-1, *tensor.shape[1:])
    counts = [len(values) for values in found.values()]
    if len(set(counts)) != 1:
        raise UsageError(f"{graph.name}: the inputs hold {' and '.join(map(str, counts))} samples; give each the same")
    return found


def dequantize(codes: np.ndarray, port: Port) -> np.ndarray:
    """Turn ``codes`` into real values float64."""
    return (codes.astype(np.float64) - port.zero_point) * port.scale


def random_codes(model: IntegerModel, count: int, *, seed: int) -> dict[str, np.ndarray]:
    """Draw uniform codes [count, ...] over the range of each input; the first sample is all low, the next all high."""
    rng = np.random.default_rng(seed)
    found = {}
    for port in model.inputs:
        low, high = port.grid.low, port.grid.high
        found[port.name] = rng.integers(low, high + 1, (count, *port.shape[1:])).astype(port.dtype)
        found[port.name][:1], found[port.name][1:2] = low, high
    return found
