"""What an attack increases: a loss of the logits, with its slope; in numpy, for targets that are not TensorFlow."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from tinyfuse.core.errors import UsageError, nearest

LossAndSlope = tuple[np.ndarray, np.ndarray]


def cross_entropy(logits: np.ndarray, labels: np.ndarray) -> LossAndSlope:
    """Return log sum exp(logits) - logits[label], and softmax(logits) - onehot(label).

    float64 keeps confident samples apart, whose probability is 1 in float32 and whose gradient would vanish.
    """
    shifted = logits.astype(np.float64) - logits.max(axis=1, keepdims=True)
    powers = np.exp(shifted)
    total = powers.sum(axis=1, keepdims=True)
    rows = np.arange(len(labels))
    slope = powers / total
    # p - 1 as minus the sum of the others: the difference would cancel to 0 for a confident sample.
    slope[rows, labels] = 0.0
    slope[rows, labels] = -slope.sum(axis=1)
    return np.log(total[:, 0]) - shifted[rows, labels], slope


def margin(logits: np.ndarray, labels: np.ndarray) -> LossAndSlope:
    """Return max over k != label of logits[k], minus logits[label] (Carlini and Wagner 2017); > 0 if misclassified."""
    rows = np.arange(len(labels))
    others = logits.astype(np.float64)
    others[rows, labels] = -np.inf
    rival = others.argmax(axis=1)
    slope = np.zeros(logits.shape)
    slope[rows, rival], slope[rows, labels] = 1.0, -1.0
    return others[rows, rival] - logits[rows, labels], slope


CROSS_ENTROPY = "cross-entropy"
LOSSES: dict[str, Callable[[np.ndarray, np.ndarray], LossAndSlope]] = {
    CROSS_ENTROPY: cross_entropy, "margin": margin}


def check_loss(name: str) -> None:
    """Raise UsageError unless ``name`` is a loss."""
    if name not in LOSSES:
        raise UsageError(f"unknown loss '{name}'{nearest(name, LOSSES)}; use one of {', '.join(LOSSES)}")


def loss_and_slope(name: str, logits: np.ndarray, labels: np.ndarray) -> LossAndSlope:
    """Return loss ``name`` float64 [n] and its derivative float64 [n, k] for ``logits`` [n, k], ``labels`` int [n]."""
    check_loss(name)
    return LOSSES[name](logits, np.asarray(labels))
