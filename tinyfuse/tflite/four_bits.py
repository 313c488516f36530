"""Weights that a file packs as two in a byte become int8, as TFLite Micro unpacks them before its kernels run."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from tinyfuse.tflite import flatbuffer
from tinyfuse.tflite.flatbuffer import schema

_WEIGHTED = ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED")
"""Operators whose int8 kernels take INT4 weights, their second input."""


def unpack_weights(model: Any) -> bool:
    """Make INT4 weights of the object tree ``model`` int8, in place; return whether there were any.

    Others stay, and are refused by their type; so do weights that another operator reads as well.
    """
    raw = model.subgraphs[0]
    weights, others = set[int](), {int(index) for ends in (raw.inputs, raw.outputs) if ends is not None
                                   for index in ends}
    for operator in raw.operators:
        read = [int(index) for index in (() if operator.inputs is None else operator.inputs)]
        if _is_weighted(model, operator, read):
            weights.add(read.pop(1))
        others.update(read)
    unpacked = [_unpack(model, raw.tensors[index]) for index in sorted(weights - others)]
    return any(unpacked)


def _is_weighted(model: Any, operator: Any, read: list[int]) -> bool:
    """Tell whether the second tensor that ``operator`` reads is one of INT4 weights for int8 codes.

    Those of FULLY_CONNECTED have one scale: TFLite Micro does not load others.
    """
    tensors, types = model.subgraphs[0].tensors, schema().TensorType
    if operator.opcodeIndex >= len(model.operatorCodes) or len(read) < 2 or not all(
            0 <= index < len(tensors) for index in read[:2]):
        return False
    name, weights = flatbuffer.operator_name(model, operator), tensors[read[1]]
    scales = None if weights.quantization is None else weights.quantization.scale
    return (name in _WEIGHTED and tensors[read[0]].type == types.INT8 and weights.type == types.INT4 and
            (name != "FULLY_CONNECTED" or scales is None or len(scales) < 2))


def _unpack(model: Any, weights: Any) -> bool:
    """Give ``weights`` a buffer of one byte for each; the lower four bits of a byte come first."""
    count = math.prod(int(size) for size in (() if weights.shape is None else weights.shape))
    data = model.buffers[weights.buffer].data if 0 <= weights.buffer < len(model.buffers) else None
    if data is None or not 0 < count <= 2 * len(data) or len(data) != (count + 1) // 2:
        return False
    packed = np.asarray(data, np.uint8)
    both = np.stack([packed << 4, packed & 0xF0], axis=-1).reshape(-1)[:count].view(np.int8) >> 4
    buffer = schema().BufferT()
    buffer.data = both.view(np.uint8)
    model.buffers.append(buffer)
    weights.buffer, weights.type = len(model.buffers) - 1, schema().TensorType.INT8
    return True
