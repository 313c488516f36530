"""Gradients estimated from logits alone: NES (Ilyas et al. 2018) and SPSA (Uesato et al. 2018)."""

from __future__ import annotations

import numpy as np

from tinyfuse.attacks.adversarial import Adversarial
from tinyfuse.attacks.noise import move
from tinyfuse.attacks.query_search import Search, Streams, check_numbers
from tinyfuse.attacks.steps import ascend
from tinyfuse.attacks.target import Batch, Target
from tinyfuse.threats.threat import Threat

_PAIRS_AT_ONCE = 5


def nes(target: Target, batch: Batch, labels: np.ndarray, threat: Threat, *, steps: int = 20, pairs: int = 20,
        probe: float = 0.5, step: float | None = None, momentum: float = 0.9, seed: int = 0,
        sample_ids: np.ndarray | None = None) -> Adversarial:
    """Climb the margin loss along a gradient estimated from ``pairs`` antithetic Gaussian probes per step.

    ``batch``: float32 [n, h, w, c] per input; ``labels``: true classes, int [n]. With the two probes x+ and x- of a
    pair, the estimate is the sum of (loss(x+) - loss(x-)) * (x+ - x-), plus ``momentum`` times the one before; the step
    is its sign (L-inf) or direction (L2), per modality. ``probe`` and ``step`` are shares of each modality's epsilon;
    by default a step is 2.5 / steps. On whole codes both are at least one code. Probes stay within the threat, so each
    of them counts if it is misclassified; at most 1 + steps * (2 * pairs + 1) queries per sample. A sample leaves once
    a point is misclassified (at the end of a group of 5 pairs). The probes depend on ``seed``, the sample's entry in
    ``sample_ids`` (int [n], default 0..n-1) and the modality alone. An L2 step on whole codes is truncated coordinate
    by coordinate, so a budget far below the root of their number moves little.

    Raises:
        UsageError: a threat that does not fit the target or the batch, or bad parameters.
        TinyfuseError: NaN or infinite logits, or probabilities instead of logits.
    """
    search = Search("nes", target, batch, labels, threat, seed=seed, sample_ids=sample_ids)
    return _climb(search, "gaussian", steps, pairs, probe, step, momentum)


def spsa(target: Target, batch: Batch, labels: np.ndarray, threat: Threat, *, steps: int = 20, pairs: int = 20,
         probe: float = 0.5, step: float | None = None, momentum: float = 0.9, seed: int = 0,
         sample_ids: np.ndarray | None = None) -> Adversarial:
    """:func:`nes` with random signs instead of Gaussian probes: simultaneous perturbation (Spall 1992)."""
    search = Search("spsa", target, batch, labels, threat, seed=seed, sample_ids=sample_ids)
    return _climb(search, "signs", steps, pairs, probe, step, momentum)


def _climb(search: Search, kind: str, steps: int, pairs: int, probe: float, step: float | None,
           momentum: float) -> Adversarial:
    step = 2.5 / steps if step is None and steps > 0 else step
    check_numbers(search.name, {"steps": (steps, 1), "pairs": (pairs, 1), "probe": (probe, 0), "step": (step or 0, 0),
                                "momentum": (momentum, 0)})
    estimate, sizes = _Estimate(search, kind, probe), _shares(search.threat, step or 0)
    point = {name: values.copy() for name, values in search.clean.items()}
    gathered = {name: np.zeros(values.shape) for name, values in search.clean.items()}
    for _ in range(steps):
        slope = estimate.slope(point, pairs)
        rows = search.unbroken()
        if not len(rows):
            break
        for name in point:
            gathered[name][rows] = momentum * gathered[name][rows] + slope[name][rows]
        moved = ascend(_some(point, rows), _some(gathered, rows), search.threat.take(rows), sizes, 0.0)
        inside, seen = search.legal(moved, rows)
        for name in point:
            point[name][rows] = inside[name]
        search.ask(seen, rows)
    return search.outcome(steps=steps, pairs=pairs, probe=probe, step=step or 0, momentum=momentum)


class _Estimate:
    """Two-sided differences of the score along random directions."""

    def __init__(self, search: Search, kind: str, probe: float) -> None:
        self.search, self.kind, self.sizes = search, kind, _shares(search.threat, probe)
        self.streams: dict[str, Streams] = {name: search.streams(name) for name in search.clean}

    def slope(self, point: Batch, pairs: int) -> dict[str, np.ndarray]:
        """The estimate, float64 [n, ...] per modality, at ``point``; 0 for samples that are broken."""
        slope = {name: np.zeros(values.shape) for name, values in point.items()}
        for start in range(0, pairs, _PAIRS_AT_ONCE):
            rows = self.search.unbroken()
            if not len(rows):
                break
            probes = [side for _ in range(min(_PAIRS_AT_ONCE, pairs - start)) for side in self._pair(point, rows)]
            points = {name: np.stack([side[name] for side in probes], axis=1) for name in point}
            scores = self.search.ask_many(points, rows)
            rise = scores[:, 0::2] - scores[:, 1::2]
            for name, values in points.items():
                apart = values[:, 0::2].astype(np.float64) - values[:, 1::2]
                slope[name][rows] += np.einsum("mp,mp...->m...", rise, apart)
        return slope

    def _pair(self, point: Batch, rows: np.ndarray) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
        """Two opposite probes around what the target sees of ``point``, each brought into the threat."""
        threat, at = self.search.threat, self.search.legal(_some(point, rows), rows)[1]
        change = {name: move(self.kind, threat.norm, self.streams[name], rows,
                             threat.attackable(name, at[name].shape[1:]), size, whole=threat.lattice)
                  for name, size in self.sizes.items()}
        plus, minus = ({name: at[name] + sign * change[name] for name in change}
                       for sign in (np.float32(1), np.float32(-1)))
        return self.search.legal(plus, rows)[1], self.search.legal(minus, rows)[1]


def _shares(threat: Threat, share: float) -> dict[str, float]:
    """``share`` of each budget, on whole codes at least one code and, in L-inf, a whole number of them."""
    if not threat.lattice:
        return {name: share * epsilon for name, epsilon in threat.epsilon.items()}
    return {name: max(1.0, float(np.rint(share * epsilon)) if threat.norm == "linf" else share * epsilon)
            for name, epsilon in threat.epsilon.items()}


def _some(values: Batch, rows: np.ndarray) -> dict[str, np.ndarray]:
    return {name: array[rows] for name, array in values.items()}
