"""Targets in numpy whose answer is known: what breaks them, at which budget, and which attacks must fail.

Beside them short ways to a threat and to one attack by name.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from tinyfuse.attacks import (
    Adversarial,
    Batch,
    DifferentiableTarget,
    Gradient,
    InputGrid,
    SampleAttack,
    Target,
    Threat,
    attack_of,
    loss_and_slope,
)
from tinyfuse.threats.norms import norm_of
from tinyfuse.threats.threat import Bound

Bounds = float | Mapping[str, Bound]
CODES = InputGrid(scale=1 / 255, zero_point=-128, low=-128, high=127)


def threat(norm: str, budget: Mapping[str, float], low: Bounds = 0.0, high: Bounds = 1.0,
           mask: Mapping[str, np.ndarray] | None = None, lattice: bool = False) -> Threat:
    """The threat in one box for all inputs, or in a box for each."""
    box = {name: (low[name] if isinstance(low, Mapping) else low, high[name] if isinstance(high, Mapping) else high)
           for name in budget}
    return Threat(norm_of(norm), budget, box, mask or {}, lattice)


def attacked(name: str, target: Target, batch: Batch, labels: np.ndarray, threat: Threat, *,
             sample_ids: np.ndarray | None = None, survivors_only: bool = False, **settings: Any) -> Adversarial:
    """The outcome of the attack ``name`` with these ``settings``."""
    attack = attack_of(name, settings)
    assert isinstance(attack, SampleAttack)
    return attack.run(target, batch, labels, threat, sample_ids=sample_ids, survivors_only=survivors_only)


def samples(count: int, seed: int = 0) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """(batch, labels) of two inputs [count, 28, 28, 1] with values in [0, 1], a tenth of them exactly 0 and 1."""
    random = np.random.default_rng(seed)
    batch = {name: np.clip(random.uniform(-0.1, 1.1, (count, 28, 28, 1)), 0, 1).astype(np.float32)
             for name in ("image", "audio")}
    return batch, random.integers(0, 10, count)


class Analytic:
    """A target made of two functions; counts what it is asked, sample by sample.

    ``logits_of(batch)`` gives [n, k]; ``pull(batch, slope, name)`` turns d loss / d logits into d loss / d input.
    """

    name, executor = "analytic", "numpy"

    def __init__(self, inputs: tuple[str, ...], logits_of: Callable[[Batch], np.ndarray],
                 pull: Callable[[Batch, np.ndarray, str], np.ndarray],
                 grids: Mapping[str, InputGrid] | None = None) -> None:
        self.inputs, self.grids, self._logits_of, self._pull = inputs, grids, logits_of, pull
        self.asked = 0
        self.seen: list[dict[str, np.ndarray]] = []

    def logits(self, batch: Batch) -> np.ndarray:
        self.asked += len(batch[self.inputs[0]])
        self.seen.append({name: np.array(batch[name]) for name in self.inputs})
        return self._logits_of(batch)

    def gradient(self, batch: Batch, labels: np.ndarray, wrt: tuple[str, ...],
                 loss: str = "cross-entropy") -> Gradient:
        logits = self._logits_of(batch)
        self.seen.append({name: np.array(batch[name]) for name in self.inputs})
        value, slope = loss_and_slope(loss, logits, labels)
        return Gradient(logits, value, {name: self._pull(batch, slope, name).astype(np.float32) for name in wrt})


class OnlyLogits:
    """A target that hides the gradients of another, as an interpreter does."""

    executor = "numpy"

    def __init__(self, inner: DifferentiableTarget) -> None:
        self.name, self.inputs, self.grids, self.logits = inner.name, inner.inputs, inner.grids, inner.logits


def linear(weights: Mapping[str, np.ndarray], bias: np.ndarray,
           grids: Mapping[str, InputGrid] | None = None) -> Analytic:
    """The logits are sum over inputs of x @ weights[input] + bias; ``weights`` [h*w*c, k]."""

    def logits(batch: Batch) -> np.ndarray:
        return np.asarray(sum(_flat(batch[name]) @ w for name, w in weights.items()) + bias)

    return Analytic(tuple(weights), logits,
                    lambda batch, slope, name: (slope @ weights[name].T).reshape(batch[name].shape), grids)


def smallest_budget(weights: Mapping[str, np.ndarray], logits: np.ndarray, labels: np.ndarray, norm: str,
                    modalities: tuple[str, ...]) -> np.ndarray:
    """Closed form for :func:`linear` without a box: min over k != y of (z_y - z_k) / sum_m ||w_k - w_y||_dual.

    Every one of ``modalities`` has the same budget; the dual of L-inf is L1, that of L2 is L2.
    """
    found = np.full(len(labels), np.inf)
    for row, label in enumerate(labels):
        for rival in set(range(logits.shape[1])) - {int(label)}:
            slopes = [weights[name][:, rival] - weights[name][:, label] for name in modalities]
            reach = sum(np.abs(s).sum() if norm == "linf" else np.sqrt(np.square(s).sum()) for s in slopes)
            found[row] = min(found[row], (logits[row, label] - logits[row, rival]) / reach)
    return np.maximum(found, 0.0)


def flipped(inner: Analytic) -> Analytic:
    """The same verdicts with gradients of the wrong sign: gradient attacks climb down."""
    return Analytic(inner.inputs, inner._logits_of, lambda batch, slope, name: -inner._pull(batch, slope, name),
                    inner.grids)


def constant(inputs: tuple[str, ...], logits: np.ndarray, grids: Mapping[str, InputGrid] | None = None) -> Analytic:
    """The same logits for every input: nothing can break it."""
    return Analytic(inputs, lambda batch: np.tile(logits, (len(batch[inputs[0]]), 1)),
                    lambda batch, slope, name: np.zeros(batch[name].shape), grids)


def rounding(inner: Analytic, levels: float, *, straight_through: bool) -> Analytic:
    """Rounds x to round(x * levels) / levels before ``inner``: the true gradient is 0, the other is not."""

    def rounded(batch: Batch) -> dict[str, np.ndarray]:
        return {name: np.rint(batch[name] * levels) / levels for name in inner.inputs}

    return Analytic(inner.inputs, lambda batch: inner._logits_of(rounded(batch)),
                    lambda batch, slope, name: inner._pull(rounded(batch), slope, name) * straight_through, inner.grids)


def pocket(planted: Mapping[str, np.ndarray], radius: float, where: Mapping[str, np.ndarray] | None = None,
           steepness: float = 2.0, grids: Mapping[str, InputGrid] | None = None) -> Analytic:
    """Class 1 within ``radius`` of the ``planted`` inputs [1, h, w, c], class 0 elsewhere.

    A planted adversarial example (Zimmermann et al. 2022). The distance is the L2 length over the coordinates marked
    in ``where`` [h, w, c] (default: all).
    """

    def offset(batch: Batch, name: str) -> np.ndarray:
        return (batch[name].astype(np.float64) - planted[name]) * (1 if where is None else where[name])

    def logits(batch: Batch) -> np.ndarray:
        square = sum(np.square(offset(batch, name)).sum(axis=(1, 2, 3)) for name in planted)
        return np.stack([np.zeros(len(square)), steepness * (1 - square / radius**2)], axis=1)

    def pull(batch: Batch, slope: np.ndarray, name: str) -> np.ndarray:
        return -2.0 * steepness / radius**2 * slope[:, 1, None, None, None] * offset(batch, name)

    return Analytic(tuple(planted), logits, pull, grids)


def _flat(values: np.ndarray) -> np.ndarray:
    return values.reshape(len(values), -1).astype(np.float64)
