"""The norms in which a change is measured, and random numbers that belong to the sample, not to its place."""

from __future__ import annotations

import zlib
from abc import ABC, abstractmethod
from typing import ClassVar

import numpy as np

from tinyfuse.core.errors import UsageError, nearest
from tinyfuse.threats.code_grid import InputGrid, round_half_away

GRADIENT_FLOOR = 1e-12
"""CleverHans' lower bound on a squared L2 norm: gradients shorter than 1e-6 give a shorter step."""
FLOAT32_STEP = 2.0**-23
"""Doubt about a difference of two float32 values of size 1."""
NOISE_KINDS = ("signs", "gaussian", "uniform")


def generator(seed: int, sample: int, purpose: str, restart: int = 0) -> np.random.Generator:
    """Return the random numbers of one sample for one purpose and restart, whatever the batch."""
    return np.random.default_rng([seed, sample, zlib.crc32(purpose.encode()), *([restart] if restart else [])])


class Streams:
    """One stream of random numbers per sample; it moves on only for the rows that are drawn."""

    def __init__(self, seed: int, sample_ids: np.ndarray, purpose: str) -> None:
        self._generators = [generator(seed, int(sample), purpose) for sample in sample_ids]

    def uniform(self, rows: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
        """Return float64 [m, *shape] in [0, 1)."""
        return np.stack([self._generators[row].random(shape) for row in rows])

    def normal(self, rows: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
        """Return float64 [m, *shape], standard normal."""
        return np.stack([self._generators[row].standard_normal(shape) for row in rows])

    def signs(self, rows: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
        """Return float64 [m, *shape], -1 or 1."""
        return np.where(self.uniform(rows, shape) < 0.5, -1.0, 1.0)


class Norm(ABC):
    """A norm; arrays are changes or gradients [n, ...], one sample after the other.

    ``per_coordinate``: the budget holds for every coordinate by itself, so that on codes it is a whole number of them.
    """

    name: ClassVar[str]
    per_coordinate: ClassVar[bool]

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
              whole: bool) -> np.ndarray:
        """Return random changes float32 [m, *mask.shape] of ``size``, zero where ``mask`` is.

        ``kind``: "signs" (+-1 on every coordinate), "gaussian" or "uniform" (in the ball). L-inf: ``size`` scales every
        coordinate (a Gaussian one may exceed it). L2: it is the length over all coordinates. ``whole``: each coordinate
        is rounded at random to a neighbouring whole number, up with the probability of its fraction, so that the mean
        stays; in L2 a random choice of coordinates as large as ``size`` allows is kept.
        """
        change = size * self._unit_noise(kind, streams, rows, mask)
        if whole:
            change = self._shortened(np.floor(change + streams.uniform(rows, mask.shape)), size, streams, rows)
        return np.asarray(change, np.float32)

    @abstractmethod
    def _unit_noise(self, kind: str, streams: Streams, rows: np.ndarray, mask: np.ndarray) -> np.ndarray:
        """Return random changes float64 [m, *mask.shape] of size 1."""

    def _shortened(self, change: np.ndarray, size: float, streams: Streams, rows: np.ndarray) -> np.ndarray:
        """Return ``change`` without coordinates that rounding made too many."""
        return change

    def __repr__(self) -> str:
        return self.name


class Linf(Norm):
    """The largest absolute coordinate."""

    name, per_coordinate = "linf", True

    def direction(self, gradient: np.ndarray, floor: float = GRADIENT_FLOOR) -> np.ndarray:
        return np.asarray(np.sign(gradient))

    def project(self, delta: np.ndarray, epsilon: float) -> np.ndarray:
        bound = np.asarray(epsilon, delta.dtype)
        return np.asarray(np.clip(delta, -bound, bound))

    def size(self, delta: np.ndarray) -> np.ndarray:
        return np.asarray(np.abs(delta.astype(np.float64)).max(axis=tuple(range(1, delta.ndim)), initial=0.0))

    def draw(self, random: np.random.Generator, mask: np.ndarray) -> np.ndarray:
        return np.asarray(random.uniform(-1.0, 1.0, mask.shape) * mask, np.float32)

    def code_budget(self, epsilon: float, grid: InputGrid) -> float:
        return float(grid.budget(epsilon))

    def code_change(self, delta: np.ndarray, grid: InputGrid, epsilon: float) -> np.ndarray:
        """Round ``delta`` / scale, halves away from zero, and clip it to the whole-code budget."""
        budget = grid.budget(epsilon)
        return np.asarray(np.clip(round_half_away(delta / grid.scale), -budget, budget))

    def _unit_noise(self, kind: str, streams: Streams, rows: np.ndarray, mask: np.ndarray) -> np.ndarray:
        if kind == "uniform":
            return np.asarray((2.0 * streams.uniform(rows, mask.shape) - 1.0) * mask)
        return np.asarray((streams.signs if kind == "signs" else streams.normal)(rows, mask.shape) * mask)


class L2(Norm):
    """The Euclidean length."""

    name, per_coordinate = "l2", False

    def direction(self, gradient: np.ndarray, floor: float = GRADIENT_FLOOR) -> np.ndarray:
        length = np.sqrt(np.maximum(_squared_lengths(gradient), floor))
        direction: np.ndarray = np.divide(gradient, length, out=np.zeros(gradient.shape), where=length > 0)
        return direction.astype(gradient.dtype)

    def project(self, delta: np.ndarray, epsilon: float) -> np.ndarray:
        """Scale each sample of ``delta`` by min(1, epsilon / length): to the ball, not to its surface."""
        length = np.sqrt(np.maximum(_squared_lengths(delta), GRADIENT_FLOOR))
        factor: np.ndarray = np.minimum(1.0, epsilon / length)
        return np.asarray(delta * factor.astype(delta.dtype))

    def size(self, delta: np.ndarray) -> np.ndarray:
        return np.asarray(np.sqrt(_squared_lengths(delta))).reshape(len(delta))

    def draw(self, random: np.random.Generator, mask: np.ndarray) -> np.ndarray:
        """Draw a Gaussian direction times u^(1/d), d attackable coordinates: uniform (Calafiore et al. 1998)."""
        direction = random.standard_normal(mask.shape) * mask
        dimensions, length = max(1.0, float(mask.sum())), float(np.linalg.norm(direction))
        radius = random.uniform() ** (1.0 / dimensions)
        return np.asarray(direction * (radius / length if length else 0.0), np.float32)

    def code_budget(self, epsilon: float, grid: InputGrid) -> float:
        return epsilon / grid.scale

    def code_change(self, delta: np.ndarray, grid: InputGrid, epsilon: float) -> np.ndarray:
        """Truncate ``delta`` / scale, so that no coordinate and hence no length grows.

        The nudge keeps a change of k whole codes at k when float32 made it 0.9999999 k.
        """
        return np.asarray(np.trunc((delta + np.copysign(FLOAT32_STEP, delta)) / grid.scale))

    def _unit_noise(self, kind: str, streams: Streams, rows: np.ndarray, mask: np.ndarray) -> np.ndarray:
        draw = streams.signs if kind == "signs" else streams.normal
        unit = self.direction(draw(rows, mask.shape) * mask, 0.0)
        if kind == "uniform":
            # The radius of a uniform point in a ball of d dimensions is u^(1/d).
            unit = unit * streams.uniform(rows, (1,) * mask.ndim) ** (1.0 / max(1.0, float(mask.sum())))
        return unit

    def _shortened(self, change: np.ndarray, size: float, streams: Streams, rows: np.ndarray) -> np.ndarray:
        """Keep coordinates in a random order as long as their length stays within ``size``."""
        flat = change.reshape(len(change), -1)
        places = np.argsort(streams.uniform(rows, change.shape[1:]).reshape(flat.shape), axis=1)
        ordered = np.take_along_axis(flat, places, axis=1)
        short = np.zeros_like(flat)
        np.put_along_axis(short, places, ordered * (np.cumsum(np.square(ordered), axis=1) <= size**2), axis=1)
        return short.reshape(change.shape)


def _squared_lengths(values: np.ndarray) -> np.ndarray:
    """Return float64 [n, 1, ...]: the sum of squares of each sample, accumulated in float64."""
    axes = tuple(range(1, values.ndim))
    return np.asarray(np.sum(np.square(values, dtype=np.float64), axis=axes, keepdims=True))


NORMS: dict[str, Norm] = {norm.name: norm for norm in (Linf(), L2())}


def norm_of(name: str | Norm) -> Norm:
    """Return the norm called ``name``; raise UsageError for an unknown one."""
    if isinstance(name, Norm):
        return name
    if name not in NORMS:
        raise UsageError(f"unknown norm '{name}'{nearest(name, NORMS)}; use one of {', '.join(NORMS)}")
    return NORMS[name]
