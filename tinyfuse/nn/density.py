"""How densely the features of a class lie, and how convex its region is (Li et al. 2022, equations 7 and 8)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

Values = Mapping[str, np.ndarray]
"""Name -> values [n, ...]: the inputs of a network, or what it computes somewhere on the way."""


def density(features: np.ndarray, *, share: float = 0.8, outer: float = 1.0, order: float = 2.0) -> float:
    """Compute the density of the ``features`` [n, d] of one class: samples per logarithm of volume around its mean.

    The ball that holds the ``share`` of the samples nearest to the mean has radius r, the one that holds the share
    ``outer`` radius R: n (outer - share) / (d log(R / r)). Equation 7 prints the volume of a ball with the exponent 2
    in place of d; with d its gamma functions cancel. n samples spread evenly over a ball have 0.896 n at the default
    shares, in any dimension: compare density / n. ``order``: p of the norm. inf where R = r, nan of fewer than two
    samples.
    """
    values = np.asarray(features, np.float64)
    if len(values) < 2:
        return float("nan")
    distances = np.linalg.norm(values - values.mean(0), ord=order, axis=1)
    inner_radius, outer_radius = np.quantile(distances, (share, outer))
    if outer_radius == inner_radius:
        return float("inf")
    if inner_radius == 0:
        return 0.0
    return float(len(values) * (outer - share) / (values.shape[1] * np.log(outer_radius / inner_radius)))


def convexity(classify: Callable[[dict[str, np.ndarray]], np.ndarray], values: Values, label: int, *,
              pairs: int = 2000, seed: int = 0, varying: Sequence[str] | None = None) -> float:
    """Compute the share of points between two samples of class ``label`` that are of this class too.

    ``values`` [n, ...] by name are samples of the class; ``classify`` tells the class, int [m], of such values. Both
    samples are classified right; a point lies at a random place of the line between them. ``varying``: names whose
    values move along the line, by default all; the others stay those of the first sample. nan where no pair is
    classified right at both ends.

    The regions of a linear layer are convex: on what such a layer reads, the convexity is 1 whatever the network.
    """
    rng = np.random.default_rng([seed, label])
    right = np.flatnonzero(classify(dict(values)) == label)
    if len(right) < 2:
        return float("nan")
    first = rng.integers(len(right), size=pairs)
    second = (first + rng.integers(1, len(right), size=pairs)) % len(right)  # another sample than the first
    lines = _Lines(values, right[first], right[second], tuple(values if varying is None else varying))
    if set(lines.varying) != set(values):
        kept = classify(lines.at(np.ones(pairs))) == label
        lines = _Lines(values, lines.first[kept], lines.second[kept], lines.varying)
    if len(lines.first) == 0:
        return float("nan")
    return float(np.mean(classify(lines.at(rng.random(len(lines.first)))) == label))


@dataclass(frozen=True)
class _Lines:
    """Lines from the samples ``first`` to the samples ``second`` (rows of ``values``), along ``varying``."""

    values: Values
    first: np.ndarray
    second: np.ndarray
    varying: tuple[str, ...]

    def at(self, places: np.ndarray) -> dict[str, np.ndarray]:
        """Return the points at ``places`` [pairs] from 0 (first) to 1 (second)."""
        found = {}
        for name, values in self.values.items():
            start = np.asarray(values[self.first])
            if name in self.varying:
                place = places.reshape(-1, *([1] * (start.ndim - 1))).astype(start.dtype)
                start = (1 - place) * start + place * values[self.second]
            found[name] = start
        return found
