"""What all attacks without gradients share, and the simplest of them: random noise, which others have to beat."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from tinyfuse.attacks.adversarial import Adversarial, misclassified
from tinyfuse.attacks.attack import SampleAttack, at_least
from tinyfuse.attacks.losses import margin
from tinyfuse.attacks.oracle import Oracle, Problem
from tinyfuse.core.errors import UsageError, nearest
from tinyfuse.data.samples import Batch
from tinyfuse.threats.norm import NOISE_KINDS
from tinyfuse.threats.random_draws import Streams

_ON_A_TIE = float(np.finfo(np.float64).tiny)


class Search:
    """One attack on one problem: the hardest point seen for each sample, and which samples are still unbroken.

    The score of a point is its margin loss (Carlini and Wagner 2017), positive exactly when it is misclassified: a tie
    that the arg-max gives to another class is worth the smallest positive number. The clean point is asked first, so a
    sample that is misclassified already costs one query.
    """

    def __init__(self, name: str, seed: int, problem: Problem, oracle: Oracle) -> None:
        self.threat, self.labels = problem.threat, problem.labels
        self.clean = {attacked: problem.batch[attacked] for attacked in self.threat.attacked}
        self.score = np.full(len(self.labels), -np.inf)
        self.queries = 0
        self._name, self._seed, self._problem, self._oracle = name, seed, problem, oracle
        self._strongest = {**problem.batch, **{attacked: values.copy() for attacked, values in self.clean.items()}}
        oracle.focus()
        self.ask(self.clean, np.arange(len(self.labels)))

    def unbroken(self) -> np.ndarray:
        """Return rows, int [m], of the samples that no point has broken yet."""
        return np.flatnonzero(self.score <= 0)

    def rounds(self, count: int) -> Iterator[np.ndarray]:
        """Yield the unbroken rows ``count`` times, until none is left."""
        for _ in range(count):
            rows = self.unbroken()
            if not len(rows):
                return
            yield rows

    def streams(self, purpose: str) -> Streams:
        """Return random numbers for ``purpose`` that belong to the sample, whatever the batch."""
        return Streams(self._seed, self._problem.ids, f"{self._name} {purpose}")

    def legal(self, point: Batch, rows: np.ndarray) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
        """Bring ``point``, which stands for ``rows``, inside the threat: (projected, as the target sees it)."""
        threat, clean = self.threat.take(rows), {name: values[rows] for name, values in self.clean.items()}
        inside = threat.project(point, clean)
        return inside, threat.realise(inside, clean)

    def ask(self, point: Batch, rows: np.ndarray) -> np.ndarray:
        """Return the score float64 [m] of the attacked inputs in ``point``, [m, ...], for ``rows``."""
        return self.ask_many({name: point[name][:, None] for name in self.clean}, rows)[:, 0]

    def ask_many(self, points: Batch, rows: np.ndarray) -> np.ndarray:
        """Return scores float64 [m, r] of ``points`` [m, r, ...], r for each of ``rows``: one call of the target."""
        count = next(iter(points.values())).shape[1]
        flat = {name: points[name].reshape(-1, *points[name].shape[2:]) for name in self.clean}
        repeated = np.repeat(rows, count)
        labels, logits = self.labels[repeated], self._oracle.logits(flat, self._problem.places[repeated])
        loss = margin(logits, labels)[0]
        scores = np.where(misclassified(logits, labels), np.maximum(loss, _ON_A_TIE), loss).reshape(len(rows), count)
        self.queries += len(repeated)
        self._remember(points, rows, scores)
        return scores

    def _remember(self, points: Batch, rows: np.ndarray, scores: np.ndarray) -> None:
        """Hold on to the points that beat those held."""
        best = scores.argmax(axis=1)
        highest = scores[np.arange(len(rows)), best]
        better = np.flatnonzero(highest > self.score[rows])
        self.score[rows[better]] = highest[better]
        for name in self.clean:
            self._strongest[name][rows[better]] = points[name][better, best[better]]

    def outcome(self) -> Adversarial:
        """Return the result; without iterates of its own, the strongest point is the last one too."""
        broken = self.score > 0
        return Adversarial(self.threat, last=self._strongest, strongest=self._strongest, broken=broken,
                           broken_last=broken, zero_gradient=np.zeros(len(broken), bool), queries=self.queries)


@dataclass(frozen=True)
class Corners(SampleAttack):
    """``draws`` random points per sample: x + epsilon * s with random signs s, that is corners of the L-inf ball.

    L2: random signs scaled to the whole length. ``kind`` = "uniform" draws from the inside of the ball instead,
    "gaussian" from a normal distribution of that size. All attacked inputs move at once. A sample leaves once a point
    is misclassified. The points depend on ``seed``, the sample's id and the input alone.
    """

    name = "corners"
    gradient_free = True
    least = at_least(draws=1, seed=0)
    draws: int = 100
    kind: str = "signs"
    seed: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.kind not in NOISE_KINDS:
            raise UsageError(f"corners: unknown kind of noise '{self.kind}'{nearest(self.kind, NOISE_KINDS)}; "
                             f"use one of {', '.join(NOISE_KINDS)}")

    def solve(self, problem: Problem, oracle: Oracle) -> Adversarial:
        threat, search = problem.threat, Search(self.name, self.seed, problem, oracle)
        streams = {name: search.streams(name) for name in threat.attacked}
        masks = {name: threat.attackable(name, values.shape[1:]) for name, values in search.clean.items()}
        for rows in search.rounds(self.draws):
            noise = threat.norm.noises(self.kind, streams, rows, masks, threat.budget, on_lattice=threat.lattice)
            point = {name: search.clean[name][rows] + change for name, change in noise.items()}
            search.ask(search.legal(point, rows)[1], rows)
        return search.outcome()
