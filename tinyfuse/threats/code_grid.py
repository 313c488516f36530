"""The codes that an integer model accepts at one input."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from tinyfuse.core.errors import TinyfuseError, UsageError

SCALE_SLACK = 2.0**-22
"""Relative doubt about a scale stored as float32: k / 255 must count as k codes of float32(1 / 255)."""


@dataclass(frozen=True)
class InputGrid:
    """The codes an integer model accepts at one input: value = scale * (code - zero_point).

    ``scale`` is kept as the float32 value that the model file holds; ``low`` and ``high`` are the first and
    the last code (-128 and 127 for an int8 input).
    """

    scale: float
    zero_point: int
    low: int
    high: int

    def __post_init__(self) -> None:
        object.__setattr__(self, "scale", float(np.float32(self.scale)))
        if not (math.isfinite(self.scale) and self.scale > 0):
            raise UsageError(f"input grid: scale is {self.scale}; give a finite positive number")
        if not self.low <= self.zero_point <= self.high or self.low == self.high:
            raise UsageError(f"input grid: low {self.low}, zero point {self.zero_point}, high {self.high}; "
                             "give low <= zero point <= high and low < high")

    def quantise(self, values: np.ndarray) -> np.ndarray:
        """Return the int32 codes that the device computes for ``values`` (any shape); TinyfuseError for NaN or inf.

        This is TFLite's QUANTIZE (reference ``AffineQuantize``): a float32 division by the scale, rounded
        half away from zero, plus the zero point, clipped to [low, high].
        """
        quotient = (np.asarray(values, np.float32) / np.float32(self.scale)).astype(np.float64)
        if not np.isfinite(quotient).all():
            raise TinyfuseError("an input to quantise is NaN or infinite; give finite values")
        codes = round_half_away(quotient) + self.zero_point
        return np.asarray(np.clip(codes, self.low, self.high), np.int32)

    def dequantise(self, codes: np.ndarray) -> np.ndarray:
        """Return float32 ``scale * (codes - zero_point)``; ``quantise`` maps it back to the same codes."""
        steps = np.asarray(codes, np.int64) - self.zero_point
        return np.float32(self.scale) * steps.astype(np.float32)

    def budget(self, epsilon: float) -> int:
        """Return floor(epsilon / scale): the whole codes that an L-inf adversary may move an input."""
        return math.floor(epsilon / self.scale * (1.0 + SCALE_SLACK))


Grids = Mapping[str, InputGrid]
"""The grid of each input by name."""


def round_half_away(values: np.ndarray) -> np.ndarray:
    """Round float64 ``values``, halves away from zero (C ``round``; numpy rounds half to even)."""
    return np.asarray(np.copysign(np.floor(np.abs(values) + 0.5), values))
