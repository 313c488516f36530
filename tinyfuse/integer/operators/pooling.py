"""AVERAGE_POOL_2D and MAX_POOL_2D: windows over the image, without any rescaling."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from tinyfuse.core.errors import ModelError
from tinyfuse.integer.arithmetic import clamp
from tinyfuse.integer.operators.base import fused_range, register, source_and_target
from tinyfuse.integer.operators.window import Places, window
from tinyfuse.tflite.graph import Graph, Operator

_SCALE_TOLERANCE = 1e-6  # TFLite Micro takes scales for equal up to here


class Pool:
    """What both share: padding counts neither as value nor as tap. Reference: ``reference/integer_ops/pooling.h``."""

    def __init__(self, operator: Operator, graph: Graph) -> None:
        source, target = source_and_target(operator, graph)
        if abs(source.unit - target.unit) > _SCALE_TOLERANCE or source.zero != target.zero:
            raise ModelError(f"'{target.name}': {operator.name} cannot rescale; input and output have scales "
                             f"{source.unit:.6g} and {target.unit:.6g}, zero points {source.zero} and {target.zero}")
        kernel = int(operator.options["filter_height"]), int(operator.options["filter_width"])
        self.window = window(operator, source, target, kernel)
        if source.shape[3] != target.shape[3]:
            raise ModelError(f"'{target.name}' has {target.shape[3]} channels, but {operator.name} keeps the "
                             f"{source.shape[3]} of its input")
        self.low, self.high = fused_range(operator, target)
        self.source_shape, self.target_shape, self.dtype = source.shape[1:], target.shape[1:], target.dtype

    def taps(self) -> list[tuple[Places, Places]]:
        """List what each tap reads, and the outputs that it serves."""
        return [(read, served) for _, read, served in self.window.taps(self.source_shape, self.target_shape)]


@register("AVERAGE_POOL_2D")
class AveragePool(Pool):
    """Mean of the taps inside the image, halves away from zero, then the clamp."""

    def __init__(self, operator: Operator, graph: Graph) -> None:
        super().__init__(operator, graph)
        self.count = np.zeros((1, *self.target_shape[:2], 1), np.int64)
        for _, served in self.taps():
            self.count[served] += 1

    def forward(self, inputs: Sequence[np.ndarray]) -> tuple[np.ndarray, Any]:
        total = np.zeros((len(inputs[0]), *self.target_shape), np.int64)
        for read, served in self.taps():
            total[served] += inputs[0][read]
        means = np.sign(total) * ((np.abs(total) + self.count // 2) // self.count)
        return clamp(means, self.low, self.high, self.dtype)

    def backward(self, saved: Any, gradient: np.ndarray) -> list[np.ndarray]:
        """Share each gradient equally among the taps inside the image."""
        shares = gradient * saved * (1.0 / self.count).astype(np.float32)
        found = np.zeros((len(gradient), *self.source_shape), np.float32)
        for read, served in reversed(self.taps()):
            found[read] += shares[served]
        return [found]


@register("MAX_POOL_2D")
class MaxPool(Pool):
    """Largest tap inside the image, then the clamp; of equals the first counts."""

    def forward(self, inputs: Sequence[np.ndarray]) -> tuple[np.ndarray, Any]:
        height, width, _ = self.source_shape
        places = np.arange(height * width).reshape(1, height, width, 1)
        best = np.full((len(inputs[0]), *self.target_shape), np.iinfo(np.int32).min)
        place = np.zeros(best.shape, np.int64)
        for read, served in self.taps():
            better = inputs[0][read] > best[served]
            best[served] = np.where(better, inputs[0][read], best[served])
            place[served] = np.where(better, places[read], place[served])
        out, inside = clamp(best, self.low, self.high, self.dtype)
        return out, (place, inside)

    def backward(self, saved: Any, gradient: np.ndarray) -> list[np.ndarray]:
        place, inside = saved
        found = np.zeros((len(gradient), *self.source_shape), np.float32)
        sample, row, column, channel = np.nonzero(inside)
        where = place[sample, row, column, channel]
        np.add.at(found, (sample, where // self.source_shape[1], where % self.source_shape[1], channel),
                  gradient[sample, row, column, channel])
        return [found]
