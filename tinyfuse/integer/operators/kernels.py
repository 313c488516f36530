"""Compiled loops that several operators share: expand codes, requantise accumulators, mask gradients."""

from __future__ import annotations

import numba
import numpy as np

from tinyfuse.integer.arithmetic import rescale, rescale64, wrap32

_ALIGNMENT = 64  # TensorFlow takes numpy memory without a copy only at this alignment


def aligned(shape: tuple[int, ...], dtype: type | np.dtype) -> np.ndarray:
    """An uninitialised array that TensorFlow can read in place."""
    size = int(np.prod(shape)) * np.dtype(dtype).itemsize
    raw = np.empty(size + _ALIGNMENT, np.uint8)
    start = -raw.ctypes.data % _ALIGNMENT
    return raw[start:start + size].view(dtype).reshape(shape)


@numba.njit(nogil=True, cache=True)
def expand(codes, zero_point, top, left, out):  # type: ignore[no-untyped-def]
    """Write codes - zero_point [n, h, w, c] into the zero-padded floats ``out`` at (top, left), as far as they go."""
    n, height, _, channels = codes.shape
    width = min(codes.shape[2], out.shape[2] - left)
    for i in range(n):
        for y in range(out.shape[1]):
            if y < top or y >= top + height:
                out[i, y, :, :] = 0
                continue
            out[i, y, :left, :] = 0
            out[i, y, left + width:, :] = 0
            source = codes[i, y - top]
            target = out[i, y, left:left + width]
            for x in range(width):
                for c in range(channels):
                    target[x, c] = np.int32(source[x, c]) - np.int32(zero_point)


@numba.njit(nogil=True, cache=True)
def requantize(sums, bias, multiplier, shift, zero_point, low, high, out, inside):  # type: ignore[no-untyped-def]
    """Write clamp(rescale(sums + bias) + zero_point) per channel to ``out``; ``inside``: the clamp did nothing.

    ``sums`` [m, c] holds exact integers in float32 or float64; ``inside`` uint8 may be empty (not wanted).
    """
    keep = inside.size > 0
    rows, channels = sums.shape
    for i in range(rows):
        for c in range(channels):
            value = rescale(wrap32(np.int64(sums[i, c]) + bias[c]), multiplier[c], shift[c]) + zero_point
            out[i, c] = min(max(value, low), high)
            if keep:
                inside[i, c] = (value >= low) & (value <= high)


@numba.njit(nogil=True, cache=True)
def requantize64(sums, bias, multiplier, shift, zero_point, low, high, out, inside):  # type: ignore[no-untyped-def]
    """:func:`requantize` for 64-bit accumulators (16-bit activations with a 64-bit bias)."""
    keep = inside.size > 0
    rows, channels = sums.shape
    for i in range(rows):
        for c in range(channels):
            value = rescale64(np.int64(sums[i, c]) + bias[c], multiplier[c], shift[c]) + zero_point
            out[i, c] = min(max(value, low), high)
            if keep:
                inside[i, c] = (value >= low) & (value <= high)


@numba.njit(nogil=True, cache=True)
def spread_masked(gradient, inside, top, left, out):  # type: ignore[no-untyped-def]
    """Write gradient * inside [n, h, w, c] into the zero-padded buffer ``out`` at (top, left)."""
    n, height, width, channels = gradient.shape
    for i in range(n):
        for y in range(out.shape[1]):
            if y < top or y >= top + height:
                out[i, y, :, :] = 0
                continue
            out[i, y, :left, :] = 0
            out[i, y, left + width:, :] = 0
            for x in range(width):
                for c in range(channels):
                    out[i, y, left + x, c] = gradient[i, y - top, x, c] * inside[i, y - top, x, c]
