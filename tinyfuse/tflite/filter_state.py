"""The memory of SVDF operators as inputs and outputs: the last values of their features come in and go out.

TFLite Micro keeps them in a variable tensor between inferences. Given as an input of the file, that tensor is set
before an inference and read after it; the graph calls what is in it afterwards another tensor.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from tinyfuse.tflite import flatbuffer
from tinyfuse.tflite.graph import Operator

SVDF, SVDF_STATE = "SVDF", "SVDF_STATE"
STATE = 4
"""The input of SVDF that holds its memory."""


def expose_filters(model: Any) -> dict[int, int]:
    """Make the memories of the object tree ``model`` inputs ``state_K`` and outputs ``next_K`` of it, in place.

    K counts the SVDF operators. An SVDF then has a second output, a tensor behind all others. Returns the tensor of the
    memory for each of these, empty where ``model`` has no SVDF.
    """
    raw, found = model.subgraphs[0], dict[int, int]()
    inputs, outputs = list(_integers(raw.inputs)), list(_integers(raw.outputs))
    for operator in _filters(model):
        read = _integers(operator.inputs)
        if len(read) <= STATE or not 0 <= read[STATE] < len(raw.tensors) or len(_integers(operator.outputs)) != 1:
            continue  # what is refused by the operator itself
        state, number = raw.tensors[read[STATE]], len(found)
        after = copy.copy(state)
        after.name, after.isVariable = f"next_{number}".encode(), False
        state.name = f"state_{number}".encode()
        raw.tensors.append(after)
        operator.outputs = np.array([*_integers(operator.outputs), len(raw.tensors) - 1], np.int32)
        found[len(raw.tensors) - 1] = read[STATE]
        inputs.append(read[STATE])
        outputs.append(len(raw.tensors) - 1)
    raw.inputs, raw.outputs = np.array(inputs, np.int32), np.array(outputs, np.int32)
    return found


def hide_filters(model: Any, outputs: tuple[int, ...], memories: dict[int, int]) -> tuple[int, ...]:
    """Take the second outputs of SVDF out of ``model`` again, in place; return the ``outputs`` of the file."""
    for operator in _filters(model):
        operator.outputs = np.array([index for index in _integers(operator.outputs) if index not in memories], np.int32)
    return tuple(memories.get(index, index) for index in outputs)


def filters_split(operator: Operator) -> Iterator[Operator]:
    """Yield an SVDF with one output, and what computes its second one."""
    yield replace(operator, outputs=operator.outputs[:1])
    if len(operator.outputs) > 1:
        yield replace(operator, name=SVDF_STATE, outputs=operator.outputs[1:2])


def _filters(model: Any) -> list[Any]:
    codes = len(model.operatorCodes)
    return [operator for operator in model.subgraphs[0].operators if operator.opcodeIndex < codes and
            flatbuffer.operator_name(model, operator) == SVDF]


def _integers(values: Any) -> tuple[int, ...]:
    return () if values is None else tuple(map(int, values))
