"""What attacks work on and whom they ask: a problem, queries about points, and the oracle that answers them checked.

A gradient attack is a generator of queries, so that the suite can let several of them share full batches.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass, replace
from typing import Any, cast

import numpy as np

from tinyfuse.attacks.adversarial import Adversarial
from tinyfuse.attacks.guards import sound_gradient, sound_logits
from tinyfuse.attacks.target import DifferentiableTarget, Focus, Gradient, Target, focused, take_rows
from tinyfuse.data.samples import Batch
from tinyfuse.threats.code_grid import Grids
from tinyfuse.threats.threat import Threat


@dataclass(frozen=True, eq=False)
class Problem:
    """The n samples that one attack works on, under one threat.

    ``ids`` int [n]: what the random numbers of each sample depend on. ``places`` int [n]: where the samples are in the
    batch of the oracle. ``known``: the gradient of the cross-entropy at ``batch``, where it is known already.
    ``survivors_only``: all that counts is whether any iterate breaks a sample, so it may leave once one does.
    """

    batch: Batch
    labels: np.ndarray
    threat: Threat
    ids: np.ndarray
    places: np.ndarray
    grids: Grids | None = None
    known: Gradient | None = None
    survivors_only: bool = False

    def take(self, rows: np.ndarray) -> Problem:
        """Return the problem of some of the samples."""
        if len(rows) == len(self.labels):
            return self
        return replace(self, batch={name: values[rows] for name, values in self.batch.items()},
                       labels=self.labels[rows], threat=self.threat.take(rows), ids=self.ids[rows],
                       places=self.places[rows], known=None if self.known is None else take_rows(self.known, rows))

    def gradient(self, loss: str) -> Generator[Query, Any, tuple[Gradient, int]]:
        """Return the gradient of ``loss`` at the clean point and how many queries it cost: none where it is known."""
        if self.known is not None and loss == "cross-entropy":
            return self.known, 0
        return (yield Query(self.batch, self.places, loss)), len(self.labels)


@dataclass(frozen=True, eq=False)
class Query:
    """Asks for the logits, or with a ``loss`` for its gradients, of ``point``, which stands for ``rows`` of the batch.

    ``rows``: int [m]. Only attacked inputs have to be in ``point``.
    """

    point: Batch
    rows: np.ndarray
    loss: str | None = None


Climb = Generator[Query, Any, Adversarial]
"""An attack in progress. It is sent logits [m, k], or a Gradient where its query names a loss."""


class Oracle:
    """Answers for one batch of which only the inputs ``varying`` change, checked; queries of one kind run together."""

    def __init__(self, target: Target, batch: Batch, labels: np.ndarray, varying: tuple[str, ...]) -> None:
        # Attacks without gradients ask for logits alone, so a target without gradients is as good for them.
        self._target, self._batch = cast(DifferentiableTarget, target), batch
        self._labels, self._varying = labels, varying
        self._focus: Focus | None = None

    def focus(self) -> Focus:
        """Compute what the other inputs decide, once; it pays for itself where many queries follow."""
        if self._focus is None:
            self._focus = focused(self._target, self._batch, self._varying)
        return self._focus

    def logits(self, point: Batch, rows: np.ndarray) -> np.ndarray:
        """Return the logits [m, k] of ``point``, which stands for ``rows``."""
        if self._focus is None:
            every = {name: point.get(name, values[rows]) for name, values in self._batch.items()}
            logits = self._target.logits(every)
        else:
            logits = self._focus.logits(point, rows)
        return sound_logits(np.asarray(logits), self._target.name, self._labels[rows])

    def gradient(self, point: Batch, rows: np.ndarray, loss: str) -> Gradient:
        """Return the gradients of ``loss`` at ``point``, which stands for ``rows``."""
        found = self.focus().gradient(point, self._labels[rows], rows, loss)
        return sound_gradient(found, self._target.name, point, self._labels[rows], self._varying)

    def answers(self, queries: Sequence[Query]) -> list[Any]:
        """Return what each of ``queries`` asks for."""
        found: dict[int, Any] = {}
        for loss in dict.fromkeys(query.loss for query in queries):
            alike = [place for place, query in enumerate(queries) if query.loss == loss]
            rows = np.concatenate([queries[place].rows for place in alike])
            point = {name: np.concatenate([queries[place].point[name] for place in alike]) for name in self._varying}
            every = self.logits(point, rows) if loss is None else self.gradient(point, rows, loss)
            cuts = np.cumsum([0, *(len(queries[place].rows) for place in alike)])
            for place, first, end in zip(alike, cuts[:-1], cuts[1:], strict=True):
                part = slice(first, end)
                found[place] = every[part] if isinstance(every, np.ndarray) else take_rows(every, part)
        return [found[place] for place in range(len(queries))]
