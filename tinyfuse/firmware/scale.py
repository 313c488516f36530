"""Rescaling by a fixed-point factor, and the proof that the quick way of the runtime is exact for a bounded value."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from tinyfuse.core.errors import ModelError
from tinyfuse.integer.arithmetic import quantize_multiplier

_INT32 = 1 << 31


@dataclass(frozen=True, eq=False)
class Scale:
    """A real factor as multiplier * 2^(-shift - 31)."""

    multiplier: int
    shift: int

    def __str__(self) -> str:
        """As C writes it."""
        return f"{{{self.multiplier}, {self.shift}}}"


def scale_of(value: float) -> Scale:
    """Find the scale that TFLite Micro takes for the factor ``value``."""
    return _scale(*quantize_multiplier(value))


def scales_of(multipliers: np.ndarray, shifts: np.ndarray) -> tuple[Scale, ...]:
    """Take over the scales of the twin, whose shifts count to the left."""
    return tuple(_scale(multiplier, shift) for multiplier, shift in zip(multipliers, shifts, strict=True))


def _scale(multiplier: int, shift: int) -> Scale:
    return Scale(int(multiplier), -int(shift))


def fits(name: str, bound: int, scale: Scale) -> None:
    """Raise ModelError unless ``tny_requantize`` of values up to ``bound`` stays within 32 bits."""
    left, right = max(-scale.shift, 0), max(scale.shift, 0)
    product = (bound << left) * scale.multiplier / 2.0**31
    if bound << left >= _INT32 // 2 or product + (1 << right >> 1) + 1 >= _INT32 or right > 31:
        raise ModelError(f"'{name}': sums up to {bound} can leave 32 bits when rescaled; the firmware refuses such "
                         "scales")


def sized(name: str, what: str, values: Iterable[int], bits: int) -> None:
    """Raise ModelError if one of ``values`` does not fit an unsigned field of the runtime's descriptors."""
    largest = max(values, default=0)
    if largest >= 1 << bits:
        raise ModelError(f"'{name}': {what} of {largest} are beyond the firmware's limit of {(1 << bits) - 1}")
