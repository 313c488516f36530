"""Weights as n-bit fields in 32-bit words, in the order in which the runtime decodes them.

That of the hot kernels is in runtime/tny_unpack.h; plain convolutions (:func:`in_words`) read channel after channel.
"""

from __future__ import annotations

import numpy as np

from tinyfuse.core.errors import ModelError

NARROWEST, WIDEST = 2, 9
LARGEST = 254
"""A 9-bit weight is the sum of two int8 weights, on the device and in a `.tflite`."""
CHUNK = 16
"""Lanes that the fields of one vector fill: each stretch of a window is padded with zeros to a multiple of this."""
WORD_BITS = 32
BLOCK = 4
"""Chunks that are packed together."""
BYTES = (0, 2, 1, 3)
"""Which of four neighbouring lanes lies in which byte of a word: bytes 0 and 2 widen to one pair of 16-bit lanes."""


def bits_of(weights: np.ndarray) -> int:
    """Find the width of the fields for ``weights`` on the hot kernels: 2 to 9. ModelError beyond."""
    bits, high = field_bits(weights), int(weights.max(initial=0))
    if bits > WIDEST or high > LARGEST:
        raise ModelError(f"weights from {weights.min(initial=0)} to {high} need {bits} bits; at most {WIDEST} are "
                         f"packed, up to {LARGEST}")
    return bits


def field_bits(weights: np.ndarray) -> int:
    """Find the width of a two's complement field that holds every one of ``weights``: 2 or more."""
    low, high = int(weights.min(initial=0)), int(weights.max(initial=0))
    return max(NARROWEST, (high if high > ~low else ~low).bit_length() + 1)


def chunked(weights: np.ndarray) -> np.ndarray:
    """Arrange lanes int64 [pairs of channels, chunks, 2, CHUNK] of ``weights`` [channels, stretches, taps].

    Each stretch is filled with zeros to whole chunks, a missing last channel with zeros.
    """
    channels, stretches, taps = weights.shape
    filled = np.zeros((channels + channels % 2, stretches, taps + -taps % CHUNK), np.int64)
    filled[:channels, :, :taps] = weights
    lanes = filled.reshape(len(filled) // 2, 2, -1, CHUNK)
    return np.ascontiguousarray(lanes.transpose(0, 2, 1, 3))


def packed(lanes: np.ndarray, bits: int) -> np.ndarray:
    """Pack words uint32 [pairs, words] of ``lanes`` [pairs, chunks, 2, CHUNK].

    A weight w becomes the field w + 2^(bits - 1). Each of the CHUNK bytes of a vector has a stream of its own, least
    significant bit first: both channels of the first chunk, of the second, and so on, for BLOCK chunks.
    """
    if lanes.size and not -(1 << bits - 1) <= lanes.min() <= lanes.max() < 1 << bits - 1:
        raise ModelError(f"values from {lanes.min()} to {lanes.max()} do not fit {bits} bits")
    fields = lanes + (1 << bits - 1)
    blocks = [_vectors(fields[:, start:start + BLOCK].reshape(len(lanes), -1, CHUNK), bits)
              for start in range(0, lanes.shape[1], BLOCK)]
    ordered = np.concatenate(blocks, axis=1).reshape(len(lanes), -1, CHUNK // 4, 4)[..., BYTES]
    words: np.ndarray = np.ascontiguousarray(ordered).view("<u4").reshape(len(lanes), -1)
    return words


def _vectors(fields: np.ndarray, bits: int) -> np.ndarray:
    """Write ``fields`` [pairs, count, CHUNK] as bytes uint8 [pairs, bytes of a stream, CHUNK]."""
    if bits == WIDEST:  # the upper 8 bits come first as whole bytes, then all the lowest bits
        return np.concatenate([_vectors(fields >> 1, bits - 1), _vectors(fields & 1, 1)], axis=1)
    stream = (fields[:, :, None] >> np.arange(bits)[:, None] & 1).astype(np.uint8)
    return np.packbits(stream.reshape(len(fields), -1, CHUNK), axis=1, bitorder="little")


def in_words(matrix: np.ndarray, bits: int) -> np.ndarray:
    """Pack words uint32 [channels, ceil(count * bits / 32)] of integers [channels, count] in two's complement.

    The least significant bit comes first; each channel starts on a word.
    """
    channels, count = matrix.shape
    stream = (matrix[:, :, None] >> np.arange(bits) & 1).astype(np.uint8).reshape(channels, -1)
    padded = np.pad(stream, ((0, 0), (0, -count * bits % WORD_BITS)))
    words: np.ndarray = np.packbits(padded, axis=1, bitorder="little").view("<u4")
    return words
