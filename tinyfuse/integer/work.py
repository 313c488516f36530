"""Bounds of work and memory, from shapes alone: a small file cannot ask for hours, or for more memory than there is.

A graph within them is built in seconds. They lie beyond any network for a microcontroller.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

from tinyfuse.core.errors import ModelError
from tinyfuse.tflite.graph import Graph, Operator

MOST_PRODUCTS = 1 << 32
"""Multiply-accumulates of one inference; a window of a pooling counts as one product for each place."""
MOST_WEIGHTS = 1 << 24
"""Weights with the zeros that a dilation puts between them; a file that stores more may have twice what it stores."""
MOST_TAPS = 1 << 17
"""Places of all windows that are served one after the other, those of poolings and depthwise convolutions."""


class Work(NamedTuple):
    """What one operator costs."""

    products: int = 0
    weights: int = 0
    taps: int = 0


def check_work(graph: Graph) -> None:
    """Raise :class:`ModelError` if ``graph`` goes beyond the bounds; names the operator that does."""
    limits = Work(MOST_PRODUCTS, max(MOST_WEIGHTS, 2 * _stored(graph)), MOST_TAPS)
    total = Work()
    for operator in graph.operators:
        total = Work(*map(sum, zip(total, _work(operator, graph), strict=True)))
        for what, value, most in zip(_NAMES, total, limits, strict=True):
            if value >= most:
                raise ModelError(f"{graph.name}: operator {operator.index} ({operator.name}): up to here an inference "
                                 f"takes {value} {what}, but less than {most} are run; use a smaller model")


_NAMES = "multiply-accumulates", "weights (with the zeros of dilations)", "taps of poolings and depthwise convolutions"


def _stored(graph: Graph) -> int:
    """Elements of distinct constants: several tensors of a file may share one."""
    constants = {hash(tensor.data.tobytes()): tensor.data.size for tensor in graph.tensors if tensor.data is not None}
    return sum(constants.values())


def _work(operator: Operator, graph: Graph) -> Work:
    """What ``operator`` costs; nothing where its shapes are not those of its kind, which its own builder refuses."""
    shapes = [graph.tensors[index].shape for index in (*operator.inputs[:2], operator.outputs[0]) if index >= 0]
    found = _KINDS.get(operator.name)
    return Work() if found is None else found(operator, shapes)


def _convolution(operator: Operator, shapes: list[tuple[int, ...]]) -> Work:
    if [len(shape) for shape in shapes] != [4, 4, 4]:
        return Work()
    weights = math.prod(_reach(operator, shapes[1])) * shapes[1][0] * shapes[0][3]  # groups are computed as zeros
    return Work(math.prod(shapes[2][1:3]) * weights, weights)


def _depthwise(operator: Operator, shapes: list[tuple[int, ...]]) -> Work:
    if [len(shape) for shape in shapes] != [4, 4, 4]:
        return Work()
    return Work(math.prod(shapes[2][1:3]) * math.prod(shapes[1]), math.prod(shapes[1]), math.prod(shapes[1][1:3]))


def _fully_connected(operator: Operator, shapes: list[tuple[int, ...]]) -> Work:
    weights = math.prod(shapes[1]) if len(shapes) == 3 else 0
    return Work(weights * (math.prod(shapes[0]) // max(1, shapes[1][-1] if shapes[1] else 1)), weights)


def _pool(operator: Operator, shapes: list[tuple[int, ...]]) -> Work:
    """A window reaches no farther than the image."""
    if len(shapes) != 2 or [len(shape) for shape in shapes] != [4, 4]:
        return Work()
    kernel = int(operator.options["filter_height"]), int(operator.options["filter_width"])
    taps = math.prod(min(given, size + (out - 1) * step) for given, size, out, step in
                     zip(kernel, shapes[0][1:3], shapes[1][1:3], _strides(operator), strict=True))
    return Work(math.prod(shapes[1]) * math.prod(map(min, kernel, shapes[0][1:3])), 0, taps)


def _strides(operator: Operator) -> tuple[int, int]:
    return int(operator.options["stride_h"]), int(operator.options["stride_w"])


def _reach(operator: Operator, kernel: tuple[int, ...]) -> list[int]:
    """Rows and columns of a dilated kernel."""
    dilation = int(operator.options["dilation_h_factor"]), int(operator.options["dilation_w_factor"])
    return [(size - 1) * step + 1 for size, step in zip(kernel[1:3], dilation, strict=True)]


_KINDS: dict[str, Callable[[Operator, list[tuple[int, ...]]], Work]] = {
    "CONV_2D": _convolution, "DEPTHWISE_CONV_2D": _depthwise, "FULLY_CONNECTED": _fully_connected,
    "AVERAGE_POOL_2D": _pool, "MAX_POOL_2D": _pool}
