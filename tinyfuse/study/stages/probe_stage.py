"""The experiments of probes.py on one attacked subject of a sweep, as rows; what the store holds is not repeated."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from tinyfuse.attacks import DifferentiableTarget
from tinyfuse.checks.experiments import PROBES, Bench, measure
from tinyfuse.data import padding_mask
from tinyfuse.study.campaign import Campaign, units_per_step
from tinyfuse.study.rows import Subject, probe_key
from tinyfuse.study.run import Run


def probe(run: Run, subject: Subject, target: DifferentiableTarget, campaigns: Sequence[Campaign]) -> None:
    """Append the probe rows of ``subject`` that are missing.

    On the first samples of the first of ``campaigns`` (what was made on ``target``), at its largest budget on all
    modalities.
    """
    bench = _bench(run, target, campaigns)
    settings = {**bench.threat.describe(), "steps": bench.steps, "n": len(bench.labels), "part": run.scope.part,
                "shortest_step": bench.shortest_step, "data": run.dataset.checksum}

    keys = {name: probe_key(subject, run.seed, name, settings) for name in PROBES}
    for name, found in measure(bench, lambda name: run.store.has(keys[name])):
        run.store.append({
            "kind": "probe", "key": keys[name], "model": subject.model, "precision": subject.precision,
            "executor": subject.executor, "name": name, "value": found.value, "n": found.n, "detail": found.detail,
            "seed": run.seed, "data_checksum": run.dataset.checksum})


def _bench(run: Run, target: DifferentiableTarget, campaigns: Sequence[Campaign]) -> Bench:
    first = campaigns[0]
    rows = np.arange(min(run.matrix.probe_pairs, len(first.labels)))
    small = replace(first, clean={name: values[rows] for name, values in first.clean.items()},
                    labels=first.labels[rows], carried={})
    cells, batch = small.problem
    threat = max(cells, key=lambda cell: (len(cell.threat.modalities), cell.epsilon)).threat
    return Bench(target, batch, small.labels, run.judged(len(first.labels)).label[rows], threat, run.matrix.steps,
                 _shortest(campaigns), {"audio": 1 - padding_mask()})


def _shortest(campaigns: Sequence[Campaign]) -> float | None:
    """The shortest step of all iterated attacks, at budgets that are not 0; None if there is none."""
    steps = [size for campaign in campaigns for key in campaign.keys for entry in campaign.profile.entries
             if "steps" in entry.parameters for size in units_per_step(campaign, key, entry).values()]
    return min((size for size in steps if size > 0), default=None)
