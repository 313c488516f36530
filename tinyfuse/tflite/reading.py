"""Reading a ``.tflite`` from anywhere into a graph that can be executed, or one line that says why not."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from tinyfuse.core.errors import ModelError
from tinyfuse.tflite import flatbuffer
from tinyfuse.tflite.graph import Graph, Operator, Tensor
from tinyfuse.tflite.signatures import check_inputs, scalar_options

DTYPES: dict[str, np.dtype[Any]] = {
    "INT8": np.dtype(np.int8), "INT16": np.dtype(np.int16), "INT32": np.dtype(np.int32), "INT64": np.dtype(np.int64),
    "FLOAT32": np.dtype(np.float32)}
MAX_TENSORS = 4096
MAX_OPERATORS = 1024
MAX_VERSION = 32  # of an operator; the schema counts up to 14 so far
MAX_RANK = 6
MAX_ELEMENTS = 1 << 24
MAX_TOTAL_BYTES = 128 << 20  # of all tensors together, far beyond any microcontroller
QUANTISED = (np.dtype(np.int8), np.dtype(np.int16))
PASSING = {"CONCATENATION", "DEQUANTIZE", "PAD", "PADV2", "QUANTIZE", "RESHAPE", "STRIDED_SLICE", "TRANSPOSE"}
"""Operators without arithmetic: a graph of these alone is no float model."""
SMALLEST_SCALE, LARGEST_SCALE = 2.0**-60, 2.0**60
"""Of computed tensors. Constants may have smaller scales, such as weights that are all but zero."""


def read_graph(data: bytes, name: str) -> Graph:
    """Read the bytes of a ``.tflite`` from anywhere; ``name`` is used in errors.

    A graph that is returned can be executed in its order: each operator has one output of its own and reads what is
    constant, an input or already computed; inputs have distinct names; shapes are fixed, of batch size 1 and of
    bounded size; constants fill their shapes; scales and zero points fit their tensors, the
    number of inputs and the options their operators (:mod:`tinyfuse.tflite.signatures`).

    Raises :class:`ModelError`, in one line, for a damaged file or a model that tinyfuse cannot run.
    """
    model = flatbuffer.read(data, name)
    try:
        return _graph(model, name)
    except ModelError as error:
        raise ModelError(f"{name}: {error}") from error


def _graph(model: Any, name: str) -> Graph:
    raw = model.subgraphs[0]
    for what, parts, most in (("tensors", raw.tensors, MAX_TENSORS), ("operators", raw.operators, MAX_OPERATORS)):
        if len(parts) > most:
            raise ModelError(f"{len(parts)} {what}, but at most {most} are read; such a model fits no microcontroller")
    shapes = [_shape(tensor) for tensor in raw.tensors]
    total = sum(math.prod(shape) * _dtype(tensor).itemsize for shape, tensor in zip(shapes, raw.tensors, strict=True))
    if total > MAX_TOTAL_BYTES:
        raise ModelError(f"its tensors need {total} bytes, but at most {MAX_TOTAL_BYTES} are read; use a smaller model")
    graph = Graph(name, tuple(_tensor(model, index, shape) for index, shape in enumerate(shapes)),
                  tuple(_operator(model, index) for index in range(len(raw.operators))),
                  indices(raw.inputs), indices(raw.outputs))
    _check(graph)
    return graph


def indices(values: Any) -> tuple[int, ...]:
    """Return a vector of the file as Python integers; an absent one is empty."""
    return () if values is None else tuple(map(int, values))


def label(name: bytes | None) -> str:
    """Return a ``name`` of the file, printable and shortened in its middle to at most 60 characters."""
    text = "".join(c if c.isprintable() else "?" for c in (name or b"").decode(errors="replace"))
    return text if len(text) <= 60 else f"{text[:29]}…{text[-30:]}"


def _dtype(tensor: Any) -> np.dtype[Any]:
    kind = flatbuffer.value_name("TensorType", tensor.type) or f"number {tensor.type}"
    if kind not in DTYPES:
        raise ModelError(f"tensor '{label(tensor.name)}' has type {kind}; supported are {', '.join(DTYPES)}: convert "
                         "the model to int8")
    return DTYPES[kind]


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
    name, dtype, quantization = label(raw.name), _dtype(raw), raw.quantization
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


def _check(graph: Graph) -> None:
    """Raise :class:`ModelError` unless ``graph`` can be executed from its inputs to its outputs, in integers."""
    _check_inputs(graph)
    _check_order(graph)
    computed = [graph.tensors[index] for index in graph.computed]
    if not any(tensor.dtype in QUANTISED for tensor in computed) and {op.name for op in graph.operators} - PASSING:
        raise ModelError("it is a float model; convert it with int8 inputs and outputs")
    for tensor in graph.tensors:
        _check_quantisation(tensor)
    for tensor in computed:
        if len(tensor.scale) and tensor.unit < SMALLEST_SCALE:
            raise ModelError(f"tensor '{tensor.name}' has scale {tensor.unit}; at least {SMALLEST_SCALE:g} is needed")
        if not tensor.shape and (tensor.dtype in QUANTISED or tensor.dtype == np.float32):
            raise ModelError(f"tensor '{tensor.name}' has no axes; convert the model with fixed shapes")
    for indices, what in ((graph.inputs, "input"), (graph.outputs, "output")):
        for tensor in (graph.tensors[index] for index in indices):
            if tensor.shape[:1] != (1,):
                raise ModelError(f"its {what} '{tensor.name}' has shape {list(tensor.shape)}, which moves the batch "
                                 "axis; the first axis must be 1: convert the model with batch size 1")


def _check_inputs(graph: Graph) -> None:
    _check_indices(graph, "graph", (*graph.inputs, *graph.outputs))
    if not graph.inputs or not graph.outputs:
        raise ModelError(f"it has {len(graph.inputs)} inputs and {len(graph.outputs)} outputs; at least one of each is "
                         "needed")
    names = [graph.tensors[index].name for index in graph.inputs]
    if not all(names) or len(set(names)) < len(names):
        raise ModelError(f"its inputs are named {', '.join(repr(name) for name in names[:8])}; give each a name of its "
                         "own, as inputs are bound by name")
    for index in graph.inputs:
        if graph.tensors[index].data is not None:
            raise ModelError(f"its input '{graph.tensors[index].name}' is a constant; convert the model again")


def _check_order(graph: Graph) -> None:
    """Each operator reads constants, inputs and what was computed before it, and writes a tensor of its own."""
    known = set(graph.inputs)
    for operator in graph.operators:
        title, output = f"operator {operator.index} ({operator.name})", operator.outputs[0]
        _check_indices(graph, title, (*(index for index in operator.inputs if index != -1), output))
        for index in operator.inputs:
            if index >= 0 and graph.tensors[index].data is None and index not in known:
                raise ModelError(f"{title} reads '{graph.tensors[index].name}' before anything computes it; the "
                                 "operators must be in the order of execution")
        if output in known or graph.tensors[output].data is not None:
            raise ModelError(f"{title} writes '{graph.tensors[output].name}', which is an input, a constant or "
                             "computed already; each tensor must be written once")
        known.add(output)
    for index in graph.outputs:
        if index not in known or index in graph.inputs:
            raise ModelError(f"no operator computes its output '{graph.tensors[index].name}'; convert the model again")


def _check_indices(graph: Graph, title: str, indices: tuple[int, ...]) -> None:
    for index in indices:
        if not 0 <= index < len(graph.tensors):
            raise ModelError(f"{title} refers to tensor {index}, but there are {len(graph.tensors)}; fetch or convert "
                             "the file again")


def _check_quantisation(tensor: Tensor) -> None:
    """One scale, or for a constant one per slice along its axis; as many zero points, inside the type's range."""
    scales, zeros = len(tensor.scale), len(tensor.zero_point)
    along = tensor.shape[tensor.axis] if 0 <= tensor.axis < len(tensor.shape) else 1
    allowed = {1, along} if tensor.data is not None else {1}
    if scales != zeros or (scales and scales not in allowed) or (tensor.dtype in QUANTISED and not scales):
        raise ModelError(f"tensor '{tensor.name}' {tensor.dtype}{list(tensor.shape)} has {scales} scales and {zeros} "
                         f"zero points along axis {tensor.axis}; expected are {' or '.join(map(str, sorted(allowed)))} "
                         "of each: convert the model to int8")
    wrong = tensor.scale[~((tensor.scale > 0) & (tensor.scale <= LARGEST_SCALE))]
    if len(wrong):
        raise ModelError(f"tensor '{tensor.name}' has a scale of {float(wrong[0])}; scales must be positive and at "
                         f"most {LARGEST_SCALE:g}")
    if tensor.dtype.kind == "i" and zeros:
        limits = np.iinfo(tensor.dtype)
        if tensor.zero_point.min() < limits.min or tensor.zero_point.max() > limits.max:
            raise ModelError(f"tensor '{tensor.name}' has a zero point outside {tensor.dtype}, {limits.min} to "
                             f"{limits.max}; convert the model again")
