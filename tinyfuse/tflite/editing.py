"""Editing the object tree of a ``.tflite``: operator codes, constants, scales, and what nothing refers to."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from tinyfuse.tflite.flatbuffer import schema


def operator_code(model: Any, name: str, version: int) -> int:
    """Find the index of the operator code ``name``, added to ``model`` where it is missing."""
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
    """Return the constant data of ``tensor`` in its shape."""
    raw = np.asarray(model.buffers[tensor.buffer].data, np.uint8)
    return np.frombuffer(raw.tobytes(), dtype).reshape(tensor.shape)


def set_constant(model: Any, tensor: Any, value: np.ndarray, scale: np.ndarray) -> None:
    """Give ``tensor`` the integers ``value`` and per-channel (axis 0) ``scale``, in a buffer of its own."""
    buffer = schema().BufferT()
    buffer.data = np.frombuffer(np.ascontiguousarray(value).tobytes(), np.uint8)
    model.buffers.append(buffer)
    tensor.buffer, tensor.shape = len(model.buffers) - 1, np.array(value.shape, np.int32)
    set_scale(tensor, scale, np.zeros(len(scale), np.int64))


def integers(model: Any, tensor: Any) -> list[int]:
    """Return the constant int32 numbers of ``tensor``, none where it holds others or is damaged."""
    data = model.buffers[tensor.buffer].data if 0 <= tensor.buffer < len(model.buffers) else None
    if data is None or len(data) % 4 or tensor.type != schema().TensorType.INT32:
        return []
    return [int(value) for value in np.frombuffer(np.asarray(data, np.uint8).tobytes(), np.int32)]


def add_integers(model: Any, values: Sequence[int]) -> int:
    """Add a constant int32 vector to the first subgraph of ``model``; return the index of its tensor."""
    tensor, graph = schema().TensorT(), model.subgraphs[0]
    tensor.name, tensor.type = b"shape", schema().TensorType.INT32
    buffer = schema().BufferT()
    buffer.data = np.frombuffer(np.array(values, np.int32).tobytes(), np.uint8)
    model.buffers.append(buffer)
    tensor.buffer, tensor.shape = len(model.buffers) - 1, np.array([len(values)], np.int32)
    graph.tensors.append(tensor)
    return len(graph.tensors) - 1


def set_scale(tensor: Any, scale: np.ndarray, zero_point: np.ndarray) -> None:
    """Replace the quantisation of ``tensor``: float32 ``scale`` and int64 ``zero_point``, one or one per channel."""
    quantization = schema().QuantizationParametersT()
    quantization.scale, quantization.zeroPoint = np.asarray(scale, np.float32), np.asarray(zero_point, np.int64)
    quantization.quantizedDimension = 0
    tensor.quantization = quantization


def drop_unused(model: Any) -> None:
    """Remove tensors that nothing refers to, then buffers that nothing refers to (buffer 0 always stays)."""
    graph, metadata, signatures = model.subgraphs[0], model.metadata or [], model.signatureDefs or []
    entries = [entry for signature in signatures for entry in (*signature.inputs, *signature.outputs)]
    users = (graph, *graph.operators)
    used = {*(entry.tensorIndex for entry in entries), *(i for user in users for i in (*user.inputs, *user.outputs))}
    place = _compact(graph, "tensors", used - {-1})
    for user in users:
        user.inputs = np.array([place.get(int(i), -1) for i in user.inputs], np.int32)
        user.outputs = np.array([place[int(i)] for i in user.outputs], np.int32)
    for entry in entries:
        entry.tensorIndex = place[int(entry.tensorIndex)]
    place = _compact(model, "buffers", {0, *(holder.buffer for holder in (*graph.tensors, *metadata))})
    for holder in (*graph.tensors, *metadata):
        holder.buffer = place[int(holder.buffer)]


def _compact(owner: Any, attribute: str, used: set[Any]) -> dict[int, int]:
    """Keep the ``used`` entries of a list in their order; return the new place of each old index."""
    places, items = sorted(int(index) for index in used), getattr(owner, attribute)
    setattr(owner, attribute, [items[index] for index in places])
    return {old: new for new, old in enumerate(places)}
