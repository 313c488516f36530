"""Proofs sample by sample: intervals first, linear bounds where they do not suffice; the better of both counts."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from tinyfuse.analyses.certificates.ball import Ball
from tinyfuse.analyses.certificates.branches import Branching
from tinyfuse.analyses.certificates.intervals import Boxes, Intervals, take_rows
from tinyfuse.analyses.certificates.linear import Guide, LinearBounds, SmallestArea
from tinyfuse.analyses.certificates.margins import Margins
from tinyfuse.analyses.certificates.movement import Movement, movement_of
from tinyfuse.analyses.certificates.tighten import MOST_PRODUCTS, products, tightened
from tinyfuse.attacks.adversarial import misclassified
from tinyfuse.attacks.pgd import PGD
from tinyfuse.attacks.targets.twin_target import TwinTarget
from tinyfuse.core.console import console
from tinyfuse.data.samples import Batch
from tinyfuse.integer.twin import CHUNK
from tinyfuse.threats.threat import Threat

METHODS = ("intervals", "linear", "recursive")
"""Ways to bound, each tried where those before it do not suffice."""
LEANS = (1.0, 0.25)
"""Choices of lines (see relaxation.py), each tried on what those before it do not prove: rounding favours constants."""
Tick = Callable[..., None]


class Certifier:
    """Bounds for one integer model. ModelError if one of its operators has none.

    ``methods``: those of :data:`METHODS` to try, in their order; a last one that would take too long is left out with
    one line.
    """

    def __init__(self, target: TwinTarget, methods: tuple[str, ...] = METHODS[:2]) -> None:
        self.target = target
        self.margins = Margins.of(target)
        self.intervals = Intervals(target.twin, self.margins.logits)
        self.linear = LinearBounds(self.intervals)
        self.methods = self._affordable(methods)

    @cached_property
    def movement(self) -> Movement | None:
        """How far codes move in L2; None where an operator has no known norm."""
        return movement_of(self.linear, self.margins)

    def _affordable(self, methods: tuple[str, ...]) -> tuple[str, ...]:
        work = products(self.linear) if "recursive" in methods else 0
        if work <= MOST_PRODUCTS:
            return methods
        console.print(f"{self.target.name}: linear bounds of every layer take up to {work:.1e} products a sample, more "
                      f"than {MOST_PRODUCTS:.1e}; certified without them", markup=False)
        return tuple(method for method in methods if method != "recursive")

    def proved(self, ball: Ball, labels: np.ndarray, tick: Tick = lambda steps=1: None) -> np.ndarray:
        """Return int [n]: 1 + the place in ``methods`` of what proves that no codes of ``ball`` change the class.

        0: nothing does. ``tick(samples)`` is called as samples are done.
        """
        found = np.zeros(len(labels), np.int64)
        for start in range(0, len(labels), CHUNK):
            rows = np.arange(start, min(start + CHUNK, len(labels)))
            found[rows] = self._of_chunk(ball.take(rows), labels[rows])
            tick(len(rows))
        return found

    def _of_chunk(self, ball: Ball, labels: np.ndarray) -> np.ndarray:
        found = np.zeros(len(labels), np.int64)
        boxes = self.intervals.propagate(self.intervals.columns(ball.boxes))
        for place, method in enumerate(self.methods, 1):
            left = np.flatnonzero(found == 0)
            if len(left):
                bound = self._bound(method, ball.take(left), labels[left], take_rows(boxes, left))
                found[left[self.enough(bound, labels[left])]] = place
        return found

    def enough(self, bound: np.ndarray, labels: np.ndarray) -> np.ndarray:
        """Return bool [n]: lower bounds [n, classes - 1] of whole differences of codes prove the class."""
        enough: np.ndarray = np.ceil(bound) >= self.margins.needed(labels)
        return np.asarray(enough.all(axis=1))

    def _bound(self, method: str, ball: Ball, labels: np.ndarray, boxes: Boxes) -> np.ndarray:
        if method == "intervals":
            return np.asarray(np.maximum(self.by_codes(boxes, labels), self.by_lines(boxes, labels, depth=1)))
        spans: Boxes = {}
        if method == "recursive":
            boxes, spans = tightened(self.linear, ball, boxes)
        bound = self.by_codes(boxes, labels)
        if ball.lengths and self.movement is not None:
            bound = np.maximum(bound, self.movement.bound(ball, labels))
        for lean in LEANS:
            left = np.flatnonzero(~self.enough(bound, labels))
            if len(left):
                guide = SmallestArea(self.linear, lean, take_rows(spans, left))
                found = self.by_lines(take_rows(boxes, left), labels[left], ball.take(left), guide=guide)
                bound[left] = np.maximum(bound[left], found)
        return bound

    def by_codes(self, boxes: Boxes, labels: np.ndarray) -> np.ndarray:
        """Bound the differences [n, classes - 1] by the box of the logits alone."""
        low, high = (end.reshape(len(labels), -1).astype(np.float64) for end in boxes[self.margins.logits])
        return self.margins.by_box(low, high, labels)

    def by_lines(self, boxes: Boxes, labels: np.ndarray, ball: Ball | None = None, *,
                 depth: int | None = None, guide: Guide | None = None) -> np.ndarray:
        """Bound them by going back ``depth`` operators (default: to the inputs); 1 merges the last layer's rows."""
        concretise = None if ball is None or depth is not None else ball.concretise(self.intervals)
        return self.linear.lower(self.margins.logits, self.margins.coefficients(labels), boxes, concretise, depth=depth,
                                 guide=guide)


