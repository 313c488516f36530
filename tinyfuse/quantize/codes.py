"""n-bit weight codes: symmetric, one scale per output channel, exact in an int8 container.

A layer's input channels may fall into slices of different width (the first convolution of early fusion sees
the image in one channel and the audio in the other). Stock kernels have one scale per output channel, so a
slice with fewer levels uses every ``stride``-th code: its integers are ``stride * q`` with n-bit ``q``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tinyfuse.errors import ConversionError

NINE_BIT_LEVEL = 254  # the sum of two int8 codes; 9 bits could hold 255, two int8 weights cannot


def level(bits: int) -> int:
    """Largest absolute code of a ``bits``-wide symmetric weight: 2^(bits-1) - 1, and 254 for 9 bits."""
    return NINE_BIT_LEVEL if bits == 9 else 2 ** (bits - 1) - 1


@dataclass(frozen=True)
class Slice:
    """Input channels ``start``..``stop`` (exclusive) of a layer, their branch and their width."""

    start: int
    stop: int
    branch: str
    bits: int


@dataclass(frozen=True)
class Codes:
    """Integer weights: ``w ~ scale[o] * values[o, ...]``.

    ``values`` int16 [o, ..., i], ``scale`` float32 [o], ``stride`` int64 [o, slices]; ``coarse`` bool [o] marks
    the channels whose scale was set by their bias and not by their (vanishing) weights.
    """

    values: np.ndarray
    scale: np.ndarray
    stride: np.ndarray
    coarse: np.ndarray
    slices: tuple[Slice, ...]

    @property
    def doubled(self) -> bool:
        """Whether some code needs more than int8, hence the doubled-channel form."""
        return any(part.bits == 9 for part in self.slices)


def quantize(kernel: np.ndarray, slices: Sequence[Slice], *, least_scale: np.ndarray) -> Codes:
    """Round float64 ``kernel`` [o, ..., i] to the nearest code of each slice's grid.

    ``least_scale`` [o] (at least 0) keeps a bias within int32 when a channel's weights are tiny.
    """
    axes = tuple(range(1, kernel.ndim))
    room = container_level({part.bits for part in slices})
    peak = np.stack([np.abs(kernel[..., s.start:s.stop]).max(axis=axes) for s in slices], axis=1)
    finest = np.array([level(s.bits) * (room // level(s.bits)) for s in slices])
    wanted = (peak / finest).max(axis=1)
    scale = np.maximum(wanted, least_scale)
    scale32 = np.where(scale > 0, scale, 1.0).astype(np.float32)
    levels = np.array([level(s.bits) for s in slices])
    # A float32 scale may be a hair below peak/level; the clip below then moves a code by a rounding error only.
    stride = np.ceil(peak / (levels * scale32.astype(np.float64)[:, None]) * (1 - 1e-6))
    stride = np.clip(stride, 1, room // levels).astype(np.int64)
    values = np.zeros(kernel.shape, np.int16)
    column = (-1,) + (1,) * (kernel.ndim - 1)
    for j, part in enumerate(slices):
        step = stride[:, j].reshape(column)
        q = np.rint(kernel[..., part.start:part.stop] / (step * scale32.astype(np.float64).reshape(column)))
        values[..., part.start:part.stop] = step * np.clip(q, -levels[j], levels[j])
    return Codes(values, scale32, stride, scale > wanted, tuple(slices))


def container_level(widths: set[int]) -> int:
    """Largest code the container may hold: slices of different width use all of it, to place their grids better."""
    if len(widths) == 1:
        return level(max(widths))
    return level(9 if 9 in widths else 8)


def split(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Two int8 arrays whose sum is ``values`` (int16 within +-254): the doubled-channel form of 9 bits."""
    first = np.clip(values, -127, 127)
    return first.astype(np.int8), (values - first).astype(np.int8)


def check(codes: Codes, layer: str) -> None:
    """Raise :class:`ConversionError` unless each slice stays in its range and on its grid, and the grid is used.

    Used means: in each output channel with any weight, some slice reaches its outermost code.
    """
    reached = np.zeros(len(codes.scale), bool)
    for j, part in enumerate(codes.slices):
        flat = codes.values[..., part.start:part.stop].reshape(len(codes.scale), -1).astype(np.int64)
        step = codes.stride[:, j:j + 1]
        if (flat % step).any() or np.abs(flat // step).max() > level(part.bits):
            raise ConversionError(f"layer '{layer}': codes of the {part.branch} slice leave the {part.bits}-bit grid")
        reached |= np.abs(flat // step).max(axis=1) == level(part.bits)
    unused = ~reached & ~codes.coarse & codes.values.reshape(len(codes.scale), -1).any(axis=1)
    if unused.any():
        raise ConversionError(f"layer '{layer}': {int(unused.sum())} output channels do not use "
                              "their code range")
