"""A selection as plain values, for machines and for the report."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import numpy as np

from tinyfuse.core.statistics import wilson
from tinyfuse.search.criteria import CRITERIA, cost_table
from tinyfuse.search.groups import Unit, widths_of
from tinyfuse.search.rank import Comparison, Judged, front
from tinyfuse.search.select import Selection
from tinyfuse.search.study import PART


def to_json(found: Selection) -> dict[str, Any]:
    """``found`` as JSON values; accuracies are shares with their 95 % intervals."""
    study, settings = found.study, found.study.settings
    chosen = widths_of(study.units, found.chosen)
    return {
        "model": study.network.name, "network": study.network.sha256, "training_seed": study.seed,
        "data": {"name": study.dataset.name, "split": study.dataset.split, "checksum": study.dataset.checksum},
        "settings": asdict(settings), "budget": dict(found.budget.limits), "chosen": found.chosen.name,
        "recipe": found.chosen.to_table(), "file": found.path.name,
        "units": [{"name": unit.name, "branch": unit.branch, "weights": unit.weights, "bits": chosen[unit.name]}
                  for unit in study.units],
        "sensitivity": _sensitivity(found), "trials": _trials(found),
        PART: [_judged(one) for one in found.finalists], "test": [_judged(one) for one in found.tested],
        "comparisons": {part: [_comparison(one) for one in made] for part, made in found.comparisons.items()},
        "reasons": list(found.reasons)}


def _sensitivity(found: Selection) -> dict[str, Any]:
    """By criterion the costs of all parts at all widths."""
    study = found.study
    parts, widths = [Unit(part.name, (part,)) for part in study.parts], study.settings.widths
    measured, curved = (next(iter(rows.values())) for rows in (found.evidence.sensitivity, found.evidence.curvature))
    return {"parts": [part.name for part in parts], "branches": [part.branch for part in study.parts],
            "pairs": measured["n"], "attacked": measured["attacked"], "curvature_pairs": curved["n"],
            "widths": list(widths),
            "costs": {name: cost_table(name, parts, widths, found.evidence).tolist() for name in CRITERIA},
            "meaning": dict(CRITERIA)}


def _trials(found: Selection) -> list[dict[str, Any]]:
    judged = list(found.trials.values())
    best = front([(float(one.needs["flash"] or 0), one.score(found.study.settings.objective)[0]) for one in judged])
    return [{**_judged(one), "sources": list(found.candidates[one.name].sources),
             "recipe": found.candidates[one.name].precision.to_table(),
             "exceeded": found.budget.exceeded(one.needs), "front": mark}
            for one, mark in zip(judged, best, strict=True)]


def _judged(one: Judged) -> dict[str, Any]:
    return {"name": one.name, "needs": dict(one.needs), "clean": _accuracy(one.clean),
            "robust": {mode: _accuracy(correct) for mode, correct in one.robust.items()}, "weaker": one.weaker,
            "flags": [{"code": flag.code, "level": flag.level, "text": flag.text} for flag in one.flags]}


def _accuracy(correct: np.ndarray) -> dict[str, float]:
    low, high = wilson(int(np.sum(correct)), len(correct))
    return {"value": float(np.mean(correct)), "low": low, "high": high, "n": len(correct)}


def _comparison(one: Comparison) -> dict[str, Any]:
    return {**asdict(one), "significant": one.significant}
