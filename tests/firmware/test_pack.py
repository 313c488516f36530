"""Packed weights come back exactly, at every width."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinyfuse.core.errors import ModelError
from tinyfuse.firmware.pack import BLOCK, BYTES, CHUNK, WIDEST, bits_of, chunked, in_words, packed


def unpacked(words: np.ndarray, bits: int, chunks: int) -> np.ndarray:
    """The lanes int64 [pairs, chunks, 2, CHUNK] that :func:`packed` put into ``words``."""
    stored = np.ascontiguousarray(words, "<u4").view(np.uint8).reshape(len(words), -1, CHUNK // 4, 4)
    vectors = stored[..., np.argsort(BYTES)].reshape(len(words), -1, CHUNK)
    found, start = [], 0
    for first in range(0, chunks, BLOCK):
        count = 2 * min(BLOCK, chunks - first)
        whole, rest = (bits, 0) if bits < WIDEST else (bits - 1, 1)
        fields = _fields(vectors[:, start:], whole, count)
        start += -(-count * whole // 8)
        if rest:
            fields = 2 * fields + _fields(vectors[:, start:], rest, count)
            start += -(-count * rest // 8)
        found.append(fields.reshape(len(words), -1, 2, CHUNK))
    return np.concatenate(found, axis=1) - (1 << bits - 1)


def _fields(vectors: np.ndarray, bits: int, count: int) -> np.ndarray:
    """Fields int64 [pairs, count, CHUNK] at the start of ``vectors`` [pairs, bytes, CHUNK]."""
    stream = np.unpackbits(vectors, axis=1, bitorder="little")[:, :count * bits]
    fields = stream.reshape(len(vectors), count, bits, CHUNK).astype(np.int64)
    return np.asarray((fields << np.arange(bits)[:, None]).sum(axis=2))


@given(st.integers(2, 9), st.integers(1, 4), st.integers(1, 11), st.integers(0, 2**32 - 1))
def test_lanes_come_back(bits: int, pairs: int, chunks: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    lanes = rng.integers(-(1 << bits - 1), 1 << bits - 1, (pairs, chunks, 2, CHUNK))
    words = packed(lanes, bits)
    whole, rest = divmod(chunks, 4)
    last = -(-2 * rest * bits // 8) if bits < 9 else 2 * rest + (rest > 0)
    assert words.shape == (pairs, 4 * (whole * bits + last)) and words.dtype == np.uint32
    assert np.array_equal(unpacked(words, bits, chunks), lanes)


@given(st.lists(st.integers(-256, 254), min_size=1, max_size=20))
def test_the_width_is_the_smallest_that_holds_all(values: list[int]) -> None:
    bits = bits_of(np.array(values))
    assert all(-(1 << bits - 1) <= value < 1 << bits - 1 for value in values)
    assert bits == 2 or not all(-(1 << bits - 2) <= value < 1 << bits - 2 for value in values)


def test_what_is_too_wide_is_refused() -> None:
    with pytest.raises(ModelError, match="-257 to 0 need 10 bits"):
        bits_of(np.array([-257]))
    with pytest.raises(ModelError, match="0 to 255 need 9 bits; at most 9 are packed, up to 254"):
        bits_of(np.array([255]))
    with pytest.raises(ModelError, match="do not fit 3 bits"):
        packed(np.full((1, 1, 2, CHUNK), 4), 3)


def test_stretches_start_on_chunks() -> None:
    """A missing channel and missing taps are zeros."""
    weights = np.arange(1, 3 * 2 * 5 + 1).reshape(3, 2, 5)
    first, second = chunked(weights)
    assert first.shape == (2, 2, CHUNK)
    assert [list(first[chunk, channel, :6]) for chunk in (0, 1) for channel in (0, 1)] == [
        [1, 2, 3, 4, 5, 0], [11, 12, 13, 14, 15, 0], [6, 7, 8, 9, 10, 0], [16, 17, 18, 19, 20, 0]]
    assert second[:, 0, :5].tolist() == [[21, 22, 23, 24, 25], [26, 27, 28, 29, 30]] and not second[:, 1].any()


def test_the_order_in_flash() -> None:
    """Byte 1 of a word is lane 2; the fields of one lane follow each other in one byte of the vectors."""
    lanes = np.zeros((1, 1, 2, CHUNK), np.int64)
    lanes[0, 0, 0, :4], lanes[0, 0, 1, :4] = [1, 2, 3, 4], [-8, -7, -6, -5]
    assert f"{packed(lanes, 4)[0, 0]:08x}" == "3c1a2b09"
    assert f"{packed(lanes, 8)[0, 0]:08x} {packed(lanes, 8)[0, 4]:08x}" == "84828381 7b797a78"
    assert f"{packed(lanes, 9)[0, 0]:08x} {packed(lanes, 9)[0, 8]:08x}" == "82818180 02020101"


def test_each_channel_starts_on_a_word_with_its_lowest_bits() -> None:
    words = in_words(np.array([[1, -1, 2] + [0] * 8, [-4, 3, 0] + [0] * 8]), 3)
    assert words.dtype == np.uint32 and words.tolist() == [[0b010_111_001, 0], [0b000_011_100, 0]]


def test_a_field_may_lie_in_two_words() -> None:
    """Nine bits at 27: five in the first word, four in the second."""
    assert in_words(np.array([[0, 0, 0, -2]]), 9).tolist() == [[0b11110 << 27, 0b1111]]
