"""Weights as n-bit fields in 32-bit words, in the order in which the runtime uses them (runtime/tny_unpack.h)."""

from __future__ import annotations

import numpy as np

from tinyfuse.errors import ModelError

WORD_BITS = 32
NARROWEST, WIDEST = 2, 9
QUAD = 4
"""A window is padded with zeros to a multiple of this many weights: the inner step takes as many."""


def bits_of(weights: np.ndarray) -> int:
    """The width of a two's complement field that holds every one of ``weights``: 2 to 9."""
    low, high = int(weights.min(initial=0)), int(weights.max(initial=0))
    bits = max(NARROWEST, (high if high > ~low else ~low).bit_length() + 1)
    if bits > WIDEST:
        raise ModelError(f"weights from {low} to {high} need {bits} bits; at most {WIDEST} are packed")
    return bits


def paired(matrix: np.ndarray) -> np.ndarray:
    """Fields int64 [pairs, 2 * width] of ``matrix`` [channels, taps]; width: taps rounded up to a multiple of QUAD.

    Channels 2i and 2i + 1 alternate two by two; what is missing is filled with zeros.
    """
    channels, taps = matrix.shape
    filled = np.zeros((channels + channels % 2, taps + -taps % QUAD), np.int64)
    filled[:channels, :taps] = matrix
    pairs = filled.reshape(len(filled) // 2, 2, -1, 2)
    return np.ascontiguousarray(pairs.transpose(0, 2, 1, 3)).reshape(len(pairs), -1)


def packed(fields: np.ndarray, bits: int) -> np.ndarray:
    """Words uint32 [rows, ceil(count * bits / 32)] of ``fields`` [rows, count], least significant bit first."""
    if fields.size and not -(1 << bits - 1) <= fields.min() <= fields.max() < 1 << bits - 1:
        raise ModelError(f"values from {fields.min()} to {fields.max()} do not fit {bits} bits")
    rows, count = fields.shape
    stream = (fields[:, :, None] >> np.arange(bits) & 1).astype(np.uint8).reshape(rows, -1)
    padded = np.pad(stream, ((0, 0), (0, -count * bits % WORD_BITS)))
    words: np.ndarray = np.packbits(padded, axis=1, bitorder="little").view("<u4")
    return words


def unpacked(words: np.ndarray, bits: int, count: int) -> np.ndarray:
    """The fields int64 [rows, count] that :func:`packed` put into ``words``."""
    stream = np.unpackbits(np.ascontiguousarray(words, "<u4").view(np.uint8), axis=1, bitorder="little")
    fields = stream[:, :count * bits].reshape(len(words), count, bits).astype(np.int64) @ (1 << np.arange(bits))
    return np.asarray(fields - ((fields >> bits - 1) << bits))
