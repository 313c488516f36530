"""n-bit weight codes: symmetric, one scale per output channel, exact in an int8 container.

A layer's input channels may fall into slices of different width (the first convolution of early fusion sees
one input in its first channels and another in the rest). Stock kernels have one scale per output channel, so a
slice with fewer levels uses every ``stride``-th code: its integers are ``stride * q`` with n-bit ``q``. The methods in
roundings/ choose grids and codes; without any, a grid ends at the largest weight and the nearest code is used.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tinyfuse.core.errors import ConversionError

NINE_BIT_LEVEL = 254  # the sum of two int8 codes; 9 bits could hold 255, two int8 weights cannot
LEAST_REACH = 0.2  # no clipping cuts a grid shorter than this share of the largest weight
BIAS_BYTES = 4  # int32
REQUANTIZE_BYTES = 5  # int32 multiplier and int8 shift for each output channel


def level(bits: int) -> int:
    """Compute the largest absolute code of a ``bits``-wide symmetric weight: 2^(bits-1) - 1, and 254 for 9 bits."""
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
    grid was made for; ``coarse`` bool [o] marks channels whose bias sets the scale, not their (vanishing) weights.
    """

    scale: np.ndarray
    stride: np.ndarray
    peak: np.ndarray
    coarse: np.ndarray
    slices: tuple[Slice, ...]

    @property
    def levels(self) -> np.ndarray:
        """The largest |q|, int64 [slices]."""
        return np.array([level(part.bits) for part in self.slices])

    @property
    def largest(self) -> np.ndarray:
        """Largest value of each channel and slice, float64 [o, slices]."""
        return np.asarray(self.scale.astype(np.float64)[:, None] * self.stride * self.levels)

    def points(self, shape: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Spread ``scale`` float64, ``stride`` and largest |q| int64 over the weights of a ``shape`` [o, ..., i]."""
        channels = [part.stop - part.start for part in self.slices]
        column = (len(self.scale), *(1,) * (len(shape) - 2), -1)
        stride = np.repeat(self.stride, channels, axis=1).reshape(column)
        scale, limit = self.scale.astype(np.float64).reshape(column), np.repeat(self.levels, channels)
        return np.broadcast_to(scale, shape), np.broadcast_to(stride, shape), np.broadcast_to(limit, shape)


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
        return np.asarray(self.scale.astype(np.float64).reshape(-1, *(1,) * (self.values.ndim - 1)) * self.values)

    def take(self, channel: int) -> Codes:
        """Take one output channel alone."""
        at = [channel]
        return Codes(self.scale[at], self.stride[at], self.peak[at], self.coarse[at], self.slices, self.values[at])


def make_grid(kernel: np.ndarray, slices: Sequence[Slice], *, least_scale: np.ndarray,
              reach: np.ndarray | float = 1.0) -> Grid:
    """Make the grid whose ends lie at ``reach`` times the largest |weight| of each slice of ``kernel`` [o, ..., i].

    ``reach``, from :data:`LEAST_REACH` to 1, is one number or [o, slices]. A slice that does not set its channel's
    scale ends at the next multiple of it. ``least_scale`` [o] (at least 0) keeps a bias within int32 when a channel's
    weights are tiny.
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
    """Find the codes of the grid ``on`` nearest to float64 ``kernel`` [o, ..., i]."""
    scale, stride, limit = on.points(kernel.shape)
    q = np.clip(np.rint(kernel / (stride * scale)), -limit, limit)
    return place(on, stride * q)


def quantize(kernel: np.ndarray, slices: Sequence[Slice], *, least_scale: np.ndarray) -> Codes:
    """Round float64 ``kernel`` [o, ..., i] to the nearest code of each slice's whole range; see :func:`make_grid`."""
    return nearest(kernel, make_grid(kernel, slices, least_scale=least_scale))


def place(on: Grid, values: np.ndarray) -> Codes:
    """Take ``values`` [o, ..., i], whole numbers, as codes of the grid ``on``."""
    return Codes(on.scale, on.stride, on.peak, on.coarse, on.slices, values.astype(np.int16))


def join(channels: Sequence[Codes]) -> Codes:
    """Put the output channels of one layer together again; see :meth:`Codes.take`."""
    scale, stride, peak, coarse, values = (np.concatenate([getattr(one, name) for one in channels]) for name in
                                           ("scale", "stride", "peak", "coarse", "values"))
    return Codes(scale, stride, peak, coarse, channels[0].slices, values)


def container_level(widths: set[int]) -> int:
    """Find the largest code of the container: slices of different width use all of it, to place their grids better."""
    return level(max(widths) if len(widths) == 1 or 9 in widths else 8)


def split(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Split ``values`` (int16 within +-254) into two int8 arrays, their sum: the doubled-channel form of 9 bits."""
    first = np.clip(values, -127, 127)
    return first.astype(np.int8), (values - first).astype(np.int8)


def check(codes: Codes, layer: str) -> None:
    """Raise ConversionError unless each slice stays in its range and on its grid, and the grid fits.

    Fits means: in each output channel with any weight, some slice's grid ends between :data:`LEAST_REACH` and all of
    its largest weight. Codes need not reach that end.
    """
    for j, part in enumerate(codes.slices):
        flat = codes.values[..., part.start:part.stop].reshape(len(codes.scale), -1).astype(np.int64)
        step = codes.stride[:, j:j + 1]
        if (flat % step).any() or np.abs(flat // step).max() > level(part.bits):
            raise ConversionError(f"layer '{layer}': codes of the {part.branch} slice leave the {part.bits}-bit grid")
    slack = 1e-6 * codes.peak  # scales are float32
    fits = (codes.largest <= codes.peak + slack) & (codes.largest >= LEAST_REACH * codes.peak - slack)
    unfit = ~fits.any(axis=1) & ~codes.coarse & codes.peak.any(axis=1)
    if unfit.any():
        raise ConversionError(f"layer '{layer}': the range of codes in {int(unfit.sum())} output channels does not "
                              "fit their weights")


@dataclass(frozen=True)
class RoundedLayer:
    """One layer as the methods so far have rounded it.

    ``kernel`` float64 [o, ..., i]; ``codes`` (with their grid) stand for it, ``bias`` float64 [o] goes with them.
    ``least_scale`` [o]: see :func:`make_grid`. ``mean`` float64 [k] is E[x] of the layer's input patches x; ``moment``
    float64 [k, k] is H = E[x x^T], or the covariance of x where a method makes up for the mean error.
    """

    kernel: np.ndarray
    bias: np.ndarray
    codes: Codes
    least_scale: np.ndarray
    mean: np.ndarray
    moment: np.ndarray

    def error(self, codes: Codes) -> np.ndarray:
        """Compute d^T H d of each output channel, float64 [o], for what ``codes`` change: d = w - q."""
        difference = (self.kernel - codes.real).reshape(len(self.kernel), -1)
        return np.asarray(((difference @ self.moment) * difference).sum(axis=1))


@dataclass(frozen=True)
class LayerSize:
    """What one layer of a converted model costs.

    ``weight_bits`` of all its weights, ``packed_bytes`` these in whole bytes plus bias, requantisation and slice
    strides; ``macs`` counts the doubled channels of 9-bit weights twice.
    """

    name: str
    bits: dict[str, int]
    weights: int
    weight_bits: int
    packed_bytes: int
    macs: int


def packed_bits(bits: int, *, depthwise: bool) -> int:
    """Count the bits that a weight takes in flash; 9-bit ones of a depthwise layer stay two int8 codes."""
    return 16 if depthwise and bits == 9 else bits


def layer_size(name: str, codes: Codes, output_pixels: int, *, depthwise: bool = False) -> LayerSize:
    """Count what layer ``name`` costs; its kernel is applied at ``output_pixels`` places (dense: 1)."""
    channels, weights = len(codes.scale), codes.values.size
    per_input = codes.values[..., 0].size
    bits = sum((part.stop - part.start) * per_input * packed_bits(part.bits, depthwise=depthwise)
               for part in codes.slices)
    strides = codes.stride.size if len(codes.slices) > 1 else 0
    packed = -(-bits // 8) + channels * (BIAS_BYTES + REQUANTIZE_BYTES) + strides
    macs = weights * output_pixels * (2 if codes.doubled else 1)
    return LayerSize(name, {part.branch: part.bits for part in codes.slices}, weights, bits, packed, macs)
