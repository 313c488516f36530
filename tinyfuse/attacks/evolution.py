"""Gradients estimated from logits alone: NES (Ilyas et al. 2018) and SPSA (Uesato et al. 2018)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from tinyfuse.attacks.adversarial import Adversarial
from tinyfuse.attacks.attack import SampleAttack, at_least
from tinyfuse.attacks.oracle import Oracle, Problem
from tinyfuse.attacks.query_search import Search
from tinyfuse.data.samples import Batch
from tinyfuse.threats.random_draws import Streams
from tinyfuse.threats.threat import Threat

_PAIRS_AT_ONCE = 5


@dataclass(frozen=True)
class NES(SampleAttack):
    """Climbs the margin loss along a gradient estimated from ``pairs`` antithetic Gaussian probes per step.

    With the two probes x+ and x- of a pair, the estimate is the sum of (loss(x+) - loss(x-)) * (x+ - x-), plus
    ``momentum`` times the one before; the step is its sign (L-inf) or direction (L2), per input. ``probe`` and ``step``
    are shares of each input's epsilon; by default a step is 2.5 / steps. On whole codes each is at least one code.
    Probes stay within the threat, so each of them counts if it is misclassified; at most 1 + steps * (2 * pairs + 1)
    queries per sample. A sample leaves once a point is misclassified (at the end of a group of 5 pairs). The probes
    depend on ``seed``, the sample's id and the input alone. An L2 step on whole codes is truncated coordinate by
    coordinate, so a budget far below the root of their number moves little.
    """

    name = "nes"
    gradient_free = True
    noise: ClassVar[str] = "gaussian"
    least = at_least(steps=1, pairs=1, probe=0, step=0, momentum=0, seed=0)
    steps: int = 20
    pairs: int = 20
    probe: float = 0.5
    step: float | None = None
    momentum: float = 0.9
    seed: int = 0

    def solve(self, problem: Problem, oracle: Oracle) -> Adversarial:
        search = Search(self.name, self.seed, problem, oracle)
        streams = {name: search.streams(name) for name in search.clean}
        lengths = _shares(search.threat, 2.5 / self.steps if self.step is None else self.step)
        point = {name: values.copy() for name, values in search.clean.items()}
        velocity = {name: np.zeros(values.shape) for name, values in search.clean.items()}
        for _ in range(self.steps):
            slope = self._slope(search, streams, point)
            rows = search.unbroken()
            if not len(rows):
                break
            for name in point:
                velocity[name][rows] = self.momentum * velocity[name][rows] + slope[name][rows]
            moved = search.threat.take(rows).ascend(_some(point, rows), _some(velocity, rows), lengths, floor=0.0)
            inside, seen = search.legal(moved, rows)
            for name in point:
                point[name][rows] = inside[name]
            search.ask(seen, rows)
        return search.outcome()

    def _slope(self, search: Search, streams: Mapping[str, Streams], point: Batch) -> dict[str, np.ndarray]:
        """Return the estimate, float64 [n, ...] by input, at ``point``; 0 for samples that are broken."""
        slope = {name: np.zeros(values.shape) for name, values in point.items()}
        for group, rows in enumerate(search.rounds(-(-self.pairs // _PAIRS_AT_ONCE))):
            probes = [side for _ in range(min(_PAIRS_AT_ONCE, self.pairs - group * _PAIRS_AT_ONCE))
                      for side in self._pair(search, streams, _some(point, rows), rows)]
            points = {name: np.stack([side[name] for side in probes], axis=1) for name in point}
            scores = search.ask_many(points, rows)
            rise = scores[:, 0::2] - scores[:, 1::2]
            for name, values in points.items():
                apart = values[:, 0::2].astype(np.float64) - values[:, 1::2]
                slope[name][rows] += np.einsum("mp,mp...->m...", rise, apart)
        return slope

    def _pair(self, search: Search, streams: Mapping[str, Streams], point: Batch,
              rows: np.ndarray) -> Iterator[dict[str, np.ndarray]]:
        """Yield two opposite probes around what the target sees of ``point``, each brought into the threat."""
        threat, at = search.threat, search.legal(point, rows)[1]
        masks = {name: threat.attackable(name, at[name].shape[1:]) for name in threat.attacked}
        change = threat.norm.noises(self.noise, streams, rows, masks, _shares(threat, self.probe),
                                    on_lattice=threat.lattice)
        for sign in (np.float32(1), np.float32(-1)):
            yield search.legal({name: at[name] + sign * change[name] for name in change}, rows)[1]


@dataclass(frozen=True)
class SPSA(NES):
    """:class:`NES` with random signs instead of Gaussian probes: simultaneous perturbation (Spall 1992)."""

    name = "spsa"
    noise = "signs"


def _shares(threat: Threat, share: float) -> dict[str, float]:
    """Return ``share`` of each budget, on whole codes at least one code and, in L-inf, a whole number of them."""
    if not threat.lattice:
        return {name: share * epsilon for name, epsilon in threat.budget.items()}
    return {name: max(1.0, float(np.rint(share * epsilon)) if threat.norm.per_coordinate else share * epsilon)
            for name, epsilon in threat.budget.items()}


def _some(values: Batch, rows: np.ndarray) -> dict[str, np.ndarray]:
    return {name: array[rows] for name, array in values.items()}
