"""What an attack returns, and how a sample is judged."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from tinyfuse.attacks.target import Batch
from tinyfuse.attacks.threat import Threat

Parameter = str | int | float | bool


@dataclass(frozen=True, eq=False)
class Adversarial:
    """The outcome of one attack under one threat on n samples; every flag is bool [n].

    ``last`` is the last iterate, which the literature reports; ``strongest`` holds per sample the
    misclassified iterate of highest loss, or the iterate of highest loss if none was misclassified. Both
    carry all inputs. ``broken``: the target misclassifies ``strongest``; ``broken_last``: it misclassifies
    ``last``. ``zero_gradient``: at the clean point the gradient is 0 at every attackable coordinate of every
    attacked modality; ``floored``: an L2 gradient there is shorter than the floor, so the step was shorter
    than asked.
    """

    attack: str
    threat: Threat
    parameters: dict[str, Parameter]
    last: dict[str, np.ndarray] = field(repr=False)
    strongest: dict[str, np.ndarray] = field(repr=False)
    broken: np.ndarray = field(repr=False)
    broken_last: np.ndarray = field(repr=False)
    zero_gradient: np.ndarray = field(repr=False)
    floored: np.ndarray = field(repr=False)

    def describe(self) -> dict[str, Parameter]:
        """Return attack, threat and hyper-parameters as one flat table for a results row."""
        return {"attack": self.attack, **self.threat.describe(), **self.parameters}


def misclassified(logits: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Return bool [n]: the arg-max differs from the label; ties go to the lowest class, as on a device."""
    return np.asarray(np.argmax(logits, axis=1) != labels)


def cross_entropy(logits: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Return float64 [n]: log sum exp(logits) - logits[label]; float64 keeps confident samples apart."""
    shifted = logits.astype(np.float64) - logits.max(axis=1, keepdims=True)
    return np.asarray(np.log(np.exp(shifted).sum(axis=1)) - shifted[np.arange(len(labels)), labels])


class Strongest:
    """Keeps, per sample, the iterate that hurts most: misclassified first, then the higher loss."""

    def __init__(self, clean: Batch, labels: np.ndarray, modalities: tuple[str, ...]) -> None:
        self.labels = labels
        self.point = {**clean, **{name: clean[name].copy() for name in modalities}}
        self.modalities = modalities
        self.wrong = np.zeros(len(labels), bool)
        self.loss = np.full(len(labels), -np.inf)

    def offer(self, point: Batch, logits: np.ndarray) -> None:
        """Take the samples of ``point`` that beat what is held."""
        loss, wrong = cross_entropy(logits, self.labels), misclassified(logits, self.labels)
        better = (wrong & ~self.wrong) | ((wrong == self.wrong) & (loss > self.loss))
        self.replace(better, point)
        self.wrong[better], self.loss[better] = wrong[better], loss[better]

    def replace(self, rows: np.ndarray, point: Batch) -> None:
        """Copy the samples ``rows`` (bool [n]) of ``point``."""
        for name in self.modalities:
            self.point[name][rows] = point[name][rows]
