"""Intervals and tests against scipy and against brute force."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest
from scipy.stats import t as t_distribution

from tinyfuse.core.errors import UsageError
from tinyfuse.core.results import unpack_survivors
from tinyfuse.core.statistics import (
    accuracy_fields,
    holm,
    mcnemar,
    paired_difference,
    ratio,
    ratio_by_sample,
    samples_needed,
    two_level,
    wilson,
)


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


def verdicts(only_a: int, only_b: int, alike: int) -> tuple[np.ndarray, np.ndarray]:
    """Two classifiers that differ on this many samples each way, and agree on the others."""
    a = np.array([1] * only_a + [0] * only_b + [1, 0] * (alike // 2) + [1] * (alike % 2), bool)
    return a, np.concatenate([~a[:only_a + only_b], a[only_a + only_b:]])


@given(st.integers(0, 200), st.integers(0, 200), st.integers(0, 300), st.integers(0, 3))
def test_a_paired_difference_lies_in_its_interval(only_a: int, only_b: int, alike: int, seed: int) -> None:
    """The difference is exact, the interval is seeded and holds it; both change sign with the order."""
    if not only_a + only_b + alike:
        return
    a, b = verdicts(only_a, only_b, alike)
    found, turned = paired_difference(a, b, seed=seed), paired_difference(b, a, seed=seed)
    assert found.n == len(a) and found.value == pytest.approx(np.mean(b.astype(float)) - np.mean(a.astype(float)))
    assert -1 <= found.low <= found.value <= found.high <= 1 and found.low < found.high
    assert found == paired_difference(a, b, seed=seed)
    assert turned.value == -found.value and turned.low == pytest.approx(-found.high, abs=4 / np.sqrt(len(a)))
    order = np.random.default_rng(seed).permutation(len(a))
    assert paired_difference(a[order], b[order], seed=seed) == found


@pytest.mark.parametrize("counts", [(12, 30, 58), (3, 0, 97), (40, 35, 225)])
def test_the_interval_is_that_of_drawing_samples(counts: tuple[int, int, int]) -> None:
    """The multinomial draw is the ordinary bootstrap over samples with their pairs of verdicts."""
    from scipy.stats import bootstrap

    a, b = verdicts(*counts)
    gaps = (b.astype(np.int8) - a.astype(np.int8),)
    theirs = bootstrap(gaps, np.mean, n_resamples=20_000, method="percentile", rng=np.random.default_rng(1))
    mine = paired_difference(a, b, resamples=20_000)
    steps = 2 / len(a)  # quantiles of 20,000 resamples wander by a sample or so
    assert mine.low == pytest.approx(theirs.confidence_interval.low, abs=steps)
    assert mine.high == pytest.approx(theirs.confidence_interval.high, abs=steps)


@pytest.mark.parametrize(("share_a", "share_b"), [(0.1, 0.05), (0.02, 0.02), (0.3, 0.1)])
def test_the_interval_covers_the_truth(share_a: float, share_b: float) -> None:
    """Of 400 seeded experiments on 200 samples about 95 % hold the true difference; the interval also ends."""
    rng, held, widths = np.random.default_rng(0), 0, []
    for trial in range(400):
        only_a, only_b, alike = rng.multinomial(200, [share_a, share_b, 1 - share_a - share_b])
        found = paired_difference(*verdicts(int(only_a), int(only_b), int(alike)), resamples=500, seed=trial)
        held += found.low <= share_b - share_a <= found.high
        widths.append(found.high - found.low)
    assert 0.92 <= held / 400 <= 0.99
    assert np.median(widths) < 6 * np.sqrt((share_a + share_b) / 200)


@pytest.mark.parametrize(("counts", "low", "high"), [((0, 0, 100), -0.0362, 0.0362), ((50, 0, 0), -1.0, -0.8577),
                                                     ((0, 50, 0), 0.8577, 1.0)])
def test_unanimous_samples_still_have_an_interval(counts: tuple[int, int, int], low: float, high: float) -> None:
    """1 - 0.025^(1/n): resampling what never varies would claim certainty."""
    found = paired_difference(*verdicts(*counts))
    assert found.low == pytest.approx(low, abs=1e-4) and found.high == pytest.approx(high, abs=1e-4)


def test_a_difference_needs_the_same_samples() -> None:
    """Unequal or empty sets are refused by name."""
    with pytest.raises(UsageError, match="same samples"):
        paired_difference(np.ones(3, bool), np.ones(4, bool))
    with pytest.raises(UsageError, match="got 0 and 2000"):
        paired_difference(np.ones(0, bool), np.ones(0, bool))


@given(st.floats(0, 1), st.floats(0, 1))
def test_a_ratio_needs_a_denominator(after: float, before: float) -> None:
    """Below 5 % there is none; the limit itself is one."""
    assert ratio(after, before) == (after / before if before >= 0.05 else None)


@pytest.mark.parametrize(("after", "before"), [(1.2, 0.5), (0.5, -0.1), (50, 90)])
def test_a_ratio_is_of_shares(after: float, before: float) -> None:
    """Percentages would pass the limit of the denominator unseen."""
    with pytest.raises(UsageError, match="between 0 and 1"):
        ratio(after, before)


@given(st.lists(st.booleans(), min_size=1, max_size=40))
def test_accuracy_fields_agree_with_each_other(bits: list[bool]) -> None:
    """What goes into a row is consistent."""
    fields = accuracy_fields(np.array(bits))
    assert fields["correct"] == sum(bits) and fields["n"] == len(bits)
    assert fields["ci_low"] <= fields["accuracy"] <= fields["ci_high"]
    assert unpack_survivors(fields["survivors"], fields["n"]).tolist() == bits


def test_two_level_has_the_standard_errors_of_textbooks() -> None:
    """Trainings that agree leave the error of the samples, samples that agree that of the trainings: s / sqrt(n)."""
    rng = np.random.default_rng(0)
    samples, trainings = rng.normal(size=400), rng.normal(size=6)
    for values, spread, n in ((np.tile(samples, (6, 1)), samples, 400), (np.tile(trainings, (400, 1)).T, trainings, 6)):
        found = two_level(values, resamples=20_000)
        error = spread.std(ddof=1) / np.sqrt(n)
        assert found.value == pytest.approx(spread.mean())
        reach = t_distribution.ppf(0.975, found.df) * error
        assert found.high - found.value == pytest.approx(reach, rel=0.03)
        assert found.df == pytest.approx(n - 1, rel=1e-6)
        assert found.p == pytest.approx(2 * t_distribution.sf(abs(spread.mean()) / error, found.df), rel=0.15, abs=1e-3)


def test_two_level_covers_the_truth() -> None:
    """Of intervals from 5 trainings and grouped samples, at least 93 % hold the truth; a sample bootstrap does not."""
    rng, hits, naive = np.random.default_rng(1), 0, 0
    for trial in range(200):
        values = (rng.normal(0, 1, (5, 1)) + np.repeat(rng.normal(0, 3, (1, 40)), 5, axis=1)
                  + rng.normal(0, 1, (5, 200)))
        found = two_level(values, np.repeat(np.arange(40), 5), resamples=300, seed=trial)
        hits += found.low <= 0 <= found.high
        alone = values.std() / np.sqrt(values.size) * 1.96
        naive += abs(values.mean()) <= alone
    assert hits >= 186 and naive < 100


def test_two_level_without_spread_still_has_an_interval() -> None:
    """40 of 40 alike: 1 - 0.025^(1/40) to each side; the sign test's p."""
    found = two_level(np.ones((3, 40)), margin=0.5)
    assert found.high - found.value == pytest.approx(1 - 0.025 ** (1 / 40)) and found.p == 2.0 ** -39
    assert two_level(np.zeros((3, 40))).p == 1.0
    with pytest.raises(UsageError, match="groups"):
        two_level(np.zeros((2, 3)), np.arange(4))


