"""SPACE_TO_BATCH_ND, operators that are no dilations, BATCH_TO_SPACE_ND: the parts of one sample, one after the other.

A pooling layer, or a convolution with strides or padding, treats each part of the batch as a picture of its own. So it
becomes one operator for each part: STRIDED_SLICE cuts the parts out, PACK puts them together again.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tinyfuse.core.errors import ModelError
from tinyfuse.tflite import editing, flatbuffer

PARTWISE = ("CONV_2D", "DEPTHWISE_CONV_2D", "AVERAGE_POOL_2D", "MAX_POOL_2D")
MOST_PARTS = 16
Pads = tuple[tuple[int, int], tuple[int, int]]
Read = Callable[[Any, Any], tuple[tuple[int, int], Pads]]


def unroll(model: Any, place: int, read: Read, alike: Callable[[Any, str, set[int]], bool]) -> None:
    """Rewrite what begins with the SPACE_TO_BATCH_ND at ``place``, in place.

    ``read``: sizes and padding of either operator; ``alike(operator, name, inside)``: whether one treats all places of
    the tensors ``inside`` alike. ModelError: another operator, more than one sample, or too many parts.
    """
    raw = model.subgraphs[0]
    first = raw.operators[place]
    (rows, columns), pads = read(model, first)
    source, into = raw.tensors[int(first.inputs[0])], int(first.outputs[0])
    shape = [int(size) for size in raw.tensors[into].shape]
    whole = [1, int(source.shape[1]) + sum(pads[0]), int(source.shape[2]) + sum(pads[1]), int(source.shape[3])]
    if int(source.shape[0]) != 1 or [shape[0], shape[1] * rows, shape[2] * columns] != [rows * columns, *whole[1:3]]:
        raise ModelError(f"parts of shape {shape} do not make up one sample of {whole}; convert the model with inputs "
                         "of batch size 1")
    if rows * columns > MOST_PARTS:
        raise ModelError(f"{rows * columns} parts; at most {MOST_PARTS} are computed one after the other")
    padded = _like(model, into, whole, "padded")
    made = [_operator(model, "PAD", [int(first.inputs[0]), _pairs(model, pads)], padded)]
    parts = {into: [_like(model, into, [1, *shape[1:]], f"part{number}") for number in range(rows * columns)]}
    for number, part in enumerate(parts[into]):
        begins, ends = [0, number // columns, number % columns, 0], whole
        made.append(_operator(model, "STRIDED_SLICE", [padded, *(editing.add_integers(model, values) for values in
                                                                 (begins, ends, [1, rows, columns, 1]))], part,
                              flatbuffer.schema().StridedSliceOptionsT()))
    for operator in raw.operators[place + 1:]:
        name, inputs = flatbuffer.operator_name(model, operator), [int(one) for one in operator.inputs]
        if not parts.keys() & set(inputs):
            made.append(operator)
        elif name == "BATCH_TO_SPACE_ND":
            made += _put_together(model, operator, parts[inputs[0]], read, (rows, columns))
        elif name in PARTWISE or alike(operator, name, set(parts)):
            made += _on_each(model, operator, parts)
        else:
            raise ModelError(f"{name} follows it, which is not computed part by part; convert the model with inputs of "
                             "batch size 1")
    if parts.keys() & {int(index) for index in raw.outputs}:
        raise ModelError("its batch is an output; convert with inputs of batch size 1")
    raw.operators = [*raw.operators[:place], *made]


def _on_each(model: Any, operator: Any, parts: dict[int, list[int]]) -> list[Any]:
    """Copy ``operator`` for each part."""
    output = int(operator.outputs[0])
    shape = [int(size) for size in model.subgraphs[0].tensors[output].shape]
    count = len(next(iter(parts.values())))
    if len(operator.outputs) != 1 or len(shape) != 4 or shape[0] != count:
        raise ModelError(f"a batch of shape {shape} does not hold {count} parts; convert the model again")
    parts[output] = [_like(model, output, [1, *shape[1:]], f"part{number}") for number in range(count)]
    found = []
    for number in range(count):
        one = copy.copy(operator)
        one.inputs = np.array([parts[index][number] if index in parts else index for index in
                               (int(given) for given in operator.inputs)], np.int32)
        one.outputs = np.array([parts[output][number]], np.int32)
        found.append(one)
    return found


def _put_together(model: Any, operator: Any, parts: Sequence[int], read: Read, blocks: tuple[int, int]) -> list[Any]:
    """BATCH_TO_SPACE_ND: columns of the parts side by side, then rows, then without what it crops."""
    given, crops = read(model, operator)
    if given != blocks:
        raise ModelError(f"BATCH_TO_SPACE_ND has blocks of {list(given)}, not {list(blocks)}; convert the model again")
    (rows, columns), index = blocks, int(operator.outputs[0])
    _, height, width, depth = (int(size) for size in model.subgraphs[0].tensors[parts[0]].shape)
    made: list[Any] = []
    lines = [_interleaved(model, index, parts[row * columns:][:columns], 3, [1, height, width * columns, depth], made)
             for row in range(rows)]
    joined = _interleaved(model, index, lines, 2, [1, height * rows, width * columns, depth], made)
    begins = [0, crops[0][0], crops[1][0], 0]
    sizes = [1, height * rows - sum(crops[0]), width * columns - sum(crops[1]), depth]
    if sizes != [int(size) for size in model.subgraphs[0].tensors[index].shape]:
        raise ModelError(f"BATCH_TO_SPACE_ND gives {sizes}, not what its output declares; convert the model again")
    return [*made, _operator(model, "SLICE", [joined, *(editing.add_integers(model, values) for values in
                                                        (begins, sizes))], index)]


def _interleaved(model: Any, like: int, tensors: Sequence[int], axis: int, shape: list[int], made: list[Any]) -> int:
    """Add what stacks ``tensors`` behind ``axis`` - 1 and merges that with the new axis; return the result."""
    size = [int(one) for one in model.subgraphs[0].tensors[tensors[0]].shape]
    stacked = _like(model, like, [*size[:axis], len(tensors), *size[axis:]], "stacked")
    options = flatbuffer.schema().PackOptionsT()
    options.axis, options.valuesCount = axis, len(tensors)
    merged = _like(model, like, shape, "merged")
    made += [_operator(model, "PACK", tensors, stacked, options),
             _operator(model, "RESHAPE", [stacked, editing.add_integers(model, shape)], merged)]
    return merged


def _like(model: Any, index: int, shape: Sequence[int], what: str) -> int:
    """Add a tensor on the grid of another one."""
    raw = model.subgraphs[0]
    tensor = copy.copy(raw.tensors[index])
    tensor.name = b"%s/%s%d" % (tensor.name or b"t", what.encode(), len(raw.tensors))
    tensor.shape, tensor.shapeSignature = np.array(shape, np.int32), None
    raw.tensors.append(tensor)
    return len(raw.tensors) - 1


def _pairs(model: Any, pads: Pads) -> int:
    index = editing.add_integers(model, [0, 0, *pads[0], *pads[1], 0, 0])
    model.subgraphs[0].tensors[index].shape = np.array([4, 2], np.int32)
    return index


def _operator(model: Any, name: str, inputs: Sequence[int], output: int, options: Any = None) -> Any:
    operator = flatbuffer.schema().OperatorT()
    operator.opcodeIndex = editing.operator_code(model, name, 1)
    operator.inputs, operator.outputs = np.array(inputs, np.int32), np.array([output], np.int32)
    operator.builtinOptions, operator.builtinOptionsType = options, 0
    if options is not None:
        kind = type(options).__name__.removesuffix("T")
        operator.builtinOptionsType = getattr(flatbuffer.schema().BuiltinOptions, kind)
    return operator
