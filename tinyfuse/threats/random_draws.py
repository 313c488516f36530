"""Random numbers that belong to the sample, not to its place in a batch."""

from __future__ import annotations

import zlib

import numpy as np


def generator(seed: int, sample: int, purpose: str, restart: int = 0) -> np.random.Generator:
    """Return the random numbers of one sample for one purpose and restart, whatever the batch."""
    return np.random.default_rng([seed, sample, zlib.crc32(purpose.encode()), *([restart] if restart else [])])


class Streams:
    """One stream of random numbers per sample; it moves on only for the rows that are drawn."""

    def __init__(self, seed: int, sample_ids: np.ndarray, purpose: str) -> None:
        self._generators = [generator(seed, int(sample), purpose) for sample in sample_ids]

    def uniform(self, rows: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
        """Return float64 [m, *shape] in [0, 1)."""
        return np.stack([self._generators[row].random(shape) for row in rows])

    def normal(self, rows: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
        """Return float64 [m, *shape], standard normal."""
        return np.stack([self._generators[row].standard_normal(shape) for row in rows])

    def signs(self, rows: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
        """Return float64 [m, *shape], -1 or 1."""
        return np.where(self.uniform(rows, shape) < 0.5, -1.0, 1.0)