@dataclass(frozen=True, eq=False)
class Verdicts:
    """What is known of n samples under one threat: each is certified, falsified or open.

    ``method`` int [n]: 0, or 1 + the place of the method that certifies; branch and bound comes after all others.
    ``falsified`` bool [n]: misclassified clean, or by the codes of ``point`` (all inputs, float32).
    """

    method: np.ndarray = field(repr=False)
    falsified: np.ndarray = field(repr=False)
    point: dict[str, np.ndarray] = field(repr=False)

    @property
    def certified(self) -> np.ndarray:
        """Bool [n]."""
        return np.asarray(self.method > 0)

    @property
    def open(self) -> np.ndarray:
        """Bool [n]: neither proof nor counterexample."""
        return np.asarray(~self.certified & ~self.falsified)


def verdicts(certifier: Certifier, batch: Batch, labels: np.ndarray, threat: Threat, *, steps: int = 20,
             seconds: float = 0.0, tick: Tick = lambda steps=1: None) -> Verdicts:
    """Certify or falsify the samples of ``batch`` (whole codes float32) under ``threat`` (in code units).

    PGD with ``steps`` steps on the twin looks for codes that falsify what is not certified. Then branch and bound has
    so many ``seconds`` for each sample that is open.
    """
    target = certifier.target
    assert target.grids is not None
    clean = ~misclassified(target.logits(batch), labels)
    method, falsified = np.zeros(len(labels), np.int64), ~clean
    point = {name: np.array(values) for name, values in batch.items()}
    right = np.flatnonzero(clean)
    tick(len(labels) - len(right))
    if len(right):
        method[right] = certifier.proved(Ball.of(threat, batch, target.grids).take(right), labels[right], tick)
    left = np.flatnonzero(clean & (method == 0))
    if len(left) and steps:
        found = PGD(steps=steps).run(target, {name: values[left] for name, values in batch.items()}, labels[left],
                                     threat.take(left), sample_ids=left, survivors_only=True)
        falsified[left] = found.broken
        for name in threat.attacked:
            point[name][left] = found.strongest[name]
    left = np.flatnonzero(~falsified & (method == 0))
    if seconds and len(left):
        balls = Ball.of(threat, batch, target.grids)
        for place in left:
            until = time.monotonic() + seconds
            proved, codes = Branching(certifier, balls.take(np.array([place])), int(labels[place]), until).run()
            method[place] = len(certifier.methods) + 1 if proved else 0
            falsified[place] = codes is not None
            for name, values in (codes or {}).items():
                point[name][place] = values[0]
    return Verdicts(method, falsified, point)


