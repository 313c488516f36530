"""Drawing samples so that classes are as equal as the data allow."""

from __future__ import annotations

import numpy as np


def class_quota(available: np.ndarray, limit: int) -> np.ndarray:
    """Share ``limit`` items over classes as equally as ``available`` (int [classes]) allows; int64 [classes].

    The first classes get the items that do not divide; the sum is ``min(limit, available.sum())``.
    """
    quota = np.zeros(len(available), np.int64)
    left = min(int(limit), int(available.sum()))
    while left > 0:
        open_classes = np.flatnonzero(quota < available)
        share = max(left // len(open_classes), 1)
        for index in open_classes:
            step = min(share, int(available[index] - quota[index]), left)
            quota[index] += step
            left -= step
    return quota


def balanced_rows(label: np.ndarray, n: int, *, seed: int) -> np.ndarray:
    """Sorted rows int64 [m] of at most ``n`` samples with classes ``label`` (int [rows]), drawn with ``seed``."""
    generator = np.random.default_rng([seed, n])
    counts = np.bincount(label)
    chosen = [generator.permutation(np.flatnonzero(label == index))[:quota]
              for index, quota in enumerate(class_quota(counts, n))]
    return np.sort(np.concatenate(chosen))
