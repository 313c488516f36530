"""What a norm is: how changes are measured and projected, one input at a time and all attacked inputs at once."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import ClassVar

import numpy as np

from tinyfuse.data.samples import Batch
from tinyfuse.threats.code_grid import InputGrid
from tinyfuse.threats.random_draws import Streams

GRADIENT_FLOOR = 1e-12
"""CleverHans' lower bound on a squared L2 norm: gradients shorter than 1e-6 give a shorter step."""
FLOAT32_STEP = 2.0**-23
"""Doubt about a difference of two float32 values of size 1."""
NOISE_KINDS = ("signs", "gaussian", "uniform")
Budget = Mapping[str, float]
Masks = Mapping[str, np.ndarray]


class Norm(ABC):
    """A norm; arrays are changes or gradients [n, ...], one sample after the other.

    ``per_coordinate``: the budget holds for every coordinate by itself, so that on codes it is a whole number of them.
    ``joint``: all attacked inputs share one ball; otherwise each has its own, of the radius of its own budget.
    Methods on several inputs take arrays and budgets (epsilon) by name.
    """

    name: ClassVar[str]
    per_coordinate: ClassVar[bool]
    joint: ClassVar[bool] = False

    @property
    def names(self) -> tuple[str, ...]:
        """The norms that bound inputs by themselves: this one, or one for each input."""
        return (self.name,)

    @abstractmethod
    def direction(self, gradient: np.ndarray, floor: float = GRADIENT_FLOOR) -> np.ndarray:
        """Return the change of size 1 along which a loss with ``gradient`` rises most; 0 where the gradient is 0.

        In L2 its length falls short of 1 where the squared length of the gradient is below ``floor``.
        """

    @abstractmethod
    def project(self, delta: np.ndarray, epsilon: float) -> np.ndarray:
        """Bring ``delta`` into the ball of radius ``epsilon``."""

    @abstractmethod
    def size(self, delta: np.ndarray) -> np.ndarray:
        """Return the norm of each sample, float64 [n]."""

    @abstractmethod
    def draw(self, random: np.random.Generator, mask: np.ndarray) -> np.ndarray:
        """Return one uniformly random point, float32, of the unit ball of the coordinates that ``mask`` marks 1."""

    @abstractmethod
    def code_budget(self, epsilon: float, grid: InputGrid) -> float:
        """Return the budget in codes that ``epsilon`` in input units allows; as the bound of a length not whole."""

    @abstractmethod
    def code_change(self, delta: np.ndarray, grid: InputGrid, epsilon: float) -> np.ndarray:
        """Return the change in whole codes for ``delta`` in input units, no larger than ``epsilon`` allows."""

    def noise(self, kind: str, streams: Streams, rows: np.ndarray, mask: np.ndarray, size: float, *,
              on_lattice: bool) -> np.ndarray:
        """Return random changes float32 [m, *mask.shape] of ``size``, zero where ``mask`` is.

        ``kind``: "signs" (+-1 on every coordinate), "gaussian" or "uniform" (in the ball). L-inf: ``size`` scales every
        coordinate (a Gaussian one may exceed it). L2: it is the length over all coordinates. ``on_lattice``: each
        coordinate is rounded at random to a neighbouring whole number, up with the probability of its fraction, so that
        the mean stays; in L2 a random choice of coordinates as large as ``size`` allows is kept.
        """
        change = size * self._unit_noise(kind, streams, rows, mask)
        if on_lattice:
            change = self._shortened(np.floor(change + streams.uniform(rows, mask.shape)), size, streams, rows)
        return np.asarray(change, np.float32)

    def directions(self, gradients: Batch, budget: Budget, floor: float = GRADIENT_FLOOR) -> dict[str, np.ndarray]:
        """Return :meth:`direction` by input: a step multiplies it by a length in proportion to the input's budget."""
        return {name: self.direction(values, floor) for name, values in gradients.items()}

    def shrunk(self, change: Batch, budget: Budget) -> dict[str, np.ndarray]:
        """Bring the ``change`` of all inputs into their balls, or into the one that they share."""
        return {name: self.project(values, budget[name]) for name, values in change.items()}

    def shares(self, change: Batch, budget: Budget) -> np.ndarray:
        """Return the share of the budget that each sample spends, float64 [n]: a change is allowed up to 1."""
        spent = [share_of(self.size(values), budget[name]) for name, values in change.items()]
        return np.asarray(np.max(spent, axis=0))

    def beyond(self, change: Batch, budget: Budget) -> dict[str, np.ndarray]:
        """Return bool [n] by input: the ``change`` of the sample is outside the ball of this input."""
        return {name: self.size(values) > budget[name] for name, values in change.items()}

    def draws(self, random: Mapping[str, np.random.Generator], masks: Masks) -> dict[str, np.ndarray]:
        """Return one uniformly random point of the balls by input, in units of the budgets."""
        return {name: self.draw(random[name], mask) for name, mask in masks.items()}

    def noises(self, kind: str, streams: Mapping[str, Streams], rows: np.ndarray, masks: Masks, sizes: Budget, *,
               on_lattice: bool) -> dict[str, np.ndarray]:
        """Return :meth:`noise` by input; of a joint norm its size over all inputs is 1 in units of ``sizes``."""
        return {name: self.noise(kind, streams[name], rows, mask, sizes[name], on_lattice=on_lattice)
                for name, mask in masks.items()}

    @abstractmethod
    def _unit_noise(self, kind: str, streams: Streams, rows: np.ndarray, mask: np.ndarray) -> np.ndarray:
        """Return random changes float64 [m, *mask.shape] of size 1."""

    def _shortened(self, change: np.ndarray, size: float, streams: Streams, rows: np.ndarray) -> np.ndarray:
        """Return ``change`` without coordinates that rounding made too many."""
        return change

    def __repr__(self) -> str:
        return self.name


def share_of(sizes: np.ndarray, epsilon: float) -> np.ndarray:
    """Return ``sizes`` / ``epsilon``, float64 [n]: infinite where something changed though epsilon is 0."""
    return sizes / epsilon if epsilon else np.where(sizes > 0, np.inf, 0.0)
