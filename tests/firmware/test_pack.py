"""Packed weights come back exactly, at every width."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinyfuse.errors import ModelError
from tinyfuse.firmware.pack import bits_of, packed, paired, unpacked


@given(st.integers(2, 9), st.integers(1, 5), st.integers(1, 70), st.integers(0, 2**32 - 1))
def test_fields_come_back(bits: int, rows: int, count: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    fields = rng.integers(-(1 << bits - 1), 1 << bits - 1, (rows, count))
    words = packed(fields, bits)
    assert words.shape == (rows, -(-count * bits // 32)) and words.dtype == np.uint32
    assert np.array_equal(unpacked(words, bits, count), fields)


@given(st.lists(st.integers(-256, 255), min_size=1, max_size=20))
def test_the_width_is_the_smallest_that_holds_all(values: list[int]) -> None:
    bits = bits_of(np.array(values))
    assert all(-(1 << bits - 1) <= value < 1 << bits - 1 for value in values)
    assert bits == 2 or not all(-(1 << bits - 2) <= value < 1 << bits - 2 for value in values)


def test_what_is_too_wide_is_refused() -> None:
    with pytest.raises(ModelError, match="-257 to 0 need 10 bits"):
        bits_of(np.array([-257]))
    with pytest.raises(ModelError, match="do not fit 3 bits"):
        packed(np.array([[4]]), 3)


def test_the_order_of_use() -> None:
    """Two of channel a, two of channel b; a missing channel and missing taps are zeros."""
    matrix = np.array([[1, 2, 3, 4, 5], [11, 12, 13, 14, 15], [21, 22, 23, 24, 25]])
    first, second = paired(matrix)
    assert list(first) == [1, 2, 11, 12, 3, 4, 13, 14, 5, 0, 15, 0, 0, 0, 0, 0]
    assert list(second) == [21, 22, 0, 0, 23, 24, 0, 0, 25, 0, 0, 0, 0, 0, 0, 0]
