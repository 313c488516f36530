"""RESIZE_BILINEAR of int8 images: places in units of 1/1024 of a pixel, sums of four weighted neighbours."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from tinyfuse.core.errors import ModelError
from tinyfuse.integer.operators.base import register, same_type, source_and_target
from tinyfuse.integer.operators.gather import returned
from tinyfuse.integer.operators.resize_nearest import resized
from tinyfuse.tflite.graph import Graph, Operator

_ONE = 1 << 10


class Axis(NamedTuple):
    """Output place i reads at ``step`` * i + ``start``; there ``weights`` [2, n] of the ``places`` [2, n] beside it."""

    step: int
    start: int
    places: np.ndarray
    weights: np.ndarray


@register("RESIZE_BILINEAR")
class ResizeBilinear:
    """One RESIZE_BILINEAR. Reference: ``reference/resize_bilinear.h``, ResizeBilinearInteger."""

    def __init__(self, operator: Operator, graph: Graph) -> None:
        source, target = source_and_target(operator, graph, same_type("int8"))
        aligned, centred = bool(operator.options["align_corners"]), bool(operator.options["half_pixel_centers"])
        if aligned and centred:
            raise ModelError(f"'{target.name}': RESIZE_BILINEAR with aligned corners and half pixels; it takes one")
        self.source = source.shape
        height, width = resized(operator, graph, source, target)
        self.axes = tuple(_axis(operator, size, wanted, aligned=aligned, centred=centred)
                          for size, wanted in zip(source.shape[1:3], (height, width), strict=True))

    def forward(self, inputs: Sequence[np.ndarray]) -> tuple[np.ndarray, Any]:
        rows, columns = self.axes
        tall = _blended(inputs[0].astype(np.int64), rows, 1)
        total = _blended(tall, columns, 2)
        rounded = np.sign(total) * ((np.abs(total) + _ONE * _ONE // 2) // (_ONE * _ONE))
        return rounded.astype(np.int8), None

    def backward(self, saved: Any, gradient: np.ndarray) -> list[np.ndarray]:
        for axis, along in zip(self.axes[::-1], (2, 1), strict=True):
            shares = axis.weights.astype(np.float32).reshape(2, *_spread(along)) / np.float32(_ONE)
            first, second = (returned(gradient * share, places, along, self.source[along])
                             for places, share in zip(axis.places, shares, strict=True))
            gradient = first + second
        return [gradient]


def _spread(along: int) -> tuple[int, ...]:
    """The shape that brings numbers for each place of axis ``along`` into line with [n, h, w, c]."""
    return tuple(-1 if axis == along else 1 for axis in range(4))


def _blended(values: np.ndarray, axis: Axis, along: int) -> np.ndarray:
    """Weighted sums of both neighbours along an axis of [n, h, w, c], in units of 1/1024."""
    first, second = (values.take(places, axis=along) * weights.reshape(_spread(along))
                     for places, weights in zip(axis.places, axis.weights, strict=True))
    return np.asarray(first + second)


def _axis(operator: Operator, size: int, wanted: int, *, aligned: bool, centred: bool) -> Axis:
    ends = 1 if aligned and wanted > 1 else 0
    step = (_ONE * (size - ends) + (wanted - ends) // 2) // (wanted - ends)
    start = step // 2 - _ONE // 2 if centred else 0
    place = np.arange(wanted, dtype=np.int64) * step + start
    below = np.maximum(place, 0) // _ONE
    above = np.minimum(np.sign(place + _ONE - 1) * (np.abs(place + _ONE - 1) // _ONE), size - 1)
    if below.max() >= size or place.max() >= 1 << 31:
        raise ModelError(f"{operator.name} of {size} places to {wanted} reads beyond the last one in TFLite Micro; "
                         "enlarge it less")
    return Axis(step, start, np.stack([below, above]), np.stack([_ONE - (place - _ONE * below), place - _ONE * below]))
