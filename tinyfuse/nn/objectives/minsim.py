"""MinSim: branches learn features that differ, so that one attacked input spoils less (Tian and Xu 2021)."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from tinyfuse.core.backend import tensorflow
from tinyfuse.core.errors import UsageError
from tinyfuse.nn.objectives.objective import Forward, Step, Targets, Work
from tinyfuse.nn.objectives.run import Run

Projections = Mapping[str, Any]


@dataclass(frozen=True)
class MinSim:
    """Settings: ``weight`` of the cosine between the features of two branches, mean over samples and pairs.

    Features after a ReLU have cosines in [0, 1], 0 for disjoint supports, as in the paper. ``projection``: compare
    that many fixed random projections of the features instead, whose signs differ, so that cosines lie in [-1, 1]; this
    is also for branches with different numbers of features. 0: the features themselves.
    """

    name: ClassVar[str] = "minsim"
    weight: float = 1.0
    projection: int = 0

    def __post_init__(self) -> None:
        if not 0 <= self.weight < float("inf") or self.projection < 0:
            raise UsageError(f"minsim: weight {self.weight}, projection {self.projection}: give a finite weight and a "
                             "number of projections, both at least 0")

    def attach(self, run: Run) -> Work:
        """Return the part at work; UsageError for a network without branches, or with ones that do not compare."""
        run.view.need_branches(self.name)
        sizes = {branch: len(rows) for branch, rows in run.view.rows.items()}
        if not self.projection and len(set(sizes.values())) > 1:
            raise UsageError(f"{self.name}: the branches have {', '.join(f'{k} {v}' for k, v in sizes.items())} "
                             "features, which do not compare; give a projection, such as 32")
        return SimilarityWork(self.weight, projections(sizes, self.projection, run.seed))


class SimilarityWork(Work):
    """Adds ``weight`` times the similarity of features; the adversary of training knows it."""

    in_attack = True
    needs_features = True

    def __init__(self, weight: float, projections: Projections) -> None:
        self.weight, self.projections = weight, projections

    def term(self, step: Step) -> Any:
        """Compute the weighted mean similarity of a batch."""
        return tensorflow().reduce_mean(self.similarity(step.forward))

    def attack_term(self, batch: Mapping[str, Any], targets: Targets, forward: Forward) -> Any:
        """Compute the weighted similarity [n]."""
        return self.similarity(forward)

    def similarity(self, forward: Forward) -> Any:
        """Compute the weighted similarity [n] of the features of one pass."""
        given = {branch: features @ self.projections[branch] if branch in self.projections else features
                 for branch, features in forward.features.items()}
        return self.weight * mean_cosine(given)


def mean_cosine(features: Mapping[str, Any]) -> Any:
    """Compute the cosine [n] of the features [n, d] of two branches, mean over pairs; 0 where one of them is 0."""
    tf = tensorflow()
    units = [tf.math.l2_normalize(values, axis=-1) for values in features.values()]
    pairs = [tf.reduce_sum(one * other, -1) for one, other in itertools.combinations(units, 2)]
    return tf.add_n(pairs) / len(pairs)


def projections(sizes: Mapping[str, int], count: int, seed: int) -> dict[str, np.ndarray]:
    """Draw a normal matrix float32 [features, count] for each branch from ``seed``; none for a ``count`` of 0."""
    rng = np.random.default_rng([seed, count])
    return {branch: (rng.standard_normal((size, count)) / np.sqrt(count)).astype(np.float32)
            for branch, size in sizes.items()} if count else {}
