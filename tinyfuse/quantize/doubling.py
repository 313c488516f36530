"""9-bit weights on stock kernels: two int8 halves behind an input that the kernel reads twice.

A convolution or dense layer reads CONCATENATION(x, x) with the weights [W1, W2] along its input channels. A depthwise
kernel sums over rows and columns alone, so its input has every row twice (RESHAPE, CONCATENATION, RESHAPE), its kernel
has the rows of W1 and W2 by turns, and its vertical stride is doubled. With SAME padding of an odd number of rows, half
of which is not whole, two rows of zeros before the kernel bring it back to its place.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tinyfuse.core.errors import ConversionError
from tinyfuse.quantize.tensor_units import copy_tensor, new_operator, sources, weights_of, with_input
from tinyfuse.quantize.weight_codes import split
from tinyfuse.tflite.editing import constant, set_constant
from tinyfuse.tflite.flatbuffer import operator_name, schema

_DOUBLED, _SHIFTED = "/doubled_input", "/doubled_input_of_shifted_kernel"


def stored_values(values: np.ndarray, doubled: bool, depthwise: bool) -> np.ndarray:
    """Lay out ``values`` (int16 [o, ..., i]) as int8 weights of a ``.tflite``; see the head of this file."""
    if not depthwise:
        return np.concatenate(split(values), axis=-1) if doubled else values.astype(np.int8)
    maps = np.moveaxis(values[..., 0], 0, -1)[None]  # [1, kh, kw, o]
    if not doubled:
        return maps.astype(np.int8)
    return np.stack(split(maps), axis=2).reshape(1, -1, *maps.shape[2:])


def read_codes(model: Any, operator: Any) -> np.ndarray:
    """Read the codes int16 [o, ..., i] of ``operator`` in a written model, doubled ones added up."""
    tensors = model.subgraphs[0].tensors
    read = (tensors[sources(model, operator)[0]].name or b"").decode()
    doubled, shifted = read.endswith((_DOUBLED, _SHIFTED)), read.endswith(_SHIFTED)
    stored = constant(model, weights_of(model, operator), np.int8).astype(np.int16)
    if operator_name(model, operator) == "DEPTHWISE_CONV_2D":
        if doubled:
            stored = stored.reshape(1, -1, 2, *stored.shape[2:]).sum(axis=2, dtype=np.int16)[:, int(shifted):]
        return np.asarray(np.moveaxis(stored[0], -1, 0)[..., None])
    half = stored.shape[-1] // 2
    return np.asarray(stored[..., :half] + stored[..., half:]) if doubled else stored


def double_input(model: Any, operator: Any, layer: str) -> list[Any]:
    """Let ``operator`` read its input twice; return the operators that go before it."""
    if operator_name(model, operator) == "DEPTHWISE_CONV_2D":
        return _double_rows(model, operator, layer)
    source = sources(model, operator)[0]
    shape = [int(size) for size in model.subgraphs[0].tensors[source].shape]
    made = _tensor(model, source, f"{layer}{_DOUBLED}", [*shape[:-1], 2 * shape[-1]])
    with_input(model, operator, made)
    return [_concatenation(model, source, made, len(shape) - 1)]


def _double_rows(model: Any, operator: Any, layer: str) -> list[Any]:
    options, source = operator.builtinOptions, sources(model, operator)[0]
    tensors = model.subgraphs[0].tensors
    if options.dilationHFactor != 1:
        raise ConversionError(f"layer '{layer}': a dilated depthwise convolution has no 9-bit form; give it 8 bits")
    batch, rows, columns, channels = (int(size) for size in tensors[source].shape)
    suffix = _SHIFTED if _shift(model, operator, rows) else _DOUBLED
    options.strideH *= 2
    row = _tensor(model, source, f"{layer}/rows", [batch, rows, 1, columns * channels])
    twice = _tensor(model, source, f"{layer}/rows_twice", [batch, rows, 2, columns * channels])
    made = _tensor(model, source, layer + suffix, [batch, 2 * rows, columns, channels])
    with_input(model, operator, made)
    return [_reshape(model, source, row), _concatenation(model, row, twice, 2), _reshape(model, twice, made)]


def _shift(model: Any, operator: Any, rows: int) -> bool:
    """Put two rows of zeros before the doubled kernel where SAME pads an odd number of single rows; tell whether."""
    options, weights = operator.builtinOptions, weights_of(model, operator)
    made = int(model.subgraphs[0].tensors[operator.outputs[0]].shape[1])
    padding = max((made - 1) * options.strideH + weights.shape[1] // 2 - rows, 0)
    if options.padding != schema().Padding.SAME or padding % 2 == 0:
        return False
    given = weights.quantization
    values = np.pad(constant(model, weights, np.int8), ((0, 0), (2, 0), (0, 0), (0, 0)))
    set_constant(model, weights, values, np.asarray(given.scale))
    weights.quantization.quantizedDimension = given.quantizedDimension
    return True


def _tensor(model: Any, source: int, name: str, shape: list[int]) -> int:
    made = copy_tensor(model, source, name.encode())
    tensor = model.subgraphs[0].tensors[made]
    tensor.shape, tensor.shapeSignature = np.array(shape, np.int32), None
    return made


def _concatenation(model: Any, source: int, made: int, axis: int) -> Any:
    """Put the tensor ``source`` beside itself."""
    version = 2 if model.subgraphs[0].tensors[made].type == schema().TensorType.INT8 else 3
    found = new_operator(model, "Concatenation", version, [source, source], made)
    found.builtinOptions.axis = axis
    return found


def _reshape(model: Any, source: int, made: int) -> Any:
    """Bring the tensor ``source`` to the shape of ``made``."""
    shape = np.array(model.subgraphs[0].tensors[made].shape, np.int32)
    constant_ = copy_tensor(model, made, model.subgraphs[0].tensors[made].name + b"/shape")
    tensor = model.subgraphs[0].tensors[constant_]
    set_constant(model, tensor, shape, np.ones(1))
    tensor.type, tensor.quantization = schema().TensorType.INT32, None
    found = new_operator(model, "Reshape", 1, [source, constant_], made)
    found.builtinOptions.newShape = shape
    return found
