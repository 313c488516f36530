"""A suite of attacks over modes and budgets, with every short cut that leaves the answer as it is.

Robust means: correct when clean, and broken by no attack of the suite at any budget up to this one, nor in a mode that
changes fewer modalities (union semantics). So a sample broken at a smaller budget, or by one modality alone, is not
attacked again: its perturbation is legal here too. One gradient serves the fast gradient method at all budgets and
in all modes. Suites that count the last iterate alone allow no short cut and run in full.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tinyfuse.attacks.adversarial import Adversarial, misclassified
from tinyfuse.attacks.audit import audit
from tinyfuse.attacks.fgsm import one_step
from tinyfuse.attacks.guards import check_request, checked_gradient, checked_logits
from tinyfuse.attacks.profiles import Entry, Profile
from tinyfuse.attacks.registry import ITERATIVE, attack
from tinyfuse.attacks.steps import zero_gradient
from tinyfuse.attacks.target import Batch, DifferentiableTarget, Gradient
from tinyfuse.attacks.threat import Threat

CellKey = tuple[str, float]


@dataclass(frozen=True, eq=False)
class Cell:
    """One mode (image, audio, both) at one budget; ``threat`` is in the units of the target's inputs."""

    mode: str
    epsilon: float
    threat: Threat = field(repr=False)

    @property
    def key(self) -> CellKey:
        """What names the cell."""
        return self.mode, self.epsilon


@dataclass(frozen=True, eq=False)
class CellOutcome:
    """What the suite did in one cell, for n samples.

    ``broken`` bool [n]: the union. ``rows`` int [m]: the samples attacked here, the others being broken already;
    ``point`` holds for these the attacked modalities of what broke them, or else of the last attempt. ``by_attack``:
    flags bool [n] of attacks that ran on every sample; ``zero_gradient`` bool [n] at the clean point; ``queries``:
    gradients and forward passes spent.
    """

    cell: Cell
    broken: np.ndarray = field(repr=False)
    rows: np.ndarray = field(repr=False)
    point: dict[str, np.ndarray] = field(repr=False)
    by_attack: dict[str, np.ndarray] = field(repr=False)
    zero_gradient: np.ndarray = field(repr=False)
    queries: int


def run_suite(target: DifferentiableTarget, batch: Batch, labels: np.ndarray, cells: Sequence[Cell],
              profile: Profile, *, known: Mapping[CellKey, np.ndarray] | None = None,
              carried: Mapping[CellKey, np.ndarray] | None = None,
              tick: Callable[[str], None] = lambda note: None) -> Iterator[CellOutcome]:
    """Yield the outcome of each of ``cells`` that is not ``known``, by mode as given and rising budget.

    ``known``: union flags bool [n] of cells that an earlier, interrupted call finished. ``carried``: flags bool [n]
    of samples that are broken in a cell for another reason, such as a threat whose every input is legal here.
    Every adversarial input is audited before it counts.
    """
    labels = np.asarray(labels)
    check_request(target, batch, labels, [cell.threat for cell in cells])
    found = dict(known or {})
    order = [cell.mode for cell in cells]
    waiting = sorted((cell for cell in cells if cell.key not in found),
                     key=lambda cell: (len(cell.threat.modalities), order.index(cell.mode), cell.epsilon))
    if not waiting:
        return
    suite = _Suite(target, batch, labels, profile, misclassified(checked_logits(target, batch, labels), labels),
                   checked_gradient(target, batch, labels, tuple(dict.fromkeys(
                       name for cell in waiting for name in cell.threat.modalities))))
    modalities = {cell.mode: set(cell.threat.modalities) for cell in cells}
    for cell in waiting:
        tick(f"{cell.mode} {cell.epsilon:g}")
        if profile.last_iterate:
            outcome = suite.in_full(cell)
        else:
            broken = [flags for (mode, epsilon), flags in found.items()
                      if epsilon <= cell.epsilon and modalities.get(mode, {"?"}) <= modalities[cell.mode]]
            if carried and cell.key in carried:
                broken.append(carried[cell.key])
            outcome = suite.survivors(cell, broken)
        found[cell.key] = outcome.broken
        yield outcome


@dataclass(frozen=True, eq=False)
class _Suite:
    """One target and batch; ``wrong``: misclassified when clean; ``gradient``: at the clean point."""

    target: DifferentiableTarget
    batch: Batch
    labels: np.ndarray
    profile: Profile
    wrong: np.ndarray
    gradient: Gradient

    def in_full(self, cell: Cell) -> CellOutcome:
        """Every attack on every sample; only last iterates count."""
        broken, by_attack, queries = self.wrong.copy(), {}, 0
        point = {name: self.batch[name].copy() for name in cell.threat.modalities}
        for entry in self.profile.entries:
            found = self._attack(entry, cell, np.arange(len(self.labels)))
            audit(found.last, self.batch, cell.threat)
            by_attack[entry.name] = found.broken_last
            for name in point:
                chosen = found.broken_last | ~broken
                point[name][chosen] = found.last[name][chosen]
            broken, queries = broken | found.broken_last, queries + found.queries
        return CellOutcome(cell, broken, np.arange(len(broken)), point, by_attack, self._zero(cell), queries)

    def survivors(self, cell: Cell, carried: Sequence[np.ndarray]) -> CellOutcome:
        """Each attack only on what is not broken yet."""
        before = np.logical_or.reduce([self.wrong, *carried])
        rows, broken, by_attack, queries = np.flatnonzero(~before), before.copy(), {}, 0
        point = {name: self.batch[name].copy() for name in cell.threat.modalities}
        for entry in self.profile.entries:
            one_step_only = entry.attack == "fgsm"
            left = np.arange(len(broken)) if one_step_only else np.flatnonzero(~broken)
            if not len(left):
                break
            found = self._attack(entry, cell, left)
            audit(found.strongest, {name: values[left] for name, values in self.batch.items()}, cell.threat.take(left))
            if one_step_only:
                by_attack[entry.name] = found.broken
            fresh = ~broken[left]
            for name in point:
                point[name][left[fresh]] = found.strongest[name][fresh]
            broken[left] |= found.broken
            queries += found.queries
        return CellOutcome(cell, broken, rows, {name: values[rows] for name, values in point.items()}, by_attack,
                           self._zero(cell), queries)

    def _attack(self, entry: Entry, cell: Cell, rows: np.ndarray) -> Adversarial:
        everything = len(rows) == len(self.labels)
        batch = self.batch if everything else {name: values[rows] for name, values in self.batch.items()}
        threat = cell.threat if everything else cell.threat.take(rows)
        parameters: dict[str, Any] = dict(entry.parameters)
        if entry.attack == "fgsm":
            return one_step(self.target, batch, self.labels[rows], threat, self.gradient)
        if "step_size" in parameters:
            parameters["step_size"] = self._step_sizes(float(parameters["step_size"]), threat)
        if entry.attack in ITERATIVE:
            parameters["survivors_only"] = not self.profile.last_iterate
        return attack(entry.attack, self.target, batch, self.labels[rows], [threat], sample_ids=rows, **parameters)[0]

    def _step_sizes(self, size: float, threat: Threat) -> dict[str, float]:
        """A step in input units for each modality, in whole codes (at least one) where the threat is about codes."""
        grids = self.target.grids
        sizes = {name: float(max(1, grids[name].budget(size))) if threat.lattice and grids else size
                 for name in threat.modalities}
        return {name: min(size, threat.epsilon[name]) for name, size in sizes.items()}

    def _zero(self, cell: Cell) -> np.ndarray:
        return zero_gradient(self.gradient.wrt, cell.threat)
