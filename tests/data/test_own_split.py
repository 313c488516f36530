"""How samples are divided: shares, classes, whole groups; the same for the same seed."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinyfuse.core.errors import DataError
from tinyfuse.data.own.settings import SplitSettings
from tinyfuse.data.own.split import TEST, TRAIN, VALIDATION, divide

SHARES = SplitSettings()


@given(st.lists(st.integers(3, 80), min_size=2, max_size=6), st.integers(0, 99))
def test_single_samples_keep_the_shares_of_each_class(counts: list[int], seed: int) -> None:
    label = np.random.default_rng(seed).permutation(np.repeat(np.arange(len(counts)), counts))
    part = divide(label, None, SHARES, [str(one) for one in range(len(counts))], seed=seed, where="x")
    for index, count in enumerate(counts):
        found = np.bincount(part[label == index], minlength=3)
        assert found.min() >= 1 and abs(found[TEST] - 0.2 * count) <= 0.5 + (count < 5)
        assert abs(found[VALIDATION] - 0.1 * count) <= 1


@given(st.integers(4, 40), st.integers(2, 5), st.integers(0, 99))
def test_groups_stay_whole_and_every_class_is_in_all_parts(groups: int, classes: int, seed: int) -> None:
    generator = np.random.default_rng(seed)
    sizes = generator.integers(2 * classes, 4 * classes, groups)
    group = np.repeat(np.arange(groups), sizes)
    label = np.concatenate([generator.permuted(np.arange(size) % classes) for size in sizes])
    names = [str(one) for one in range(classes)]
    part = divide(label, group, SHARES, names, seed=seed, where="x")
    assert all(len(set(part[group == one].tolist())) == 1 for one in range(groups))
    assert all(len(set(part[label == one].tolist())) == 3 for one in range(classes))
    assert np.mean(part == TEST) <= 0.2 + 2 / groups
    assert np.array_equal(part, divide(label, group, SHARES, names, seed=seed, where="x"))


def test_two_groups_give_one_to_test_and_cut_validation_sample_by_sample() -> None:
    label, group = np.arange(40) % 2, np.arange(40) // 20
    part = divide(label, group, SHARES, ["a", "b"], seed=0, where="x")
    tested = group[part == TEST][0]
    assert (part[group == tested] == TEST).all()
    assert np.bincount(part[group != tested], minlength=3).tolist() == [18, 2, 0]


@pytest.mark.parametrize(("label", "group", "told"), [
    ([0, 0, 0, 1], None, "class 'b' has 1 sample"),
    ([0, 0, 0, 1, 1, 1], [0, 0, 0, 1, 1, 1], "class 'a' lies in 1 group"),
    ([0, 0, 0], None, "no sample of class 'b'")])
def test_what_cannot_be_divided_is_named(label: list[int], group: list[int] | None, told: str) -> None:
    with pytest.raises(DataError, match=told):
        divide(np.array(label), None if group is None else np.array(group), SHARES, ["a", "b"], seed=0, where="x")


def test_many_groups_are_divided_quickly_and_evenly() -> None:
    group = np.repeat(np.arange(5000), 4)
    label = (group * 7 + np.arange(len(group))) % 10
    part = divide(label, group, SHARES, [str(one) for one in range(10)], seed=1, where="x")
    shares = np.stack([np.bincount(label[part == one], minlength=10) for one in (TRAIN, VALIDATION, TEST)]) / 2000
    assert np.allclose(shares, np.array([[0.7], [0.1], [0.2]]), atol=0.02)
