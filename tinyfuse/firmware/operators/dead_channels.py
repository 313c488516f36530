"""Channels whose output code never changes, whatever goes in: converters give them biases that no quick kernel holds.

Such a channel becomes one without weights, whose bias is its code. Each is bounded by its own weights and bias, and by
the codes that its inputs can have.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tinyfuse.core.errors import ModelError
from tinyfuse.firmware.scale import Scale, fits, scales_of
from tinyfuse.integer.arithmetic import rescaled
from tinyfuse.tflite.graph import Graph, Operator

_INT32 = 1 << 31
_BITS = 10
"""Of a code within the sum of a channel without weights."""
_CODE_OF_SUM = Scale(1 << 30, _BITS - 1)
"""2^-10, by which such a sum becomes its code again: exactly."""
Reach = tuple[np.ndarray, np.ndarray]
Channels = tuple[np.ndarray, np.ndarray, tuple[Scale, ...]]


def reach(graph: Graph, operator: Operator, weights: np.ndarray) -> Reach:
    """Say what ``weights`` [channels, rows, columns, depth] meet: the lowest and highest codes without zero point.

    Padding counts as the zero point, so that 0 lies between them. They can be broadcast to the weights.
    """
    source = graph.tensors[operator.inputs[0]]
    low, high = graph.ranges[source.index]
    if operator.name == "DEPTHWISE_CONV_2D":
        low, high = (np.repeat(codes, len(weights) // len(codes))[:, None, None, None] for codes in (low, high))
    elif len(low) != weights.shape[3]:
        low, high = low.min(), high.max()
    return np.minimum(low - source.zero, 0), np.maximum(high - source.zero, 0)


def settled(node: Any, weights: np.ndarray, given: Reach) -> Channels:
    """Return weights int64 [channels, ...], biases and scales that give the codes of ``node``, on int8 tensors.

    Only channels that could leave 32 bits on the quick way, and that have one code for every input, are replaced.
    """
    bias, scales = np.array(node.bias), list(scales_of(node.multiplier, node.shift))
    original, ends = weights, (weights * given[0], weights * given[1])
    least, most = (bias + pick(*ends).reshape(len(weights), -1).sum(axis=1) for pick in (np.minimum, np.maximum))
    for channel, scale in enumerate(scales):
        code = None if _fits(scale, int(least[channel]), int(most[channel])) else _only_code(
            node, channel, int(least[channel]), int(most[channel]))
        if code is not None:
            weights = weights.copy() if weights is original else weights
            weights[channel] = 0
            bias[channel], scales[channel] = (code - int(node.zero_out)) << _BITS, _CODE_OF_SUM
    return weights, bias, tuple(scales)


def largest(weights: np.ndarray, given: Reach) -> np.ndarray:
    """Bound every partial sum without bias of each channel, int64 [channels]."""
    return np.asarray((np.abs(weights) * np.maximum(-given[0], given[1])).reshape(len(weights), -1).sum(axis=1))


def _fits(scale: Scale, least: int, most: int) -> bool:
    try:
        fits("", max(-least, most), scale)
    except ModelError:
        return False
    return True


def _only_code(node: Any, channel: int, least: int, most: int) -> int | None:
    """The code of a channel whose sums lie in [least, most]; None if there are several, or sums that wrap around."""
    multiplier, shift = int(node.multiplier[channel]), int(node.shift[channel])
    if max(-least, most) << max(shift, 0) >= _INT32:
        return None
    # Rescaling never turns the order of two sums around.
    ends = np.asarray(rescaled(np.array([least, most], np.int64), multiplier, shift)) + int(node.zero_out)
    first, last = (int(code) for code in np.clip(ends, node.low, node.high))
    return first if first == last else None
