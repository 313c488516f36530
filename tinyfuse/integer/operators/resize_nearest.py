"""RESIZE_NEAREST_NEIGHBOR: rows and columns that are repeated or left out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tinyfuse.core.errors import ModelError
from tinyfuse.integer.operators.base import Node, constant, need_shape, register, same_type, source_and_target
from tinyfuse.integer.operators.gather import returned
from tinyfuse.tflite.graph import Graph, Operator, Tensor


@dataclass(frozen=True, eq=False)
class ResizeNearest:
    """For each row and column of the output, that of the input [height, width, channels]."""

    rows: np.ndarray
    columns: np.ndarray
    source: tuple[int, ...]

    def forward(self, inputs: Sequence[np.ndarray]) -> tuple[np.ndarray, Any]:
        return inputs[0].take(self.rows, axis=1).take(self.columns, axis=2), None

    def backward(self, saved: Any, gradient: np.ndarray) -> list[np.ndarray]:
        wide = returned(gradient, self.columns, 2, self.source[2])
        return [returned(wide, self.rows, 1, self.source[1])]


@register("RESIZE_NEAREST_NEIGHBOR")
def _resize(operator: Operator, graph: Graph) -> Node:
    """Reference: ``reference/resize_nearest_neighbor.h``, whose places are float32 numbers."""
    source, target = source_and_target(operator, graph, same_type("int8", "int16"))
    height, width = resized(operator, graph, source, target)
    aligned, centred = bool(operator.options["align_corners"]), bool(operator.options["half_pixel_centers"])
    return ResizeNearest(_nearest(source.shape[1], height, aligned=aligned, centred=centred),
                         _nearest(source.shape[2], width, aligned=aligned, centred=centred), source.shape)


def resized(operator: Operator, graph: Graph, source: Tensor, target: Tensor) -> tuple[int, int]:
    """Return the constant height and width that an image gets; refuse what does not fit them."""
    sizes = constant(operator, graph, 1)
    if sizes.shape != (2,) or sizes.min() < 1 or len(source.shape) != 4:
        raise ModelError(f"'{target.name}': {operator.name} of {list(source.shape)} to {sizes.tolist()}; it takes four "
                         "axes, and a height and a width from 1")
    need_shape(operator, target, (1, *sizes.tolist(), source.shape[3]))
    return int(sizes[0]), int(sizes[1])


def _nearest(size: int, wanted: int, *, aligned: bool, centred: bool) -> np.ndarray:
    """The place of each of ``wanted`` outputs among ``size`` inputs, in float32 as the reference computes it."""
    ends = 1 if aligned and wanted > 1 else 0
    scale = np.float32(size - ends) / np.float32(wanted - ends)
    place = (np.arange(wanted, dtype=np.float32) + np.float32(0.5 if centred else 0)) * scale
    rounded = np.floor(place.astype(np.float64) + 0.5) if aligned else np.floor(place)
    return np.asarray(np.clip(rounded, 0, size - 1).astype(np.int64))
