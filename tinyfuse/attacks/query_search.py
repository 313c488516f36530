"""What all attacks without gradients share: they ask about legal points, keep what hurts most, and count."""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

import numpy as np

from tinyfuse.attacks.adversarial import Adversarial, Parameter, misclassified
from tinyfuse.attacks.guards import check_request, sound_logits
from tinyfuse.attacks.losses import margin
from tinyfuse.attacks.target import Batch, DifferentiableTarget, Target, focused
from tinyfuse.core.errors import UsageError
from tinyfuse.threats.random_starts import generator
from tinyfuse.threats.threat import Threat

_ON_A_TIE = float(np.finfo(np.float64).tiny)


class Search:
    """One attack on one batch: the hardest point seen for each sample, and which samples are still unbroken.

    The score of a point is its margin loss (Carlini and Wagner 2017), positive exactly when it is misclassified: a tie
    that the arg-max gives to another class is worth the smallest positive number. The clean point is asked first, so a
    sample that is misclassified already costs one query.

    Raises:
        UsageError: a threat that does not fit the target or the batch, a bad seed or sample ids.
        TinyfuseError: NaN or infinite logits, or probabilities instead of logits.
    """

    def __init__(self, name: str, target: Target, batch: Batch, labels: np.ndarray, threat: Threat, *,
                 seed: int, sample_ids: np.ndarray | None) -> None:
        check_request(target, batch, labels, [threat])
        self.name, self.threat, self.labels, self.seed = name, threat, np.asarray(labels), seed
        self.ids = _checked_ids(name, seed, sample_ids, len(self.labels))
        self.clean = {modality: batch[modality] for modality in threat.modalities}
        self.score = np.full(len(self.labels), -np.inf)
        self.queries = 0
        self._strongest = {**batch, **{modality: values.copy() for modality, values in self.clean.items()}}
        # Only logits are asked, so a target without gradients is as good.
        self._focus, self._target = focused(cast(DifferentiableTarget, target), batch, threat.modalities), target.name
        self.ask(self.clean, np.arange(len(self.labels)))

    def unbroken(self) -> np.ndarray:
        """Rows, int [m], of the samples that no point has broken yet."""
        return np.flatnonzero(self.score <= 0)

    def streams(self, purpose: str) -> Streams:
        """Random numbers for ``purpose`` that belong to the sample, whatever the batch."""
        return Streams(self.seed, self.ids, f"{self.name} {purpose}")

    def legal(self, point: Batch, rows: np.ndarray) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
        """``point``, which stands for ``rows``, inside the threat: (projected, as the target sees it)."""
        threat, clean = self.threat.take(rows), {name: values[rows] for name, values in self.clean.items()}
        inside = threat.project(point, clean)
        return inside, threat.realise(inside, clean)

    def ask(self, point: Batch, rows: np.ndarray) -> np.ndarray:
        """Return the score float64 [m] of the attacked modalities in ``point``, [m, ...], for ``rows``."""
        return self.ask_many({name: point[name][:, None] for name in self.clean}, rows)[:, 0]

    def ask_many(self, points: Batch, rows: np.ndarray) -> np.ndarray:
        """Return scores float64 [m, r] of ``points`` [m, r, ...], r for each of ``rows``: one call of the target."""
        count = next(iter(points.values())).shape[1]
        flat = {name: points[name].reshape(-1, *points[name].shape[2:]) for name in self.clean}
        repeated = np.repeat(rows, count)
        labels = self.labels[repeated]
        logits = sound_logits(np.asarray(self._focus.logits(flat, repeated)), self._target, labels)
        loss = margin(logits, labels)[0]
        scores = np.where(misclassified(logits, labels), np.maximum(loss, _ON_A_TIE), loss).reshape(len(rows), count)
        self.queries += len(repeated)
        self._keep(points, rows, scores)
        return scores

    def _keep(self, points: Batch, rows: np.ndarray, scores: np.ndarray) -> None:
        best = scores.argmax(axis=1)
        highest = scores[np.arange(len(rows)), best]
        better = np.flatnonzero(highest > self.score[rows])
        self.score[rows[better]] = highest[better]
        for name in self.clean:
            self._strongest[name][rows[better]] = points[name][better, best[better]]

    def outcome(self, **parameters: Parameter) -> Adversarial:
        """The result; without iterates of its own, the strongest point is the last one too."""
        broken, no = self.score > 0, np.zeros(len(self.labels), bool)
        return Adversarial(attack=self.name, threat=self.threat, parameters={**parameters, "seed": self.seed},
                           last=self._strongest, strongest=self._strongest, broken=broken, broken_last=broken,
                           zero_gradient=no, floored=no, queries=self.queries)


class Streams:
    """One stream of random numbers per sample; it moves on only for the rows that are drawn."""

    def __init__(self, seed: int, sample_ids: np.ndarray, purpose: str) -> None:
        self._generators = [generator(seed, int(sample), purpose) for sample in sample_ids]

    def uniform(self, rows: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
        """Float64 [m, *shape] in [0, 1)."""
        return np.stack([self._generators[row].random(shape) for row in rows])

    def normal(self, rows: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
        """Float64 [m, *shape], standard normal."""
        return np.stack([self._generators[row].standard_normal(shape) for row in rows])

    def signs(self, rows: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
        """Float64 [m, *shape], -1 or 1."""
        return np.where(self.uniform(rows, shape) < 0.5, -1.0, 1.0)


def check_numbers(attack: str, least: Mapping[str, tuple[float, float]]) -> None:
    """Raise UsageError unless every parameter, given as name -> (value, least allowed), is finite and large enough."""
    for name, (value, smallest) in least.items():
        if not smallest <= value < float("inf"):
            raise UsageError(f"{attack}: {name} is {value}; give at least {smallest}")


def _checked_ids(attack: str, seed: int, sample_ids: np.ndarray | None, count: int) -> np.ndarray:
    ids = np.arange(count) if sample_ids is None else np.asarray(sample_ids)
    if ids.shape != (count,) or ids.dtype.kind not in "iu":
        raise UsageError(f"{attack}: sample_ids are {ids.dtype} of shape {ids.shape}; "
                         f"give {count} integers, one per sample")
    if seed < 0 or ids.min() < 0:
        raise UsageError(f"{attack}: seed {seed} or a sample id is negative; give whole numbers >= 0")
    return ids
