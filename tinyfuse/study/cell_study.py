"""One suite or attack on one subject in one threat model: what decides its cells, and what is saved of each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from tinyfuse.attacks import Attack
from tinyfuse.attacks.profiles import Profile
from tinyfuse.attacks.suite import Cell, CellKey
from tinyfuse.core.files import load_arrays, save_arrays, sha256_hex
from tinyfuse.data import Batch, Input, Samples
from tinyfuse.study.rows import AttackSettings, OutcomeLog, Subject
from tinyfuse.threats.budgets import largest
from tinyfuse.threats.code_grid import Grids
from tinyfuse.threats.code_threats import code_problem
from tinyfuse.threats.masks import mask_text
from tinyfuse.threats.threat import Threat

Arrays = Mapping[str, np.ndarray]


@dataclass(frozen=True)
class PointFolder:
    """Cells by name as ``.npz`` files of ``folder``, so that every number can be judged again from what was fed."""

    folder: Path

    def __contains__(self, name: str) -> bool:
        return self._path(name).exists()

    def __getitem__(self, name: str) -> Arrays:
        return load_arrays(self._path(name), "broken", "rows")

    def __setitem__(self, name: str, arrays: Arrays) -> None:
        save_arrays(self._path(name), arrays)

    def _path(self, name: str) -> Path:
        return self.folder / f"{name}.npz"


@dataclass(frozen=True, eq=False)
class ThreatModel:
    """What an adversary may do at any budget: the ``norm``, the box of the ``inputs``, where a ``mask`` leaves it.

    ``world`` is the threat model of the rows: "real" for a float subject, "codes" (G) or "real" (R) for an integer one,
    whose ``grids`` are given then.
    """

    inputs: tuple[Input, ...]
    norm: str = "linf"
    world: str = "real"
    grids: Grids | None = None
    mask: Mapping[str, np.ndarray] = field(default_factory=dict)

    def threat(self, budget: Mapping[str, float]) -> Threat:
        """Return the threat of one ``budget`` in input units."""
        return Threat.of(self.inputs, budget, norm=self.norm, mask=self.mask)

    def problem(self, budget: Mapping[str, float], clean: Batch) -> tuple[Threat, Batch]:
        """Return the threat and the ``clean`` inputs in the units that a target takes: real values, or codes."""
        threat = self.threat(budget)
        return (threat, clean) if self.grids is None else code_problem(threat, clean, self.grids, self.world)


@dataclass(frozen=True, eq=False, kw_only=True)
class CellPlan:
    """``plan`` on ``samples``, in each of ``modes`` (by name: attacked inputs) at each budget: whatever is attacked.

    One of ``budgets`` gives the epsilon of every input that a mode attacks; its largest one names it in the key of a
    cell, so of two budgets one is smaller in every input. ``carried``: by cell, bool [n] of samples that are broken for
    another reason, such as a threat whose every input is legal here.
    """

    plan: Profile | Attack
    threat_model: ThreatModel
    modes: Mapping[str, tuple[str, ...]]
    budgets: tuple[Mapping[str, float], ...]
    samples: Samples
    carried: Mapping[CellKey, np.ndarray] = field(default_factory=dict)

    @property
    def attacks(self) -> tuple[Attack, ...]:
        """The attacks of the suite, or the one."""
        return self.plan.attacks if isinstance(self.plan, Profile) else (self.plan,)

    @cached_property
    def budget_of(self) -> dict[CellKey, dict[str, float]]:
        """The budget by attacked input of every cell: modes of fewer inputs first, budgets rising."""
        cells: dict[CellKey, dict[str, float]] = {}
        for mode, names in sorted(self.modes.items(), key=lambda item: len(item[1])):
            cells |= {(mode, largest(budget)): {name: float(budget[name]) for name in names}
                      for budget in sorted(self.budgets, key=largest)}
        return cells

    @property
    def keys(self) -> list[CellKey]:
        """All cells by mode and the largest epsilon of their budget on all inputs."""
        return list(self.budget_of)

    @cached_property
    def problem(self) -> tuple[list[Cell], Batch]:
        """The cells and the clean batch in the units that the target takes."""
        found = {key: self.threat_model.problem(budget, self.samples.inputs) for key, budget in self.budget_of.items()}
        return [Cell(*key, threat) for key, (threat, _) in found.items()], next(iter(found.values()))[1]

    @property
    def last_iterate(self) -> bool:
        """Whether a cell is about itself alone: nothing is united over budgets."""
        return not isinstance(self.plan, Profile) or self.plan.last_iterate

    def decisive(self, key: CellKey) -> list[CellKey]:
        """Find the cells that the outcome of one cell depends on: in a union all smaller budgets on no other input."""
        if self.last_iterate:
            return [key]
        attacked = set(self.modes[key[0]])
        return [other for other in self.keys if other[1] <= key[1] and set(self.modes[other[0]]) <= attacked]


@dataclass(frozen=True, eq=False, kw_only=True)
class CellStudy(CellPlan):
    """A plan against ``subject``; its rows go to ``log``. What is saved in ``points`` never changes.

    ``made_by`` and ``source`` name the models whose gradients are used, where they are not the subject alone.
    """

    subject: Subject
    log: OutcomeLog
    points: PointFolder | dict[str, Arrays]
    source: str = ""
    made_by: str = ""

    def digest(self, key: CellKey) -> str:
        """Hash everything that decides one cell: model, data, attacks, and what it takes over."""
        decisive = self.decisive(key)
        carried = [self.carried[cell].tobytes().hex() for cell in decisive if cell in self.carried]
        model, scope = self.threat_model, self.log.scope
        identity = (self.made_by or self.subject.sha256, scope.dataset.checksum, scope.part, repr(self.plan),
                    model.norm, model.world, mask_text(model.mask), len(self.samples),
                    [(mode, self.budget_of[mode, epsilon]) for mode, epsilon in decisive], carried)
        return sha256_hex(repr(identity).encode())

    def name(self, key: CellKey) -> str:
        """Return the name that one cell is saved under; the digest is part of it."""
        mode, epsilon = key
        what = f"{self.subject.model}__{self.subject.precision}__{self.plan.name}-{self.threat_model.world}"
        return f"{what}__{mode}__{epsilon!r}__{self.digest(key)[:12]}"

    def saved(self, key: CellKey) -> Arrays:
        """Load what is saved of one cell: broken, rows, the attacked inputs of these rows, verdicts by criterion."""
        return self.points[self.name(key)]

    def points_of(self, key: CellKey) -> dict[str, np.ndarray]:
        """Return for every sample what was made of it in this cell, in the units of the target.

        A sample that a smaller budget or fewer inputs broke was not attacked again: what broke it there stands here.
        """
        _, batch = self.problem
        names = self.modes[key[0]]
        point = {**batch, **{name: batch[name].copy() for name in names}}
        own, left = self.saved(key), np.ones(len(self.samples), bool)
        for held in (own, *(self.saved(other) for other in self.decisive(key) if other != key)):
            use = left[held["rows"]] if held is own else left[held["rows"]] & held["broken"][held["rows"]]
            for name in set(names) & held.keys():
                point[name][held["rows"][use]] = held[name][use]
            left[held["rows"][use]] = False
        return point

    def settings(self, key: CellKey, criterion: str, attack: Attack | None = None) -> AttackSettings:
        """Return the row settings of one ``attack`` of the plan in one cell, or of the suite together.

        The step of an attack is the one really made, in input units; None where inputs differ.
        """
        if attack is None:
            assert isinstance(self.plan, Profile)
            most = max(getattr(one, "steps", 1) for one in self.attacks)
            described: dict[str, Any] = {"name": self.plan.name, "steps": most}
        else:
            scale = {name: grid.scale for name, grid in (self.threat_model.grids or {}).items()}
            lengths = {size * scale.get(name, 1.0) for name, size in self.step_lengths(key, attack).items()}
            step = {"step_size": lengths.pop() if len(lengths) == 1 else None} if lengths else {}
            described = attack.settings() | step
        return AttackSettings(
            profile=self.plan.name if isinstance(self.plan, Profile) else "", attack=described, criterion=criterion,
            source=self.source or self.subject.precision, norm=self.threat_model.norm, budget=self.budget_of[key],
            threat=self.threat_model.world, mask=mask_text(self.threat_model.mask))

    def step_lengths(self, key: CellKey, attack: Attack) -> dict[str, float]:
        """Return the step of ``attack`` by input in the units of the target; empty if it has none of one length."""
        threat = next(cell.threat for cell in self.problem[0] if cell.key == key)
        return dict(attack.step_lengths(threat, self.threat_model.grids))
