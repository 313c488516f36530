"""Convolutions that a converter wrote as SPACE_TO_BATCH_ND, convolutions without holes, BATCH_TO_SPACE_ND.

The batch in between holds every n-th row and column of one picture, so the convolutions are dilated ones of that
picture: SPACE_TO_BATCH_ND becomes a PAD, BATCH_TO_SPACE_ND a cut, and one sample stays one sample. What is no such
convolution, pooling say, is computed part by part, see :mod:`tinyfuse.tflite.unrolled_batch`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from tinyfuse.core.errors import ModelError
from tinyfuse.tflite import editing, flatbuffer
from tinyfuse.tflite.unrolled_batch import unroll

INTO, BACK = "SPACE_TO_BATCH_ND", "BATCH_TO_SPACE_ND"
_CONVOLUTIONS = ("CONV_2D", "DEPTHWISE_CONV_2D")
_POOLS = ("AVERAGE_POOL_2D", "MAX_POOL_2D")
_ALIKE = ("RELU", "RELU6", "LEAKY_RELU", "LOGISTIC", "TANH", "HARD_SWISH", "ELU", "ABS", "QUANTIZE", "ADD", "SUB",
          "MUL", "MINIMUM", "MAXIMUM")
"""Operators that compute every code alike wherever it lies; a constant operand must not differ between places."""
_HINT = ("between it and BATCH_TO_SPACE_ND only convolutions, pooling, or operators that treat all places alike can be "
         "computed: convert with inputs of batch size 1, which writes dilated convolutions at once")
_AXES = 4


class _Blocks(NamedTuple):
    """Rows and columns from one sample of the batch to the next place, and what is added before and behind."""

    sizes: tuple[int, int]
    pads: tuple[tuple[int, int], tuple[int, int]]


def join_batches(model: Any) -> bool:
    """Turn each such part of the object tree ``model`` into dilated convolutions, in place; tell whether there was one.

    Only int8 codes are looked at, for TFLite Micro moves no others. Raises :class:`ModelError`, in one line, for a part
    that this cannot be done with.
    """
    raw = model.subgraphs[0]
    if any(operator.opcodeIndex >= len(model.operatorCodes) for operator in raw.operators):
        return False
    found, place = False, -1
    while (place := place + 1) < len(raw.operators):
        if flatbuffer.operator_name(model, raw.operators[place]) == INTO and _moves_int8(raw, raw.operators[place]):
            try:
                _join(model, place)
            except ModelError as error:
                raise ModelError(f"operator {place} ({INTO}): {error}") from error
            except (AttributeError, LookupError, OverflowError, TypeError, ValueError) as error:
                raise ModelError(f"operator {place} ({INTO}) or one behind it is damaged ({error}); convert the model "
                                 "again") from error
            found = True
    return found


def _moves_int8(raw: Any, operator: Any) -> bool:
    index = int(operator.inputs[0]) if operator.inputs is not None and len(operator.inputs) else -1
    return 0 <= index < len(raw.tensors) and raw.tensors[index].type == flatbuffer.schema().TensorType.INT8


def _join(model: Any, place: int) -> None:
    raw = model.subgraphs[0]
    first = raw.operators[place]
    blocks = _read(model, first)
    if _works_on_parts(model, place):
        unroll(model, place, _read, lambda operator, name, inside: _is_alike(raw, operator, name, inside))
        return
    source, inside = raw.tensors[int(first.inputs[0])], {int(first.outputs[0])}
    sizes = [int(size) + sum(pad) for size, pad in zip(source.shape[1:3], blocks.pads, strict=True)]
    _spread(raw.tensors[int(first.outputs[0])], int(source.shape[0]), blocks, sizes)
    for operator in raw.operators[place + 1:]:
        name = flatbuffer.operator_name(model, operator)
        if operator.inputs is None or not inside.intersection(int(index) for index in operator.inputs):
            continue
        if name == BACK:
            _cut(model, operator, blocks)
        else:
            _check_inner(model, operator, name, inside)
            _dilate(operator, name, blocks)
            output = raw.tensors[int(operator.outputs[0])]
            _spread(output, int(source.shape[0]), blocks)
            inside.add(int(operator.outputs[0]))
    if inside & {int(index) for index in raw.outputs}:
        raise ModelError(f"its batch is an output; {_HINT}")
    pads = [[0, 0], *map(list, blocks.pads), [0, 0]]
    _rewrite(model, first, "PAD", [int(first.inputs[0]), _matrix(model, pads)])


def _read(model: Any, operator: Any) -> _Blocks:
    """The block sizes, and the padding or cropping, of either operator."""
    raw = model.subgraphs[0]
    if len(operator.inputs) != 3 or len(operator.outputs) != 1:
        raise ModelError(f"{len(operator.inputs)} inputs and {len(operator.outputs)} outputs, but it has 3 and 1")
    if any(not 0 <= int(index) < len(raw.tensors) for index in (*operator.inputs, *operator.outputs)):
        raise ModelError("it refers to a tensor that the file lacks; fetch or convert it again")
    shapes = [raw.tensors[int(index)].shape for index in (operator.inputs[0], operator.outputs[0])]
    values = [_numbers(model, int(index)) for index in operator.inputs[1:]]
    if any(shape is None or len(shape) != _AXES for shape in shapes) or [len(one) for one in values] != [2, 4]:
        raise ModelError(f"it must move blocks of two axes of a tensor with four; {_HINT}")
    (height, width), (top, bottom, left, right) = values
    if min(height, width) < 1 or min(values[1]) < 0:
        raise ModelError(f"blocks of {[height, width]} with {values[1]} around them; convert the model again")
    return _Blocks((height, width), ((top, bottom), (left, right)))


def _numbers(model: Any, index: int) -> list[int]:
    found = editing.integers(model, model.subgraphs[0].tensors[index])
    if not found:
        raise ModelError("its blocks and paddings must be constant int32 numbers; convert the model with fixed shapes")
    return found


def _spread(tensor: Any, samples: int, blocks: _Blocks, sizes: Sequence[int] | None = None) -> None:
    """Give ``tensor``, a batch of parts, the shape of the picture that they make up, which must have ``sizes``."""
    shape = [] if tensor.shape is None else [int(size) for size in tensor.shape]
    rows, columns = blocks.sizes
    if len(shape) != _AXES or shape[0] != samples * rows * columns:
        raise ModelError(f"a batch of shape {shape} does not hold {rows * columns} parts of each sample, so TFLite "
                         "Micro computes garbage: convert the model with inputs of batch size 1")
    whole = [samples, shape[1] * rows, shape[2] * columns, shape[3]]
    if sizes is not None and whole[1:3] != list(sizes):
        raise ModelError(f"parts of shape {shape[1:]} do not make up {list(sizes)}; convert the model again")
    tensor.shape, tensor.shapeSignature = np.array(whole, np.int32), None


def _check_inner(model: Any, operator: Any, name: str, inside: set[int]) -> None:
    """Raise unless ``operator`` computes each part of the batch as it would compute the picture."""
    raw = model.subgraphs[0]
    if len(operator.outputs) != 1:
        raise ModelError(f"{name} follows it; {_HINT}")
    if name in _CONVOLUTIONS:
        return
    if not _is_alike(raw, operator, name, inside):
        raise ModelError(f"{name} follows it; {_HINT}")


def _is_alike(raw: Any, operator: Any, name: str, inside: set[int]) -> bool:
    """Tell whether ``operator`` treats all places alike: its other operands are the same for each."""
    others = [raw.tensors[int(index)] for index in operator.inputs if int(index) not in inside]
    return name in _ALIKE and not any(one.shape is None or any(int(size) != 1 for size in one.shape[:-1])
                                      for one in others)


def _works_on_parts(model: Any, place: int) -> bool:
    """Tell whether a pooling layer, or a convolution with strides or padding, reads the batch that is made there."""
    raw = model.subgraphs[0]
    inside = {int(raw.operators[place].outputs[0])}
    for operator in raw.operators[place + 1:]:
        name = flatbuffer.operator_name(model, operator)
        if operator.inputs is None or not inside.intersection(map(int, operator.inputs)) or name == BACK:
            continue
        if name in _POOLS or (name in _CONVOLUTIONS and not _dilates(raw, operator)):
            return True
        inside.update(map(int, operator.outputs))
    return False


def _dilates(raw: Any, operator: Any) -> bool:
    """Tell whether a convolution over the parts is one with holes over the picture."""
    options = operator.builtinOptions
    kernel = raw.tensors[int(operator.inputs[1])].shape if int(operator.inputs[1]) < len(raw.tensors) else None
    point = kernel is not None and len(kernel) == _AXES and list(kernel[1:3]) == [1, 1]
    return options is not None and (options.strideH, options.strideW) == (1, 1) and (
        point or options.padding == flatbuffer.schema().Padding.VALID)


def _dilate(operator: Any, name: str, blocks: _Blocks) -> None:
    if name in _CONVOLUTIONS:
        operator.builtinOptions.dilationHFactor *= blocks.sizes[0]
        operator.builtinOptions.dilationWFactor *= blocks.sizes[1]


def _cut(model: Any, operator: Any, blocks: _Blocks) -> None:
    """BATCH_TO_SPACE_ND: without what it crops."""
    given, raw = _read(model, operator), model.subgraphs[0]
    if given.sizes != blocks.sizes:
        raise ModelError(f"{BACK} has blocks of {list(given.sizes)}, not {list(blocks.sizes)}; {_HINT}")
    shape = [int(size) for size in raw.tensors[int(operator.inputs[0])].shape]
    begins = [0, *(before for before, _ in given.pads), 0]
    ends = [shape[0], *(size - after for size, (_, after) in zip(shape[1:3], given.pads, strict=True)), shape[3]]
    if [end - begin for begin, end in zip(begins, ends, strict=True)] != list(
            raw.tensors[int(operator.outputs[0])].shape):
        raise ModelError(f"{BACK} of {shape} without {given.pads} does not give its output; convert the model again")
    sizes = [end - begin for begin, end in zip(begins, ends, strict=True)]
    _rewrite(model, operator, "SLICE", [int(operator.inputs[0]), *(editing.add_integers(model, values)
                                                                    for values in (begins, sizes))])


def _matrix(model: Any, rows: Sequence[Sequence[int]]) -> int:
    """Add a constant int32 matrix; return the index of its tensor."""
    index = editing.add_integers(model, [value for row in rows for value in row])
    model.subgraphs[0].tensors[index].shape = np.array([len(rows), len(rows[0])], np.int32)
    return index


def _rewrite(model: Any, operator: Any, name: str, inputs: Sequence[int]) -> None:
    operator.opcodeIndex, operator.inputs = editing.operator_code(model, name, 1), np.array(inputs, np.int32)
    operator.builtinOptions, operator.builtinOptionsType = None, 0