def test_samples_needed_would_decide() -> None:
    """With so many samples of the same kind the interval just leaves 0; where trainings disagree no number does."""
    rng = np.random.default_rng(2)
    values = 0.05 + np.tile(rng.normal(size=400), (2, 1))
    values += 0.05 - values.mean()
    found = two_level(values, resamples=5000)
    needed = samples_needed(found)
    assert found.low < 0 and needed is not None
    again = two_level(np.tile(values, (1, 1 + needed // 400))[:, :needed], resamples=5000)
    assert again.low == pytest.approx(0, abs=0.01)
    assert samples_needed(two_level(np.array([[1.0] * 50, [-0.9] * 50]))) is None


@given(st.lists(st.floats(0, 1), min_size=1, max_size=8))
def test_holm_is_the_step_down_test(p_values: list[float]) -> None:
    """Rejected at 5 % are exactly those that the step-down procedure rejects; order and names stay."""
    named = {str(place): p for place, p in enumerate(p_values)}
    adjusted, still, rejected = holm(named), True, set()
    for place, name in enumerate(sorted(named, key=lambda name: named[name])):
        still = still and (len(named) - place) * named[name] <= 0.05
        rejected |= {name} if still else set()
    assert {name for name, p in adjusted.items() if p <= 0.05} == rejected
    assert list(adjusted) == list(named) and all(named[name] <= p <= 1 for name, p in adjusted.items())


def test_ratio_by_sample_spreads_like_the_ratio() -> None:
    """The mean is the ratio; the spread is that of ratios of resampled accuracies."""
    rng = np.random.default_rng(3)
    before = rng.random(2000) < 0.6
    after = before & (rng.random(2000) < 0.8)
    found = ratio_by_sample(after, before)
    assert found is not None and found.mean() == pytest.approx(after.mean() / before.mean())
    rows = rng.integers(0, 2000, (2000, 2000))
    drawn = after[rows].mean(1) / before[rows].mean(1)
    assert found.std() / np.sqrt(2000) == pytest.approx(drawn.std(), rel=0.06)
    assert ratio_by_sample(after, np.arange(2000) < 90) is None
