"""What an attack needs from a model: logits, optionally gradients, and the grid of each integer input."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from tinyfuse.threats.code_grid import InputGrid

Batch = Mapping[str, np.ndarray]
"""Input name -> float32 [n, 28, 28, 1]; a target ignores names that it has no input for."""

@dataclass(frozen=True, eq=False)
class Gradient:
    """One backward pass: logits [n, k], per-sample loss [n], and per input its gradient [n, 28, 28, 1]."""

    logits: np.ndarray
    loss: np.ndarray
    wrt: dict[str, np.ndarray]


class Target(Protocol):
    """Anything that can be judged: a float network, an integer model in an interpreter, a twin."""

    @property
    def name(self) -> str:
        """Name of the model."""

    @property
    def executor(self) -> str:
        """What computes it; every robustness figure names it."""

    @property
    def inputs(self) -> tuple[str, ...]:
        """Names of the inputs the model has."""

    @property
    def grids(self) -> Mapping[str, InputGrid] | None:
        """Grid per input of an integer model, None for real-valued inputs."""

    def logits(self, batch: Batch) -> np.ndarray:
        """Return [n, k] floats, never probabilities; an integer model returns dequantised logits."""


class DifferentiableTarget(Target, Protocol):
    """A target that can be attacked with its own gradients."""

    def gradient(self, batch: Batch, labels: np.ndarray, wrt: tuple[str, ...],
                 loss: str = "cross-entropy") -> Gradient:
        """Return per-sample gradients of ``loss`` (see losses.py) to ``labels`` (int [n]) for ``wrt``."""


class Focus(Protocol):
    """A target for one batch of which only some inputs change; ``rows`` (int [m]) are places in that batch."""

    def logits(self, point: Batch, rows: np.ndarray) -> np.ndarray:
        """Logits [m, k] of ``point``, which stands for ``rows``."""

    def gradient(self, point: Batch, labels: np.ndarray, rows: np.ndarray, loss: str = "cross-entropy") -> Gradient:
        """Gradients for the inputs that change."""


def focused(target: DifferentiableTarget, batch: Batch, modalities: tuple[str, ...]) -> Focus:
    """``target`` for attacks on ``modalities`` of ``batch``; what does not depend on them runs once if possible."""
    own = getattr(target, "focus", None)
    found: Focus | None = None if own is None else own(batch, modalities)
    return _WholeTarget(target, batch, modalities) if found is None else found


class _WholeTarget:
    """The focus of a target that recomputes everything."""

    def __init__(self, target: DifferentiableTarget, batch: Batch, modalities: tuple[str, ...]) -> None:
        self._target, self._modalities = target, modalities
        self._fixed = {name: values for name, values in batch.items() if name not in modalities}

    def logits(self, point: Batch, rows: np.ndarray) -> np.ndarray:
        return self._target.logits(self._complete(point, rows))

    def gradient(self, point: Batch, labels: np.ndarray, rows: np.ndarray, loss: str = "cross-entropy") -> Gradient:
        return self._target.gradient(self._complete(point, rows), labels, self._modalities, loss)

    def _complete(self, point: Batch, rows: np.ndarray) -> Batch:
        return {name: values[rows] for name, values in self._fixed.items()} | {
            name: point[name] for name in self._modalities}
