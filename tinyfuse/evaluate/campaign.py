"""One suite of attacks on one subject in one threat model: saved cell by cell, turned into rows, resumable."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from tinyfuse.attacks import Batch, DifferentiableTarget, Threat, code_problem
from tinyfuse.attacks.profiles import Entry, Profile
from tinyfuse.attacks.suite import Cell, CellKey, CellOutcome, run_suite
from tinyfuse.evaluate.rows import Attacked, Scope, Subject, outcome_key, outcome_row
from tinyfuse.files import load_arrays, save_arrays, sha256_hex
from tinyfuse.results import ResultStore, Row


@dataclass(frozen=True, eq=False)
class Campaign:
    """``profile`` against ``subject`` on n samples ``clean`` (real inputs by name) with ``labels``.

    ``modes``: attacked modalities by name. ``threat`` names the threat model of the rows: "real" for a float subject,
    "codes" (G) or "real" (R) for an integer one, whose ``grids`` are given then.
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

    def real_threat(self, key: CellKey) -> Threat:
        """The threat of one cell in input units."""
        mode, epsilon = key
        return Threat(self.norm, dict.fromkeys(self.modes[mode], epsilon))

    @property
    def keys(self) -> list[CellKey]:
        """All cells: single modalities first, budgets rising."""
        modes = sorted(self.modes, key=lambda mode: len(self.modes[mode]))
        return [(mode, epsilon) for mode in modes for epsilon in sorted(self.epsilons)]

    def problem(self) -> tuple[list[Cell], Batch]:
        """The cells and the clean batch in the units that the target takes: real values, or codes."""
        threats = {key: self.real_threat(key) for key in self.keys}
        if self.grids is None:
            return [Cell(*key, threat) for key, threat in threats.items()], self.clean
        found = {key: code_problem(threat, self.clean, self.grids, self.threat) for key, threat in threats.items()}
        return [Cell(*key, threat) for key, (threat, _) in found.items()], next(iter(found.values()))[1]

    def path(self, key: CellKey) -> Path:
        """Where the inputs of one cell are saved; a digest of model and data is part of the name."""
        identity = " ".join(map(str, (self.subject.sha256, self.scope.dataset.checksum, self.profile, self.norm,
                                      len(self.labels))))
        mode, epsilon = key
        name = f"{self.subject.model}__{self.subject.precision}__{self.profile.name}-{self.threat}__{mode}__{epsilon!r}"
        return self.folder / f"{name}__{sha256_hex(identity.encode())[:12]}.npz"


def run_campaign(campaign: Campaign, target: DifferentiableTarget, store: ResultStore, *,
                 carried: Mapping[CellKey, np.ndarray] | None = None,
                 tick: Callable[[str], None] = lambda note: None) -> dict[CellKey, np.ndarray]:
    """Bring ``campaign`` to its end from wherever it stands; return the union flags "broken" bool [n] of each cell."""
    known = {key: load_arrays(campaign.path(key))["broken"] for key in campaign.keys if campaign.path(key).exists()}
    if len(known) < len(campaign.keys):
        cells, batch = campaign.problem()
        began = time.monotonic()
        for outcome in run_suite(target, batch, campaign.labels, cells, campaign.profile, known=known, carried=carried,
                                 tick=tick):
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
    _, batch = campaign.problem()
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
    return [outcome_row(outcome_key(campaign.subject, campaign.scope, settings, n, campaign.subject.sha256),
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
    return attacked_by(entry, "last-iterate" if campaign.profile.last_iterate else "any-iterate", common)


def attacked_by(entry: Entry, criterion: str, common: Mapping[str, Any]) -> Attacked:
    """The row settings of one attack: ``common`` holds modality, budgets and threat."""
    given = entry.parameters
    iterated = "steps" in given
    epsilon = float(common["epsilon"])
    usual = 2.5 * epsilon / int(given["steps"]) if iterated else epsilon
    size = float(given.get("step_size", usual))
    return Attacked(attack=entry.attack, criterion=criterion, loss=str(given.get("loss", "cross-entropy")),
                    steps=int(given.get("steps", 1)), step_size=min(size, epsilon),
                    random_start=bool(given.get("random_start", False)), restarts=int(given.get("restarts", 1)),
                    attack_seed=int(given.get("seed", 0)), **common)
