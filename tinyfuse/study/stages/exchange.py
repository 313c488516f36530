"""Inputs made for one network and judged on another: float to integer, integer to float, and between bit widths."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from tinyfuse.attacks import misclassified
from tinyfuse.attacks.suite import CellKey
from tinyfuse.data import Batch
from tinyfuse.study.cell_study import CellStudy
from tinyfuse.study.rows import Subject
from tinyfuse.threats.audit import audit
from tinyfuse.threats.code_grid import Grids
from tinyfuse.threats.code_threats import naive_codes, rounded_codes, to_codes
from tinyfuse.threats.threat import Threat


@dataclass(frozen=True, eq=False)
class Judge:
    """What inputs are replayed on: ``logits`` [n, k] of real inputs without ``grids``, of codes with them."""

    subject: Subject
    logits: Callable[[Batch], np.ndarray]
    grids: Grids | None = None


def replay(source: CellStudy, judge: Judge, world: str = "codes") -> list[str]:
    """Judge what ``source`` made on ``judge``, cell by cell, within the same budget; return the keys of the rows.

    Rows that are there already are not measured again. ``world``: threat model of the rows of an integer judge, see
    :func:`points_for`.
    """
    attacks, keys = source.attacks, []
    for key in source.keys:
        settings = replace(source.settings(key, "replayed", attacks[0] if len(attacks) == 1 else None),
                           threat="real" if judge.grids is None else world)
        keys.append(source.log.judge(judge.subject, settings, len(source.samples), source.digest(key),
                                     functools.partial(_correct, source, key, judge, world)))
    return keys


def _correct(source: CellStudy, key: CellKey, judge: Judge, world: str) -> np.ndarray:
    logits = judge.logits(points_for(source, key, judge.grids, world))
    return np.asarray(~misclassified(logits, source.samples.label))


def points_for(source: CellStudy, key: CellKey, grids: Grids | None, world: str = "codes") -> dict[str, np.ndarray]:
    """Return what ``source`` made in one cell, float32 by input, in the units of a model with ``grids``, or real ones.

    In the world "codes" (G) the inputs are brought onto the grid inside the budget and audited; in "real" (R) the
    device rounds them; in "naive" (N) they are rounded to the nearest code, which may leave the ball.
    """
    clean, threat = source.samples.inputs, source.threat_model.threat(source.budget_of[key])
    real = _real_points(source, key, threat)
    if grids is None:
        audit(real, clean, threat)
        return real
    if world == "codes":
        codes = to_codes(real, clean, threat, grids)
        audit(codes, clean, threat, grids)
    else:
        codes = rounded_codes(real, clean, threat, grids) if world == "real" else naive_codes(real, grids)
    return {name: values.astype(np.float32) for name, values in codes.items()}


def _real_points(source: CellStudy, key: CellKey, threat: Threat) -> dict[str, np.ndarray]:
    """Return real inputs float32 of one cell; a change in codes becomes the same in input units, inside the box."""
    points, grids, clean = source.points_of(key), source.threat_model.grids, source.samples.inputs
    if grids is None:
        return points
    real = dict(clean)
    for name in threat.attacked:
        change = (points[name] - grids[name].quantise(clean[name])) * np.float32(grids[name].scale)
        real[name] = clean[name] + change.astype(np.float32)
    return threat.project(real, clean)
