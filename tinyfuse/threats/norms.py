"""The norms that a budget may be in."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from tinyfuse.core.errors import UsageError, nearest
from tinyfuse.data.samples import Batch
from tinyfuse.threats.code_grid import InputGrid, round_half_away
from tinyfuse.threats.norm import FLOAT32_STEP, GRADIENT_FLOOR, Budget, Masks, Norm, share_of
from tinyfuse.threats.random_draws import Streams


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
    """The Euclidean length of an input."""

    name, per_coordinate = "l2", False
    first_axis = 1
    """Lengths are taken over this axis of a batch and all behind it."""

    def direction(self, gradient: np.ndarray, floor: float = GRADIENT_FLOOR) -> np.ndarray:
        length = np.sqrt(np.maximum(self._squares(gradient), floor))
        direction: np.ndarray = np.divide(gradient, length, out=np.zeros(gradient.shape), where=length > 0)
        return direction.astype(gradient.dtype)

    def project(self, delta: np.ndarray, epsilon: float) -> np.ndarray:
        """Scale each sample of ``delta`` by min(1, epsilon / length): to the ball, not to its surface."""
        length = np.sqrt(np.maximum(self._squares(delta), GRADIENT_FLOOR))
        factor: np.ndarray = np.minimum(1.0, epsilon / length)
        return np.asarray(delta * factor.astype(delta.dtype))

    def size(self, delta: np.ndarray) -> np.ndarray:
        return np.asarray(np.sqrt(self._squares(delta)).max(axis=tuple(range(1, delta.ndim)), initial=0.0))

    def draw(self, random: np.random.Generator, mask: np.ndarray) -> np.ndarray:
        """Draw Gaussian directions times u^(1/d), d attackable coordinates: uniform (Calafiore et al. 1998)."""
        direction = random.standard_normal(mask.shape) * mask
        length = np.sqrt(self._squares(direction[None])[0])
        radius = random.uniform(size=length.shape) ** (1.0 / np.maximum(1.0, self._squares(mask[None])[0]))
        return np.asarray(np.divide(direction * radius, length, out=np.zeros(mask.shape), where=length > 0), np.float32)

    def code_budget(self, epsilon: float, grid: InputGrid) -> float:
        return epsilon / grid.scale

    def code_change(self, delta: np.ndarray, grid: InputGrid, epsilon: float) -> np.ndarray:
        """Truncate ``delta`` / scale, so that no coordinate and hence no length grows.

        The nudge keeps a change of k whole codes at k when float32 made it 0.9999999 k.
        """
        return np.asarray(np.trunc((delta + np.copysign(FLOAT32_STEP, delta)) / grid.scale))

    def _unit_noise(self, kind: str, streams: Streams, rows: np.ndarray, mask: np.ndarray) -> np.ndarray:
        unit = self.direction(_raw_noise(kind, streams, rows, mask), 0.0)
        if kind == "uniform":
            # The radius of a uniform point in a ball of d dimensions is u^(1/d).
            dimensions = np.maximum(1.0, self._squares(mask[None]))
            unit = unit * streams.uniform(rows, dimensions.shape[1:]) ** (1.0 / dimensions)
        return unit

    def _shortened(self, change: np.ndarray, size: float, streams: Streams, rows: np.ndarray) -> np.ndarray:
        """Keep coordinates in a random order as long as their length stays within ``size``."""
        flat = change.reshape(*change.shape[:self.first_axis], -1)
        order = streams.uniform(rows, change.shape[1:]).reshape(flat.shape)
        return _kept_within(flat, order, size).reshape(change.shape)

    def _squares(self, values: np.ndarray) -> np.ndarray:
        """Return float64 [n, 1, ...]: the sum of squares of each length, accumulated in float64."""
        axes = tuple(range(self.first_axis, values.ndim))
        return np.asarray(np.sum(np.square(values, dtype=np.float64), axis=axes, keepdims=True))


class L2Steps(L2):
    """The largest Euclidean length of one step: one place along the first axis of an input, such as a frame of sound.

    Each step has a ball of its own (the adversary of Li et al. 2022 in their released code). An input that is a vector
    has one value in each step.
    """

    name, first_axis = "l2-steps", 2


class L2Joint(L2):
    """One Euclidean length for all attacked inputs, in units of their budgets: || (delta_m / epsilon_m)_m ||_2 <= 1.

    With equal budgets it is the ball of radius epsilon around all inputs side by side (Yang et al. 2024); of a single
    attacked input, the L2 ball. Lengths of an input by itself are those of L2.
    """

    name, joint = "l2-joint", True

    def directions(self, gradients: Batch, budget: Budget, floor: float = GRADIENT_FLOOR) -> dict[str, np.ndarray]:
        """Return the steepest direction in the joint ball: in u_m = delta_m / w_m, w_m epsilon_m over the largest.

        The loss rises most along w_m g_m, divided by the length over all inputs; a step in delta_m then is w_m times as
        long, which is the callers' proportion to the budget.
        """
        weights = _weights(budget)
        weighted = {name: values.astype(np.float64) * weights[name] for name, values in gradients.items()}
        total = sum(self._squares(values).reshape(-1) for values in weighted.values())
        length = np.sqrt(np.maximum(total, floor))
        return {name: np.asarray(_divided(values, length), gradients[name].dtype) for name, values in weighted.items()}

    def shrunk(self, change: Batch, budget: Budget) -> dict[str, np.ndarray]:
        """Scale all inputs of a sample by the same factor; what has no budget does not change."""
        inside = {name: values for name, values in change.items() if budget[name]}
        still = {name: np.zeros_like(values) for name, values in change.items() if not budget[name]}
        excess = np.maximum(self.shares(inside, budget), 1.0) if inside else np.ones(0)
        return still | {name: np.asarray(_divided(values, excess), values.dtype) for name, values in inside.items()}

    def shares(self, change: Batch, budget: Budget) -> np.ndarray:
        spent = [np.square(share_of(self.size(values), budget[name])) for name, values in change.items()]
        return np.asarray(np.sqrt(np.sum(spent, axis=0)))

    def beyond(self, change: Batch, budget: Budget) -> dict[str, np.ndarray]:
        return dict.fromkeys(change, self.shares(change, budget) > 1)

    def draws(self, random: Mapping[str, np.random.Generator], masks: Masks) -> dict[str, np.ndarray]:
        """Draw one Gaussian direction over all inputs times u^(1/d), d all attackable coordinates."""
        direction = {name: random[name].standard_normal(mask.shape) * mask for name, mask in masks.items()}
        length = float(np.sqrt(sum(np.square(values).sum() for values in direction.values())))
        dimensions = max(1.0, sum(float(mask.sum()) for mask in masks.values()))
        radius = next(iter(random.values())).uniform() ** (1.0 / dimensions)
        return {name: np.asarray(values * (radius / length if length else 0.0), np.float32)
                for name, values in direction.items()}

    def noises(self, kind: str, streams: Mapping[str, Streams], rows: np.ndarray, masks: Masks, sizes: Budget, *,
               on_lattice: bool) -> dict[str, np.ndarray]:
        raw = {name: _raw_noise(kind, streams[name], rows, mask) for name, mask in masks.items()}
        length = np.sqrt(sum(self._squares(values).reshape(-1) for values in raw.values()))
        if kind == "uniform":
            dimensions = max(1.0, sum(float(mask.sum()) for mask in masks.values()))
            drawn = next(iter(streams.values())).uniform(rows, (1,))[:, 0]
            length = _divided(length, drawn ** (1.0 / dimensions))
        change = {name: sizes[name] * _divided(values, length) for name, values in raw.items()}
        if on_lattice:
            change = self._all_shortened({name: np.floor(values + streams[name].uniform(rows, values.shape[1:]))
                                          for name, values in change.items()}, sizes, streams, rows)
        return {name: np.asarray(values, np.float32) for name, values in change.items()}

    def _all_shortened(self, change: Batch, sizes: Budget, streams: Mapping[str, Streams],
                       rows: np.ndarray) -> dict[str, np.ndarray]:
        """Keep coordinates of all inputs in a random order as long as their joint length stays within 1."""
        units = {name: values.reshape(len(values), -1) / (sizes[name] or np.inf) for name, values in change.items()}
        order = [streams[name].uniform(rows, values.shape[1:]) for name, values in units.items()]
        kept = _kept_within(np.concatenate(list(units.values()), axis=1), np.concatenate(order, axis=1), 1.0) != 0
        cuts = np.cumsum([values.shape[1] for values in units.values()])[:-1]
        return {name: values * part.reshape(values.shape)
                for (name, values), part in zip(change.items(), np.split(kept, cuts, axis=1), strict=True)}


def _raw_noise(kind: str, streams: Streams, rows: np.ndarray, mask: np.ndarray) -> np.ndarray:
    return np.asarray((streams.signs if kind == "signs" else streams.normal)(rows, mask.shape) * mask)


def _kept_within(values: np.ndarray, order: np.ndarray, size: float) -> np.ndarray:
    """Return ``values`` with those set to 0, in ``order``, that take the length of the last axis beyond ``size``."""
    places = np.argsort(order, axis=-1)
    ordered = np.take_along_axis(values, places, axis=-1)
    short = np.zeros_like(values)
    np.put_along_axis(short, places, ordered * (np.cumsum(np.square(ordered), axis=-1) <= size**2), axis=-1)
    return short


def _weights(budget: Budget) -> dict[str, float]:
    """Return each budget as a share of the largest; 1 where all are 0."""
    largest = max(budget.values())
    return {name: epsilon / largest if largest else 1.0 for name, epsilon in budget.items()}


def _divided(values: np.ndarray, by: np.ndarray) -> np.ndarray:
    """Return ``values`` [n, ...] / ``by`` [n] in float64; 0 where ``by`` is."""
    column = by.reshape(-1, *([1] * (values.ndim - 1)))
    return np.asarray(np.divide(values, column, out=np.zeros(values.shape), where=column > 0))


NORMS: dict[str, Norm] = {norm.name: norm for norm in (Linf(), L2(), L2Joint(), L2Steps())}
PROVABLE = ("linf", "l2", "l2-joint")
"""Norms of the budgets that certificates are about."""


def norm_of(name: str | Norm) -> Norm:
    """Return the norm called ``name``; raise UsageError for an unknown one."""
    if isinstance(name, Norm):
        return name
    if name not in NORMS:
        raise UsageError(f"unknown norm '{name}'{nearest(name, NORMS)}; use one of {', '.join(NORMS)}")
    return NORMS[name]
