"""Reading a ``.tflite`` from anywhere into a graph that can be executed, or one line that says why not."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Sequence
from typing import Any

import numpy as np

from tinyfuse.core.errors import ModelError
from tinyfuse.tflite import flatbuffer
from tinyfuse.tflite.edges import ARG_MAX
from tinyfuse.tflite.folding import FOLDED, REPEATING, SHAPE_READERS, folded
from tinyfuse.tflite.graph import Graph, Operator, Tensor
from tinyfuse.tflite.lowering import LOWERED, lowered
from tinyfuse.tflite.names import display
from tinyfuse.tflite.signatures import check_inputs, scalar_options
from tinyfuse.tflite.soundness import check_order, check_sound
from tinyfuse.tflite.space_to_batch import BACK, INTO

DTYPES: dict[str, np.dtype[Any]] = {name: np.dtype(name.lower()) for name in (
    "INT8", "INT16", "INT32", "INT64", "UINT8", "UINT16", "UINT32", "UINT64", "FLOAT16", "FLOAT32", "FLOAT64", "BOOL")}
MAX_TENSORS = 4096
MAX_OPERATORS = 1024
MAX_VERSION = 32  # of an operator; the schema counts up to 14 so far
MAX_RANK = 6
MAX_ELEMENTS = 1 << 24
MAX_TOTAL_BYTES = 128 << 20  # of all tensors together, far beyond any microcontroller
_STATES = {"UNIDIRECTIONAL_SEQUENCE_LSTM": (18, 19), "SVDF": (4,)}
"""Operators that write some of their inputs: the states that they keep."""
_UNUSED = Tensor(-1, "", (), np.dtype(np.int8), np.empty(0, np.float32), np.empty(0, np.int64), 0, None)
"""In the place of a tensor that nothing refers to."""


def read_graph(data: bytes, name: str, supported: Collection[str] | None = None) -> Graph:
    """Read the bytes of a ``.tflite`` from anywhere; ``name`` is used in errors.

    A graph that is returned can be executed in its order: each operator has one output of its own and reads what is
    constant, an input or already computed; shapes are fixed and of bounded size, those of inputs and outputs begin with
    a batch of 1; constants fill their shapes; scales and zero points fit the tensors whose kernels read them, the
    number of inputs and the options their operators (:mod:`tinyfuse.tflite.signatures`). Arithmetic on shapes is
    folded, and operators that only look at codes in another way have become RESHAPE and STRIDED_SLICE.

    ``supported``: names of operators; others are refused before anything else is judged (None: none is).
    Raises :class:`ModelError`, in one line, for a damaged file or a model that tinyfuse cannot run.
    """
    model = flatbuffer.read(data, name)
    try:
        check_operators(model, supported)
        graph = simplified(typed_graph(model, name))
        check_sound(graph)
        return graph
    except ModelError as error:
        raise ModelError(f"{name}: {error}") from error


def check_operators(model: Any, supported: Collection[str] | None = None) -> None:
    """Raise :class:`ModelError` that names the operators of ``model`` that are not ``supported`` (None: no custom one).

    SHAPE, what is computed of integer constants alone and what only looks at codes in another way is always supported,
    as :func:`simplified` takes it out.
    """
    raw = model.subgraphs[0]
    for what, parts, most in (("tensors", raw.tensors, MAX_TENSORS), ("operators", raw.operators, MAX_OPERATORS)):
        if len(parts) > most:
            raise ModelError(f"{len(parts)} {what}, but at most {most} are read; such a model fits no microcontroller")
    for tensor in raw.tensors:  # interpreters look at those too that nothing refers to
        _check_buffer(model, tensor)
        if flatbuffer.value_name("TensorType", tensor.type) is None:
            raise ModelError(f"tensor '{display(tensor.name)}' has type number {tensor.type}, which the schema does "
                             "not know; fetch or convert the file again")
    foreign: dict[str, int] = {}
    known = {index for index, tensor in enumerate(raw.tensors) if _is_constant(model, tensor)}
    of_shapes: set[int] = set()
    hint = ""
    for place, operator in enumerate(raw.operators):
        name, read = _operator_name(model, place), {*indices(operator.inputs)} - {-1}
        if name in SHAPE_READERS or (name in {*FOLDED, *REPEATING} and known.issuperset(read)):
            known.update(indices(operator.outputs))
            of_shapes.update(indices(operator.outputs) if name in SHAPE_READERS or read & of_shapes else ())
        elif name == ARG_MAX and {*indices(operator.outputs)} <= {*indices(raw.outputs)}:
            continue  # at the edge
        elif supported is not None and name not in supported and name not in LOWERED:
            foreign.setdefault(name, place)
            if name in (INTO, BACK):
                hint = ("convert it with inputs of batch size 1: then dilated convolutions have no such operator; or ")
            elif read & of_shapes:
                hint = "give its inputs the batch size 1 before converting, so that no shape is computed, or "
    if foreign:
        listed = " and ".join(f"operator {place} ({name})" for name, place in list(foreign.items())[:4])
        more = f" (and {len(foreign) - 4} more kinds)" if len(foreign) > 4 else ""
        raise ModelError(f"{listed}{more} {'is' if len(foreign) == 1 else 'are'} not supported; {hint}build the "
                         "network without, from what `tinyfuse ls operators` lists")


def _is_constant(model: Any, tensor: Any) -> bool:
    buffers = model.buffers
    return bool(0 <= tensor.buffer < len(buffers) and buffers[tensor.buffer].data is not None and
                len(buffers[tensor.buffer].data))


def typed_graph(model: Any, name: str) -> Graph:
    """Build the graph of ``model``, an object tree, as the file has it: all operators in a sound order.

    Only tensors that an operator refers to, or that are inputs or outputs, are read.
    """
    raw = model.subgraphs[0]
    operators = tuple(_operator(model, place) for place in range(len(raw.operators)))
    inputs, outputs = indices(raw.inputs), indices(raw.outputs)
    users = {index: operator for operator in reversed(operators) for index in (*operator.inputs, *operator.outputs)}
    wanted = sorted({index for index in (*users, *inputs, *outputs) if 0 <= index < len(raw.tensors)})
    states, given = _states(operators), {*inputs, *(index for operator in operators for index in operator.outputs)}
    total = 0
    tensors = [_UNUSED] * len(raw.tensors)
    for index in wanted:
        try:
            shape, dtype = _shape(raw.tensors[index]), _dtype(raw.tensors[index])
            total += math.prod(shape) * dtype.itemsize
            if total > MAX_TOTAL_BYTES:
                raise ModelError(f"its tensors need more than {MAX_TOTAL_BYTES} bytes; use a smaller model")
            tensors[index] = _tensor(model, index, shape, dtype, is_state=index in states, is_given=index in given)
        except ModelError as error:
            user = users.get(index)
            raise ModelError(f"operator {user.index} ({user.name}): {error}" if user else str(error)) from error
    graph = Graph(name, tuple(tensors), operators, inputs, outputs)
    check_order(graph)
    return graph


def simplified(graph: Graph) -> Graph:
    """Return ``graph`` without arithmetic on shapes, and with one output for each operator."""
    return lowered(folded(graph))


def indices(values: Any) -> tuple[int, ...]:
    """Return a vector of the file as Python integers; an absent one is empty."""
    return () if values is None else tuple(map(int, values))


def _dtype(tensor: Any) -> np.dtype[Any]:
    kind = flatbuffer.value_name("TensorType", tensor.type) or f"number {tensor.type}"
    if kind not in DTYPES:
        raise ModelError(f"tensor '{display(tensor.name)}' has type {kind}; supported are INT8, INT16 and INT32: "
                         "convert the model to int8")
    return DTYPES[kind]


def _shape(tensor: Any) -> tuple[int, ...]:
    """The shape of ``tensor`` within the limits: TFLite Micro does not look at which axes are declared as variable.

    Whether shapes fit is asked by the operators.
    """
    shape = indices(tensor.shape)
    if len(shape) > MAX_RANK or min(shape, default=1) < 1 or math.prod(shape) > MAX_ELEMENTS:
        raise ModelError(f"tensor '{display(tensor.name)}' has shape {list(shape)[:MAX_RANK + 1]}; allowed are at most "
                         f"{MAX_RANK} axes, sizes of at least 1 and {MAX_ELEMENTS} elements")
    return shape


def _tensor(model: Any, index: int, shape: tuple[int, ...], dtype: np.dtype[Any], *, is_state: bool,
            is_given: bool) -> Tensor:
    """Type one tensor; ``is_given``: as an input or by an operator, so that it may be called a variable or not."""
    raw = model.subgraphs[0].tensors[index]
    name, quantization = display(raw.name), raw.quantization
    wrong = ("is sparse" if raw.sparsity is not None else "is stored elsewhere" if raw.externalBuffer or
             raw.variantTensors else "is a variable, but not the state of one operator alone" if raw.isVariable and
             not is_state and not is_given else "")
    if wrong:
        raise ModelError(f"tensor '{name}' {wrong}; convert the model without")
    scale: Any = None if quantization is None or dtype == np.float32 else quantization.scale
    zero: Any = None if quantization is None or dtype == np.float32 else quantization.zeroPoint
    zeros = np.array(() if zero is None else zero, np.int64)
    content = (_initial_state(name, shape, dtype, zeros) if raw.isVariable and is_state and index not in indices(
        model.subgraphs[0].inputs) else _content(model, raw, shape, dtype))
    scales = np.array(() if scale is None else scale, np.float32)
    if len(zeros) == 1 < len(scales):
        zeros = np.repeat(zeros, len(scales))  # one for all, as some converters write it
    return Tensor(index, name, shape, dtype, scales, zeros,
                  0 if quantization is None else int(quantization.quantizedDimension), content)


def _states(operators: Sequence[Operator]) -> set[int]:
    """Tensors that hold the state of one operator, and that no other one reads."""
    read = Counter(index for operator in operators for index in operator.inputs)
    found = {index for operator in operators for index in (operator.inputs[place] for place in
                                                          _STATES.get(operator.name, ()))}
    return {index for index in found if index >= 0 and read[index] == 1}


def _initial_state(name: str, shape: tuple[int, ...], dtype: np.dtype[Any], zeros: np.ndarray) -> np.ndarray:
    """What TFLite Micro writes into a variable tensor when it is reset: the zero point of int8 codes, else 0."""
    if dtype not in (np.int8, np.int16):
        raise ModelError(f"tensor '{name}' is a variable of type {dtype}; variables of integer kernels are int8 or "
                         "int16: convert the model to int8")
    found = np.full(shape, zeros[0] if dtype == np.int8 and len(zeros) else 0, dtype)
    found.setflags(write=False)
    return found


def _check_buffer(model: Any, tensor: Any) -> None:
    """Raise :class:`ModelError` if ``tensor`` refers to a buffer that the file does not have."""
    if not 0 <= tensor.buffer < len(model.buffers):
        raise ModelError(f"tensor '{display(tensor.name)}' refers to buffer {tensor.buffer}, but the file has "
                         f"{len(model.buffers)}; fetch or convert it again")


def _content(model: Any, tensor: Any, shape: tuple[int, ...], dtype: np.dtype[Any]) -> np.ndarray | None:
    """The constant of ``tensor``, None if its buffer is empty: it is computed."""
    _check_buffer(model, tensor)
    buffer = model.buffers[tensor.buffer]
    if buffer.offset or buffer.size:
        raise ModelError(f"tensor '{display(tensor.name)}' lies behind the flatbuffer, as in models beyond 2 GB; "
                         "convert a smaller model")
    if buffer.data is None or not len(buffer.data):
        return None
    if len(buffer.data) != math.prod(shape) * dtype.itemsize:
        raise ModelError(f"tensor '{display(tensor.name)}' holds {len(buffer.data)} bytes, but {dtype} {list(shape)} "
                         f"needs {math.prod(shape) * dtype.itemsize}; fetch or convert the file again")
    return np.frombuffer(np.asarray(buffer.data, np.uint8).tobytes(), dtype).reshape(shape)


def _operator_name(model: Any, place: int) -> str:
    raw = model.subgraphs[0].operators[place]
    if raw.opcodeIndex >= len(model.operatorCodes):
        raise ModelError(f"operator {place} has code {raw.opcodeIndex}, but the file has {len(model.operatorCodes)}; "
                         "fetch or convert it again")
    code, name = model.operatorCodes[raw.opcodeIndex], flatbuffer.operator_name(model, raw)
    if name == "CUSTOM":
        raise ModelError(f"operator {place} is the custom operator '{display(code.customCode)}'; only builtin "
                         "operators are supported: build the network without it")
    return name


def _operator(model: Any, place: int) -> Operator:
    raw, name = model.subgraphs[0].operators[place], _operator_name(model, place)
    version = model.operatorCodes[raw.opcodeIndex].version
    if not 1 <= version <= MAX_VERSION:
        raise ModelError(f"operator {place} ({name}) has version {version}; 1 to {MAX_VERSION} are allowed: convert "
                         "the model with another release")
    inputs, outputs = indices(raw.inputs), indices(raw.outputs)
    try:
        check_inputs(name, inputs)
        return Operator(place, name, inputs, outputs, scalar_options(name, raw.builtinOptions))
    except ModelError as error:
        raise ModelError(f"operator {place} ({name}): {error}") from error
