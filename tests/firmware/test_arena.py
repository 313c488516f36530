"""Buffers whose sizes change with time are placed without overlap."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tinyfuse.core.errors import ModelError
from tinyfuse.firmware.plan import ALIGNMENT, Buffer, aligned, check_buffers, height, placed

SIZES = st.lists(st.integers(1, 300), min_size=1, max_size=6)


BUFFERS = st.lists(st.tuples(st.integers(0, 9), SIZES), min_size=1, max_size=12)


def unplaced(given_: list[tuple[int, list[int]]]) -> list[Buffer]:
    return [Buffer(f"b{number}", first, tuple(sizes)) for number, (first, sizes) in enumerate(given_)]


@given(BUFFERS)
def test_no_two_living_buffers_share_a_byte(given_: list[tuple[int, list[int]]]) -> None:
    """Byte by byte in every step, without the arithmetic of the plan."""
    found = placed(unplaced(given_))
    check_buffers(found)
    assert len(found) == len(given_) and all(buffer.offset % ALIGNMENT == 0 for buffer in found)
    for step in range(20):
        taken = [byte for one in found if one.first <= step <= one.last
                 for byte in range(one.offset, one.offset + one.sizes[step - one.first])]
        assert len(taken) == len(set(taken))


@example([(9, [18]), (6, [1, 1, 1, 33]), (1, [1, 1, 1, 1, 17, 1])])
@given(BUFFERS)
def test_no_plan_is_larger_than_first_fit_over_lifetimes(given_: list[tuple[int, list[int]]]) -> None:
    """In the order of appearance, each as large as ever for its whole life."""
    buffers = sorted(unplaced(given_), key=lambda one: (one.first, -one.size))
    taken: list[tuple[Buffer, int]] = []
    for one in buffers:
        spans = sorted((at, aligned(at + other.size)) for other, at in taken
                       if other.first <= one.last and one.first <= other.last)
        start = 0
        for low, high in spans:
            start = max(start, high) if low < start + one.size else start
        taken.append((one, start))
    assert height(placed(buffers)) <= max(at + one.size for one, at in taken)


def test_buffers_that_never_meet_overlap() -> None:
    """One that ended long before the other began is not in its way."""
    early, late = Buffer("early", 0, (64, 32, 16)), Buffer("late", 5, (64,))
    assert not early.meets(late) and height(placed([early, late])) == 64


def test_a_buffer_takes_what_a_shrinking_one_gives_back() -> None:
    found = {buffer.name: buffer.offset for buffer in placed([Buffer("large", 0, (256, 256, 64)),
                                                              Buffer("late", 2, (128,))])}
    assert found == {"large": 0, "late": 64}


def test_an_overlap_is_found() -> None:
    with pytest.raises(ModelError, match="buffers b and a overlap"):
        check_buffers([Buffer("a", 0, (16, 16)), Buffer("b", 1, (16,), 8)])
    check_buffers([Buffer("a", 0, (16, 16)), Buffer("b", 2, (16,), 8)])
