"""One suite of attacks on one subject in one threat model: saved cell by cell, turned into rows, resumable."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from tinyfuse.attacks import Batch, DifferentiableTarget, Threat, code_problem
from tinyfuse.attacks.profiles import Entry, Profile
from tinyfuse.attacks.steps import step_sizes
from tinyfuse.attacks.suite import Cell, CellKey, CellOutcome, run_suite
from tinyfuse.core.files import load_arrays, save_arrays, sha256_hex
from tinyfuse.core.results import ResultStore, Row
from tinyfuse.study.rows import Attacked, Scope, Subject, outcome_key, outcome_row


@dataclass(frozen=True, eq=False)
class Campaign:
    """``profile`` against ``subject`` on n samples ``clean`` (real inputs by name) with ``labels``.

    ``modes``: attacked modalities by name. ``threat`` names the threat model of the rows: "real" for a float subject,
    "codes" (G) or "real" (R) for an integer one, whose ``grids`` are given then. ``carried``: by cell, bool [n] of
    samples that are broken for another reason, such as a threat whose every input is legal here.
    """

    subject: Subject
    scope: Scope
    profile: Profile
    modes: Mapping[str, tuple[str, ...]]
    epsilons: tuple[float, ...]
    norm: str
    clean: Mapping[str, np.ndarray] = field(repr=False)
    labels: np.ndarray = field(repr=False)
    folder: Path
    threat: str = "real"
    grids: Mapping[str, Any] | None = field(default=None, repr=False)
    carried: Mapping[CellKey, np.ndarray] = field(default_factory=dict, repr=False)

    def real_threat(self, key: CellKey) -> Threat:
        """The threat of one cell in input units."""
        mode, epsilon = key
        return Threat(self.norm, dict.fromkeys(self.modes[mode], epsilon))

    @property
    def keys(self) -> list[CellKey]:
        """All cells: single modalities first, budgets rising."""
        modes = sorted(self.modes, key=lambda mode: len(self.modes[mode]))
        return [(mode, epsilon) for mode in modes for epsilon in sorted(self.epsilons)]

    @cached_property
    def problem(self) -> tuple[list[Cell], Batch]:
        """The cells and the clean batch in the units that the target takes: real values, or codes."""
        threats = {key: self.real_threat(key) for key in self.keys}
        if self.grids is None:
            return [Cell(*key, threat) for key, threat in threats.items()], self.clean
        found = {key: code_problem(threat, self.clean, self.grids, self.threat) for key, threat in threats.items()}
        return [Cell(*key, threat) for key, (threat, _) in found.items()], next(iter(found.values()))[1]

    def decisive(self, key: CellKey) -> list[CellKey]:
        """The cells that the outcome of one cell depends on: in a union all smaller budgets on no other modality."""
        if self.profile.last_iterate:
            return [key]
        attacked = set(self.modes[key[0]])
        return [(mode, epsilon) for mode, epsilon in self.keys
                if epsilon <= key[1] and set(self.modes[mode]) <= attacked]

    def digest(self, key: CellKey) -> str:
        """Hexadecimal SHA-256 of everything that decides one cell: model, data, attacks, and what it takes over."""
        decisive = self.decisive(key)
        carried = [self.carried[cell].tobytes().hex() for cell in decisive if cell in self.carried]
        identity = (self.subject.sha256, self.scope.dataset.checksum, self.scope.part, repr(self.profile), self.norm,
                    self.threat, len(self.labels), [self.modes[mode] for mode, _ in decisive], decisive, carried)
        return sha256_hex(repr(identity).encode())

    def path(self, key: CellKey) -> Path:
        """Where the inputs of one cell are saved; the digest is part of the name."""
        mode, epsilon = key
        name = f"{self.subject.model}__{self.subject.precision}__{self.profile.name}-{self.threat}__{mode}__{epsilon!r}"
        return self.folder / f"{name}__{self.digest(key)[:12]}.npz"


def run_campaign(campaign: Campaign, target: DifferentiableTarget, store: ResultStore, *,
                 tick: Callable[[str], None] = lambda note: None) -> dict[CellKey, np.ndarray]:
    """Bring ``campaign`` to its end from wherever it stands; return the union flags "broken" bool [n] of each cell."""
    known = {key: load_arrays(campaign.path(key))["broken"] for key in campaign.keys if campaign.path(key).exists()}
    if len(known) < len(campaign.keys):
        cells, batch = campaign.problem
        began = time.monotonic()
        for outcome in run_suite(target, batch, campaign.labels, cells, campaign.profile, known=known,
                                 carried=campaign.carried, tick=tick):
            _save(campaign, outcome, time.monotonic() - began)
            known[outcome.cell.key], began = outcome.broken, time.monotonic()
    for key in campaign.keys:
        for row in _rows(campaign, key):
            store.append(row)
    return known


def saved(campaign: Campaign, key: CellKey) -> dict[str, np.ndarray]:
    """What is saved of one cell: broken, rows, the attacked modalities of these rows, flags by attack."""
    return load_arrays(campaign.path(key))


def last_points(campaign: Campaign, key: CellKey) -> dict[str, np.ndarray]:
    """For every sample the latest input that the suite made in this mode at budgets up to this one; clean if none.

    In the units of the target: real values float32, or codes.
    """
    mode, epsilon = key
    _, batch = campaign.problem
    point = {name: batch[name].copy() for name in campaign.modes[mode]}
    for smaller in campaign.keys:
        if smaller[0] == mode and smaller[1] <= epsilon:
            held = saved(campaign, smaller)
            for name in point:
                point[name][held["rows"]] = held[name]
    return {**batch, **point}


def _save(campaign: Campaign, outcome: CellOutcome, seconds: float) -> None:
    kinds = {} if campaign.grids is None else {name: _code_type(grid) for name, grid in campaign.grids.items()}
    save_arrays(campaign.path(outcome.cell.key), {
        "broken": outcome.broken, "rows": outcome.rows.astype(np.int32),
        **{name: values.astype(kinds.get(name, np.float32)) for name, values in outcome.point.items()},
        **{f"by_{name}": flags for name, flags in outcome.by_attack.items()},
        "zero_gradient": outcome.zero_gradient, "queries": np.array(outcome.queries),
        "seconds": np.array(round(seconds, 3))})


def _code_type(grid: Any) -> Any:
    return np.int8 if grid.low >= -128 and grid.high <= 127 else np.int16


def _rows(campaign: Campaign, key: CellKey) -> list[Row]:
    held = saved(campaign, key)
    entries = {entry.name: entry for entry in campaign.profile.entries}
    measured = [(_attacked(campaign, key, entries[name[3:]]), ~flags) for name, flags in held.items()
                if name.startswith("by_")]
    if not campaign.profile.last_iterate:
        measured.insert(0, (_attacked(campaign, key, None), ~held["broken"]))
    n = len(campaign.labels)
    return [outcome_row(outcome_key(campaign.subject, campaign.scope, settings, n, campaign.digest(key)),
                        campaign.subject, campaign.scope, settings, correct, seconds=float(held["seconds"]),
                        zero_gradient_share=float(held["zero_gradient"].mean()),
                        queries=round(int(held["queries"]) / n))
            for settings, correct in measured]


def _attacked(campaign: Campaign, key: CellKey, entry: Entry | None) -> Attacked:
    """The row settings of one attack of the suite, or of the whole suite."""
    mode, epsilon = key
    budget = campaign.real_threat(key).epsilon
    common: dict[str, Any] = {
        "profile": campaign.profile.name, "source": campaign.subject.precision, "modality": mode,
        "norm": campaign.norm, "epsilon": epsilon, "epsilon_image": budget.get("image", 0.0),
        "epsilon_audio": budget.get("audio", 0.0), "threat": campaign.threat}
    if entry is None:
        steps = max(int(entry.parameters.get("steps", 1)) for entry in campaign.profile.entries)
        return Attacked(attack=campaign.profile.name, criterion="union", loss="", steps=steps, restarts=1, **common)
    given = entry.parameters
    criterion = "last-iterate" if campaign.profile.last_iterate else "any-iterate"
    return Attacked(attack=entry.attack, criterion=criterion, loss=str(given.get("loss", "cross-entropy")),
                    steps=int(given.get("steps", 1)), step_size=_step_size(campaign, key, entry),
                    random_start=bool(given.get("random_start", False)), restarts=int(given.get("restarts", 1)),
                    attack_seed=int(given.get("seed", 0)), **common)


def units_per_step(campaign: Campaign, key: CellKey, entry: Entry) -> dict[str, float]:
    """The step of ``entry`` by modality in the units that the target takes: codes of an integer model."""
    cells, _ = campaign.problem
    threat = next(cell.threat for cell in cells if cell.key == key)
    if "steps" not in entry.parameters:
        return dict(threat.epsilon)
    given = entry.parameters.get("step_size")
    return step_sizes(threat, int(entry.parameters["steps"]), None if given is None else float(given), campaign.grids)


def _step_size(campaign: Campaign, key: CellKey, entry: Entry) -> float | None:
    """The step really taken, in input units; None where modalities differ."""
    scale = {name: grid.scale for name, grid in (campaign.grids or {}).items()}
    sizes = {size * scale.get(name, 1.0) for name, size in units_per_step(campaign, key, entry).items()}
    return sizes.pop() if len(sizes) == 1 else None
