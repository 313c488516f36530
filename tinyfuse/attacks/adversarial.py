"""What an attack returns, and how a sample is judged."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from tinyfuse.attacks.losses import cross_entropy
from tinyfuse.data.samples import Batch
from tinyfuse.threats.threat import Threat


@dataclass(frozen=True, eq=False)
class Adversarial:
    """The outcome of one attack under one threat on n samples; every flag is bool [n].

    ``last`` is the last iterate, which the literature reports; ``strongest`` holds per sample the misclassified
    iterate of highest loss, or the iterate of highest loss if none was misclassified. Both carry all inputs.
    ``broken``: the target misclassifies ``strongest``; ``broken_last``: it misclassifies ``last``. ``zero_gradient``:
    at the clean point the gradient is 0 at every attackable coordinate of every attacked input. ``queries`` counts
    gradients (or, for attacks without them, forward passes) over all samples.
    """

    threat: Threat
    last: dict[str, np.ndarray] = field(repr=False)
    strongest: dict[str, np.ndarray] = field(repr=False)
    broken: np.ndarray = field(repr=False)
    broken_last: np.ndarray = field(repr=False)
    zero_gradient: np.ndarray = field(repr=False)
    queries: int = 0


def misclassified(logits: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Return bool [n]: the arg-max differs from the label; ties go to the lowest class, as on a device."""
    return np.asarray(np.argmax(logits, axis=1) != labels)


class Strongest:
    """Keeps, per sample, the iterate that hurts most: misclassified first, then the higher cross-entropy."""

    def __init__(self, clean: Batch, labels: np.ndarray, varying: tuple[str, ...]) -> None:
        self.labels = labels
        self.point = {**clean, **{name: clean[name].copy() for name in varying}}
        self.varying = varying
        self.wrong = np.zeros(len(labels), bool)
        self.loss = np.full(len(labels), -np.inf)

    def offer(self, rows: np.ndarray, point: Batch, logits: np.ndarray) -> np.ndarray:
        """Take of ``point``, whose samples stand for ``rows``, what beats those held; return bool: misclassified."""
        loss, wrong = cross_entropy(logits, self.labels[rows])[0], misclassified(logits, self.labels[rows])
        better = (wrong & ~self.wrong[rows]) | ((wrong == self.wrong[rows]) & (loss > self.loss[rows]))
        self.replace(rows[better], point, better)
        self.wrong[rows[better]], self.loss[rows[better]] = wrong[better], loss[better]
        return wrong

    def replace(self, rows: np.ndarray, point: Batch, of_point: np.ndarray) -> None:
        """Copy the samples ``of_point`` (bool or int) of ``point`` to ``rows``."""
        for name in self.varying:
            self.point[name][rows] = point[name][of_point]
