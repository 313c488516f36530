"""The codes that an adversary can reach from clean ones: a box for each input, and inside it balls of a length."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from tinyfuse.analyses.certificates.intervals import Intervals
from tinyfuse.analyses.certificates.linear import Concretise, size_loss, summed
from tinyfuse.analyses.certificates.rules import Box
from tinyfuse.core.errors import UsageError
from tinyfuse.data.samples import Batch
from tinyfuse.threats.code_grid import Grids
from tinyfuse.threats.code_threats import box_ends
from tinyfuse.threats.threat import Threat

LENGTHS = ("l2", "l2-joint")


@dataclass(frozen=True, eq=False)
class Ball:
    """Integer ``boxes`` [n, ...] of every input by name; an input that is not attacked has its clean codes.

    ``lengths``: in L2 norms the largest length of the change by attacked input, in codes; ``joint``: they share one.
    ``clean``: whole codes float32.
    """

    boxes: Mapping[str, Box]
    clean: Batch
    lengths: Mapping[str, float] = field(default_factory=dict)
    joint: bool = False

    @classmethod
    def of(cls, threat: Threat, clean: Batch, grids: Grids) -> Ball:
        """Enclose what ``threat``, in code units, allows from ``clean``; masked places keep their code.

        UsageError for clean codes outside the threat's box: no ball around them says what it allows.
        """
        threat.check(clean)
        boxes = {}
        for name, grid in grids.items():
            codes = clean[name].astype(np.int32)
            if name not in threat.budget:
                boxes[name] = codes, codes
                continue
            low, high = (np.broadcast_to(end, codes.shape) for end in box_ends(threat, name, clean))
            boxes[name] = (np.clip(np.ceil(low), grid.low, grid.high).astype(np.int32),
                           np.clip(np.floor(high), grid.low, grid.high).astype(np.int32))
        lengths = dict(threat.budget) if threat.norm.name in LENGTHS else {}
        return cls(boxes, clean, lengths, threat.norm.name == "l2-joint")

    def take(self, rows: np.ndarray) -> Ball:
        """Return the balls of some samples."""
        return Ball({name: (low[rows], high[rows]) for name, (low, high) in self.boxes.items()},
                    {name: values[rows] for name, values in self.clean.items()}, self.lengths, self.joint)

    def minimiser(self, coefficients: Batch) -> Batch:
        """Return where in the balls the sum of ``coefficients`` [n, ...] times codes is least, not in whole codes."""
        if not self.lengths:
            return {name: np.where(found > 0, *self.boxes[name]).astype(np.float64)
                    for name, found in coefficients.items()}
        free = {name: found * self._may_move(name) * self.lengths.get(name, 0.0)
                for name, found in coefficients.items()}
        squares = {name: (found.reshape(len(found), -1) ** 2).sum(axis=1) for name, found in free.items()}
        if self.joint:
            squares = dict.fromkeys(squares, np.sum(list(squares.values()), axis=0))
        moved = {}
        for name, found in free.items():
            length = np.sqrt(squares[name]).reshape(-1, *[1] * (found.ndim - 1)) + 1e-300
            moved[name] = self.clean[name] - self.lengths.get(name, 0.0) * found / length
        return moved

    def inside(self, points: Batch) -> tuple[Batch, np.ndarray]:
        """Return whole codes float32 near ``points``, towards the clean ones, and bool [n]: they lie in the balls."""
        codes = {name: np.clip(self.clean[name] + np.trunc(points.get(name, self.clean[name]) - self.clean[name]),
                               *ends).astype(np.float32) for name, ends in self.boxes.items()}
        count = len(next(iter(codes.values())))
        lengths = {name: np.linalg.norm((codes[name] - self.clean[name]).reshape(count, -1).astype(np.float64), axis=1)
                   / length for name, length in self.lengths.items() if length}
        if not lengths:
            return codes, np.ones(count, bool)
        every = np.stack(list(lengths.values()))
        return codes, (np.linalg.norm(every, axis=0) if self.joint else every.max(axis=0)) <= 1

    def _may_move(self, name: str) -> np.ndarray:
        """Tell which codes need not be the clean ones: bool [n, ...]; a box may hold one code that is another."""
        low, high = self.boxes[name]
        return np.asarray((low < high) | (low != self.clean[name]))

    def concretise(self, intervals: Intervals) -> Concretise | None:
        """Return how the lengths bound coefficients of the inputs: clean value minus length times their L2 norm.

        None in an L-inf ball, which the boxes describe exactly.
        """
        if not self.lengths:
            return None
        names = {index: name for name, index in intervals.twin.inputs.items()}

        def least(coefficients: dict[int, np.ndarray]) -> np.ndarray:
            total, squares = np.zeros(()), np.zeros(())
            for index, found in coefficients.items():
                name = names[index]
                clean = self.clean[name].astype(np.float64)
                total = total + summed(found * clean[:, None]) - size_loss(found, (clean, clean))
                free = self._may_move(name)[:, None]
                length = self.lengths.get(name, 0.0) * np.sqrt(summed((found * free) ** 2)) * (1 + 1e-9)
                squares = squares + length**2 if self.joint else squares
                total = total if self.joint else total - length
            return np.asarray(total - np.sqrt(squares) * (1 + 1e-9))

        return least


def check_budget_covers(threat: Threat, grids: Grids) -> None:
    """Raise UsageError for a budget that covers the whole range of an input: nothing is left to tell classes by."""
    for name, reach in threat.budget.items():
        span = grids[name].high - grids[name].low
        if reach >= span and not threat.mask.get(name, np.ones(1)).min() == 0:
            raise UsageError(f"the budget of '{name}' covers all of its {span + 1} codes: every sample could become "
                             "every other; give a smaller budget")
