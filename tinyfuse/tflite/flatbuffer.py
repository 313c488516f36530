"""Reading and writing ``.tflite`` flatbuffers through the schema objects that LiteRT ships."""

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
    """Return the generated schema module (imported late: it is large)."""
    from ai_edge_litert import schema_py_generated

    return schema_py_generated


def read(data: bytes, name: str) -> Any:
    """Read the object tree (``ModelT``) of a ``.tflite`` from anywhere; ``name`` is used in errors.

    It has operator codes, buffers, and a first subgraph with tensors and operators. Everything else may be missing or
    absurd (indices, shapes, scales): see :func:`tinyfuse.tflite.reading.read_graph`.
    """
    if len(data) > MAX_MODEL_BYTES:
        raise ModelError(f"{name}: {len(data)} bytes, but at most {MAX_MODEL_BYTES} are read")
    if len(data) < 8 or data[4:8] != b"TFL3":
        raise ModelError(f"{name}: not a .tflite file (no TFL3 identifier)")
    try:
        bounds.check(data)
        model = schema().ModelT.InitFromPackedBuf(data, 0)
    except bounds.NotRead as error:
        raise ModelError(f"{name}: {error}") from error
    except (struct.error, IndexError, TypeError, ValueError, OverflowError) as error:
        raise ModelError(f"{name}: damaged .tflite ({error}); fetch or convert it again") from error
    if model.version != SCHEMA_VERSION:
        raise ModelError(f"{name}: a .tflite of version {model.version}, but only version {SCHEMA_VERSION} is read")
    if not model.subgraphs:
        raise ModelError(f"{name}: a .tflite without subgraphs; convert the model again")
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
    """Return the builtin name of ``operator``, such as ``CONV_2D``."""
    code = model.operatorCodes[operator.opcodeIndex]
    number = max(code.builtinCode, code.deprecatedBuiltinCode)
    return value_name("BuiltinOperator", number) or f"operator {number}"


@functools.lru_cache(maxsize=1024)
def value_name(enum: str, value: int) -> str | None:
    """Return the name of a ``value`` of an ``enum`` of the schema, None if it has no such value."""
    return next((name for name, known in vars(getattr(schema(), enum)).items()
                 if isinstance(known, int) and known == value), None)
