"""A linear model on the inputs of another, with the closed form of what a threat can do to it."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from tinyfuse.attacks import Batch, Gradient, Threat, loss_and_slope
from tinyfuse.threats.code_grid import InputGrid
from tinyfuse.threats.code_threats import box_ends

GAIN = 5.0
"""Logits that an attack can win: enough to matter, too few for a cross-entropy to underflow."""


class Linear:
    """Two logits: 0, and the sum over inputs of <weights, input> - offset."""

    name, executor = "linear", "numpy"

    def __init__(self, weights: Mapping[str, np.ndarray], offset: float, grids: Mapping[str, InputGrid] | None) -> None:
        self.inputs, self.grids, self._weights, self._offset = tuple(weights), grids, weights, offset

    def logits(self, batch: Batch) -> np.ndarray:
        """Float64 [n, 2]."""
        second = sum((batch[name].reshape(len(batch[name]), -1).astype(np.float64) @ weights.ravel()
                      for name, weights in self._weights.items()), np.float64(-self._offset))
        return np.stack([np.zeros_like(second), second], axis=1)

    def gradient(self, batch: Batch, labels: np.ndarray, wrt: tuple[str, ...],
                 loss: str = "cross-entropy") -> Gradient:
        """Exact gradients float32."""
        logits = self.logits(batch)
        value, slope = loss_and_slope(loss, logits, labels)
        return Gradient(logits, value, {name: np.multiply.outer(slope[:, 1], self._weights[name]).astype(np.float32)
                                        for name in wrt})


def linear_problem(batch: Batch, threat: Threat, grids: Mapping[str, InputGrid] | None, *,
                   seed: int = 0) -> tuple[Linear, np.ndarray, np.ndarray]:
    """A linear model, labels int [n] that are all 0, and bool [n]: an input within the L-inf ``threat`` changes them.

    The closed form: every coordinate goes to the end of its interval that raises the second logit. The offset lies
    between two samples, halfway up, so that about half of them can be broken and none is so by rounding.
    """
    rng = np.random.default_rng(seed)
    weights = {name: rng.normal(size=values.shape[1:]) for name, values in batch.items()}
    gain = _gain(weights, batch, threat)
    size = GAIN / max(float(gain.mean()), 1e-12)
    weights = {name: values * size for name, values in weights.items()}
    best = Linear(weights, 0.0, grids).logits(batch)[:, 1] + gain * size
    middle = np.sort(best)[(len(best) - 1) // 2:][:2]
    offset = float(middle.mean()) if len(best) > 1 else float(middle[0]) - 1.0
    return Linear(weights, offset, grids), np.zeros(len(best), int), best > offset


def _gain(weights: Mapping[str, np.ndarray], batch: Batch, threat: Threat) -> np.ndarray:
    """The most by which ``threat`` can raise the sum, float64 [n]."""
    total = np.zeros(len(batch[threat.attacked[0]]))
    for name in threat.attacked:
        low, high = box_ends(threat, name, batch)
        up, down = (weights[name] * (end.astype(np.float64) - batch[name]) for end in (high, low))
        total += np.maximum(up, down).reshape(len(total), -1).sum(axis=1)
    return total
