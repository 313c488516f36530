"""The threat model: which inputs may change, by how much in which norm, in which box, and where."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from tinyfuse.attacks.target import Batch
from tinyfuse.core.errors import UsageError, nearest
from tinyfuse.core.files import sha256_hex
from tinyfuse.threats.norms import BALLS, NORMS, SIZES

Bound = float | np.ndarray
LATTICE_SLACK = 2.0**-12
"""Doubt about a change of at most 65,535 codes in float32, far below one code."""


@dataclass(frozen=True, eq=False)
class Threat:
    """What the adversary may do to each sample.

    ``epsilon`` names the attacked modalities only; every modality has its own ball (L2: its own length per
    sample, not one length over both), in the units of the input. ``low`` and ``high`` bound every value: one
    number, or per modality a number or an array that broadcasts to the batch [n, 28, 28, 1]. ``mask`` holds per
    modality an array of 0 and 1 that broadcasts to [28, 28, 1]; 1 = attackable. ``lattice``: inputs are whole
    numbers (the codes of an integer model, see codes.py).

    Raises:
        UsageError: an unknown norm, an empty, negative or NaN budget, low >= high, a mask that is not 0/1
            or belongs to a modality without a budget.
    """

    norm: str
    epsilon: Mapping[str, float]
    low: float | Mapping[str, Bound] = field(default=0.0, repr=False)
    high: float | Mapping[str, Bound] = field(default=1.0, repr=False)
    mask: Mapping[str, np.ndarray] | None = field(default=None, repr=False)
    lattice: bool = False

    def __post_init__(self) -> None:
        if self.norm not in NORMS:
            raise UsageError(f"unknown norm '{self.norm}'{nearest(self.norm, NORMS)}; "
                             f"use one of {', '.join(NORMS)}")
        if not self.epsilon:
            raise UsageError("a threat without a budget attacks nothing; give epsilon={'image': 0.1}")
        for name, value in self.epsilon.items():
            if not (math.isfinite(value) and value >= 0):
                raise UsageError(f"epsilon of '{name}' is {value}; give a finite number >= 0")
        for name in self.epsilon:
            low, high = self.box(name)
            # The box of a single sample may be a point: no code within reach. Rows taken from a batch may be none.
            if not (np.all(low <= high) if np.ndim(low) or np.ndim(high) else low < high):
                raise UsageError(f"box of '{name}' from {np.max(low)} to {np.min(high)} is empty; give low < high")
        object.__setattr__(self, "epsilon", {name: float(value) for name, value in self.epsilon.items()})
        object.__setattr__(self, "mask", {name: self._mask(name, m) for name, m in (self.mask or {}).items()})

    def _mask(self, name: str, mask: np.ndarray) -> np.ndarray:
        if name not in self.epsilon:
            raise UsageError(f"mask for '{name}'{nearest(name, self.epsilon)}, which has no budget; "
                             f"attacked here: {', '.join(self.epsilon)}")
        values = np.array(mask, np.float32)
        if not np.isin(values, (0.0, 1.0)).all():
            raise UsageError(f"mask for '{name}' has values other than 0 and 1; "
                             "use 1 = attackable, 0 = fixed")
        return values

    def box(self, name: str) -> tuple[Bound, Bound]:
        """The lowest and highest values of input ``name``."""
        try:
            return (self.low[name] if isinstance(self.low, Mapping) else self.low,
                    self.high[name] if isinstance(self.high, Mapping) else self.high)
        except KeyError:
            raise UsageError(f"the threat attacks '{name}' but has no box for it; give low and high") from None

    def take(self, rows: np.ndarray) -> Threat:
        """The threat for some samples of the batch: only boxes of single samples change."""
        def some(bounds: float | Mapping[str, Bound]) -> float | Mapping[str, Bound]:
            if not isinstance(bounds, Mapping):
                return bounds
            return {name: bound[rows] if isinstance(bound, np.ndarray) and bound.ndim > 1 and len(bound) > 1 else bound
                    for name, bound in bounds.items()}

        return replace(self, low=some(self.low), high=some(self.high))

    @property
    def modalities(self) -> tuple[str, ...]:
        """The attacked inputs."""
        return tuple(self.epsilon)

    def attackable(self, name: str, shape: tuple[int, ...]) -> np.ndarray:
        """Return float32 of ``shape`` (one sample): 1 where modality ``name`` may change."""
        mask = (self.mask or {}).get(name, np.ones((), np.float32))
        try:
            return np.broadcast_to(mask, shape)
        except ValueError:
            raise UsageError(f"mask for '{name}' has shape {mask.shape}, which does not broadcast to one "
                             f"sample of shape {shape}") from None

    def masked(self, values: Batch) -> dict[str, np.ndarray]:
        """Return the attacked modalities of ``values`` with every protected coordinate set to 0."""
        return {name: values[name] * self.attackable(name, values[name].shape[1:])
                for name in self.modalities}

    def check(self, clean: Batch) -> None:
        """Raise UsageError unless every attacked modality is in ``clean``, float32 and inside the box."""
        for name in self.modalities:
            if name not in clean:
                raise UsageError(f"the threat attacks '{name}'{nearest(name, clean)}, but the batch holds "
                                 f"{', '.join(clean) or 'nothing'}")
            values = clean[name]
            if values.dtype != np.float32:
                raise UsageError(f"input '{name}' is {values.dtype}; convert it to float32")
            low, high = self.box(name)
            if not (np.all(values >= low) and np.all(values <= high)):
                raise UsageError(f"clean input '{name}' leaves the box [{np.min(low)}, {np.max(high)}] or is NaN; "
                                 "rescale the data or widen the box")
            if self.lattice and not np.array_equal(values, np.rint(values)):
                raise UsageError(f"clean input '{name}' holds fractions, but the threat is about whole codes")

    def boxed(self, name: str, values: np.ndarray) -> np.ndarray:
        """Clip ``values`` of input ``name`` to its box."""
        low, high = (np.asarray(bound, values.dtype) for bound in self.box(name))
        return np.asarray(np.clip(values, low, high))

    def project(self, adversarial: Batch, clean: Batch) -> dict[str, np.ndarray]:
        """Return ``adversarial`` brought into the mask, the ball around ``clean``, then the box.

        Protected coordinates return to their clean value; inputs that are not attacked are the very objects
        of ``clean``. Float32 rounding of clean + delta may leave the ball by an ulp, as in CleverHans'
        ``clip_eta``.
        """
        delta = self.masked({name: adversarial[name] - clean[name] for name in self.modalities})
        inside = {name: self.boxed(name, clean[name] + BALLS[self.norm](delta[name], self.epsilon[name]))
                  for name in self.modalities}
        return {**clean, **inside}

    def realise(self, point: Batch, clean: Batch) -> dict[str, np.ndarray]:
        """What the target sees of a projected ``point``: on a lattice the change, truncated to whole numbers.

        Truncation lets no coordinate and so no norm grow. The nudge keeps a change of k at k where float32 made it
        0.9999999 k, except in samples that it would take out of the ball. Whole points are returned as they are.
        """
        if not self.lattice:
            return dict(point)
        whole = {}
        for name in self.modalities:
            change = point[name] - clean[name]
            moved = np.trunc(change + np.copysign(np.float32(LATTICE_SLACK), change))
            outside = SIZES[self.norm](moved) > self.epsilon[name]
            moved[outside] = np.trunc(change[outside])
            whole[name] = clean[name] + moved.astype(clean[name].dtype)
        return {**point, **whole}

    def describe(self) -> dict[str, str | float | bool]:
        """Return a flat table for a results row: norm, box, one epsilon per modality, a digest per mask."""
        budgets = {f"epsilon_{name}": value for name, value in self.epsilon.items()}
        masks = {f"mask_{name}": sha256_hex(repr(mask.shape).encode() + mask.tobytes())[:12]
                 for name, mask in (self.mask or {}).items()}
        bounds = {} if isinstance(self.low, Mapping) or isinstance(self.high, Mapping) else {
            "low": self.low, "high": self.high}
        return {"norm": self.norm, "lattice": self.lattice, **bounds, **budgets, **masks}
