"""What an integer model says about each class, in real values; one sigmoid at its end tells two classes apart."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from tinyfuse.integer.model import IntegerModel, dequantize
from tinyfuse.tflite.graph import Graph

PROBABILITIES = ("SOFTMAX", "LOGISTIC")
_SAME_VALUES = ("DEQUANTIZE", "RESHAPE", "QUANTIZE")


def ending(graph: Graph, kinds: Sequence[str] = PROBABILITIES) -> list[int]:
    """List the tensors that operators of ``kinds`` at the end of ``graph`` read, the last one first.

    What hands on the values as they are may stand between them and the output.
    """
    made_by = {operator.outputs[0]: operator for operator in graph.operators}
    index, found = graph.outputs[0], list[int]()
    while index in made_by and made_by[index].name in (*kinds, *_SAME_VALUES):
        operator = made_by[index]
        index = operator.inputs[0]
        found += [index] if operator.name in kinds else []
    return found


def has_one_sigmoid(graph: Graph) -> bool:
    """Tell whether ``graph`` ends in one sigmoid: its output is the probability of the second of two classes."""
    return math.prod(graph.tensors[graph.outputs[0]].shape) == 1 and bool(ending(graph, ["LOGISTIC"]))


def half_of(graph: Graph) -> int | None:
    """Compute the largest output code that stands for at most one half where ``graph`` ends in one sigmoid."""
    output = graph.tensors[graph.outputs[0]]
    return math.floor(0.5 / output.unit) + output.zero if has_one_sigmoid(graph) else None


def class_values(outputs: np.ndarray, model: IntegerModel) -> np.ndarray:
    """Turn output codes [n, ...] of ``model`` into values float64 [n, classes], the largest of which names the class.

    Of one sigmoid p these are 1 - p and p; where both are one half, as of all equal values, the first class is named.
    """
    values = dequantize(outputs.reshape(len(outputs), -1), model.outputs[0])
    return np.concatenate([1.0 - values, values], axis=1) if has_one_sigmoid(model.graph) else values
