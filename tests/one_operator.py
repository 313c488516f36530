"""Graphs of one operator, built from scratch, and what TFLite Micro computes for each of their tensors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from tinyfuse.core.backend import stderr_silenced
from tinyfuse.integer.twin import Twin
from tinyfuse.tflite import editing, flatbuffer
from tinyfuse.tflite.reading import read_graph

ARENA = 8 << 20


@dataclass
class Spec:
    """One tensor of the graph; ``data`` makes it a constant, ``four_bits`` one of INT4, two in a byte."""

    shape: Sequence[int]
    dtype: type = np.int8
    scale: Sequence[float] = (1.0,)
    zero_point: Sequence[int] = (0,)
    axis: int = 0
    data: np.ndarray | None = None
    name: str = ""
    variable: bool = False
    four_bits: bool = False


@dataclass
class Step:
    """One operator: builtin name, indices into the list of specs, the option class of the schema and its values."""

    name: str
    inputs: Sequence[int]
    outputs: Sequence[int]
    options: str = ""
    values: Mapping[str, object] = field(default_factory=dict)
    version: int = 1


def build(specs: Sequence[Spec], steps: Sequence[Step], inputs: Sequence[int], outputs: Sequence[int]) -> bytes:
    """The ``.tflite`` of ``steps`` over ``specs``."""
    schema = flatbuffer.schema()
    model, graph = schema.ModelT(), schema.SubGraphT()
    model.version, model.description = 3, b"test"
    model.buffers, model.operatorCodes, model.subgraphs = [schema.BufferT()], [], [graph]
    model.metadata = model.signatureDefs = None
    types = {np.int8: "INT8", np.int16: "INT16", np.int32: "INT32", np.int64: "INT64", np.float32: "FLOAT32",
             np.uint8: "UINT8", np.bool_: "BOOL"}
    graph.tensors, graph.operators = [], []
    for number, spec in enumerate(specs):
        tensor = schema.TensorT()
        tensor.name = (spec.name or f"t{number}").encode()
        tensor.shape, tensor.type = np.array(spec.shape, np.int32), getattr(schema.TensorType, types[spec.dtype])
        tensor.buffer, tensor.isVariable = 0, spec.variable
        if spec.data is not None:
            buffer = schema.BufferT()
            buffer.data = np.frombuffer(np.ascontiguousarray(spec.data, spec.dtype).tobytes(), np.uint8)
            if spec.four_bits:
                tensor.type, pairs = schema.TensorType.INT4, np.append(buffer.data, np.uint8(0)) & 15
                buffer.data = pairs[:-1:2] | pairs[1::2] << 4
            model.buffers.append(buffer)
            tensor.buffer = len(model.buffers) - 1
        if len(spec.scale):
            editing.set_scale(tensor, np.asarray(spec.scale), np.asarray(spec.zero_point))
            tensor.quantization.quantizedDimension = spec.axis
        graph.tensors.append(tensor)
    for step in steps:
        operator = schema.OperatorT()
        operator.opcodeIndex = editing.operator_code(model, step.name, step.version)
        operator.inputs, operator.outputs = np.array(step.inputs, np.int32), np.array(step.outputs, np.int32)
        if step.options:
            values = getattr(schema, step.options + "T")()
            for key, value in step.values.items():
                setattr(values, key, value)
            operator.builtinOptionsType = getattr(schema.BuiltinOptions, step.options)
            operator.builtinOptions = values
        graph.operators.append(operator)
    graph.inputs, graph.outputs = np.array(inputs, np.int32), np.array(outputs, np.int32)
    return flatbuffer.write(model)


def tflm(data: bytes, inputs: Sequence[np.ndarray]) -> list[dict[int, np.ndarray]]:
    """For each sample, every tensor by index as TFLite Micro computed it; ``inputs``: codes [n, ...] by position."""
    from tflite_micro.python.tflite_micro import runtime

    config = runtime.InterpreterConfig.kPreserveAllTensors
    with stderr_silenced():
        interpreter = runtime.Interpreter.from_bytes(data, arena_size=ARENA, intrepreter_config=config)
    count = len(flatbuffer.read(data, "test").subgraphs[0].tensors)
    found = []
    for row in range(len(inputs[0])):
        interpreter.reset()
        for place, values in enumerate(inputs):
            interpreter.set_input(np.ascontiguousarray(values[row:row + 1]), place)
        interpreter.invoke()
        found.append({index: np.array(interpreter.GetTensor(index, 0)["tensor_data"]) for index in range(count)})
    return found


def twin_of(data: bytes) -> Twin:
    """The twin of a ``.tflite``."""
    return Twin(read_graph(data, "test"))


def differing(data: bytes, inputs: Sequence[np.ndarray]) -> int:
    """Values in which the twin and TFLite Micro differ, over all tensors and samples."""
    twin = twin_of(data)
    ours = twin.tensors(dict(zip([twin.graph.tensors[i].name for i in twin.graph.inputs], inputs, strict=True)))
    total = 0
    for row, tensors in enumerate(tflm(data, inputs)):
        for index, values in ours.items():
            total += int(np.sum(tensors[index].reshape(values[row].shape) != values[row]))
    return total
