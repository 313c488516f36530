"""The Square attack (Andriushchenko et al. 2020): random search over squares at the ends of the L-inf ball."""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass

import numpy as np

from tinyfuse.attacks.adversarial import Adversarial
from tinyfuse.attacks.query_search import Search, Streams, check_numbers
from tinyfuse.attacks.target import Batch, Target
from tinyfuse.core.errors import UsageError
from tinyfuse.threats.threat import Threat

HALVED_AFTER = (10, 50, 200, 500, 1000, 2000, 4000, 6000, 8000)
"""The share of changed coordinates halves after these proposals out of 10,000 (section 5 of the paper)."""


def square(target: Target, batch: Batch, labels: np.ndarray, threat: Threat, *, queries: int = 1000,
           share: float = 0.8, seed: int = 0, sample_ids: np.ndarray | None = None) -> Adversarial:
    """Spend at most ``queries`` forward passes per sample: the clean point, vertical stripes, then squares.

    ``batch``: float32 [n, h, w, c] per input; ``labels``: true classes, int [n]. A proposal sets one square window to
    clean + epsilon or clean - epsilon, one sign per channel, and is kept if the margin loss grows; windows start with a
    ``share`` of the coordinates and shrink by the schedule of the paper. With several attacked modalities each proposal
    changes one of them, drawn with equal chances. Windows lie in the smallest rectangle that holds the attackable
    coordinates. A proposal that would change nothing gets the opposite signs, and if that changes nothing either it is
    not asked. A sample leaves once a point is misclassified. The proposals depend on ``seed``, the sample's entry in
    ``sample_ids`` (int [n], default 0..n-1) and the set of attacked modalities alone.

    Raises:
        UsageError: an L2 threat, one that does not fit the target or the batch, or bad parameters.
        TinyfuseError: NaN or infinite logits, or probabilities instead of logits.
    """
    check_numbers("square", {"queries": (queries, 2)})
    if not 0 < share <= 1:
        raise UsageError(f"square: share is {share}; give a share of the coordinates, above 0 and at most 1")
    if threat.norm != "linf":
        raise UsageError(f"square: the threat is {threat.norm}; this attack is defined for linf")
    search = Search("square", target, batch, labels, threat, seed=seed, sample_ids=sample_ids)
    rows = search.unbroken()
    if len(rows):
        held = _Held(search)
        for step in range(queries - 2):
            rows = search.unbroken()
            if not len(rows):
                break
            held.improve(rows, share / 2 ** halvings(step, queries - 2))
    return search.outcome(queries=queries, share=share, modality_choice="uniform")


def halvings(step: int, steps: int) -> int:
    """How often the share has halved at proposal ``step`` of ``steps``."""
    return bisect_left(HALVED_AFTER, step * 10_000 // steps)


@dataclass(frozen=True)
class Frame:
    """The smallest rectangle of one modality that holds its attackable coordinates."""

    top: int
    left: int
    height: int
    width: int

    @classmethod
    def of(cls, mask: np.ndarray) -> Frame:
        """The frame of ``mask`` [h, w, c]; of the whole input where nothing is attackable."""
        rows, columns = (np.flatnonzero(mask.any(axis=axes)) for axes in ((1, 2), (0, 2)))
        if not len(rows):
            return cls(0, 0, *mask.shape[:2])
        return cls(int(rows[0]), int(columns[0]), int(np.ptp(rows)) + 1, int(np.ptp(columns)) + 1)

    def windows(self, places: np.ndarray, share: float, shape: tuple[int, ...]) -> np.ndarray:
        """Bool [m, h, w, 1]: squares that cover ``share`` of the frame, cut off where it is narrower, at ``places``.

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
        everything, epsilon = np.arange(len(search.labels)), search.threat.epsilon
        self.search, self.names = search, tuple(search.clean)
        # Coordinates are independent in L-inf: every proposal takes each from one of these two legal points.
        self.high = search.legal({n: x + np.float32(epsilon[n]) for n, x in search.clean.items()}, everything)[1]
        self.low = search.legal({n: x - np.float32(epsilon[n]) for n, x in search.clean.items()}, everything)[1]
        masks = {name: search.threat.attackable(name, x.shape[1:]) for name, x in search.clean.items()}
        self.frames = {name: Frame.of(mask) for name, mask in masks.items()}
        self.streams = search.streams(" ".join(self.names))
        rows, self.score = search.unbroken(), np.full(len(everything), -np.inf)
        self.point = {name: values.copy() for name, values in search.clean.items()}
        for name, values in self.point.items():
            values[rows] = self._stripes(name, self.streams, rows)
        self.score[rows] = search.ask({name: values[rows] for name, values in self.point.items()}, rows)

    def _stripes(self, name: str, streams: Streams, rows: np.ndarray) -> np.ndarray:
        """The start of the paper: one sign per column and channel."""
        shape = self.point[name].shape
        up = streams.signs(rows, (1, *shape[2:])) > 0
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
        scores = self.search.ask(proposal, rows)
        better = scores > self.score[rows]
        self.score[rows[better]] = scores[better]
        for name in self.names:
            self.point[name][rows[better]] = proposal[name][better]

    def _proposed(self, name: str, rows: np.ndarray, drawn: np.ndarray, share: float) -> tuple[np.ndarray, np.ndarray]:
        """The held points of ``rows`` with one window set to an end of the ball, and bool [m]: it differs."""
        held, shape = self.point[name][rows], self.point[name].shape[1:]
        window = self.frames[name].windows(drawn[:, :2], share, shape)
        up = (drawn[:, 2:2 + shape[2]] >= 0.5)[:, None, None, :]
        first, other = (np.where(window, np.where(signs, self.high[name][rows], self.low[name][rows]), held)
                        for signs in (up, ~up))
        same = (first == held).all(axis=(1, 2, 3))
        first[same] = other[same]
        return first, np.asarray(~same | (other != held).any(axis=(1, 2, 3)))
