"""Bootstrap intervals of benchmarks/objectives.py: over whole utterances, and over trainings."""

from __future__ import annotations

import numpy as np


def clustered_interval(values: np.ndarray, groups: np.ndarray, *, resamples: int = 2000,
                       seed: int = 0) -> tuple[float, float]:
    """Return the 95 % bootstrap interval (percentiles) of the mean of ``values`` [trainings, n].

    Two levels: trainings are drawn, and beside them whole groups of samples (``groups`` int [n], such as the
    utterance), since samples of one group are alike. One training tells nothing of its spread.
    """
    names, place = np.unique(groups, return_inverse=True)
    counts = np.bincount(place).astype(float)
    sums = np.stack([np.bincount(place, weights=row) for row in np.atleast_2d(values)])
    rng = np.random.default_rng(seed)
    drawn = rng.multinomial(len(names), np.full(len(names), 1 / len(names)), resamples)
    trainings = rng.multinomial(len(sums), np.full(len(sums), 1 / len(sums)), resamples) / len(sums)
    means = np.einsum("rt,tg,rg->r", trainings, sums, drawn, optimize=True) / (drawn @ counts)
    low, high = np.quantile(means, [0.025, 0.975])
    return float(low), float(high)
