"""A whole suite of attacks on one network or integer model at one budget, as rows."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np

from tinyfuse.attacks import Batch, KerasTarget, TwinTarget, misclassified
from tinyfuse.attacks.profiles import Profile
from tinyfuse.core.results import ResultStore
from tinyfuse.integer.interpreters import Interpreter
from tinyfuse.study.attack_one import MODES, Judge, Rows, Single, kept, same_codes
from tinyfuse.study.campaign import Campaign, run_campaign, saved
from tinyfuse.study.rows import CLEAN, Scope, Subject


def attack_suite(subject: Subject, target: KerasTarget | TwinTarget, suite: Profile, single: Single, *,
                 seed: int) -> Rows:
    """Run a whole suite on one model, in ``single``'s mode and in those that change fewer modalities.

    The clean row comes first. An integer model's inputs run on TFLite Micro as well.

    Raises:
        ParityError: an output code of TFLite Micro differs from the twin's.
    """
    clean, epsilon = single.clean(), max(single.threat.epsilon.values())
    modes = {name: names for name, names in MODES.items() if set(names) <= set(single.threat.modalities)}
    with tempfile.TemporaryDirectory() as folder:
        store = ResultStore(Path(folder) / "rows.jsonl")
        campaign = Campaign(subject, Scope(single.dataset, seed), suite, modes, (epsilon,), single.threat.norm,
                            clean.inputs, clean.label, Path(folder), single.domain if target.grids else "real",
                            target.grids)
        run_campaign(campaign, target, store)
        batch = single.problem(clean, target.grids)[1]
        points = _points(campaign, batch)
        unharmed = ~misclassified(target.logits(batch), clean.label)
        judge = Judge(subject, campaign.scope, single, subject.sha256)
        rows = Rows([judge.row(CLEAN, unharmed), *store.rows()], {"label": clean.label})
    model = target.model if isinstance(target, TwinTarget) else None
    for mode, (point, broken) in points.items():
        made = kept(target.inputs, point, clean.label, broken, model)
        if isinstance(target, TwinTarget):
            codes = {name: made[name].astype(np.int32) for name in target.inputs}
            same_codes(target, codes, Interpreter(target.model, "tflm").run(codes))
        rows.made |= {f"{mode}_{name}": values for name, values in made.items() if name != "label"}
    return rows


def _points(campaign: Campaign, batch: Batch) -> dict[str, tuple[Batch, np.ndarray]]:
    """By mode, what the suite made of ``batch``, and bool [n]: broken.

    A sample that is broken in a mode that changes less was not attacked again: what broke it there stands here.
    """
    points: dict[str, tuple[Batch, np.ndarray]] = {}
    cells = {key: saved(campaign, key) for key in campaign.keys}
    for key, own in cells.items():
        names = campaign.modes[key[0]]
        point = {**batch, **{name: batch[name].copy() for name in names}}
        left = np.ones(len(campaign.labels), bool)
        narrower = [held for other, held in cells.items() if set(campaign.modes[other[0]]) < set(names)]
        for held in (own, *narrower):
            use = left[held["rows"]] if held is own else left[held["rows"]] & held["broken"][held["rows"]]
            for name in set(names) & held.keys():
                point[name][held["rows"][use]] = held[name][use]
            left[held["rows"][use]] = False
        points[key[0]] = point, own["broken"]
    return points
