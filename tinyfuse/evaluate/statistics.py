"""Intervals and paired tests for accuracies: how far could chance alone move a figure?"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from tinyfuse.errors import UsageError
from tinyfuse.results import pack_survivors

_Z_95 = 1.959963984540054


def wilson(correct: int, n: int) -> tuple[float, float]:
    """95 % Wilson score interval of a share: (low, high), both within [0, 1].

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
    """Exact two-sided McNemar p-value for two classifiers judged on the same samples.

    ``a`` and ``b`` are bool [n], "correct". Only the samples on which they differ count: with n10 (only
    ``a`` correct) and n01 (only ``b`` correct), n10 ~ Binomial(n10 + n01, 1/2) if neither is better
    (McNemar 1947, exact form).
    """
    from scipy.stats import binomtest

    only_a, only_b = _discordant(a, b)
    if only_a + only_b == 0:
        return 1.0
    return float(binomtest(only_a, only_a + only_b, 0.5).pvalue)


def accuracy_fields(still_correct: np.ndarray) -> dict[str, Any]:
    """Outcome fields of a clean or attack row (n, correct, accuracy, interval, survivors) from bool [n]."""
    correct, n = int(np.sum(still_correct)), len(still_correct)
    low, high = wilson(correct, n)
    return {"n": n, "correct": correct, "accuracy": correct / n, "ci_low": low, "ci_high": high,
            "survivors": pack_survivors(still_correct)}


def _discordant(a: np.ndarray, b: np.ndarray) -> tuple[int, int]:
    if np.shape(a) != np.shape(b):
        raise UsageError(f"paired tests need the same samples, got {np.shape(a)} and {np.shape(b)}")
    first, second = np.asarray(a, dtype=bool), np.asarray(b, dtype=bool)
    return int(np.sum(first & ~second)), int(np.sum(~first & second))
