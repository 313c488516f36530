"""The threat model: which inputs may change, by how much in which norm, in which box, and where."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from tinyfuse.core.errors import UsageError, nearest
from tinyfuse.core.files import sha256_hex
from tinyfuse.data.samples import Batch, Input
from tinyfuse.threats.norm import GRADIENT_FLOOR, Norm
from tinyfuse.threats.norms import norm_of
from tinyfuse.threats.random_draws import generator

Bound = float | np.ndarray
LATTICE_SLACK = 2.0**-12
"""Doubt about a change of at most 65,535 codes in float32, far below one code."""


@dataclass(frozen=True, eq=False)
class Threat:
    """What the adversary may do to each sample.

    ``budget``: epsilon by attacked input, each of which has its own ball (L2: its own length per sample); in the norm
    "l2-joint" they share one, in units of their epsilons. ``box``: by
    attacked input its lowest and highest values, numbers or arrays that broadcast to the batch [n, ...]. ``mask``: by
    input an array of 0 and 1 that broadcasts to one sample; 1 = attackable. ``lattice``: inputs are whole numbers, the
    codes of an integer model (see code_threats.py). An unknown norm, an empty, negative or NaN budget, low >= high, and
    a mask that is not 0/1 or belongs to an input without a budget are UsageErrors.
    """

    norm: Norm
    budget: Mapping[str, float]
    box: Mapping[str, tuple[Bound, Bound]] = field(repr=False)
    mask: Mapping[str, np.ndarray] = field(default_factory=dict, repr=False)
    lattice: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "norm", norm_of(self.norm))
        if not self.budget:
            raise UsageError("a threat without a budget attacks nothing; give an epsilon for at least one input")
        for name, value in self.budget.items():
            if not (math.isfinite(value) and value >= 0):
                raise UsageError(f"epsilon of '{name}' is {value}; give a finite number >= 0")
            if name not in self.box:
                raise UsageError(f"the threat attacks '{name}' but has no box for it; give low and high")
            low, high = self.box[name]
            # The box of one sample may be a point: no code within reach. Rows taken from a batch may be none.
            if not (np.all(low <= high) if np.ndim(low) or np.ndim(high) else low < high):
                raise UsageError(f"box of '{name}' from {np.max(low)} to {np.min(high)} is empty; give low < high")
        object.__setattr__(self, "budget", {name: float(value) for name, value in self.budget.items()})
        object.__setattr__(self, "mask", {name: self._checked(name, mask) for name, mask in (self.mask or {}).items()})

    @classmethod
    def of(cls, inputs: Sequence[Input], budget: Mapping[str, float], norm: str | Norm = "linf",
           mask: Mapping[str, np.ndarray] | None = None) -> Threat:
        """Build the threat on real-valued ``inputs``, whose ranges of values are the boxes."""
        ranges = {one.name: (one.low, one.high) for one in inputs}
        for name in budget:
            if name not in ranges:
                raise UsageError(f"the threat attacks '{name}'{nearest(name, ranges)}; the inputs are "
                                 f"{', '.join(ranges)}")
        return cls(norm_of(norm), budget, {name: ranges[name] for name in budget}, mask or {})

    def _checked(self, name: str, mask: np.ndarray) -> np.ndarray:
        if name not in self.budget:
            raise UsageError(f"mask for '{name}'{nearest(name, self.budget)}, which has no budget; "
                             f"attacked here: {', '.join(self.budget)}")
        values = np.array(mask, np.float32)
        if not np.isin(values, (0.0, 1.0)).all():
            raise UsageError(f"mask for '{name}' has values other than 0 and 1; use 1 = attackable, 0 = fixed")
        return values

    def take(self, rows: np.ndarray) -> Threat:
        """Return the threat for some samples of the batch: only boxes that differ by sample change."""
        def some(bound: Bound) -> Bound:
            return bound[rows] if isinstance(bound, np.ndarray) and bound.ndim > 1 and len(bound) > 1 else bound

        return replace(self, box={name: (some(low), some(high)) for name, (low, high) in self.box.items()})

    @property
    def attacked(self) -> tuple[str, ...]:
        """Names of the attacked inputs."""
        return tuple(self.budget)

    def attackable(self, name: str, shape: tuple[int, ...]) -> np.ndarray:
        """Return float32 of ``shape`` (one sample): 1 where input ``name`` may change."""
        mask = self.mask.get(name, np.ones((), np.float32))
        try:
            return np.broadcast_to(mask, shape)
        except ValueError:
            raise UsageError(f"mask for '{name}' has shape {mask.shape}, which does not broadcast to one "
                             f"sample of shape {shape}") from None

    def masked(self, values: Batch) -> dict[str, np.ndarray]:
        """Return the attacked inputs of ``values`` with every protected coordinate set to 0."""
        return {name: values[name] * self.attackable(name, values[name].shape[1:]) for name in self.attacked}

    def check(self, clean: Batch) -> None:
        """Raise UsageError unless every attacked input is in ``clean``, float32 and inside the box."""
        for name in self.attacked:
            if name not in clean:
                raise UsageError(f"the threat attacks '{name}'{nearest(name, clean)}, but the batch holds "
                                 f"{', '.join(clean) or 'nothing'}")
            values = clean[name]
            if values.dtype != np.float32:
                raise UsageError(f"input '{name}' is {values.dtype}; convert it to float32")
            low, high = self.box[name]
            if not (np.all(values >= low) and np.all(values <= high)):
                raise UsageError(f"clean input '{name}' leaves the box [{np.min(low)}, {np.max(high)}] or is NaN; "
                                 "rescale the data or widen the box")
            if self.lattice and not np.array_equal(values, np.rint(values)):
                raise UsageError(f"clean input '{name}' holds fractions, but the threat is about whole codes")

    def boxed(self, name: str, values: np.ndarray) -> np.ndarray:
        """Clip ``values`` of input ``name`` to its box."""
        low, high = (np.asarray(bound, values.dtype) for bound in self.box[name])
        return np.asarray(np.clip(values, low, high))

    def project(self, adversarial: Batch, clean: Batch) -> dict[str, np.ndarray]:
        """Return ``adversarial`` brought into the mask, the ball around ``clean``, then the box.

        Inputs that are not attacked are the very objects of ``clean``. Float32 rounding of clean + delta may leave the
        ball by an ulp, as in CleverHans' ``clip_eta``.
        """
        delta = self.masked({name: adversarial[name] - clean[name] for name in self.attacked})
        return {**clean, **{name: self.boxed(name, clean[name] + change)
                            for name, change in self.norm.shrunk(delta, self.budget).items()}}

    def ascend(self, point: Batch, gradient: Batch, lengths: Mapping[str, float],
               floor: float = GRADIENT_FLOOR) -> dict[str, np.ndarray]:
        """Return ``point`` moved by ``lengths`` along the gradient's steepest direction and clipped to the box.

        The mask is applied before normalising, so an L2 step spends its whole length on attackable coordinates.
        """
        masked = self.masked({name: gradient[name].astype(point[name].dtype) for name in self.attacked})
        moved = {name: self.boxed(name, point[name] + np.asarray(lengths[name], point[name].dtype) * direction)
                 for name, direction in self.norm.directions(masked, self.budget, floor).items()}
        return {**point, **moved}

    def realise(self, point: Batch, clean: Batch) -> dict[str, np.ndarray]:
        """Return what the target sees of a projected ``point``: on a lattice the change, truncated to whole numbers.

        Truncation lets no coordinate and so no norm grow. The nudge keeps a change of k at k where float32 made it
        0.9999999 k, except in samples that it would take out of the ball. Whole points are returned as they are.
        """
        if not self.lattice:
            return dict(point)
        change = {name: point[name] - clean[name] for name in self.attacked}
        moved = {name: np.trunc(values + np.copysign(np.float32(LATTICE_SLACK), values))
                 for name, values in change.items()}
        for name, outside in self.norm.beyond(moved, self.budget).items():
            moved[name][outside] = np.trunc(change[name][outside])
        return {**point, **{name: clean[name] + values.astype(clean[name].dtype) for name, values in moved.items()}}

    def random_point(self, clean: Batch, *, seed: int, sample_ids: np.ndarray,
                     restart: int = 0) -> dict[str, np.ndarray]:
        """Return ``clean`` moved to a uniformly random point of the ball of each attacked input, then projected.

        The point depends on (seed, sample id, input, restart) alone: batching, order and, in balls that are not joint,
        the other inputs change nothing; the direction is the same for every epsilon. ``sample_ids``: int [n], >= 0.
        """
        masks = {name: self.attackable(name, clean[name].shape[1:]) for name in self.attacked}
        units = [self.norm.draws({name: generator(seed, int(sample), name, restart) for name in masks}, masks)
                 for sample in sample_ids]
        moved = {name: clean[name] + np.float32(self.budget[name]) * np.stack([unit[name] for unit in units])
                 for name in masks}
        return self.project({**clean, **moved}, clean)

    def describe(self) -> dict[str, str | float | bool]:
        """Return a flat table for the key of a row: norm, budget and fixed box by input, a digest per mask."""
        budgets = {f"budget_{name}": value for name, value in self.budget.items()}
        bounds = {f"{end}_{name}": bound for name in self.attacked
                  for end, bound in zip(("low", "high"), self.box[name], strict=True) if isinstance(bound, float | int)}
        masks = {f"mask_{name}": sha256_hex(repr(mask.shape).encode() + mask.tobytes())[:12]
                 for name, mask in self.mask.items()}
        return {"norm": self.norm.name, "lattice": self.lattice, **bounds, **budgets, **masks}
