"""Which channels of a network have to be computed: those that reach an output and are not one code for ever.

What is kept grows until every operator agrees. An operator that sums over channels can do without those that it never
weighs, and without constant ones, which move into its biases; one that treats each channel by itself has as many
channels behind as before.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from tinyfuse.firmware.channels.ranges import Range, pads, weights_of
from tinyfuse.integer.twin import Step, Twin
from tinyfuse.tflite.graph import Graph, Operator

Needed = dict[int, np.ndarray]
"""For each computed tensor, bool for each place of its last axis."""
UNIT = 4
"""Channels are kept in multiples of this where the network has them so, for the kernels take as many at a time."""
_MOST_SUM = 1 << 31
_SAME = ("AVERAGE_POOL_2D", "DEPTHWISE_CONV_2D", "MAX_POOL_2D", "QUANTIZE", "RELU", "RELU6", "RESHAPE")


@dataclass(frozen=True, eq=False)
class _Search:
    graph: Graph
    ranges: Mapping[int, Range]
    needed: Needed

    def need(self, tensor: int, channels: np.ndarray) -> bool:
        """Keep more channels; return whether that is news."""
        new = channels & ~self.needed[tensor]
        self.needed[tensor] |= new
        return bool(new.any())


def needed_channels(twin: Twin, ranges: Mapping[int, Range], *, in_place: bool) -> Needed:
    """Choose the channels of every computed tensor of ``twin``; all of the inputs and outputs of the graph.

    ``in_place``: convolutions that could replace what they read still can.
    """
    graph = twin.graph
    ends = {*graph.inputs, *graph.outputs}
    search = _Search(graph, ranges, {index: np.full(graph.tensors[index].shape[-1:] or (1,), index in ends)
                                     for index in graph.computed})
    while _round(search, twin) or _fill_units(search) or (in_place and _in_place(search)):
        pass
    return search.needed


def _round(search: _Search, twin: Twin) -> bool:
    """Ask every operator once; return whether one needed more."""
    news = False
    for operator, step in zip(twin.graph.operators, twin.steps, strict=True):
        news |= _RULES.get(operator.name, _all)(search, operator, step)
    return news


def folded(graph: Graph, operator: Operator, ranges: Mapping[int, Range]) -> np.ndarray:
    """Tell, for each input channel of CONV_2D or FULLY_CONNECTED, whether it is a constant that a bias can hold."""
    source = graph.tensors[operator.inputs[0]]
    weights = weights_of(graph, operator)
    if weights is None or source.index not in ranges:
        return np.zeros(source.shape[-1], bool)
    low, high = ranges[source.index]
    free = (low == high) & ((low == source.zero) | (not pads(graph, operator)))
    shares = np.abs(weights * np.where(free, low - source.zero, 0)).sum(axis=(1, 2))
    bias = _bias(graph, operator)
    return free if (np.abs(bias) + shares).max() < _MOST_SUM else np.zeros_like(free)


def _bias(graph: Graph, operator: Operator) -> np.ndarray:
    index = operator.inputs[2] if len(operator.inputs) > 2 else -1
    data = graph.tensors[index].data if index >= 0 else None
    return np.zeros(1, np.int64) if data is None else data.astype(np.int64)


def places(graph: Graph, operator: Operator) -> dict[int, np.ndarray] | None:
    """Say for each computed input of an operator that treats channels one by one which channel each output reads.

    -1: none of that input. None for an operator that does not, or not for these shapes.
    """
    target = graph.tensors[operator.outputs[0]]
    count = np.arange(target.shape[-1])
    sources = [graph.tensors[index] for index in operator.inputs if index >= 0]
    computed = [source for source in sources if source.data is None]
    if operator.name == "CONCATENATION":
        return _joined(graph, operator)
    if operator.name == "ADD":
        alike = all(source.shape[-1:] in (target.shape[-1:], (1,) if source.data is not None else None)
                    for source in sources)
        return {source.index: count for source in computed} if alike else None
    (source,), channels = computed, computed[0].shape[-1]
    if operator.name == "DEPTHWISE_CONV_2D":
        return {source.index: count // (len(count) // channels)}
    if operator.name == "RESHAPE":
        return {source.index: count % channels} if len(count) % channels == 0 else None
    if operator.name == "MEAN" and (len(source.shape) - 1 in _axes(graph, operator)):
        return None
    if operator.name == "PAD" and np.any(graph.tensors[operator.inputs[1]].data[-1]):  # type: ignore[index]
        return None
    return {source.index: count} if channels == len(count) else None


def _joined(graph: Graph, operator: Operator) -> dict[int, np.ndarray] | None:
    target, start = graph.tensors[operator.outputs[0]], 0
    parts = [graph.tensors[index] for index in operator.inputs]
    if int(operator.options["axis"]) % len(target.shape) != len(target.shape) - 1 or len({*operator.inputs}) < len(
            parts) or any(part.data is not None for part in parts):
        return None
    found = {}
    for part in parts:
        found[part.index] = np.full(target.shape[-1], -1)
        found[part.index][start:start + part.shape[-1]] = np.arange(part.shape[-1])
        start += part.shape[-1]
    return found


def _axes(graph: Graph, operator: Operator) -> set[int]:
    rank, axes = len(graph.tensors[operator.inputs[0]].shape), graph.tensors[operator.inputs[1]].data
    assert axes is not None
    return {int(axis) % rank for axis in axes.ravel()}


def _linear(search: _Search, operator: Operator, step: Step) -> bool:
    """CONV_2D and FULLY_CONNECTED: the channels that kept outputs weigh, and that no bias can hold."""
    weights = weights_of(search.graph, operator)
    if weights is None:
        return _all(search, operator, step)
    weighed = (weights[search.needed[step.output]] != 0).any(axis=(0, 1))
    return search.need(step.inputs[0], weighed & ~folded(search.graph, operator, search.ranges))


def _each(search: _Search, operator: Operator, step: Step) -> bool:
    """An operator that treats channels one by one."""
    found = places(search.graph, operator)
    if found is None:
        return _all(search, operator, step)
    news = False
    for source, where in found.items():
        reads, mine = where >= 0, np.zeros_like(search.needed[source])
        mine[where[reads & search.needed[step.output]]] = True
        news |= search.need(source, mine)
        news |= search.need(step.output, reads & search.needed[source][where])
    return news


def _all(search: _Search, operator: Operator, step: Step) -> bool:
    """Any other operator has all channels."""
    news = False
    for index in (*step.inputs, step.output):
        news |= search.need(index, np.ones_like(search.needed[index]))
    return news


def _fill_units(search: _Search) -> bool:
    """Keep one channel at least, and multiples of UNIT where all of them are one."""
    news = False
    for index, kept in search.needed.items():
        unit = 1 if len(kept) % UNIT else UNIT
        news |= _more(search, index, max(unit - int(kept.sum()), -int(kept.sum()) % unit))
    return news


def _in_place(search: _Search) -> bool:
    """Keep at least as many inputs as outputs of a convolution that had the same: it can then replace what it reads."""
    news, shapes = False, [tensor.shape for tensor in search.graph.tensors]
    for operator in search.graph.operators:
        source, target = operator.inputs[0], operator.outputs[0]
        if operator.name == "CONV_2D" and shapes[source] == shapes[target]:
            news |= _more(search, source, int(search.needed[target].sum()) - int(search.needed[source].sum()))
    return news


def _more(search: _Search, tensor: int, missing: int) -> bool:
    """Keep so many more channels of ``tensor``."""
    more = np.zeros_like(search.needed[tensor])
    more[np.flatnonzero(~search.needed[tensor])[:max(missing, 0)]] = True
    return search.need(tensor, more)


_RULES: Mapping[str, Callable[[_Search, Operator, Step], bool]] = {
    "CONV_2D": _linear, "FULLY_CONNECTED": _linear,
    **dict.fromkeys((*_SAME, "ADD", "CONCATENATION", "MEAN", "PAD"), _each)}
