"""Buffers whose sizes change with time are placed without overlap."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinyfuse.core.errors import ModelError
from tinyfuse.firmware.plan import ALIGNMENT, Buffer, check_buffers, placed

SIZES = st.lists(st.integers(1, 300), min_size=1, max_size=6)


@given(st.lists(st.tuples(st.integers(0, 9), SIZES), min_size=1, max_size=12))
def test_no_two_living_buffers_overlap(given_: list[tuple[int, list[int]]]) -> None:
    found = placed(Buffer(f"b{number}", first, tuple(sizes)) for number, (first, sizes) in enumerate(given_))
    check_buffers(found)
    assert len(found) == len(given_) and all(buffer.offset % ALIGNMENT == 0 for buffer in found)


def test_a_buffer_takes_what_a_shrinking_one_gives_back() -> None:
    found = {buffer.name: buffer.offset for buffer in placed([Buffer("large", 0, (256, 256, 64)),
                                                              Buffer("late", 2, (128,))])}
    assert found == {"large": 0, "late": 64}


def test_an_overlap_is_found() -> None:
    with pytest.raises(ModelError, match="buffers b and a overlap"):
        check_buffers([Buffer("a", 0, (16, 16)), Buffer("b", 1, (16,), 8)])
    check_buffers([Buffer("a", 0, (16, 16)), Buffer("b", 2, (16,), 8)])
