"""The attack stage: every cell attacked once, saved, and turned into rows; then the experiments of the checks."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from tinyfuse.attacks import DIVA, Attack, DifferentiableTarget, SampleAttack, misclassified
from tinyfuse.attacks.profiles import Profile
from tinyfuse.attacks.suite import Cell, CellKey, run_suite
from tinyfuse.attacks.universal import OneForAll
from tinyfuse.attacks.universal import judge as judge_delta
from tinyfuse.checks.experiments import ProbeSubject, measure
from tinyfuse.core.results import row_key
from tinyfuse.study.cell_study import Arrays, CellPlan, CellStudy
from tinyfuse.study.rows import SAMPLE_SEED
from tinyfuse.study.run import Run
from tinyfuse.threats.audit import audit

Tick = Callable[[str], None]
_SEPARATOR = "__"
"""Between the criterion of a verdict and the title of its attack, in the names of saved arrays."""


def attack_cells(study: CellStudy, target: DifferentiableTarget, *, beside: DifferentiableTarget | None = None,
                 tick: Tick = lambda note: None) -> None:
    """Bring ``study`` to its end from wherever it stands, on ``target`` (and ``beside`` it, for attacks on two models).

    Every cell is saved as soon as it is known; then its rows are written.
    """
    known = {key: study.saved(key)["broken"] for key in study.keys if study.name(key) in study.points}
    if len(known) < len(study.keys):
        for key, found in _timed(_results(study, target, beside, known, tick)):
            study.points[study.name(key)], known[key] = found, found["broken"]
    for key in study.keys:
        _write_rows(study, key, study.saved(key))


def suite_results(cells: CellPlan, target: DifferentiableTarget, known: Mapping[CellKey, np.ndarray],
                  modes: Collection[str]) -> Iterator[tuple[CellKey, dict[str, np.ndarray]]]:
    """Find what is to be saved of those cells of a suite in ``modes`` that are not ``known``.

    What a cell depends on must be known, or in ``modes`` as well.
    """
    return _timed(_suite_results(cells, target, known, modes=modes))


def code_types(cells: CellPlan) -> dict[str, Any]:
    """Return the integer type by input that holds its codes; empty for a target of real values."""
    grids = cells.threat_model.grids or {}
    return {name: np.int8 if grid.low >= -128 and grid.high <= 127 else np.int16 for name, grid in grids.items()}


def _write_rows(study: CellStudy, key: CellKey, held: Arrays) -> None:
    attacks = {attack.title: attack for attack in study.attacks}
    share = float(held["zero_gradient"].mean()) if "zero_gradient" in held else None
    for name, broken in held.items():
        criterion, separator, title = name.partition(_SEPARATOR)
        if separator:
            study.log.write(study.subject, study.settings(key, criterion, attacks.get(title)), study.digest(key),
                            ~broken, seconds=float(held["seconds"]), queries=int(held["queries"]),
                            zero_gradient_share=share)


def _results(study: CellStudy, target: DifferentiableTarget, beside: DifferentiableTarget | None,
             known: dict[CellKey, np.ndarray], tick: Tick) -> Iterator[tuple[CellKey, dict[str, np.ndarray]]]:
    """Find what is to be saved of the cells that are not ``known``."""
    plan = study.plan
    if isinstance(plan, Profile):
        yield from _suite_results(study, target, known, tick=tick)
        return
    for cell in study.problem[0]:
        if cell.key not in known:
            tick(f"{cell.mode} {cell.epsilon:g}")
            if isinstance(plan, OneForAll):
                yield cell.key, _universal_result(study, plan, target, cell)
            else:
                yield cell.key, _attack_result(study, plan, target, beside, cell)


def _timed(found: Iterable[tuple[CellKey, dict[str, np.ndarray]]]) -> Iterator[tuple[CellKey, dict[str, np.ndarray]]]:
    """Add to each cell the seconds that it took."""
    began = time.monotonic()
    for key, arrays in found:
        yield key, {**arrays, "seconds": np.array(round(time.monotonic() - began, 3))}
        began = time.monotonic()


def _suite_results(cells: CellPlan, target: DifferentiableTarget, known: Mapping[CellKey, np.ndarray], *,
                   modes: Collection[str] | None = None,
                   tick: Tick = lambda note: None) -> Iterator[tuple[CellKey, dict[str, np.ndarray]]]:
    suite, (all_cells, batch) = cells.plan, cells.problem
    assert isinstance(suite, Profile)
    criterion = "last-iterate" if suite.last_iterate else "any-iterate"
    for found in run_suite(target, batch, cells.samples.label, all_cells, suite, known=known, carried=cells.carried,
                           modes=modes, tick=tick):
        verdicts = {} if suite.last_iterate else {("union", ""): found.broken}
        verdicts |= {(criterion, title): flags for title, flags in found.by_attack.items()}
        yield found.cell.key, _arrays(cells, found.broken, found.point, verdicts, found.queries, found.rows,
                                      zero_gradient=found.zero_gradient)


def _attack_result(study: CellStudy, attack: Attack, target: DifferentiableTarget, beside: DifferentiableTarget | None,
                   cell: Cell) -> dict[str, np.ndarray]:
    """Run one attack in full, on every sample; one on two models is judged by ``target`` alone."""
    batch, label = study.problem[1], study.samples.label
    if isinstance(attack, DIVA):
        assert beside is not None
        found = attack.run(target, batch, label, cell.threat, beside=beside)
        broken = misclassified(target.logits(found.strongest), label)
        verdicts = {("any-iterate", attack.title): broken}
    else:
        assert isinstance(attack, SampleAttack)
        found = attack.run(target, batch, label, cell.threat)
        broken = found.broken
        verdicts = {("any-iterate", attack.title): broken, ("last-iterate", attack.title): found.broken_last}
        audit(found.last, batch, cell.threat)
    audit(found.strongest, batch, cell.threat)
    point = {name: found.strongest[name] for name in cell.threat.attacked}
    return _arrays(study, broken, point, verdicts, found.queries, zero_gradient=found.zero_gradient)


def _universal_result(study: CellStudy, attack: OneForAll, target: DifferentiableTarget,
                      cell: Cell) -> dict[str, np.ndarray]:
    """Make one perturbation on training samples and judge it on those of the study."""
    learnt = study.log.scope.dataset.train.balanced(attack.train_samples, seed=SAMPLE_SEED)
    threat, training = study.threat_model.problem(study.budget_of[cell.key], learnt.inputs)
    found = attack.run(target, training, learnt.label, threat)
    verdict = judge_delta(target, study.problem[1], study.samples.label, cell.threat, found.delta)
    queries = round(found.queries / len(learnt)) * len(study.samples)
    return _arrays(study, verdict.broken, {name: verdict.point[name] for name in cell.threat.attacked},
                   {("replayed", attack.title): verdict.broken}, queries, train_samples=np.array(len(learnt)),
                   train_accuracy=np.mean(~found.verdict.broken), fooling_rate=np.array(verdict.fooling_rate),
                   **{f"delta_{name}": values for name, values in found.delta.items()})


def _arrays(cells: CellPlan, broken: np.ndarray, point: Mapping[str, np.ndarray],
            verdicts: Mapping[tuple[str, str], np.ndarray], queries: int, rows: np.ndarray | None = None,
            **more: Any) -> dict[str, np.ndarray]:
    """Return what is saved of a cell: ``point`` holds the attacked inputs of ``rows`` (default: of all samples).

    ``verdicts``: bool [n], broken, by criterion and title of the attack; ``queries`` are those of all samples.
    """
    kinds, n = code_types(cells), len(cells.samples)
    return {"broken": broken, "rows": (np.arange(n) if rows is None else rows).astype(np.int32),
            **{name: values.astype(kinds.get(name, np.float32)) for name, values in point.items()},
            **{_SEPARATOR.join(name): flags for name, flags in verdicts.items()},
            "queries": np.array(round(queries / n)), **{name: np.asarray(value) for name, value in more.items()}}


def probe(run: Run, target: DifferentiableTarget, studies: Sequence[CellStudy]) -> None:
    """Append the missing probe rows of the subject of ``studies``, which were made on ``target``.

    On the first samples of the first of ``studies``, at its largest budget on all inputs.
    """
    subject, probed = studies[0].subject, _probe_subject(run, target, studies)
    settings = {**probed.threat.describe(), "steps": probed.steps, "n": len(probed.labels), "part": run.part,
                "shortest_step": probed.shortest_step, "data": run.dataset.checksum}

    def key(name: str) -> str:
        return row_key({"kind": "probe", **vars(subject), "seed": run.seed, "name": name, "settings": settings})

    for name, found in measure(probed, lambda name: run.store.has(key(name))):
        run.store.append({
            "kind": "probe", "key": key(name), "model": subject.model, "precision": subject.precision,
            "executor": subject.executor, "name": name, "value": found.value, "n": found.n, "detail": found.detail,
            "seed": run.seed, "data_checksum": run.dataset.checksum})


def _probe_subject(run: Run, target: DifferentiableTarget, studies: Sequence[CellStudy]) -> ProbeSubject:
    first = studies[0]
    rows = np.arange(min(run.matrix.probe_samples, len(first.samples)))
    small = replace(first, samples=first.samples.take(rows), carried={})
    cells, batch = small.problem
    threat = max(cells, key=lambda cell: (len(cell.threat.attacked), cell.epsilon)).threat
    padding = {one.name: 1 - one.valid_mask() for one in first.threat_model.inputs if one.valid}
    steps = [size for study in studies for key in study.keys for attack in study.attacks if attack.iterative
             for size in study.step_lengths(key, attack).values()]
    return ProbeSubject(target, batch, small.samples.label, run.judged(len(first.samples)).label[rows], threat,
                        run.matrix.steps, min((size for size in steps if size > 0), default=None), padding)
