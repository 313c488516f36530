"""Bounds of work and memory, from shapes alone: a small file cannot ask for hours, or for more memory than there is.

A graph within them is built in seconds. They lie beyond any network for a microcontroller.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from tinyfuse.core.errors import ModelError
from tinyfuse.tflite.graph import Graph, Operator

MOST_PRODUCTS = 1 << 32
"""Multiply-accumulates of one inference; a window of a pooling counts as one product for each place."""
MOST_WEIGHTS = 1 << 22
"""Weights with the zeros that a dilation puts between them; a file that stores more may have twice what it stores."""
MOST_TAPS = 1 << 17
"""Places of all windows that are served one after the other: of poolings, depthwise and transposed convolutions. A step
of an LSTM counts as STEP_TAPS."""
STEP_TAPS = 16
MOST_TABLES = 256
"""Functions of int16 codes that are tables, of 65,536 codes and slopes each."""

Shape = tuple[int, ...]


class Work(NamedTuple):
    """What one operator costs."""

    products: int = 0
    weights: int = 0
    taps: int = 0
    tables: int = 0


def check_work(graph: Graph) -> None:
    """Raise :class:`ModelError` if ``graph`` goes beyond the bounds; names the operator that does."""
    limits = Work(MOST_PRODUCTS, max(MOST_WEIGHTS, 2 * _stored(graph)), MOST_TAPS, MOST_TABLES)
    total = Work()
    for operator in graph.operators:
        total = Work(*map(sum, zip(total, _work(operator, graph), strict=True)))
        for what, value, most in zip(_NAMES, total, limits, strict=True):
            if value >= most:
                raise ModelError(f"{graph.name}: operator {operator.index} ({operator.name}): up to here an inference "
                                 f"takes {value} {what}, but less than {most} are run; use a smaller model")


_NAMES = ("multiply-accumulates", "weights (with the zeros of dilations)",
          "taps of poolings, depthwise and transposed convolutions (and LSTM steps)", "tables of int16 codes")


def _stored(graph: Graph) -> int:
    """Elements of distinct constants: several tensors of a file may share one."""
    constants = {hash(tensor.data.tobytes()): tensor.data.size for tensor in graph.tensors if tensor.data is not None}
    return sum(constants.values())


def _work(operator: Operator, graph: Graph) -> Work:
    """What ``operator`` costs; nothing where its shapes are not those of its kind, which its own builder refuses."""
    if operator.name in _TABLES and operator.inputs and graph.tensors[operator.inputs[0]].dtype == np.int16:
        return Work(tables=1)
    count, find = _KINDS.get(operator.name, (-1, None))
    if find is None or len(operator.inputs) <= count or min(operator.inputs[:count + 1]) < 0:
        return Work()
    given, found = [graph.tensors[index].shape for index in operator.inputs], graph.tensors[operator.outputs[0]].shape
    axes = [len(shape) for shape in (*given[max(0, count - 1):count + 1], found)]
    fits = set(axes) == {4} if operator.name in _FOUR_AXES else min(axes) > 0
    return find(operator, given, found) if fits else Work()


def _convolution(operator: Operator, given: list[Shape], found: Shape) -> Work:
    """Groups are computed as zeros."""
    dilation = int(operator.options["dilation_h_factor"]), int(operator.options["dilation_w_factor"])
    reach = [(size - 1) * step + 1 for size, step in zip(given[1][1:3], dilation, strict=True)]
    weights = math.prod(reach) * given[1][0] * given[0][-1]
    return Work(math.prod(found[1:3]) * weights, weights)


def _depthwise(operator: Operator, given: list[Shape], found: Shape) -> Work:
    weights = math.prod(given[1])
    return Work(math.prod(found[1:3]) * weights, weights, math.prod(given[1][1:3]))


def _transpose_conv(operator: Operator, given: list[Shape], found: Shape) -> Work:
    weights = math.prod(given[1])
    return Work(math.prod(given[2][1:3]) * weights, weights, math.prod(given[1][1:3]))


def _fully_connected(operator: Operator, given: list[Shape], found: Shape) -> Work:
    weights = math.prod(given[1])
    return Work(weights * math.prod(given[0]) // given[1][-1], weights)


def _lstm(operator: Operator, given: list[Shape], found: Shape) -> Work:
    """Four gates, each of what is new and of what was computed in the step before."""
    weights = 4 * found[-1] * (given[0][-1] + found[-1])
    steps = math.prod(found[:-1])
    return Work(steps * weights, weights, STEP_TAPS * steps)


def _svdf(operator: Operator, given: list[Shape], found: Shape) -> Work:
    return Work(math.prod(given[1]) + math.prod(given[2]), math.prod(given[1]) + math.prod(given[2]))


def _batch_matmul(operator: Operator, given: list[Shape], found: Shape) -> Work:
    return Work(math.prod(found) * max(given[0][-2:]))


def _pool(operator: Operator, given: list[Shape], found: Shape) -> Work:
    """A window reaches no farther than the image."""
    kernel = int(operator.options["filter_height"]), int(operator.options["filter_width"])
    strides = int(operator.options["stride_h"]), int(operator.options["stride_w"])
    taps = math.prod(min(reach, size + (out - 1) * step) for reach, size, out, step in
                     zip(kernel, given[0][1:3], found[1:3], strides, strict=True))
    return Work(math.prod(found) * math.prod(map(min, kernel, given[0][1:3])), 0, taps)


_TABLES = ("ABS", "DEQUANTIZE", "LEAKY_RELU", "LOGISTIC", "QUANTIZE", "RELU", "RELU6", "SOFTMAX", "TANH")
_FOUR_AXES = ("CONV_2D", "DEPTHWISE_CONV_2D", "TRANSPOSE_CONV", "AVERAGE_POOL_2D", "MAX_POOL_2D")
_KINDS: dict[str, tuple[int, Callable[[Operator, list[Shape], Shape], Work]]] = {
    "CONV_2D": (1, _convolution), "DEPTHWISE_CONV_2D": (1, _depthwise), "TRANSPOSE_CONV": (2, _transpose_conv),
    "FULLY_CONNECTED": (1, _fully_connected), "BATCH_MATMUL": (1, _batch_matmul), "AVERAGE_POOL_2D": (0, _pool),
    "MAX_POOL_2D": (0, _pool), "UNIDIRECTIONAL_SEQUENCE_LSTM": (1, _lstm), "SVDF": (2, _svdf),
    "SVDF_STATE": (2, _svdf)}
"""Builtin name -> the last input whose shape counts, and what finds the work from the shapes of inputs and output."""
