"""Executors of a ``.tflite``, one protocol: codes in, codes out, inputs bound by name.

``tflm`` is TFLite Micro's reference kernels, what a microcontroller computes; ``litert-reference`` and
``litert`` (XNNPACK) are what a phone runs, and round differently (DESIGN decision 1).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tinyfuse.backend import stderr_silenced
from tinyfuse.errors import ModelError, UsageError, nearest
from tinyfuse.integer.grid import InputGrid
from tinyfuse.quantize import flatbuffer

ARENA_BYTES_LIMIT = 16 << 20
Invoke = Callable[[list[np.ndarray]], np.ndarray]


@dataclass(frozen=True)
class Port:
    """One input or output: int8 codes of ``shape`` [1, ...]; real value = scale * (code - zero_point)."""

    name: str
    shape: tuple[int, ...]
    scale: float
    zero_point: int


@dataclass(frozen=True)
class IntegerModel:
    """A ``.tflite`` with int8 inputs and one int8 output, and where it came from (``name``)."""

    name: str
    data: bytes
    inputs: tuple[Port, ...]
    output: Port

    @property
    def grids(self) -> dict[str, InputGrid]:
        """The input codes by name."""
        return {port.name: InputGrid(port.scale, port.zero_point, -128, 127) for port in self.inputs}


def load(source: str | Path | bytes, *, name: str | None = None) -> IntegerModel:
    """Read a ``.tflite`` file or its bytes.

    Raises :class:`ModelError` if it is missing, damaged or not int8 in and out.
    """
    label = name or (str(source) if not isinstance(source, bytes) else "model")
    try:
        data = source if isinstance(source, bytes) else Path(source).read_bytes()
    except OSError as error:
        raise ModelError(f"{label}: cannot be read ({error.strerror or error})") from error
    graph = flatbuffer.read(data, label).subgraphs[0]
    try:
        inputs = tuple(_port(graph.tensors[index], label) for index in graph.inputs)
        outputs = tuple(_port(graph.tensors[index], label) for index in graph.outputs)
    except (IndexError, TypeError, AttributeError) as error:
        raise ModelError(f"{label}: damaged .tflite (its inputs or outputs refer to nothing)") from error
    if len(outputs) != 1 or not inputs:
        raise ModelError(f"{label}: {len(inputs)} inputs and {len(outputs)} outputs; one output is expected")
    return IntegerModel(label, data, inputs, outputs[0])


def _port(tensor: Any, label: str) -> Port:
    quantization, name = tensor.quantization, (tensor.name or b"").decode(errors="replace")
    if tensor.type != flatbuffer.schema().TensorType.INT8 or quantization is None or quantization.scale is None:
        raise ModelError(f"{label}: '{name}' is not a quantised int8 tensor; convert the model with int8 inputs "
                         "and outputs")
    return Port(name, tuple(int(n) for n in tensor.shape), float(quantization.scale[0]),
                int(quantization.zeroPoint[0]))


def _tflm(model: IntegerModel) -> Invoke:
    from tflite_micro.python.tflite_micro import runtime

    interpreter = runtime.Interpreter.from_bytes(model.data, arena_size=ARENA_BYTES_LIMIT)

    def invoke(codes: list[np.ndarray]) -> np.ndarray:
        for index, value in enumerate(codes):
            interpreter.set_input(value, index)
        interpreter.invoke()
        return np.array(interpreter.get_output(0))

    return invoke


def _litert(resolver: str) -> Callable[[IntegerModel], Invoke]:
    def create(model: IntegerModel) -> Invoke:
        from ai_edge_litert.interpreter import Interpreter, OpResolverType

        # One thread: more make batch-1 inference many times slower when processes share the cores.
        interpreter = Interpreter(model_content=model.data, num_threads=1,
                                  experimental_op_resolver_type=OpResolverType[resolver])
        interpreter.allocate_tensors()
        index_of = {detail["name"]: detail["index"] for detail in interpreter.get_input_details()}
        inputs = [index_of[port.name] for port in model.inputs]
        output = interpreter.get_output_details()[0]["index"]

        def invoke(codes: list[np.ndarray]) -> np.ndarray:
            for index, value in zip(inputs, codes, strict=True):
                interpreter.set_tensor(index, value)
            interpreter.invoke()
            return np.array(interpreter.get_tensor(output))

        return invoke

    return create


EXECUTORS: dict[str, Callable[[IntegerModel], Invoke]] = {
    "tflm": _tflm, "litert": _litert("AUTO"), "litert-reference": _litert("BUILTIN_REF")}


class Interpreter:
    """One executor loaded with one model. Not safe to share between threads."""

    def __init__(self, model: IntegerModel, executor: str) -> None:
        if executor not in EXECUTORS:
            raise UsageError(f"unknown executor '{executor}'{nearest(executor, EXECUTORS)}: choose one of "
                             f"{', '.join(EXECUTORS)}")
        self.model, self.executor = model, executor
        try:
            with stderr_silenced():
                self._invoke = EXECUTORS[executor](model)
        except (RuntimeError, ValueError, KeyError) as error:
            raise ModelError(f"{model.name}: {executor} cannot load it ({_first_line(error)})") from error

    def run(self, codes: Mapping[str, np.ndarray], *, tick: Callable[[], None] = lambda: None) -> np.ndarray:
        """Output codes int8 [n, k] for input ``codes`` by name, int8 [n, ...]; names the model lacks are ignored."""
        missing = [port.name for port in self.model.inputs if port.name not in codes]
        if missing:
            raise UsageError(f"{self.model.name} needs input '{missing[0]}'; given: {', '.join(codes)}")
        columns = [np.ascontiguousarray(codes[port.name], np.int8).reshape(-1, *port.shape)
                   for port in self.model.inputs]
        outputs = np.empty((len(columns[0]), int(np.prod(self.model.output.shape))), np.int8)
        for row in range(len(outputs)):
            try:
                outputs[row] = self._invoke([column[row] for column in columns]).reshape(-1)
            except (RuntimeError, ValueError) as error:
                raise ModelError(f"{self.model.name}: {self.executor} failed ({_first_line(error)})") from error
            tick()
        return outputs


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def dequantize(codes: np.ndarray, port: Port) -> np.ndarray:
    """Real values float64 of ``codes``."""
    return (codes.astype(np.float64) - port.zero_point) * port.scale
