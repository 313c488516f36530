"""What an attack needs from a model: logits, optionally gradients, and the grid of each integer input."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np

from tinyfuse.data.samples import Batch
from tinyfuse.threats.code_grid import Grids
from tinyfuse.threats.threat import Threat


@dataclass(frozen=True, eq=False)
class Gradient:
    """One backward pass: logits [n, k], per-sample loss [n], and by input its gradient, float32 [n, ...]."""

    logits: np.ndarray
    loss: np.ndarray
    wrt: Mapping[str, np.ndarray]


def take_rows(gradient: Gradient, rows: np.ndarray | slice) -> Gradient:
    """Return ``gradient`` for some of its samples."""
    return replace(gradient, logits=gradient.logits[rows], loss=gradient.loss[rows],
                   wrt={name: values[rows] for name, values in gradient.wrt.items()})


def zero_gradient(gradient: Batch, threat: Threat) -> np.ndarray:
    """Return bool [n]: no attackable coordinate of any attacked input has a gradient."""
    masked = threat.masked(gradient)
    return np.asarray(np.all([~np.any(g.reshape(len(g), -1), axis=1) for g in masked.values()], axis=0))


class Target(Protocol):
    """Anything that can be judged: a float network, an integer model, several models as one.

    ``name`` of the model; ``executor``: what computes it; ``inputs``: names of those that it has, others in a batch are
    ignored; ``grids``: by input of an integer model, None for real-valued inputs. What it computes for a sample must
    not depend on the samples beside it.
    """

    name: str
    executor: str
    inputs: tuple[str, ...]
    grids: Grids | None

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
        """Return logits [m, k] of ``point``, which stands for ``rows``."""

    def gradient(self, point: Batch, labels: np.ndarray, rows: np.ndarray, loss: str = "cross-entropy") -> Gradient:
        """Return gradients for the inputs that change."""


def focused(target: DifferentiableTarget, batch: Batch, varying: tuple[str, ...]) -> Focus:
    """Return ``target`` for attacks that change the inputs ``varying`` of ``batch`` and no others.

    Where the target can, it computes now, once, what the other inputs decide.
    """
    own = getattr(target, "focus", None)
    found: Focus | None = None if own is None else own(batch, varying)
    return CompletedFocus(target, batch, varying) if found is None else found


class CompletedFocus:
    """A focus that takes all inputs but ``varying`` from ``batch`` and asks ``target``."""

    def __init__(self, target: DifferentiableTarget, batch: Batch, varying: tuple[str, ...]) -> None:
        self._target, self._varying = target, varying
        self._fixed = {name: values for name, values in batch.items() if name not in varying}

    def logits(self, point: Batch, rows: np.ndarray) -> np.ndarray:
        return self._target.logits(self._complete(point, rows))

    def gradient(self, point: Batch, labels: np.ndarray, rows: np.ndarray, loss: str = "cross-entropy") -> Gradient:
        return self._target.gradient(self._complete(point, rows), labels, self._varying, loss)

    def _complete(self, point: Batch, rows: np.ndarray) -> Batch:
        return {name: values[rows] for name, values in self._fixed.items()} | {
            name: point[name] for name in self._varying}
