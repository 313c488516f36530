"""Shares per class, and drawing a balanced subset."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from tinyfuse.data import Samples
from tinyfuse.data.samples import class_quota


def numbered(label: np.ndarray) -> Samples:
    rows = np.arange(len(label))
    picture = np.broadcast_to(rows[:, None, None, None].astype(np.float32), (len(label), 28, 28, 1))
    return Samples({"image": picture, "audio": picture}, label.astype(np.int64), rows)


@given(st.lists(st.integers(0, 60), min_size=10, max_size=10), st.integers(0, 700))
def test_quota_is_as_equal_as_the_classes_allow(available: list[int], limit: int) -> None:
    counts = np.array(available)
    quota = class_quota(counts, limit)
    assert np.array_equal(class_quota(counts, None), counts)
    assert quota.sum() == min(limit, counts.sum())
    assert (quota >= 0).all() and (quota <= counts).all()
    unfilled = quota[quota < counts]
    if len(unfilled):
        assert unfilled.max() - unfilled.min() <= 1
        assert quota.max() <= unfilled.min() + 1


def test_balanced_is_seeded_even_and_in_order() -> None:
    samples = numbered(np.random.default_rng(0).integers(0, 10, 500))
    chosen = samples.balanced(100, seed=4)
    assert np.bincount(chosen.label).tolist() == [10] * 10
    assert (np.diff(chosen.group) > 0).all()
    assert np.array_equal(chosen.group, samples.balanced(100, seed=4).group)
    assert not np.array_equal(chosen.group, samples.balanced(100, seed=5).group)


def test_balanced_takes_everything_when_asked_for_more() -> None:
    samples = numbered(np.array([3, 3, 1]))
    assert samples.balanced(50, seed=0).group.tolist() == [0, 1, 2]


def test_take_moves_all_columns_together() -> None:
    samples = numbered(np.arange(10)).take(np.array([7, 2]))
    assert samples.label.tolist() == [7, 2] and samples.group.tolist() == [7, 2]
    assert samples.inputs["audio"][0, 0, 0, 0] == 7 and list(samples.inputs) == ["image", "audio"]
