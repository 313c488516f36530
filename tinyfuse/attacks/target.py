"""What an attack needs from a model: logits, optionally gradients, and the grid of each integer input."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from tinyfuse.integer.grid import InputGrid

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

    def gradient(self, batch: Batch, labels: np.ndarray, wrt: tuple[str, ...]) -> Gradient:
        """Return per-sample gradients of the softmax cross-entropy to ``labels`` (int [n]) for ``wrt``."""
