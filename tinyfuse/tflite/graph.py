"""A ``.tflite`` as a small typed graph: tensors with their quantisation and constants, operators with options."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tinyfuse.core.errors import ModelError
from tinyfuse.tflite import flatbuffer, soundness
from tinyfuse.tflite.signatures import Option, check_inputs, scalar_options

DTYPES: dict[str, np.dtype[Any]] = {
    "INT8": np.dtype(np.int8), "INT16": np.dtype(np.int16), "INT32": np.dtype(np.int32), "INT64": np.dtype(np.int64),
    "FLOAT32": np.dtype(np.float32)}
MAX_TENSORS = 4096
MAX_OPERATORS = 1024
MAX_VERSION = 32  # of an operator; the schema counts up to 14 so far
MAX_RANK = 6
MAX_ELEMENTS = 1 << 24
MAX_TOTAL_BYTES = 128 << 20  # of all tensors together, far beyond any microcontroller


@dataclass(frozen=True, eq=False)
class Tensor:
    """One tensor. ``scale`` float32 and ``zero_point`` int64 have one entry, or one per slice along ``axis``; both
    are empty where the tensor is not quantised. ``data`` is the constant content (read-only), None if computed.
    ``name`` is printable and has at most 60 characters.
    """

    index: int
    name: str
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    scale: np.ndarray = field(repr=False)
    zero_point: np.ndarray = field(repr=False)
    axis: int
    data: np.ndarray | None = field(repr=False)


@dataclass(frozen=True)
class Operator:
    """One operator: its builtin name, tensor indices (-1: optional input not given) and options in snake case."""

    index: int
    name: str
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    options: Mapping[str, Option] = field(repr=False)


@dataclass(frozen=True)
class Graph:
    """The operators in the order of execution, and the tensors they refer to by index."""

    name: str
    tensors: tuple[Tensor, ...] = field(repr=False)
    operators: tuple[Operator, ...] = field(repr=False)
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]


def read_graph(data: bytes, name: str) -> Graph:
    """Read ``data``, which may come from anywhere; ``name`` is used in errors.

    A graph that is returned can be executed in its order: each operator has one output of its own and reads what is
    constant, an input or already computed; inputs have distinct names; shapes are fixed, of batch size 1 and of
    bounded size; constants fill their shapes; scales and zero points fit their tensors
    (:mod:`tinyfuse.tflite.soundness`), the number of inputs and the options their operators
    (:mod:`tinyfuse.tflite.signatures`).

    Raises:
        ModelError: the file is damaged, or a model that tinyfuse cannot run; one line.
    """
    model = flatbuffer.read(data, name)
    try:
        return _graph(model, name)
    except ModelError as error:
        raise ModelError(f"{name}: {error}") from error


def _graph(model: Any, name: str) -> Graph:
    raw = model.subgraphs[0]
    for what, count, most in (("tensors", len(raw.tensors), MAX_TENSORS), ("operators", len(raw.operators),
                                                                         MAX_OPERATORS)):
        if count > most:
            raise ModelError(f"{count} {what}, but at most {most} are read; such a model fits no microcontroller")
    shapes = [_shape(tensor) for tensor in raw.tensors]
    total = sum(math.prod(shape) * DTYPES[_kind(tensor)].itemsize for shape, tensor in
                zip(shapes, raw.tensors, strict=True))
    if total > MAX_TOTAL_BYTES:
        raise ModelError(f"its tensors need {total} bytes, but at most {MAX_TOTAL_BYTES} are read; use a smaller model")
    graph = Graph(name, tuple(_tensor(model, index, shape) for index, shape in enumerate(shapes)),
                  tuple(_operator(model, index) for index in range(len(raw.operators))),
                  indices(raw.inputs), indices(raw.outputs))
    soundness.check(graph)
    return graph


def indices(values: Any) -> tuple[int, ...]:
    """A vector of the file as Python integers; an absent one is empty."""
    return () if values is None else tuple(map(int, values))


def label(name: bytes | None) -> str:
    """A ``name`` of the file, printable, and shortened in its middle to at most 60 characters."""
    text = "".join(c if c.isprintable() else "?" for c in (name or b"").decode(errors="replace"))
    return text if len(text) <= 60 else f"{text[:29]}…{text[-30:]}"


def _kind(tensor: Any) -> str:
    """The type of ``tensor``, one of DTYPES."""
    kind = flatbuffer.value_name("TensorType", tensor.type) or f"number {tensor.type}"
    if kind not in DTYPES:
        raise ModelError(f"tensor '{label(tensor.name)}' has type {kind}; supported are {', '.join(DTYPES)}: convert "
                         "the model to int8")
    return kind


def _shape(tensor: Any) -> tuple[int, ...]:
    """The shape of ``tensor``, fixed (only the batch axis may be declared as variable) and within the limits."""
    shape, signature = indices(tensor.shape), indices(tensor.shapeSignature)
    if signature and (len(signature) != len(shape) or any(
            declared != size and (declared != -1 or axis) for axis, (declared, size) in
            enumerate(zip(signature, shape, strict=True)))):
        raise ModelError(f"tensor '{label(tensor.name)}' has the variable shape {list(signature)[:MAX_RANK]}; only the "
                         "batch may vary: convert the model with fixed input shapes")
    if len(shape) > MAX_RANK or min(shape, default=1) < 1 or math.prod(shape) > MAX_ELEMENTS:
        raise ModelError(f"tensor '{label(tensor.name)}' has shape {list(shape)[:MAX_RANK + 1]}; allowed are at most "
                         f"{MAX_RANK} axes, sizes of at least 1 and {MAX_ELEMENTS} elements")
    return shape


def _tensor(model: Any, index: int, shape: tuple[int, ...]) -> Tensor:
    raw = model.subgraphs[0].tensors[index]
    name, dtype, quantization = label(raw.name), DTYPES[_kind(raw)], raw.quantization
    if raw.sparsity is not None or raw.isVariable or raw.externalBuffer or raw.variantTensors:
        raise ModelError(f"tensor '{name}' is sparse, variable or stored elsewhere; only plain tensors are supported: "
                         "convert the model without these")
    scale: Any = None if quantization is None or dtype == np.float32 else quantization.scale
    zero: Any = None if quantization is None or dtype == np.float32 else quantization.zeroPoint
    return Tensor(index, name, shape, dtype, np.array(() if scale is None else scale, np.float32),
                  np.array(() if zero is None else zero, np.int64),
                  0 if quantization is None else int(quantization.quantizedDimension),
                  _content(model, raw, shape, dtype))


def _content(model: Any, tensor: Any, shape: tuple[int, ...], dtype: np.dtype[Any]) -> np.ndarray | None:
    """The constant of ``tensor``, None if its buffer is empty: it is computed."""
    if tensor.buffer >= len(model.buffers):
        raise ModelError(f"tensor '{label(tensor.name)}' refers to buffer {tensor.buffer}, but the file has "
                         f"{len(model.buffers)}; fetch or convert it again")
    buffer = model.buffers[tensor.buffer]
    if buffer.offset or buffer.size:
        raise ModelError(f"tensor '{label(tensor.name)}' lies behind the flatbuffer, as in models beyond 2 GB; convert "
                         "a smaller model")
    if buffer.data is None or not len(buffer.data):
        return None
    if len(buffer.data) != math.prod(shape) * dtype.itemsize:
        raise ModelError(f"tensor '{label(tensor.name)}' holds {len(buffer.data)} bytes, but {dtype} {list(shape)} "
                         f"needs {math.prod(shape) * dtype.itemsize}; fetch or convert the file again")
    return np.frombuffer(np.asarray(buffer.data, np.uint8).tobytes(), dtype).reshape(shape)


def _operator(model: Any, index: int) -> Operator:
    raw = model.subgraphs[0].operators[index]
    if raw.opcodeIndex >= len(model.operatorCodes):
        raise ModelError(f"operator {index} has code {raw.opcodeIndex}, but the file has {len(model.operatorCodes)}; "
                         "fetch or convert it again")
    code, name = model.operatorCodes[raw.opcodeIndex], flatbuffer.operator_name(model, raw)
    if not 1 <= code.version <= MAX_VERSION:
        raise ModelError(f"operator {index} ({name}) has version {code.version}; 1 to {MAX_VERSION} are allowed: "
                         "convert the model with another release")
    if name == "CUSTOM":
        raise ModelError(f"operator {index} is the custom operator '{label(code.customCode)}'; only builtin operators "
                         "are supported")
    inputs, outputs = indices(raw.inputs), indices(raw.outputs)
    try:
        check_inputs(name, inputs)
        if len(outputs) != 1:
            raise ModelError(f"{len(outputs)} outputs, but exactly one is supported")
        return Operator(index, name, inputs, outputs, scalar_options(name, raw.builtinOptions))
    except ModelError as error:
        raise ModelError(f"operator {index} ({name}): {error}") from error
