"""The lowest and the highest code that each channel of each tensor can hold, whatever the inputs are.

Intervals are carried from operator to operator: sums of a convolution by its own weights and biases, all else that
never turns an order around by the twin itself, run on the lowest and on the highest codes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from tinyfuse.integer.arithmetic import TYPE_RANGE
from tinyfuse.integer.twin import Step, Twin
from tinyfuse.tflite.graph import Graph, Operator, Tensor

Range = tuple[np.ndarray, np.ndarray]
"""Lowest and highest code int64 of each channel, a place of the last axis."""
MONOTONE = ("ADD", "AVERAGE_POOL_2D", "CONCATENATION", "MAX_POOL_2D", "MEAN", "PAD", "QUANTIZE", "RELU", "RELU6",
            "RESHAPE", "TRANSPOSE")
"""Operators whose output codes never fall where an input code rises, as long as no step wraps around."""
LINEAR = ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED")
_MOST_GAIN = 64
"""Output codes for an input code below which no step of the operators of :data:`MONOTONE` can wrap around."""
_MOST_SUM = {False: 1 << 30, True: 1 << 46}
"""Bound of sums of 32 and of 64 bits, shifted to the left, below which rescaling cannot wrap around."""


def ranges(twin: Twin) -> dict[int, Range]:
    """Bound the codes of each tensor of int8 and int16 codes, by its index."""
    found = {index: full for index in twin.graph.inputs if (full := _full(twin.graph.tensors[index])) is not None}
    for operator, step in zip(twin.graph.operators, twin.steps, strict=True):
        bound = _bound(twin.graph, operator, step, found)
        if bound is not None:
            found[step.output] = bound
    return found


def weights_of(graph: Graph, operator: Operator) -> np.ndarray | None:
    """Return the weights of one of :data:`LINEAR`, without zero point, int64 [outputs, taps, input channels].

    Those of DEPTHWISE_CONV_2D are [outputs, taps, 1]. None where input channels are no places of the last axis.
    """
    source, tensor = graph.tensors[operator.inputs[0]], graph.tensors[operator.inputs[1]]
    assert tensor.data is not None
    content = tensor.data.astype(np.int64)
    if operator.name == "DEPTHWISE_CONV_2D":
        return content.reshape(-1, content.shape[-1]).T[:, :, None]
    if tensor.shape[-1] != source.shape[-1]:
        return None
    if operator.name == "FULLY_CONNECTED":
        content = content - int(tensor.zero_point[0])
    return content.reshape(len(content), -1, content.shape[-1])


def pads(graph: Graph, operator: Operator) -> bool:
    """Tell whether windows of ``operator`` may reach beyond the image, where codes count as the zero point."""
    taps = graph.tensors[operator.inputs[1]].shape[1:3]
    return operator.name != "FULLY_CONNECTED" and operator.options["padding"] != "VALID" and taps != (1, 1)


def _full(tensor: Tensor) -> Range | None:
    if tensor.dtype not in TYPE_RANGE or not tensor.shape:
        return None
    low, high = TYPE_RANGE[tensor.dtype]
    return np.full(tensor.shape[-1], low, np.int64), np.full(tensor.shape[-1], high, np.int64)


def _bound(graph: Graph, operator: Operator, step: Step, found: Mapping[int, Range]) -> Range | None:
    """The codes of the output of one operator; those of its type where nothing better is known."""
    full = _full(graph.tensors[step.output])
    if full is None or not all(index in found for index in step.inputs):
        return full
    if operator.name in LINEAR:
        sums = _sums(graph, operator, step.node, found[step.inputs[0]])
        return full if sums is None else _codes(step.node, sums, full)
    if operator.name in MONOTONE and _plain(graph, operator) and _has_channels(graph, step):
        return _through(graph, step, found)
    return full


def _sums(graph: Graph, operator: Operator, node: Any, given: Range) -> Range | None:
    """The least and the greatest sum of each output channel, with its bias."""
    weights = weights_of(graph, operator)
    if weights is None:
        return None
    low, high = (codes - int(node.zero_in) for codes in given)
    if pads(graph, operator):
        low, high = np.minimum(low, 0), np.maximum(high, 0)
    if operator.name == "DEPTHWISE_CONV_2D":
        low, high = (np.repeat(codes, len(weights) // len(codes))[:, None, None] for codes in (low, high))
    ends = weights * low, weights * high
    return (node.bias + np.minimum(*ends).sum(axis=(1, 2)), node.bias + np.maximum(*ends).sum(axis=(1, 2)))


def _codes(node: Any, sums: Range, full: Range) -> Range:
    """The codes that ``sums`` become; where a step could wrap around all that the clamp lets pass."""
    bound = np.maximum(np.abs(sums[0]), np.abs(sums[1])) << np.maximum(node.shift, 0)
    low, high = node.codes_of(np.stack(sums)).astype(np.int64)
    exact = bound < _MOST_SUM[bool(node.wide_sums)]
    return (np.where(exact, low, np.maximum(full[0], node.low)), np.where(exact, high, np.minimum(full[1], node.high)))


def _plain(graph: Graph, operator: Operator) -> bool:
    """Whether scales are so that no step of a monotone operator can wrap around."""
    tensors = [graph.tensors[index] for index in (*operator.inputs, *operator.outputs) if index >= 0]
    units = [tensor.unit for tensor in tensors if len(tensor.scale) == 1]
    return not units or max(units) <= _MOST_GAIN * units[-1]


def _has_channels(graph: Graph, step: Step) -> bool:
    """Whether the last axis of each tensor is not that of the batch."""
    return all(len(graph.tensors[index].shape) > 1 for index in (*step.inputs, step.output))


def _through(graph: Graph, step: Step, found: Mapping[int, Range]) -> Range:
    """Run the twin's operator on the lowest and on the highest codes of its inputs."""
    given = []
    for index in step.inputs:
        tensor = graph.tensors[index]
        ends = np.stack([np.broadcast_to(codes, tensor.shape[1:]) for codes in found[index]])
        given.append(ends.astype(tensor.dtype))
    codes = step.node.forward(given)[0].astype(np.int64)
    channels = codes.shape[-1]
    return codes[0].reshape(-1, channels).min(axis=0), codes[1].reshape(-1, channels).max(axis=0)
