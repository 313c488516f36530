"""What every attack refuses: requests that do not fit the target, probabilities, NaN gradients."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tinyfuse.attacks.target import Gradient, Target
from tinyfuse.core.errors import TinyfuseError, UsageError, nearest
from tinyfuse.data.samples import Batch
from tinyfuse.threats.threat import Threat


def check_request(target: Target, batch: Batch, labels: np.ndarray, threats: Sequence[Threat]) -> None:
    """Raise UsageError unless ``threats`` fit ``target`` and ``batch``; ``labels`` are ints [n], n > 0."""
    labels = np.asarray(labels)
    if labels.ndim != 1 or labels.dtype.kind not in "iu" or not len(labels):
        raise UsageError(f"labels are {labels.dtype} of shape {labels.shape}; give integers of shape [n], n > 0")
    if labels.min() < 0:
        raise UsageError(f"a label is {labels.min()}; give class indices from 0")
    for name, values in batch.items():
        if len(values) != len(labels):
            raise UsageError(f"input '{name}' has {len(values)} samples, but there are {len(labels)} labels")
    for threat in threats:
        for name in threat.attacked:
            if name not in target.inputs:
                raise UsageError(f"the threat attacks '{name}'{nearest(name, target.inputs)}, "
                                 f"but '{target.name}' has the inputs {', '.join(target.inputs)}")
        threat.check(batch)


def refuse_probabilities(logits: np.ndarray, name: str) -> None:
    """Raise TinyfuseError when every row of ``logits`` [n, k], n > 1, lies in [0, 1] and sums to 1.

    Cross-entropy of probabilities taken for logits hides the gradient and makes a model look robust. One row alone
    proves nothing: the logits of a last survivor may happen to look like that.
    """
    inside = np.all((logits >= 0) & (logits <= 1))
    sums = np.abs(logits.sum(axis=1, dtype=np.float64) - 1) <= 1e-3
    if len(logits) > 1 and logits.size and inside and np.all(sums):
        raise TinyfuseError(f"'{name}' returns probabilities (rows in [0, 1] that sum to 1), "
                            "but attacks need logits; remove the softmax from its last layer")


def checked_logits(target: Target, batch: Batch, labels: np.ndarray) -> np.ndarray:
    """Return ``target.logits(batch)``; raise TinyfuseError if NaN, infinite, misshapen or probabilities."""
    return sound_logits(np.asarray(target.logits(batch)), target.name, labels)


def sound_gradient(gradient: Gradient, name: str, batch: Batch, labels: np.ndarray, wrt: tuple[str, ...]) -> Gradient:
    """Return ``gradient`` of the target ``name`` at ``batch``; raise TinyfuseError if it is no use to an attack."""
    sound_logits(gradient.logits, name, labels)
    for attacked in wrt:
        values = gradient.wrt[attacked]
        if values.shape != batch[attacked].shape:
            raise TinyfuseError(f"gradient of '{name}' for '{attacked}' has shape {values.shape}; "
                                f"the input has {batch[attacked].shape}")
        # One sum in float64, which cannot overflow, is finite only if every value is.
        if not np.isfinite(values.sum(dtype=np.float64)):
            bad = int(np.sum(~np.isfinite(values).reshape(len(values), -1).all(axis=1)))
            raise TinyfuseError(f"gradient of '{name}' for '{attacked}' is NaN or infinite in {bad} of "
                                f"{len(values)} samples; an attack on it would look like robustness: "
                                "repair the model")
    return gradient


def sound_logits(logits: np.ndarray, name: str, labels: np.ndarray) -> np.ndarray:
    """Return ``logits`` of the target ``name``; raise TinyfuseError if NaN, infinite, misshapen or probabilities."""
    if logits.ndim != 2 or len(logits) != len(labels):
        raise TinyfuseError(f"'{name}' returned logits of shape {logits.shape} for {len(labels)} samples")
    if not np.isfinite(logits).all():
        raise TinyfuseError(f"'{name}' returned NaN or infinite logits; repair the model before attacking it")
    if np.max(labels) >= logits.shape[1]:
        raise UsageError(f"a label is {np.max(labels)}, but '{name}' has {logits.shape[1]} classes")
    refuse_probabilities(logits, name)
    return logits
