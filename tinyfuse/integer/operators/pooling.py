"""AVERAGE_POOL_2D and MAX_POOL_2D: windows over the image, without any rescaling."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numba
import numpy as np

from tinyfuse.core.errors import ModelError
from tinyfuse.integer.arithmetic import activation_range
from tinyfuse.integer.operators.base import Node, register
from tinyfuse.integer.operators.checks import same_type, source_and_target
from tinyfuse.integer.operators.window import window
from tinyfuse.tflite.graph import Graph, Operator

_SCALE_TOLERANCE = 1e-6  # TFLite Micro takes scales for equal up to here


@numba.njit(inline="always")
def _span(position, stride, before, kernel, size):  # type: ignore[no-untyped-def]
    """First and last + 1 row or column of the window that lie inside the image."""
    start = position * stride - before
    return max(start, 0), min(start + kernel, size)


@numba.njit(nogil=True, cache=True)
def _average(codes, sliding, low, high, out, inside):  # type: ignore[no-untyped-def]
    """Mean of the taps inside the image, halves away from zero, then the clamp."""
    keep = inside.size > 0
    kh, kw, sh, sw, _, _, top, left = sliding
    height, width, channels = codes.shape[1:]
    total = np.empty(channels, np.int32)
    for i in range(out.shape[0]):
        for y in range(out.shape[1]):
            y0, y1 = _span(y, sh, top, kh, height)
            for x in range(out.shape[2]):
                x0, x1 = _span(x, sw, left, kw, width)
                total[:] = 0
                for v in range(y0, y1):
                    for u in range(x0, x1):
                        for c in range(channels):
                            total[c] += np.int32(codes[i, v, u, c])
                count = (y1 - y0) * (x1 - x0)
                for c in range(channels):
                    size = (abs(np.int64(total[c])) + count // 2) // count
                    value = size if total[c] > 0 else -size
                    out[i, y, x, c] = min(max(value, low), high)
                    if keep:
                        inside[i, y, x, c] = (value >= low) & (value <= high)


@numba.njit(nogil=True, cache=True)
def _average_back(gradient, inside, sliding, out):  # type: ignore[no-untyped-def]
    """Share each gradient equally among the taps inside the image."""
    kh, kw, sh, sw, _, _, top, left = sliding
    height, width, channels = out.shape[1:]
    part = np.empty(channels, np.float32)
    for i in range(gradient.shape[0]):
        for y in range(gradient.shape[1]):
            y0, y1 = _span(y, sh, top, kh, height)
            for x in range(gradient.shape[2]):
                x0, x1 = _span(x, sw, left, kw, width)
                share = np.float32(1.0 / ((y1 - y0) * (x1 - x0)))
                for c in range(channels):
                    part[c] = gradient[i, y, x, c] * inside[i, y, x, c] * share
                for v in range(y0, y1):
                    for u in range(x0, x1):
                        for c in range(channels):
                            out[i, v, u, c] += part[c]


@numba.njit(nogil=True, cache=True)
def _maximum(codes, sliding, low, high, out, place):  # type: ignore[no-untyped-def]
    """Largest tap inside the image, then the clamp; ``place``: the first one's row * width + column, -1 if clamped."""
    keep = place.size > 0
    kh, kw, sh, sw, _, _, top, left = sliding
    height, width, channels = codes.shape[1:]
    best, where = np.empty(channels, np.int32), np.empty(channels, np.int32)
    for i in range(out.shape[0]):
        for y in range(out.shape[1]):
            y0, y1 = _span(y, sh, top, kh, height)
            for x in range(out.shape[2]):
                x0, x1 = _span(x, sw, left, kw, width)
                for c in range(channels):
                    best[c], where[c] = codes[i, y0, x0, c], y0 * width + x0
                for v in range(y0, y1):
                    for u in range(x0, x1):
                        for c in range(channels):
                            code = np.int32(codes[i, v, u, c])
                            if code > best[c]:
                                best[c], where[c] = code, v * width + u
                for c in range(channels):
                    out[i, y, x, c] = min(max(best[c], low), high)
                    if keep:
                        place[i, y, x, c] = where[c] if low <= best[c] <= high else -1


@numba.njit(nogil=True, cache=True)
def _maximum_back(gradient, place, sliding, out):  # type: ignore[no-untyped-def]
    """Give each gradient to the first largest tap."""
    width = out.shape[2]
    for i in range(gradient.shape[0]):
        for y in range(gradient.shape[1]):
            for x in range(gradient.shape[2]):
                for c in range(gradient.shape[3]):
                    where = place[i, y, x, c]
                    if where >= 0:
                        out[i, where // width, where % width, c] += gradient[i, y, x, c]


_KERNELS = {"AVERAGE_POOL_2D": (_average, _average_back, np.uint8), "MAX_POOL_2D": (_maximum, _maximum_back, np.int32)}
"""Forward, backward, and the type of what the one keeps for the other."""


class Pool:
    """One pooling. Reference: ``reference/integer_ops/pooling.h``; padding does not count, as value or as tap."""

    def __init__(self, operator: Operator, graph: Graph) -> None:
        source, target = source_and_target(operator, graph, same_type("int8", "int16"))
        scales = float(source.scale[0]), float(target.scale[0])
        zeros = int(source.zero_point[0]), int(target.zero_point[0])
        if abs(scales[0] - scales[1]) > _SCALE_TOLERANCE or zeros[0] != zeros[1]:
            raise ModelError(f"'{target.name}': {operator.name} cannot rescale; input and output have scales "
                             f"{scales[0]:.6g} and {scales[1]:.6g}, zero points {zeros[0]} and {zeros[1]}")
        kernel = int(operator.options["filter_height"]), int(operator.options["filter_width"])
        self.window = window(operator, source, target, kernel)
        if source.shape[3] != target.shape[3]:
            raise ModelError(f"'{target.name}' has {target.shape[3]} channels, but {operator.name} keeps the "
                             f"{source.shape[3]} of its input")
        self.low, self.high = activation_range(str(operator.options["fused_activation_function"]), scales[1],
                                               zeros[1], target.dtype)
        self.source_shape, self.target_shape, self.dtype = source.shape[1:], target.shape[1:], target.dtype
        self.kernel, self.kernel_back, self.kept = _KERNELS[operator.name]

    def forward(self, inputs: Sequence[np.ndarray], keep: bool) -> tuple[np.ndarray, Any]:
        out = np.empty((len(inputs[0]), *self.target_shape), self.dtype)
        kept = np.empty(out.shape if keep else (0, 0, 0, 0), self.kept)
        self.kernel(np.ascontiguousarray(inputs[0]), self.window, self.low, self.high, out, kept)
        return out, kept

    def backward(self, saved: Any, gradient: np.ndarray) -> list[np.ndarray]:
        found = np.zeros((len(gradient), *self.source_shape), np.float32)
        self.kernel_back(np.ascontiguousarray(gradient), saved, self.window, found)
        return [found]


@register("AVERAGE_POOL_2D", "MAX_POOL_2D")
def _build(operator: Operator, graph: Graph) -> Node:
    return Pool(operator, graph)
