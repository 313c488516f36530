"""The universal perturbation of Li et al. 2022 as their released code makes it, which differs from their equations."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from tinyfuse.attacks.attack import at_least
from tinyfuse.attacks.losses import CROSS_ENTROPY
from tinyfuse.attacks.oracle import Oracle
from tinyfuse.attacks.universal import FULL_VOTE, OneForAll, Perturbation, perturbed, realised, verdict_of
from tinyfuse.data.samples import Batch
from tinyfuse.threats.threat import Threat


@dataclass(frozen=True)
class UniversalPGD(OneForAll):
    """One perturbation for a whole set whose every step, such as a frame of sound, has exactly the length epsilon.

    Equations 4 to 6 of the paper describe projected gradient descent by sample. The released code has one delta for all
    samples: each of ``epochs`` visits them in batches of about ``batch_size``; every sample of a batch moves delta by
    ``step`` (a share of epsilon) along its own gradient, which is divided by its length in each step of time, and its
    perturbation is stretched or cut to the length epsilon in each of them; the mean of these, weighted by the batch's
    share of the samples, is added to delta. The last delta counts, whatever it breaks; :class:`Universal` keeps the
    best one and lets a step be shorter than epsilon. Steps lie along the first axis of an input (norm "l2-steps"); one
    without a gradient stays unchanged. Cross-entropy stands for the code's binary cross-entropy of many labels.
    """

    name = "universal-pgd"
    norms = ("l2-steps",)
    least = at_least(epochs=1, step=0, batch_size=1, seed=0, train_samples=1)
    epochs: int = 20
    step: float = 1.0
    batch_size: int = 100
    loss: str = CROSS_ENTROPY
    seed: int = 0

    def solve(self, oracle: Oracle, batch: Batch, labels: np.ndarray, threat: Threat) -> Perturbation:
        count, every = len(labels), np.arange(len(labels))
        total = {name: np.zeros(batch[name][:1].shape) for name in threat.attacked}
        for epoch in range(self.epochs):
            order = np.random.default_rng([self.seed, epoch]).permutation(count)
            for rows in np.array_split(order, -(-count // self.batch_size)):
                for name, moved in self._moved(oracle, batch, rows, threat, total).items():
                    total[name] = total[name] + moved.mean(axis=0, keepdims=True) * (len(rows) / count)
        delta = realised(_stretched(total, threat), threat)
        point = perturbed(batch, threat, delta)
        clean, after = oracle.logits(batch, every), oracle.logits(point, every)
        return Perturbation(threat, delta, verdict_of(batch, threat, labels, clean, after, point),
                            count * (self.epochs + 2))

    def _moved(self, oracle: Oracle, batch: Batch, rows: np.ndarray, threat: Threat,
               total: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Return the perturbation of each of the samples ``rows`` after its own step, float32 [m, ...] by input."""
        delta = _stretched(total, threat)
        part = {name: batch[name][rows] for name in delta}
        gradient = oracle.gradient(perturbed(part, threat.take(rows), realised(delta, threat)), rows, self.loss).wrt
        directions = threat.norm.directions(threat.masked(gradient), threat.budget, FULL_VOTE)
        return _stretched({name: delta[name] + self.step * threat.budget[name] * direction
                           for name, direction in directions.items()}, threat)


def _stretched(change: Mapping[str, np.ndarray], threat: Threat) -> dict[str, np.ndarray]:
    """Give every step of ``change`` that is not 0 exactly the length epsilon; float32."""
    return {name: np.asarray(threat.budget[name] * direction, np.float32)
            for name, direction in threat.norm.directions(change, threat.budget, FULL_VOTE).items()}
