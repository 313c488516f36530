"""The Square attack (Andriushchenko et al. 2020): random search over squares at the ends of the L-inf ball."""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass

import numpy as np

from tinyfuse.attacks.adversarial import Adversarial
from tinyfuse.attacks.attack import SampleAttack, at_least
from tinyfuse.attacks.oracle import Oracle, Problem
from tinyfuse.attacks.query_search import Search
from tinyfuse.core.errors import UsageError
from tinyfuse.data.samples import Batch

HALVED_AFTER = (10, 50, 200, 500, 1000, 2000, 4000, 6000, 8000)
"""The share of changed coordinates halves after these proposals out of 10,000 (section 5 of the paper)."""


@dataclass(frozen=True)
class Square(SampleAttack):
    """Spends at most ``queries`` forward passes per sample: the clean point, vertical stripes, then squares.

    Inputs are [n, h, w, c]; others are seen as such, a sequence with one channel and a vector as one column. A proposal
    sets one square window to clean + epsilon or clean - epsilon, one sign per channel, and is kept if the margin loss
    grows; windows start with a ``share`` of the coordinates and shrink by the schedule of the paper. With several
    attacked inputs each proposal changes one of them, drawn with equal chances. Windows lie in the smallest rectangle
    that holds the attackable coordinates. A proposal that would change nothing gets the opposite signs, and if that
    changes nothing either it is not asked. A sample leaves once a point is misclassified. The proposals depend on
    ``seed``, the sample's id and the set of attacked inputs alone. Defined for L-inf.
    """

    name = "square"
    gradient_free = True
    norms = ("linf",)
    least = at_least(queries=2, seed=0)
    queries: int = 1000
    share: float = 0.8
    seed: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 < self.share <= 1:
            raise UsageError(f"square: share is {self.share}; give a share of the coordinates, above 0 and at most 1")

    def solve(self, problem: Problem, oracle: Oracle) -> Adversarial:
        self.check_norm(problem.threat.norm.name)
        search = Search(self.name, self.seed, problem, oracle)
        if len(search.unbroken()):
            held, proposals = _Held(search), self.queries - 2
            for step, rows in enumerate(search.rounds(proposals)):
                held.improve(rows, self.share / 2 ** halvings(step, proposals))
        return search.outcome()


def halvings(step: int, steps: int) -> int:
    """Return how often the share has halved at proposal ``step`` of ``steps``."""
    return bisect_left(HALVED_AFTER, step * 10_000 // steps)


@dataclass(frozen=True)
class Frame:
    """The smallest rectangle of one input that holds its attackable coordinates."""

    top: int
    left: int
    height: int
    width: int

    @classmethod
    def of(cls, mask: np.ndarray) -> Frame:
        """Return the frame of ``mask`` [h, w, c]; of the whole input where nothing is attackable."""
        rows, columns = (np.flatnonzero(mask.any(axis=axes)) for axes in ((1, 2), (0, 2)))
        if not len(rows):
            return cls(0, 0, *mask.shape[:2])
        return cls(int(rows[0]), int(columns[0]), int(np.ptp(rows)) + 1, int(np.ptp(columns)) + 1)

    def windows(self, places: np.ndarray, share: float, shape: tuple[int, ...]) -> np.ndarray:
        """Return bool [m, h, w, 1]: squares of a ``share`` of the frame at ``places``, cut off where it is narrower.

        ``places``: float [m, 2] in [0, 1), the position between the first and the last place that fits.
        """
        side = max(1, round((share * self.height * self.width) ** 0.5))
        inside = []
        for axis, (start, extent) in enumerate(((self.top, self.height), (self.left, self.width))):
            length = min(side, extent)
            first = start + np.floor(places[:, axis] * (extent - length + 1)).astype(int)[:, None]
            at = np.arange(shape[axis])
            inside.append((at >= first) & (at < first + length))
        return np.asarray(inside[0][:, :, None, None] & inside[1][:, None, :, None])


class _Held:
    """The point that the search holds for each sample, and how it changes."""

    def __init__(self, search: Search) -> None:
        everything, epsilon = np.arange(len(search.labels)), search.threat.budget
        self.search, self.names = search, tuple(search.clean)
        # Coordinates are independent in L-inf: every proposal takes each from one of these two legal points.
        self.high, self.low = (_planes(search.legal({
            name: values + sign * np.float32(epsilon[name]) for name, values in search.clean.items()}, everything)[1])
            for sign in (np.float32(1), np.float32(-1)))
        self.frames = {name: Frame.of(_planes({name: search.threat.attackable(name, values.shape[1:])[None]})[name][0])
                       for name, values in search.clean.items()}
        self.streams = search.streams(" ".join(self.names))
        rows, self.score = search.unbroken(), np.full(len(everything), -np.inf)
        self.point = {name: values.copy() for name, values in _planes(search.clean).items()}
        for name, values in self.point.items():
            values[rows] = self._stripes(name, rows)
        self.score[rows] = self._ask({name: values[rows] for name, values in self.point.items()}, rows)

    def _ask(self, point: Batch, rows: np.ndarray) -> np.ndarray:
        return self.search.ask({name: values.reshape(-1, *self.search.clean[name].shape[1:])
                                for name, values in point.items()}, rows)

    def _stripes(self, name: str, rows: np.ndarray) -> np.ndarray:
        """Return the start of the paper: one sign per column and channel."""
        shape = self.point[name].shape
        up = self.streams.signs(rows, (1, *shape[2:])) > 0
        return np.asarray(np.where(up, self.high[name][rows], self.low[name][rows]))

    def improve(self, rows: np.ndarray, share: float) -> None:
        """Ask one proposal for each of ``rows`` and keep it where the score grows."""
        channels = max(values.shape[3] for values in self.point.values())
        drawn = self.streams.uniform(rows, (3 + channels,))
        chosen = np.floor(drawn[:, 0] * len(self.names)).astype(int)
        proposal = {name: values[rows] for name, values in self.point.items()}
        changed = np.zeros(len(rows), bool)
        for index, name in enumerate(self.names):
            own = chosen == index
            proposal[name][own], changed[own] = self._proposed(name, rows[own], drawn[own, 1:], share)
        rows, proposal = rows[changed], {name: values[changed] for name, values in proposal.items()}
        if not len(rows):
            return
        scores = self._ask(proposal, rows)
        better = scores > self.score[rows]
        self.score[rows[better]] = scores[better]
        for name in self.names:
            self.point[name][rows[better]] = proposal[name][better]

    def _proposed(self, name: str, rows: np.ndarray, drawn: np.ndarray, share: float) -> tuple[np.ndarray, np.ndarray]:
        """Return the held points of ``rows`` with one window set to an end of the ball, and bool [m]: it differs."""
        held, shape = self.point[name][rows], self.point[name].shape[1:]
        window = self.frames[name].windows(drawn[:, :2], share, shape)
        up = (drawn[:, 2:2 + shape[2]] >= 0.5)[:, None, None, :]
        first, other = (np.where(window, np.where(signs, self.high[name][rows], self.low[name][rows]), held)
                        for signs in (up, ~up))
        same = (first == held).all(axis=(1, 2, 3))
        first[same] = other[same]
        return first, np.asarray(~same | (other != held).any(axis=(1, 2, 3)))


def _planes(batch: Batch) -> dict[str, np.ndarray]:
    """Return the attacked inputs of ``batch`` as [n, h, w, c]."""
    return {name: values.reshape(len(values), *(*values.shape[1:], 1, 1)[:2], -1) for name, values in batch.items()}
