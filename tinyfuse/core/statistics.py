"""Intervals and paired tests for accuracies: how far could chance alone move a figure?"""

from __future__ import annotations

import math
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
