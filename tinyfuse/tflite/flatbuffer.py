"""Reading, editing and writing ``.tflite`` flatbuffers through the schema objects that LiteRT ships."""

from __future__ import annotations

import functools
import struct
from typing import Any

import numpy as np

from tinyfuse.core.errors import ModelError
from tinyfuse.tflite import bounds

ALIGNMENT = 16  # TFLite kernels and CMSIS-NN load weights with vector instructions
MAX_MODEL_BYTES = 64 << 20
SCHEMA_VERSION = 3


def schema() -> Any:
    """The generated schema module (imported late: it is large)."""
    from ai_edge_litert import schema_py_generated

    return schema_py_generated


def read(data: bytes, name: str) -> Any:
    """The object tree (``ModelT``) of a ``.tflite`` from anywhere; ``name`` is used in errors.

    It has operator codes, buffers, and one subgraph with tensors and operators. Everything else may be missing or
    absurd (indices, shapes, scales): see :func:`tinyfuse.tflite.graph.read_graph`.
    """
    if len(data) > MAX_MODEL_BYTES:
        raise ModelError(f"{name}: {len(data)} bytes, but at most {MAX_MODEL_BYTES} are read")
    if len(data) < 8 or data[4:8] != b"TFL3":
        raise ModelError(f"{name}: not a .tflite file (no TFL3 identifier)")
    try:
        bounds.check(data)
        model = schema().ModelT.InitFromPackedBuf(data, 0)
    except (struct.error, IndexError, TypeError, ValueError, OverflowError) as error:
        raise ModelError(f"{name}: damaged .tflite ({error}); fetch or convert it again") from error
    if model.version != SCHEMA_VERSION:
        raise ModelError(f"{name}: a .tflite of version {model.version}, but only version {SCHEMA_VERSION} is read")
    if not model.subgraphs or len(model.subgraphs) != 1:
        raise ModelError(f"{name}: {len(model.subgraphs or ())} subgraphs, but exactly one is read; export one "
                         "function")
    graph = model.subgraphs[0]
    for what, present in (("operator codes", model.operatorCodes), ("buffers", model.buffers),
                          ("tensors", graph.tensors), ("operators", graph.operators)):
        if not present:
            raise ModelError(f"{name}: a .tflite without {what}; convert the model again")
    return model


def write(model: Any) -> bytes:
    """Pack ``model``; every buffer starts at a multiple of 16 bytes. Same tree, same bytes."""
    import flatbuffers

    for buffer in model.buffers:
        buffer.Pack = functools.partial(_pack_aligned, buffer)
    builder = flatbuffers.Builder(1 << 16)
    builder.Finish(model.Pack(builder), file_identifier=b"TFL3")
    return bytes(builder.Output())


def _pack_aligned(buffer: Any, builder: Any) -> int:
    """Pack one buffer with 16-byte aligned data: the generated code forgets the schema's ``force_align``."""
    vector = 0
    if buffer.data is not None and len(buffer.data):
        data = np.asarray(buffer.data, np.uint8).tobytes()
        builder.StartVector(1, len(data), ALIGNMENT)
        builder.head = builder.Head() - len(data)
        builder.Bytes[builder.Head():builder.Head() + len(data)] = data
        vector = builder.EndVector()
    schema().BufferStart(builder)
    if vector:
        schema().BufferAddData(builder, vector)
    schema().BufferAddOffset(builder, buffer.offset)
    schema().BufferAddSize(builder, buffer.size)
    return int(schema().BufferEnd(builder))


def operator_name(model: Any, operator: Any) -> str:
    """The builtin name of ``operator``, such as ``CONV_2D``."""
    code = model.operatorCodes[operator.opcodeIndex]
    number = max(code.builtinCode, code.deprecatedBuiltinCode)
    return value_name("BuiltinOperator", number) or f"operator {number}"


@functools.lru_cache(maxsize=1024)
def value_name(enum: str, value: int) -> str | None:
    """The name of a ``value`` of an ``enum`` of the schema, None if it has no such value."""
    return next((name for name, known in vars(getattr(schema(), enum)).items()
                 if isinstance(known, int) and known == value), None)


def operator_code(model: Any, name: str, version: int) -> int:
    """Index of the operator code ``name``, added to ``model`` where it is missing."""
    number = getattr(schema().BuiltinOperator, name)
    for index, code in enumerate(model.operatorCodes):
        if max(code.builtinCode, code.deprecatedBuiltinCode) == number:
            code.version = max(code.version, version)
            return index
    code = schema().OperatorCodeT()
    code.builtinCode, code.deprecatedBuiltinCode, code.version = number, min(number, 127), version
    model.operatorCodes.append(code)
    return len(model.operatorCodes) - 1


def constant(model: Any, tensor: Any, dtype: type) -> np.ndarray:
    """The constant data of ``tensor`` in its shape."""
    raw = np.asarray(model.buffers[tensor.buffer].data, np.uint8)
    return np.frombuffer(raw.tobytes(), dtype).reshape(tensor.shape)


def set_constant(model: Any, tensor: Any, value: np.ndarray, scale: np.ndarray) -> None:
    """Give ``tensor`` the integers ``value`` and per-channel (axis 0) ``scale``, in a buffer of its own."""
    buffer = schema().BufferT()
    buffer.data = np.frombuffer(np.ascontiguousarray(value).tobytes(), np.uint8)
    model.buffers.append(buffer)
    tensor.buffer, tensor.shape = len(model.buffers) - 1, np.array(value.shape, np.int32)
    set_scale(tensor, scale, np.zeros(len(scale), np.int64))


def set_scale(tensor: Any, scale: np.ndarray, zero_point: np.ndarray) -> None:
    """Replace the quantisation of ``tensor``: float32 ``scale`` and int64 ``zero_point``, one or one per channel."""
    quantization = schema().QuantizationParametersT()
    quantization.scale = np.asarray(scale, np.float32)
    quantization.zeroPoint = np.asarray(zero_point, np.int64)
    quantization.quantizedDimension = 0
    tensor.quantization = quantization


def drop_unused(model: Any) -> None:
    """Remove tensors that nothing refers to, then buffers that nothing refers to (buffer 0 is always kept)."""
    graph, metadata, signatures = model.subgraphs[0], model.metadata or [], model.signatureDefs or []
    entries = [entry for signature in signatures for entry in (*signature.inputs, *signature.outputs)]
    used = {*graph.inputs, *graph.outputs, *(entry.tensorIndex for entry in entries)}
    for operator in graph.operators:
        used |= {*operator.inputs, *operator.outputs}
    place = _compact(graph, "tensors", used - {-1})
    for operator in graph.operators:
        operator.inputs = np.array([place.get(int(i), -1) for i in operator.inputs], np.int32)
        operator.outputs = np.array([place[int(i)] for i in operator.outputs], np.int32)
    graph.inputs = np.array([place[int(i)] for i in graph.inputs], np.int32)
    graph.outputs = np.array([place[int(i)] for i in graph.outputs], np.int32)
    for entry in entries:
        entry.tensorIndex = place[int(entry.tensorIndex)]
    place = _compact(model, "buffers", {0, *(holder.buffer for holder in (*graph.tensors, *metadata))})
    for holder in (*graph.tensors, *metadata):
        holder.buffer = place[int(holder.buffer)]


def _compact(owner: Any, attribute: str, used: set[Any]) -> dict[int, int]:
    """Keep the ``used`` entries of a list in their order; return the new place of each old index."""
    kept = sorted(int(index) for index in used)
    items = getattr(owner, attribute)
    setattr(owner, attribute, [items[index] for index in kept])
    return {old: new for new, old in enumerate(kept)}
