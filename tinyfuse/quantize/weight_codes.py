"""n-bit weight codes: symmetric, one scale per output channel, exact in an int8 container.

A layer's input channels may fall into slices of different width (the first convolution of early fusion sees
the image in one channel and the audio in the other). Stock kernels have one scale per output channel, so a
slice with fewer levels uses every ``stride``-th code: its integers are ``stride * q`` with n-bit ``q``.

A :class:`Grid` says where codes may lie, :class:`Codes` are integers on it. Which grid (clipping.py) and which of
its points (rounding.py) are choices; without any, the grid ends at the largest weight and the nearest point is taken.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tinyfuse.core.errors import ConversionError

NINE_BIT_LEVEL = 254  # the sum of two int8 codes; 9 bits could hold 255, two int8 weights cannot
LEAST_REACH = 0.2  # no clipping cuts a grid shorter than this share of the largest weight


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
class Grid:
    """Real values that a layer's weights may take: ``scale[o] * stride[o, slice] * q``, |q| at most the slice's level.

    ``scale`` float32 [o], ``stride`` int64 [o, slices]; ``peak`` float64 [o, slices] is the largest |weight| that the
    grid was made for; ``coarse`` bool [o] marks the channels whose scale was set by their bias and not by their
    (vanishing) weights.
    """

    scale: np.ndarray
    stride: np.ndarray
    peak: np.ndarray
    coarse: np.ndarray
    slices: tuple[Slice, ...]

    @property
    def levels(self) -> np.ndarray:
        """Largest |q|, int64 [slices]."""
        return np.array([level(part.bits) for part in self.slices])

    @property
    def ends(self) -> np.ndarray:
        """Largest value of each channel and slice, float64 [o, slices]."""
        ends: np.ndarray = self.scale.astype(np.float64)[:, None] * self.stride * self.levels
        return ends

    def points(self, shape: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """``scale`` float64, ``stride`` and largest |q| int64 of each weight of a kernel [o, ..., i] of that shape."""
        channels = [part.stop - part.start for part in self.slices]
        column = (len(self.scale), *(1,) * (len(shape) - 2), -1)
        stride = np.repeat(self.stride, channels, axis=1).reshape(column)
        scale = self.scale.astype(np.float64).reshape(column)
        return (np.broadcast_to(scale, shape), np.broadcast_to(stride, shape),
                np.broadcast_to(np.repeat(self.levels, channels), shape))


@dataclass(frozen=True)
class Codes(Grid):
    """Integer weights: ``w ~ scale[o] * values[o, ...]``, ``values`` int16 [o, ..., i] on the grid."""

    values: np.ndarray

    @property
    def doubled(self) -> bool:
        """Whether some code needs more than int8, hence the doubled-channel form."""
        return any(part.bits == 9 for part in self.slices)

    @property
    def real(self) -> np.ndarray:
        """The weights that the codes stand for, float64 [o, ..., i]."""
        real: np.ndarray = self.scale.astype(np.float64).reshape(-1, *(1,) * (self.values.ndim - 1)) * self.values
        return real


def quantize(kernel: np.ndarray, slices: Sequence[Slice], *, least_scale: np.ndarray) -> Codes:
    """Round float64 ``kernel`` [o, ..., i] to the nearest code of each slice's whole range.

    ``least_scale`` [o] (at least 0) keeps a bias within int32 when a channel's weights are tiny.
    """
    return nearest(kernel, grid(kernel, slices, least_scale=least_scale))


def grid(kernel: np.ndarray, slices: Sequence[Slice], *, least_scale: np.ndarray,
         reach: np.ndarray | float = 1.0) -> Grid:
    """The grid whose ends lie at ``reach`` times the largest |weight| of each slice of ``kernel`` [o, ..., i].

    ``reach``, from :data:`LEAST_REACH` to 1, is one number or [o, slices]. A slice that does not set its channel's
    scale ends at the next multiple of it. ``least_scale``: see :func:`quantize`.
    """
    axes = tuple(range(1, kernel.ndim))
    room = container_level({part.bits for part in slices})
    peak = np.stack([np.abs(kernel[..., s.start:s.stop]).max(axis=axes) for s in slices], axis=1)
    levels = np.array([level(s.bits) for s in slices])
    end = peak * reach
    wanted = (end / (levels * (room // levels))).max(axis=1)
    scale = np.maximum(wanted, least_scale)
    scale32 = np.where(scale > 0, scale, 1.0).astype(np.float32)
    # A float32 scale may be a hair below end/level; the clip of codes then moves one by a rounding error only.
    stride = np.ceil(end / (levels * scale32.astype(np.float64)[:, None]) * (1 - 1e-6))
    stride = np.clip(stride, 1, room // levels).astype(np.int64)
    return Grid(scale32, stride, peak, scale > wanted, tuple(slices))


def nearest(kernel: np.ndarray, on: Grid) -> Codes:
    """The codes of the grid ``on`` nearest to float64 ``kernel`` [o, ..., i]."""
    scale, stride, limit = on.points(kernel.shape)
    q = np.clip(np.rint(kernel / (stride * scale)), -limit, limit)
    return placed(on, stride * q)


def placed(on: Grid, values: np.ndarray) -> Codes:
    """``values`` [o, ..., i], whole numbers, as codes of the grid ``on``."""
    return Codes(on.scale, on.stride, on.peak, on.coarse, on.slices, values.astype(np.int16))


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
    """Raise :class:`ConversionError` unless each slice stays in its range and on its grid, and the grid fits.

    Fits means: in each output channel with any weight, some slice's grid ends between :data:`LEAST_REACH` and all of
    its largest weight. Codes need not reach that end: rounding that makes up for other errors may stay short of it.
    """
    for j, part in enumerate(codes.slices):
        flat = codes.values[..., part.start:part.stop].reshape(len(codes.scale), -1).astype(np.int64)
        step = codes.stride[:, j:j + 1]
        if (flat % step).any() or np.abs(flat // step).max() > level(part.bits):
            raise ConversionError(f"layer '{layer}': codes of the {part.branch} slice leave the {part.bits}-bit grid")
    slack = 1e-6 * codes.peak  # scales are float32
    fits = (codes.ends <= codes.peak + slack) & (codes.ends >= LEAST_REACH * codes.peak - slack)
    unfit = ~fits.any(axis=1) & ~codes.coarse & codes.peak.any(axis=1)
    if unfit.any():
        raise ConversionError(f"layer '{layer}': the range of codes in {int(unfit.sum())} output channels does not "
                              "fit their weights")
