"""Weights in the plain order of their channels."""

from __future__ import annotations

import numpy as np

from tinyfuse.firmware.fields import in_words


def test_each_channel_starts_on_a_word_with_its_lowest_bits() -> None:
    words = in_words(np.array([[1, -1, 2] + [0] * 8, [-4, 3, 0] + [0] * 8]), 3)
    assert words.dtype == np.uint32 and words.tolist() == [[0b010_111_001, 0], [0b000_011_100, 0]]


def test_a_field_may_lie_in_two_words() -> None:
    """Nine bits at 27: five in the first word, four in the second."""
    assert in_words(np.array([[0, 0, 0, -2]]), 9).tolist() == [[0b11110 << 27, 0b1111]]
