"""Inputs made for one network and judged on another: float to integer, integer to float, and between bit widths."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from tinyfuse.attacks import Target, misclassified, to_codes
from tinyfuse.attacks.suite import CellKey
from tinyfuse.core.results import ResultStore
from tinyfuse.study.campaign import Campaign, last_points
from tinyfuse.study.rows import Attacked, Subject, outcome_key, outcome_row
from tinyfuse.threats.audit import audit
from tinyfuse.threats.code_grid import InputGrid


@dataclass(frozen=True, eq=False)
class Judge:
    """A target that inputs are replayed on: real inputs without ``grids``, codes with them."""

    subject: Subject
    target: Target
    grids: Mapping[str, InputGrid] | None


def replay(source: Campaign, judge: Judge, store: ResultStore) -> None:
    """Judge what ``source`` made on ``judge``, cell by cell, within the same budget; append the rows that are missing.

    On an integer model the inputs count in threat model G: brought onto its grid inside the budget and audited.
    """
    for key in source.keys:
        settings = _attacked(source, key, "real" if judge.grids is None else "codes")
        row_key = outcome_key(judge.subject, source.scope, settings, len(source.labels), source.digest(key))
        if store.has(row_key):
            continue
        began, threat = time.monotonic(), source.real_threat(key)
        real = real_points(source, key)
        if judge.grids is None:
            audit(real, source.clean, threat)
            wrong = misclassified(judge.target.logits(real), source.labels)
        else:
            codes = to_codes(real, source.clean, threat, judge.grids)
            audit(codes, source.clean, threat, judge.grids)
            wrong = misclassified(judge.target.logits({name: values.astype(np.float32)
                                                       for name, values in codes.items()}), source.labels)
        store.append(outcome_row(row_key, judge.subject, source.scope, settings, ~wrong,
                                 seconds=time.monotonic() - began))


def real_points(source: Campaign, key: CellKey) -> dict[str, np.ndarray]:
    """Real inputs float32 of one cell; a change in codes becomes the same change in input units, inside the box."""
    points, threat = last_points(source, key), source.real_threat(key)
    if source.grids is None:
        return points
    real = dict(source.clean)
    for name in threat.modalities:
        grid = source.grids[name]
        change = (points[name] - grid.quantise(source.clean[name])) * np.float32(grid.scale)
        real[name] = source.clean[name] + change.astype(np.float32)
    return threat.project(real, source.clean)


def _attacked(source: Campaign, key: CellKey, threat: str) -> Attacked:
    mode, epsilon = key
    budget = source.real_threat(key).epsilon
    entries = source.profile.entries
    return Attacked(
        profile=source.profile.name, attack=entries[0].attack if len(entries) == 1 else source.profile.name,
        criterion="replayed", source=source.subject.precision, modality=mode, norm=source.norm, epsilon=epsilon,
        epsilon_image=budget.get("image", 0.0), epsilon_audio=budget.get("audio", 0.0),
        steps=max(int(entry.parameters.get("steps", 1)) for entry in entries), restarts=1, threat=threat)
