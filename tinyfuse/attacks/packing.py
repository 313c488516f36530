"""Climbs of several cells of a suite share batches, so that a target of fixed batch size computes few empty places.

What an attack does to a sample does not depend on the samples beside it, so packing decides nothing but the time.
"""

from __future__ import annotations

import contextlib
from collections.abc import Generator
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from tinyfuse.attacks.oracle import Oracle, Query

Climbing = Generator[Query, Any, None]


@dataclass(eq=False)
class _Wave:
    """Samples of one cell that climb together, and what they ask at the moment."""

    index: int
    rows: np.ndarray
    climb: Climbing
    query: Query = field(init=False)


class Cells(Protocol):
    """The cells of one mode of a suite, numbered by rising budget, and what is known of their samples."""

    def __len__(self) -> int: ...

    def open(self, index: int) -> None:
        """Run what comes before the climbs of a cell, once."""

    def broken(self, index: int) -> np.ndarray:
        """Return bool [n]: samples that need no attack in this cell."""

    def climb(self, index: int, rows: np.ndarray) -> Climbing:
        """Attack the samples ``rows`` in this cell."""


class Packing:
    """Runs the climbs of ``cells``, answered by ``oracle``.

    ``places``: how many samples climb at a time, of all cells together; two batches are fuller than one. 0: a target
    that computes any number of samples at the same price each, for which cells run one after the other.
    """

    def __init__(self, cells: Cells, oracle: Oracle, places: int) -> None:
        self._cells, self._oracle, self._places = cells, oracle, places
        self._started = [np.zeros_like(cells.broken(index)) for index in range(len(cells))]
        self._waves: list[_Wave] = []

    def finish(self, index: int) -> None:
        """Run all climbs in cell ``index`` to their end; larger budgets fill free places ahead of time."""
        while self._candidates(index).any() or any(wave.index == index for wave in self._waves):
            self._fill(index)
            self._advance()

    def _candidates(self, index: int) -> np.ndarray:
        """Return bool [n]: may climb in this cell. Those that left a smaller budget's climb seem to be broken there."""
        found = ~(self._cells.broken(index) | self._started[index])
        for wave in self._waves:
            if wave.index < index:
                found[np.setdiff1d(wave.rows, wave.query.rows, assume_unique=True)] = False
        return np.asarray(found)

    def _fill(self, lowest: int) -> None:
        """Begin climbs in this cell, then ahead of time, until places run out; small ones wait for company."""
        for index in range(lowest, len(self._started)):
            while self._candidates(index).any():
                free = self._places - sum(len(wave.query.rows) for wave in self._waves)
                if self._waves and free < max(1, self._places // 8):
                    return
                self._cells.open(index)
                rows = np.flatnonzero(self._candidates(index))[:free if self._places else None]
                self._started[index][rows] = True
                self._send(_Wave(index, rows, self._cells.climb(index, rows)))

    def _advance(self) -> None:
        """Answer what all climbs ask."""
        waves, self._waves = self._waves, []
        for wave, answer in zip(waves, self._oracle.answers([wave.query for wave in waves]), strict=True):
            self._send(wave, answer)

    def _send(self, wave: _Wave, answer: Any = None) -> None:
        with contextlib.suppress(StopIteration):
            wave.query = wave.climb.send(answer)
            self._waves.append(wave)
