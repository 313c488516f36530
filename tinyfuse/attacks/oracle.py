"""Attacks as generators that ask for logits and gradients, so that several of them can share batches."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from tinyfuse.attacks.adversarial import Adversarial
from tinyfuse.attacks.guards import sound_gradient, sound_logits
from tinyfuse.attacks.target import Batch, DifferentiableTarget, Focus, Gradient, focused


@dataclass(frozen=True, eq=False)
class Ask:
    """Logits, or with a ``loss`` its gradients, of ``point``, which stands for ``rows`` (int [m]) of the batch.

    Only attacked inputs have to be in ``point``.
    """

    point: Batch
    rows: np.ndarray
    loss: str | None = None


Asking = Generator[Ask, Any, Adversarial]
"""An attack that yields what it wants to know. It is sent logits [m, k], or a Gradient where it names a loss."""


class Oracle:
    """Answers for one batch of which only ``modalities`` change, checked; asks of the same kind run together.

    A sample's answer must not depend on what it runs with: that is what targets promise.
    """

    def __init__(self, target: DifferentiableTarget, batch: Batch, labels: np.ndarray,
                 modalities: tuple[str, ...]) -> None:
        self._target, self._batch, self._labels, self._modalities = target, batch, labels, modalities
        self._focus: Focus | None = None

    def answers(self, asks: Sequence[Ask]) -> list[Any]:
        """What each of ``asks`` wants to know."""
        found: dict[int, Any] = {}
        for loss in dict.fromkeys(ask.loss for ask in asks):
            places = [place for place, ask in enumerate(asks) if ask.loss == loss]
            rows = np.concatenate([asks[place].rows for place in places])
            point = {name: np.concatenate([asks[place].point[name] for place in places]) for name in self._modalities}
            ends = np.cumsum([len(asks[place].rows) for place in places])
            parts = [slice(end - len(asks[place].rows), end) for place, end in zip(places, ends, strict=True)]
            if loss is None:
                logits = self._logits(point, rows)
                found.update((place, logits[part]) for place, part in zip(places, parts, strict=True))
            else:
                gradient = self._gradient(point, rows, loss)
                found.update((place, taken(gradient, part)) for place, part in zip(places, parts, strict=True))
        return [found[place] for place in range(len(asks))]

    def _logits(self, point: Batch, rows: np.ndarray) -> np.ndarray:
        """Until gradients are asked for, which pay for it, nothing is cut: compiling takes longer than it saves."""
        if self._focus is None:
            whole = {name: point.get(name, values[rows]) for name, values in self._batch.items()}
            logits = self._target.logits(whole)
        else:
            logits = self._focus.logits(point, rows)
        return sound_logits(np.asarray(logits), self._target.name, self._labels[rows])

    def _gradient(self, point: Batch, rows: np.ndarray, loss: str) -> Gradient:
        if self._focus is None:
            self._focus = focused(self._target, self._batch, self._modalities)
        found = self._focus.gradient(point, self._labels[rows], rows, loss)
        return sound_gradient(found, self._target.name, point, self._labels[rows], self._modalities)


def answered(asking: Asking, oracle: Oracle) -> Adversarial:
    """Run one attack alone."""
    answer = None
    try:
        while True:
            answer = oracle.answers([asking.send(answer)])[0]
    except StopIteration as end:
        found: Adversarial = end.value
        return found


def taken(gradient: Gradient, rows: np.ndarray | slice) -> Gradient:
    """``gradient`` for some of its samples."""
    return replace(gradient, logits=gradient.logits[rows], loss=gradient.loss[rows],
                   wrt={name: values[rows] for name, values in gradient.wrt.items()})
