"""Channels whose output code never changes, whatever goes in: converters give them biases that no quick kernel holds.

Such a channel becomes one without weights, whose bias is its code. Each is bounded by its own weights and bias.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tinyfuse.core.errors import ModelError
from tinyfuse.firmware.scale import Scale, fits, scales_of
from tinyfuse.integer.arithmetic import rescaled

_INT32 = 1 << 31
_BITS = 10
"""Of a code within the sum of a channel without weights."""
_CODE_OF_SUM = Scale(1 << 30, _BITS - 1)
"""2^-10, by which such a sum becomes its code again: exactly."""
Channels = tuple[np.ndarray, np.ndarray, tuple[Scale, ...]]


def settled(node: Any, weights: np.ndarray) -> Channels:
    """Return weights int64 [channels, ...], biases and scales that give the codes of ``node``, on int8 tensors.

    Only channels that could leave 32 bits on the quick way, and that have one code for every input, are replaced.
    """
    bias, scales = np.array(node.bias), list(scales_of(node.multiplier, node.shift))
    given, taps = weights, weights.reshape(len(weights), -1)
    low, high = -128 - int(node.zero_in), 127 - int(node.zero_in)
    negative, positive = np.minimum(taps, 0).sum(axis=1), np.maximum(taps, 0).sum(axis=1)
    # Padding counts as the zero point, which lies between the lowest and the highest code.
    least, most = bias + negative * high + positive * low, bias + negative * low + positive * high
    for channel, scale in enumerate(scales):
        code = None if _fits(scale, int(least[channel]), int(most[channel])) else _only_code(
            node, channel, int(least[channel]), int(most[channel]))
        if code is not None:
            weights = weights.copy() if weights is given else weights
            weights[channel] = 0
            bias[channel], scales[channel] = (code - int(node.zero_out)) << _BITS, _CODE_OF_SUM
    return weights, bias, tuple(scales)


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
