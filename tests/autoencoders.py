"""Data for autoencoders: normal samples lie in a plane of two dimensions, anomalies anywhere."""

from __future__ import annotations

import numpy as np

from tinyfuse.data import Dataset, Input, Samples

SPECTRUM = Input("spectrum", (4, 6), -1.0, 1.0)


def machine(*, every: int, spread: float) -> Dataset:
    """200 training, 80 validation and 80 test samples: one of ``every`` is an anomaly, values within ``spread``."""
    return Dataset("machine", (SPECTRUM,), ("normal", "anomaly"), _samples(200, 1, every, spread),
                   _samples(80, 2, every, spread), _samples(80, 3, every, spread), "0" * 64)


def _samples(n: int, seed: int, every: int, spread: float) -> Samples:
    plane = np.random.default_rng(0).standard_normal((2, 24)) / 3
    rng, label = np.random.default_rng(seed), np.arange(n) % every == every - 1
    normal, odd = rng.uniform(-1, 1, (n, 2)) @ plane, rng.uniform(-spread, spread, (n, 24))
    values = np.clip(np.where(label[:, None], odd, normal), -1, 1).astype(np.float32)
    return Samples({"spectrum": values.reshape(n, 4, 6)}, label.astype(np.int64), np.arange(n))
