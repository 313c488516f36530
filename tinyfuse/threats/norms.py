"""The two norms, each as a steepest direction and a projection; all per sample, as in CleverHans 4.0."""

from __future__ import annotations

import numpy as np

GRADIENT_FLOOR = 1e-12
"""CleverHans' lower bound on a squared L2 norm: gradients shorter than 1e-6 give a shorter step."""


def squared_lengths(values: np.ndarray) -> np.ndarray:
    """Return float64 [n, 1, ...]: the sum of squares of each sample, accumulated in float64."""
    axes = tuple(range(1, values.ndim))
    return np.asarray(np.sum(np.square(values, dtype=np.float64), axis=axes, keepdims=True))


def linf_direction(gradient: np.ndarray, floor: float) -> np.ndarray:
    """Return sign(gradient), with sign(0) = 0; ``floor`` plays no part."""
    del floor
    return np.asarray(np.sign(gradient))


def l2_direction(gradient: np.ndarray, floor: float) -> np.ndarray:
    """Return gradient / sqrt(max(floor, sum of squares)), and 0 for an all-zero gradient."""
    length = np.sqrt(np.maximum(squared_lengths(gradient), floor))
    direction: np.ndarray = np.divide(gradient, length, out=np.zeros(gradient.shape), where=length > 0)
    return direction.astype(gradient.dtype)


def linf_ball(delta: np.ndarray, epsilon: float) -> np.ndarray:
    """Clip every coordinate of ``delta`` to [-epsilon, epsilon]."""
    bound = np.asarray(epsilon, delta.dtype)
    return np.asarray(np.clip(delta, -bound, bound))


def l2_ball(delta: np.ndarray, epsilon: float) -> np.ndarray:
    """Scale each sample of ``delta`` by min(1, epsilon / length): to the ball, not to its surface."""
    length = np.sqrt(np.maximum(squared_lengths(delta), GRADIENT_FLOOR))
    factor: np.ndarray = np.minimum(1.0, epsilon / length)
    return np.asarray(delta * factor.astype(delta.dtype))


def linf_size(delta: np.ndarray) -> np.ndarray:
    """Return float64 [n]: the largest absolute coordinate of each sample."""
    return np.asarray(np.abs(delta.astype(np.float64)).max(axis=tuple(range(1, delta.ndim)), initial=0.0))


def l2_size(delta: np.ndarray) -> np.ndarray:
    """Return float64 [n]: the Euclidean length of each sample."""
    return np.asarray(np.sqrt(squared_lengths(delta))).reshape(len(delta))


DIRECTIONS = {"linf": linf_direction, "l2": l2_direction}
BALLS = {"linf": linf_ball, "l2": l2_ball}
SIZES = {"linf": linf_size, "l2": l2_size}
NORMS = tuple(DIRECTIONS)
