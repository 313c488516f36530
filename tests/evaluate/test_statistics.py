"""Intervals and tests against scipy and against brute force."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest

from tinyfuse.errors import UsageError
from tinyfuse.evaluate.statistics import accuracy_fields, mcnemar, wilson
from tinyfuse.results import unpack_survivors


@given(st.integers(1, 20_000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_wilson_agrees_with_scipy(counts: tuple[int, int]) -> None:
    """Same closed form, to rounding; the share lies inside."""
    correct, n = counts
    low, high = wilson(correct, n)
    theirs = binomtest(correct, n).proportion_ci(method="wilson")
    assert low == pytest.approx(theirs.low, abs=1e-12) and high == pytest.approx(theirs.high, abs=1e-12)
    assert 0.0 <= low <= correct / n <= high <= 1.0


@pytest.mark.parametrize(("correct", "n"), [(1, 0), (-1, 5), (6, 5)])
def test_wilson_refuses_impossible_counts(correct: int, n: int) -> None:
    """The message names the counts."""
    with pytest.raises(UsageError, match=f"{correct} of {n}"):
        wilson(correct, n)


@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=60))
def test_mcnemar_is_the_exact_binomial_tail(pairs: list[tuple[bool, bool]]) -> None:
    """Two-sided by doubling the smaller tail, which is exact for a fair coin; symmetric in its arguments."""
    a, b = (np.array(column) for column in zip(*pairs, strict=True))
    only_a, only_b = int(np.sum(a & ~b)), int(np.sum(~a & b))
    tail = binomtest(min(only_a, only_b), only_a + only_b, alternative="less").pvalue if only_a + only_b else 1.0
    assert mcnemar(a, b) == pytest.approx(min(1.0, 2 * tail))
    assert mcnemar(a, b) == mcnemar(b, a)


def test_pairs_must_be_the_same_samples() -> None:
    """A silent broadcast would compare unlike things."""
    with pytest.raises(UsageError, match="same samples"):
        mcnemar(np.ones(3, bool), np.ones(4, bool))


@given(st.lists(st.booleans(), min_size=1, max_size=40))
def test_accuracy_fields_agree_with_each_other(bits: list[bool]) -> None:
    """What goes into a row is consistent."""
    fields = accuracy_fields(np.array(bits))
    assert fields["correct"] == sum(bits) and fields["n"] == len(bits)
    assert fields["ci_low"] <= fields["accuracy"] <= fields["ci_high"]
    assert unpack_survivors(fields["survivors"], fields["n"]).tolist() == bits
