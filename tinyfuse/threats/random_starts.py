"""Random starts that belong to the sample, not to its place in a batch."""

from __future__ import annotations

import zlib

import numpy as np

from tinyfuse.attacks.target import Batch
from tinyfuse.core.errors import UsageError
from tinyfuse.threats.threat import Threat


def random_starts(clean: Batch, threat: Threat, *, seed: int, sample_ids: np.ndarray,
                  restart: int = 0) -> dict[str, np.ndarray]:
    """Return ``clean`` moved to a uniformly random point of each attacked modality's ball, then projected.

    The point depends on (seed, sample id, modality, restart) alone: batching, order and the other modalities change
    nothing, and the direction is the same for every epsilon. ``sample_ids``: int [n], >= 0.
    """
    if seed < 0 or np.min(sample_ids) < 0:
        raise UsageError(f"seed {seed} or a sample id is negative; give whole numbers >= 0")
    moved = {}
    for name in threat.modalities:
        mask, draw = threat.attackable(name, clean[name].shape[1:]), _UNIT_BALLS[threat.norm]
        points = np.stack([draw(generator(seed, int(sample), name, restart), mask) for sample in sample_ids])
        moved[name] = clean[name] + np.float32(threat.epsilon[name]) * points
    return threat.project({**clean, **moved}, clean)


def generator(seed: int, sample: int, modality: str, restart: int = 0) -> np.random.Generator:
    """The random numbers of one sample, modality and restart, whatever the batch."""
    return np.random.default_rng([seed, sample, zlib.crc32(modality.encode()), *([restart] if restart else [])])


def _in_unit_cube(generator: np.random.Generator, mask: np.ndarray) -> np.ndarray:
    return np.asarray(generator.uniform(-1.0, 1.0, mask.shape) * mask, np.float32)


def _in_unit_sphere(generator: np.random.Generator, mask: np.ndarray) -> np.ndarray:
    """Gaussian direction times u^(1/d), d attackable coordinates: uniform (Calafiore et al. 1998)."""
    direction = generator.standard_normal(mask.shape) * mask
    dimensions, length = max(1.0, float(mask.sum())), float(np.linalg.norm(direction))
    radius = generator.uniform() ** (1.0 / dimensions)
    return np.asarray(direction * (radius / length if length else 0.0), np.float32)


_UNIT_BALLS = {"linf": _in_unit_cube, "l2": _in_unit_sphere}
