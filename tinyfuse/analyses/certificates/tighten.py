"""Tighter boxes inside a network: linear bounds of every tensor whose codes are not yet sure, layer by layer.

What a bound says about a tensor makes the lines of all later ones closer. The rows of coefficients, one for each
code, are many: they are taken in groups that fit a limit of memory.
"""

from __future__ import annotations

import math
import time

import numpy as np

from tinyfuse.analyses.certificates.ball import Ball
from tinyfuse.analyses.certificates.intervals import Boxes, joined, take_rows
from tinyfuse.analyses.certificates.linear import LinearBounds, SmallestArea, rows_at_once
from tinyfuse.analyses.certificates.rules import Box

MEMORY = 256 << 20
"""Bytes of coefficients at a time."""
_EXACT_AT = 2
"""Operators between the inputs and a tensor up to which its box is as good as a linear bound."""
MOST_PRODUCTS = 1 << 38
"""Products for one sample, about a minute of one core, beyond which no layer inside is bounded by lines."""
ROUNDED = ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED", "TRANSPOSE_CONV", "ADD", "SUB")


def tightened(linear: LinearBounds, ball: Ball, boxes: Boxes, until: float = math.inf) -> tuple[Boxes, dict[int, Box]]:
    """Return the boxes of every tensor of one chunk, each sample by itself, with linear bounds of those inside.

    Beside them, by tensor, the spans of the values before rounding. ``until``: the clock (:func:`time.monotonic`) from
    which on tensors keep their boxes.
    """
    parts, spans = [], []
    for sample in range(len(next(iter(boxes.values()))[0])):
        rows = np.array([sample])
        found = _of_sample(linear, ball.take(rows), take_rows(boxes, rows), until)
        parts.append(found[0])
        spans.append(found[1])
    return joined(parts), joined(spans)


def products(linear: LinearBounds) -> int:
    """Return how many products the linear bounds of every layer inside take for one sample at most."""
    graph, total, behind = linear.intervals.graph, 0, 0
    for index in linear.intervals.order:
        affine, size = linear.affine[index], math.prod(graph.tensors[index].shape)
        behind += size * (1 if affine is None else affine.terms)
        if linear.intervals.sites[index].operator.name in ROUNDED:
            total += 2 * size * behind
    return total


def _of_sample(linear: LinearBounds, ball: Ball, boxes: Boxes, until: float) -> tuple[Boxes, dict[int, Box]]:
    intervals, spans = linear.intervals, dict[int, Box]()
    inputs = {index: boxes[index] for index in intervals.twin.inputs.values()}
    depth = dict.fromkeys(inputs, 0)

    def tighter(index: int, found: Boxes) -> Box:
        name = intervals.sites[index].operator.name
        depth[index] = max(depth[source] for source in intervals.inputs_of[index]) + (name in ROUNDED)
        if name not in ROUNDED or depth[index] < _EXACT_AT or index == intervals.wanted:
            return found[index]
        shape = found[index][0].shape
        spans[index] = np.full(shape, -np.inf), np.full(shape, np.inf)
        return _bounded(linear, ball, index, found, spans, until)

    return intervals.propagate(inputs, tighter), spans


def _bounded(linear: LinearBounds, ball: Ball, index: int, boxes: Boxes, spans: dict[int, Box], until: float) -> Box:
    """Bound the codes of one tensor [1, ...] that are not sure by what goes into them; write into its span."""
    low, high = (end.copy() for end in boxes[index])
    affine = linear.affine[index]
    assert affine is not None
    shape = low.shape[1:]
    slack = np.broadcast_to(affine.slack, shape).reshape(-1)
    unsure = np.flatnonzero(low.reshape(-1) < high.reshape(-1))
    shapes = [linear.intervals.graph.tensors[one].shape for one in linear.intervals.order[:linear.places[index] + 1]]
    group = max(1, rows_at_once(shapes, MEMORY) // 2)  # a code has two rows
    concretise, guide = ball.concretise(linear.intervals), SmallestArea(linear, spans=spans)
    for start in range(0, len(unsure), group):
        if time.monotonic() > until:
            break
        places = unsure[start:start + group]
        rows = np.zeros((1, 2 * len(places), int(np.prod(shape))))
        rows[0, np.arange(len(places)), places] = 1.0
        rows[0, len(places) + np.arange(len(places)), places] = -1.0
        least = linear.lower(index, rows.reshape(1, -1, *shape), boxes, concretise, before_clamp=True, guide=guide)[0]
        lowest, largest = least[:len(places)], -least[len(places):]
        flat_low, flat_high = low.reshape(-1), high.reshape(-1)
        # A code is a whole number: round inwards. A clamp may lie beyond: the box of the interval holds there.
        first = np.clip(np.ceil(lowest - slack[places] - 1e-9), flat_low[places], flat_high[places])
        last = np.clip(np.floor(largest + slack[places] + 1e-9), flat_low[places], flat_high[places])
        flat_low[places], flat_high[places] = first, last
        spans[index][0].reshape(-1)[places], spans[index][1].reshape(-1)[places] = lowest, largest
    return low, high
