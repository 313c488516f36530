"""Intervals and paired tests for accuracies: how far could chance alone move a figure?"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from tinyfuse.core.errors import UsageError
from tinyfuse.core.results import pack_survivors

_Z_95 = 1.959963984540054
SMALLEST_DENOMINATOR = 0.05
"""A ratio of accuracies below this share of a denominator is noise divided by noise."""


@dataclass(frozen=True)
class Difference:
    """``b - a`` of two accuracies on the same n samples, with a 95 % interval; all between -1 and 1."""

    value: float
    low: float
    high: float
    n: int


@dataclass(frozen=True)
class Effect:
    """Mean over trainings and samples, with a 95 % interval and the two-sided ``p`` of its distance from a margin.

    ``variance``: what the trainings as such, and what the samples add to the variance of the mean; ``df``: degrees of
    freedom of the interval. One training tells nothing of its spread: its part is 0 then, the interval one of samples.
    """

    value: float
    low: float
    high: float
    p: float
    trainings: int
    n: int
    groups: int
    variance: tuple[float, float]
    df: float


def wilson(correct: int, n: int) -> tuple[float, float]:
    """Return the 95 % Wilson score interval of a share: (low, high), both within [0, 1].

    With p = correct / n and z = 1.96: (p + z²/2n ± z √(p(1-p)/n + z²/4n²)) / (1 + z²/n)  (Wilson 1927).
    Unlike the normal interval it stays meaningful at 0 % and 100 % and for small n.
    """
    if n < 1 or not 0 <= correct <= n:
        raise UsageError(f"an interval needs 0 <= correct <= n and n >= 1, got {correct} of {n}")
    share, z_squared = correct / n, _Z_95**2
    centre = share + z_squared / (2 * n)
    half_width = _Z_95 * math.sqrt(share * (1 - share) / n + z_squared / (4 * n * n))
    scale = 1 + z_squared / n
    low, high = (centre - half_width) / scale, (centre + half_width) / scale
    return (0.0 if correct == 0 else low, 1.0 if correct == n else high)


def mcnemar(a: np.ndarray, b: np.ndarray) -> float:
    """Compute the exact two-sided McNemar p-value for two classifiers judged on the same samples.

    ``a`` and ``b`` are bool [n], "correct". Only the samples on which they differ count: with n10 (only ``a`` correct)
    and n01 (only ``b`` correct), n10 ~ Binomial(n10 + n01, 1/2) if neither is better (McNemar 1947, exact form): twice
    the lower tail, summed in whole numbers.
    """
    only_a, only_b = _discordant(a, b)
    n, ways, tail = only_a + only_b, 1, 0
    for k in range(min(only_a, only_b) + 1):
        tail += ways
        ways = ways * (n - k) // (k + 1)
    return min(1.0, float(2 * tail / 2**n))


def paired_difference(a: np.ndarray, b: np.ndarray, *, resamples: int = 2000, seed: int = 0) -> Difference:
    """Subtract the accuracy of ``a`` from that of ``b``, bool [n] each, "correct" on the same samples; bootstrap.

    Samples are drawn with their pair of verdicts (Efron 1979, percentile interval). Of each resample only the number
    of samples that one side alone has right matters, which is multinomial: it is drawn directly. If every sample
    tells the same (no verdict differs, for instance), resampling knows no spread; the interval then reaches as far as
    it could if the share of samples that tell otherwise were at its 97.5 % bound, 1 - 0.025^(1/n).
    """
    only_a, only_b = _discordant(a, b)
    n = len(a)
    if n < 1 or resamples < 1:
        raise UsageError(f"a paired difference needs samples and resamples, got {n} and {resamples}")
    value = (only_b - only_a) / n
    if max(only_a, only_b, n - only_a - only_b) == n:
        # From "a alone is right" to "b alone is right" one sample counts twice.
        reach = (1 - 0.025 ** (1 / n)) * (2 if only_a or only_b else 1)
        return Difference(value, max(-1.0, value - reach), min(1.0, value + reach), n)
    shares = [only_a / n, only_b / n, (n - only_a - only_b) / n]
    drawn = np.random.default_rng(seed).multinomial(n, shares, size=resamples)
    low, high = np.quantile((drawn[:, 1] - drawn[:, 0]) / n, [0.025, 0.975])
    return Difference(value, min(float(low), value), max(float(high), value), n)


def ratio(after: float, before: float) -> float | None:
    """Divide accuracy ``after`` by ``before``; None if ``before`` is below 5 %: no figure is better than noise."""
    if not (0 <= after <= 1 and 0 <= before <= 1):
        raise UsageError(f"a ratio of accuracies needs shares between 0 and 1, got {after} and {before}")
    return after / before if before >= SMALLEST_DENOMINATOR else None


def ratio_by_sample(after: np.ndarray, before: np.ndarray) -> np.ndarray | None:
    """Spread the ratio R of two accuracies over its samples, float [n] with the mean R; None below 5 % as in `ratio`.

    ``after`` and ``before``: bool or shares [n] of the same samples. R + (after - R before) / mean(before): the delta
    method, so that the spread of these values is that of R to first order.
    """
    found = ratio(float(np.mean(after)), float(np.mean(before)))
    if found is None:
        return None
    share = float(np.mean(before))
    return np.asarray(found + (np.asarray(after, float) - found * np.asarray(before, float)) / share)


def two_level(values: np.ndarray, groups: np.ndarray | None = None, *, margin: float = 0.0, resamples: int = 2000,
              seed: int = 0) -> Effect:
    """Estimate the mean of ``values`` float [trainings, n]: how far could other trainings and samples move it?

    Bootstrap over both at once (Owen 2007): trainings are drawn, and beside them whole ``groups`` of samples, int [n],
    such as the pairs of one utterance. Rows lie sqrt(T / (T - 1)) further from their mean than measured, since T drawn
    of T rows vary less than T new ones. The interval takes the bootstrap's standard error times Student's t, whose
    degrees of freedom are Welch and Satterthwaite's: few trainings that disagree make it wide. Where no group tells
    anything else than the others, the interval reaches as far as a share of 1 - 0.025^(1/groups) could move the mean
    by 1.
    """
    given = np.atleast_2d(np.asarray(values, float))
    trainings, n = given.shape
    if n < 1 or trainings < 1 or resamples < 2:
        raise UsageError(f"an interval needs trainings, samples and resamples, got {trainings}, {n} and {resamples}")
    value, sums, counts = float(given.mean()), *_by_group(given, groups)
    by_group = sums.mean(0) - value * counts
    by_training = (float(np.var(given.mean(1), ddof=1)) / trainings) if trainings > 1 else 0.0
    of_samples = float(by_group @ by_group) * len(counts) / max(len(counts) - 1, 1) / n**2
    if by_training + of_samples < 1e-18:
        reach = 1 - 0.025 ** (1 / len(counts))
        p = 1.0 if abs(value - margin) < 1e-12 else min(1.0, 2.0 ** (1 - len(counts)))
        return Effect(value, value - reach, value + reach, p, trainings, n, len(counts), (0.0, 0.0), math.inf)
    error = _standard_error(sums, counts, resamples, seed)
    df = (by_training + of_samples)**2 / (by_training**2 / max(trainings - 1, 1) +
                                          of_samples**2 / max(len(counts) - 1, 1))
    from scipy.special import stdtr, stdtrit

    apart = max(by_training - _between(given, sums, counts), 0.0)
    reach = float(stdtrit(df, 0.975)) * error
    p = 2 * float(stdtr(df, -abs(value - margin) / error)) if error else float(value == margin)
    return Effect(value, value - reach, value + reach, p, trainings, n, len(counts), (apart, of_samples), df)


def samples_needed(effect: Effect, *, margin: float = 0.0, level: float = 0.05) -> int | None:
    """Estimate how many samples would tell ``effect`` from ``margin`` at this ``level``; None: no number would.

    The variance that samples add falls with their number, that of trainings stays: with t of the effect's degrees of
    freedom, n' = n v_samples / (((value - margin) / t)^2 - v_trainings).
    """
    from scipy.special import stdtrit

    bound = (effect.value - margin) / float(stdtrit(min(effect.df, 1e6), 1 - level / 2))
    room = bound**2 - effect.variance[0]
    return math.ceil(effect.n * effect.variance[1] / room) if room > 0 else None


def holm(p_values: Mapping[str, float]) -> dict[str, float]:
    """Adjust the p-values of a family for being many, by name (Holm 1979); in the order given.

    The smallest is multiplied by their number m, the next by m - 1, ..., never below one before it, at most 1.
    """
    adjusted, running = dict.fromkeys(p_values, 1.0), 0.0
    for place, name in enumerate(sorted(p_values, key=lambda name: p_values[name])):
        running = max(running, (len(p_values) - place) * p_values[name])
        adjusted[name] = min(1.0, running)
    return adjusted


def accuracy_fields(still_correct: np.ndarray) -> dict[str, Any]:
    """Return fields of a clean or attack row (n, correct, accuracy, interval, survivors) from bool [n]."""
    correct, n = int(np.sum(still_correct)), len(still_correct)
    low, high = wilson(correct, n)
    return {"n": n, "correct": correct, "accuracy": correct / n, "ci_low": low, "ci_high": high,
            "survivors": pack_survivors(still_correct)}


def _discordant(a: np.ndarray, b: np.ndarray) -> tuple[int, int]:
    if np.shape(a) != np.shape(b):
        raise UsageError(f"paired tests need the same samples, got {np.shape(a)} and {np.shape(b)}")
    first, second = np.asarray(a, dtype=bool), np.asarray(b, dtype=bool)
    return int(np.sum(first & ~second)), int(np.sum(~first & second))


def _by_group(values: np.ndarray, groups: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
    """Sum ``values`` [trainings, n] over each of the ``groups``; return sums [trainings, g] and sizes [g]."""
    if groups is None:
        return values, np.ones(values.shape[1])
    if np.shape(groups) != values.shape[1:]:
        raise UsageError(f"{np.shape(groups)} groups for values of {values.shape[1]} samples")
    place = np.unique(groups, return_inverse=True)[1]
    return np.stack([np.bincount(place, weights=row) for row in values]), np.bincount(place).astype(float)


def _between(values: np.ndarray, sums: np.ndarray, counts: np.ndarray) -> float:
    """Estimate how much of the spread of trainings' means is noise of the samples, which more of them would remove.

    Mean square of what neither the training nor the group explains, as in an analysis of variance of two ways.
    """
    trainings, groups = sums.shape
    if trainings < 2 or groups < 2:
        return 0.0
    left = sums - values.mean(1, keepdims=True) * counts
    found = float(np.var(left, axis=0).sum()) * trainings
    return float(found * groups / ((trainings - 1) * (groups - 1)) / trainings / values.shape[1]**2)


def _standard_error(sums: np.ndarray, counts: np.ndarray, resamples: int, seed: int) -> float:
    """Bootstrap the standard error of the mean from ``sums`` [trainings, g] over groups of ``counts`` [g] samples."""
    trainings, rng = len(sums), np.random.default_rng(seed)
    drawn = rng.multinomial(len(counts), np.full(len(counts), 1 / len(counts)), resamples).astype(float)
    if trainings > 1:
        mean = sums.mean(0)
        sums = mean + (sums - mean) * math.sqrt(trainings / (trainings - 1))
    rows = rng.multinomial(trainings, np.full(trainings, 1 / trainings), resamples) / trainings
    means = ((drawn @ sums.T) * rows).sum(1) / (drawn @ counts)
    return float(means.std(ddof=1))
