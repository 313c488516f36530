"""Reductions over the batch as well, of one sample: what layer normalisation becomes where its rows are channels.

One sample is the whole batch, so the reduction may leave that axis alone. Its output then begins with the batch, and so
does what is computed of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from tinyfuse.core.errors import ModelError
from tinyfuse.tflite import editing, flatbuffer

_REDUCING = ("MEAN", "SUM", "REDUCE_MAX", "REDUCE_MIN")
_BY_PLACE = frozenset({"ABS", "ADD", "DIV", "LEAKY_RELU", "LOGISTIC", "MAXIMUM", "MINIMUM", "MUL", "QUANTIZE", "RELU",
                       "RELU6", "RSQRT", "SQUARED_DIFFERENCE", "SUB", "TANH"})
"""Operators whose operands broadcast from the right, so that an axis before all others changes nothing."""
_ANY_SHAPE = ("RESHAPE", "DEQUANTIZE")


def leave_batch(model: Any) -> bool:
    """Take the batch out of reductions over one sample, in the object tree, in place; tell whether there was one.

    Raises :class:`ModelError`, in one line, where an operator counts the axes of what such a reduction leaves.
    """
    raw, grown, found = model.subgraphs[0], set[int](), False
    if any(operator.opcodeIndex >= len(model.operatorCodes) for operator in raw.operators):
        return False
    for place, operator in enumerate(raw.operators):
        name, inputs = flatbuffer.operator_name(model, operator), _indices(operator.inputs)
        outputs = _indices(operator.outputs)
        if any(not -1 <= index < len(raw.tensors) for index in (*inputs, *outputs)) or len(outputs) != 1:
            continue
        if grown.intersection(inputs):
            if name in _BY_PLACE:
                _grow_with(raw, inputs, outputs[0], grown)
            elif name not in _ANY_SHAPE:
                raise ModelError(f"operator {place} ({name}) counts the axes of what a reduction over the batch left; "
                                 "give the reduction keep_dims, or axes without the first")
        elif name in _REDUCING and _reduce_inside(model, operator, inputs):
            found = True
            if not operator.builtinOptions.keepDims:
                _grow(raw.tensors[outputs[0]])
                grown.add(outputs[0])
    return found


def _reduce_inside(model: Any, operator: Any, inputs: Sequence[int]) -> bool:
    """Take axis 0 out of the axes of ``operator`` if it is there, has size 1 and is not the only one."""
    tensors = model.subgraphs[0].tensors
    if len(inputs) != 2 or min(inputs) < 0 or not hasattr(operator.builtinOptions, "keepDims"):
        return False
    shape, axes = _indices(tensors[inputs[0]].shape), editing.integers(model, tensors[inputs[1]])
    if any(not -len(shape) <= axis < len(shape) for axis in axes):
        return False
    counted = {axis % len(shape) for axis in axes}
    if 0 not in counted or len(counted) < 2 or shape[0] != 1:
        return False
    operator.inputs = np.array([inputs[0], editing.add_integers(model, sorted(counted - {0}))], np.int32)
    return True


def _grow_with(raw: Any, inputs: Sequence[int], output: int, grown: set[int]) -> None:
    """Give the output of an operator an axis more if its operands have one now."""
    most = max(len(_indices(raw.tensors[index].shape)) for index in inputs if index >= 0)
    if len(_indices(raw.tensors[output].shape)) == most - 1:
        _grow(raw.tensors[output])
        grown.add(output)


def _grow(tensor: Any) -> None:
    tensor.shape, tensor.shapeSignature = np.array([1, *_indices(tensor.shape)], np.int32), None


def _indices(values: Any) -> tuple[int, ...]:
    return () if values is None else tuple(map(int, values))
