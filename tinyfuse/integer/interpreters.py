"""An integer model as it is deployed, and an executor loaded with it; inputs are bound by name, never by position."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import numpy as np

from tinyfuse.core.backend import stderr_silenced
from tinyfuse.core.errors import ModelError, UsageError, nearest
from tinyfuse.integer.executors import EXECUTORS, Tick
from tinyfuse.tflite.graph import Graph, read_graph
from tinyfuse.threats.code_grid import InputGrid

Result = TypeVar("Result")


@dataclass(frozen=True)
class Port:
    """One input or output: codes of ``shape`` [1, ...], int8 or int16; real value = scale * (code - zero_point)."""

    name: str
    shape: tuple[int, ...]
    scale: float
    zero_point: int
    dtype: str

    @property
    def grid(self) -> InputGrid:
        """The codes that the tensor can hold."""
        limits = np.iinfo(self.dtype)
        return InputGrid(self.scale, self.zero_point, int(limits.min), int(limits.max))


@dataclass(frozen=True)
class IntegerModel:
    """A ``.tflite`` with quantised inputs and one quantised output, and where it came from (``name``)."""

    name: str
    data: bytes = field(repr=False)
    graph: Graph = field(repr=False)
    inputs: tuple[Port, ...]
    output: Port

    @property
    def grids(self) -> dict[str, InputGrid]:
        """The input codes by name."""
        return {port.name: port.grid for port in self.inputs}


def load(source: str | Path | bytes, *, name: str | None = None) -> IntegerModel:
    """Read a ``.tflite`` file or its bytes.

    Raises :class:`ModelError` if it is missing, damaged or not of integers from its inputs to its one output.
    """
    label = name or (str(source) if not isinstance(source, bytes) else "model")
    try:
        data = source if isinstance(source, bytes) else Path(source).read_bytes()
    except OSError as error:
        raise ModelError(f"{label}: cannot be read ({error.strerror or error})") from error
    graph = read_graph(data, label)
    if len(graph.outputs) != 1 or not graph.inputs:
        raise ModelError(f"{label}: {len(graph.inputs)} inputs and {len(graph.outputs)} outputs; "
                         "one output is expected")
    inputs = tuple(_port(graph, index) for index in graph.inputs)
    return IntegerModel(label, data, graph, inputs, _port(graph, graph.outputs[0]))


def _port(graph: Graph, index: int) -> Port:
    tensor = graph.tensors[index]
    if tensor.dtype not in (np.int8, np.int16) or len(tensor.scale) != 1:
        raise ModelError(f"{graph.name}: '{tensor.name}' is not a quantised int8 or int16 tensor; convert the model "
                         "with int8 inputs and outputs")
    return Port(tensor.name, tensor.shape, float(tensor.scale[0]), int(tensor.zero_point[0]), tensor.dtype.name)


class Interpreter:
    """One executor loaded with one model. Not safe to share between threads."""

    def __init__(self, model: IntegerModel, executor: str) -> None:
        check_executor(executor)
        self.model, self.executor = model, executor
        try:
            with stderr_silenced():
                self._executor = EXECUTORS[executor](model.data, model.graph)
        except (RuntimeError, ValueError, KeyError) as error:
            raise ModelError(f"{model.name}: {executor} cannot load it ({_first_line(error)})") from error

    def run(self, codes: Mapping[str, np.ndarray], *, tick: Tick = lambda: None) -> np.ndarray:
        """Output codes [n, k] for input ``codes`` by name, [n, ...]; names the model lacks are ignored."""
        columns = self._columns(codes)
        if not len(columns[0]):
            return np.empty((0, int(np.prod(self.model.output.shape))), self.model.output.dtype)
        found: np.ndarray = self._guarded(lambda: self._executor.run(columns, tick))
        return found.reshape(len(columns[0]), -1)

    def tensors(self, codes: Mapping[str, np.ndarray]) -> dict[int, np.ndarray]:
        """Codes [n, ...] of every computed tensor of the graph by index, for n > 0 samples."""
        columns = self._columns(codes)
        return self._guarded(lambda: self._executor.tensors(columns))

    def _columns(self, codes: Mapping[str, np.ndarray]) -> list[np.ndarray]:
        missing = [port.name for port in self.model.inputs if port.name not in codes]
        if missing:
            raise UsageError(f"{self.model.name} needs input '{missing[0]}'; given: {', '.join(codes)}")
        return [np.ascontiguousarray(codes[port.name], port.dtype).reshape(-1, *port.shape[1:])
                for port in self.model.inputs]

    def _guarded(self, action: Callable[[], Result]) -> Result:
        try:
            return action()
        except (RuntimeError, ValueError) as error:
            raise ModelError(f"{self.model.name}: {self.executor} failed ({_first_line(error)})") from error


def check_executor(name: str) -> None:
    """Raise :class:`UsageError` unless ``name`` is an executor."""
    if name not in EXECUTORS:
        raise UsageError(f"unknown executor '{name}'{nearest(name, EXECUTORS)}: choose one of {', '.join(EXECUTORS)}")


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def dequantize(codes: np.ndarray, port: Port) -> np.ndarray:
    """Real values float64 of ``codes``."""
    return (codes.astype(np.float64) - port.zero_point) * port.scale
