"""A target seen from each sample's own budget: perturbations in units of it, so that one call serves many budgets."""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

import numpy as np

from tinyfuse.attacks.target import Batch, DifferentiableTarget, Focus, Gradient, Target
from tinyfuse.threats.code_grid import InputGrid
from tinyfuse.threats.threat import Bound, Threat


class RelativeTarget:
    """Takes z [n, ...] in the unit ball for the input clean + epsilon * z, with ``epsilon`` [n] > 0 of each sample.

    ``start`` is the clean batch (z = 0 for what is attacked), ``threat`` the unit ball with the boxes of ``whole``
    relative to each sample. It stands for exactly the samples of ``clean``, in their order.
    """

    grids: Mapping[str, InputGrid] | None = None

    def __init__(self, target: Target, clean: Batch, whole: Threat, epsilon: np.ndarray) -> None:
        self.name, self.executor, self.inputs = target.name, target.executor, target.inputs
        self._target, self._clean, self._whole = target, clean, whole
        self._unit = {name: epsilon.reshape(-1, *(1,) * (clean[name].ndim - 1)) for name in whole.modalities}
        self.start = {name: np.zeros_like(values) if name in self._unit else values for name, values in clean.items()}
        low, high = ({name: self._relative(name, whole.box(name)[end]) for name in self._unit} for end in (0, 1))
        self.threat = Threat("linf", dict.fromkeys(whole.modalities, 1.0), low, high, whole.mask)

    def _relative(self, name: str, bound: Bound) -> np.ndarray:
        distance = np.asarray(bound, np.float64) - self._clean[name]
        return np.asarray(distance / self._unit[name], np.float32)

    def absolute(self, point: Batch, rows: np.ndarray | slice = slice(None)) -> dict[str, np.ndarray]:
        """The inputs that ``point`` stands for, float32, inside the box."""
        whole = self._whole.take(np.arange(len(self._clean[self._whole.modalities[0]]))[rows])
        moved = {name: (self._clean[name][rows] + self._unit[name][rows] * point[name]).astype(np.float32)
                 for name in self._unit}
        return {**{name: values[rows] for name, values in self._clean.items()},
                **{name: whole.boxed(name, values) for name, values in moved.items()}}

    def logits(self, batch: Batch) -> np.ndarray:
        """Logits [n, k] of the inputs that ``batch`` stands for."""
        return self._target.logits(self.absolute(batch))

    def gradient(self, batch: Batch, labels: np.ndarray, wrt: tuple[str, ...],
                 loss: str = "cross-entropy") -> Gradient:
        """Gradients with respect to z."""
        return self._gradient(batch, labels, wrt, loss, np.arange(len(labels)))

    def focus(self, batch: Batch, modalities: tuple[str, ...]) -> Focus:
        """The same for some of the samples."""
        del batch
        return _RelativeFocus(self, modalities)

    def _gradient(self, batch: Batch, labels: np.ndarray, wrt: tuple[str, ...], loss: str,
                  rows: np.ndarray) -> Gradient:
        found = cast(DifferentiableTarget, self._target).gradient(self.absolute(batch, rows), labels, wrt, loss)
        scaled = {name: (values * self._unit[name][rows]).astype(np.float32) for name, values in found.wrt.items()}
        return Gradient(found.logits, found.loss, scaled)


class _RelativeFocus:
    """A :class:`RelativeTarget` for rows of its samples."""

    def __init__(self, target: RelativeTarget, modalities: tuple[str, ...]) -> None:
        self._target, self._modalities = target, modalities

    def logits(self, point: Batch, rows: np.ndarray) -> np.ndarray:
        """Logits [m, k] of ``point``, which stands for ``rows``."""
        return self._target._target.logits(self._target.absolute(point, rows))

    def gradient(self, point: Batch, labels: np.ndarray, rows: np.ndarray, loss: str = "cross-entropy") -> Gradient:
        """Gradients for the inputs that change."""
        return self._target._gradient(point, labels, self._modalities, loss, rows)
