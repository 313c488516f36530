"""Weights as n-bit fields in the plain order of their channels (runtime/tny_direct.h)."""

from __future__ import annotations

import numpy as np

WORD_BITS = 32


def in_words(matrix: np.ndarray, bits: int) -> np.ndarray:
    """Words uint32 [channels, ceil(count * bits / 32)] of integers [channels, count] in two's complement.

    The least significant bit comes first; each channel starts on a word.
    """
    channels, count = matrix.shape
    stream = (matrix[:, :, None] >> np.arange(bits) & 1).astype(np.uint8).reshape(channels, -1)
    padded = np.pad(stream, ((0, 0), (0, -count * bits % WORD_BITS)))
    words: np.ndarray = np.packbits(padded, axis=1, bitorder="little").view("<u4")
    return words
