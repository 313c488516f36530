"""The attacks of a sweep done by workers, before the sweep comes to them and finds their cells saved.

A task is one model in one precision under one suite, in one threat model and one mode, at all its budgets: what is
united needs the modes of fewer inputs first, and threat model R what was found in G. Rows are written by the sweep,
from what is saved, as if it had made it: the same ones in the same order.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from tinyfuse.attacks.profiles import Profile
from tinyfuse.core.console import progress
from tinyfuse.core.errors import RecipeError, TinyfuseError
from tinyfuse.core.workers import Bundle, Task, Workers
from tinyfuse.integer.model import load_model
from tinyfuse.quantize.minmax import simulate
from tinyfuse.study.cell_study import CellStudy
from tinyfuse.study.network_attacks import NetworkAttacks, rounded
from tinyfuse.study.rows import KERAS_BATCH, Subject
from tinyfuse.study.stages.cell_task import CellOrder, Cells, FloatForm, IntegerForm, attack_cells_of
from tinyfuse.study.stages.convert import IntegerFile
from tinyfuse.study.stages.rejudge import clean_path, threshold
from tinyfuse.study.worst_case import FLOAT, FLOAT_EXECUTOR, INTEGER_EXECUTOR

Identity = tuple[str, str, str, str, str]
"""Network, precision, suite, threat model, mode."""


@dataclass(frozen=True, eq=False)
class CellJob:
    """The cells of ``study`` in ``mode``, on the file ``model``, which a worker opens by its ``form``.

    ``after``: jobs that must have been done. ``study`` is made when they are.
    """

    identity: Identity
    after: frozenset[Identity]
    study: Callable[[], CellStudy]
    mode: str
    form: FloatForm | IntegerForm
    model: Path | Bundle
    clean: Path

    def task(self, study: CellStudy, threads: int) -> Task:
        """Return the task that does those cells that are not saved."""
        known = {key: study.saved(key)["broken"] for key in study.keys if study.name(key) in study.points
                 and set(study.modes[key[0]]) <= set(study.modes[self.mode])}
        assert isinstance(study.plan, Profile)
        order = CellOrder(self.mode, self.form, study.plan, study.threat_model, study.modes, study.budgets,
                          study.carried, known, threads)
        return _do, (self.identity, order, self.model, self.clean)


def _do(identity: Identity, order: CellOrder, model: Path, clean: Path) -> tuple[Identity, Cells | None]:
    return identity, attack_cells_of(order, model, clean)


def attack_ahead(models: Sequence[tuple[NetworkAttacks, Sequence[IntegerFile]]], workers: Workers) -> None:
    """Have ``workers`` do all cells of ``models``, each network with its integer files, that are not saved.

    What cannot be attacked is left out, with all that would have come after it; large models begin first.
    """
    jobs = [job for attacks, files in models for job in jobs_of(attacks, files)]
    jobs.sort(key=lambda job: -_size(job.model))
    with progress("attacking on workers", len(jobs)) as advance:
        queue = _Queue({job.identity: job for job in jobs}, 0 if workers.away else _threads(workers, len(jobs)))
        while queue.waiting:
            for identity, cells in workers.start(queue.tasks(wait=workers.away)):
                queue.ended(identity, cells)
                advance(note=" ".join(identity))
            queue.forget()


@dataclass(eq=False)
class _Queue:
    """Jobs that ``wait`` for others or for a worker, and those that are done."""

    waiting: dict[Identity, CellJob]
    threads: int
    done: set[Identity] = field(default_factory=set)
    studies: dict[Identity, CellStudy] = field(default_factory=dict)

    def tasks(self, *, wait: bool) -> Iterator[Task | None]:
        """Yield the tasks of jobs that can be done; with ``wait`` None while those wait for what runs."""
        while self.waiting:
            self.forget()
            ready = next((job for job in self.waiting.values() if job.after <= self.done), None)
            if ready is None:
                if not wait or not self.waiting:
                    return
                yield None
                continue
            del self.waiting[ready.identity]
            study = ready.study()
            if all(study.name(key) in study.points for key in study.keys if key[0] == ready.mode):
                self.done.add(ready.identity)
                continue
            self.studies[ready.identity] = study
            yield ready.task(study, self.threads)

    def ended(self, identity: Identity, cells: Cells | None) -> None:
        """Save the ``cells`` of a job."""
        study = self.studies[identity]
        for key, arrays in cells or ():
            study.points[study.name(key)] = arrays
        if cells is not None:
            self.done.add(identity)
        del self.studies[identity]  # last: another thread asks what may still come

    def forget(self) -> None:
        """Drop the jobs that wait for what will never be done."""
        coming = self.done | self.waiting.keys() | self.studies.keys()
        while lost := [name for name, job in self.waiting.items() if not job.after <= coming]:
            for name in lost:
                del self.waiting[name]
            coming -= {*lost}


def jobs_of(attacks: NetworkAttacks, files: Sequence[IntegerFile]) -> Iterator[CellJob]:
    """Yield all jobs of one network: its float form, its integer files, and the recipes that are rounded in float."""
    run, network = attacks.run, attacks.network
    form = FloatForm(network.name, run.dataset.inputs, network.inputs, network.classes, network.table,
                     min(KERAS_BATCH, run.matrix.attack_samples))
    beside = network.path.with_suffix(".toml")
    stored = Bundle(network.path, (beside,) if beside.is_file() else ())
    yield from _float_jobs(attacks, Subject.of(network, FLOAT, FLOAT_EXECUTOR, network.sha256), form, stored)
    for recipe in run.matrix.recipes_for(network.input_names):
        if recipe.scheme == "minmax":
            try:
                yield from _float_jobs(attacks, Subject.simulated(network, recipe), replace(form, recipe=recipe),
                                       stored)
            except RecipeError:  # that does not fit; the sweep says so
                continue
    for file in files:
        model = load_model(file.path)
        subject, form_there = file.subject(network, INTEGER_EXECUTOR), IntegerForm(threshold(run, file))
        for study in attacks.attacked(*attacks.studies(subject, model.grids)):
            yield from _jobs(study, form_there, file.path, clean_path(run, len(study.samples)))
            if attacks.is_rounded(study.plan):
                yield from _jobs(study, form_there, file.path, clean_path(run, len(study.samples)), again=True)


def _float_jobs(attacks: NetworkAttacks, subject: Subject, form: FloatForm, stored: Bundle) -> Iterator[CellJob]:
    network = attacks.network
    model = network.model if form.recipe is None else simulate(network, form.recipe)
    try:
        form = replace(form, threshold=getattr(attacks.float_target(model), "threshold", None))
    except TinyfuseError:  # the sweep says so
        return
    for study in attacks.attacked(*attacks.studies(subject, None)):
        yield from _jobs(study, form, stored, clean_path(attacks.run, len(study.samples)))


def _jobs(study: CellStudy, form: FloatForm | IntegerForm, model: Path | Bundle, clean: Path, *,
          again: bool = False) -> Iterator[CellJob]:
    """Yield the jobs of ``study``, a mode each; ``again``: in threat model R, after it."""
    def identity(mode: str, world: str) -> Identity:
        return study.subject.model, study.subject.precision, study.plan.name, world, mode

    world = "R" if again else "G"
    for mode, names in study.modes.items():
        fewer = {identity(other, world) for other, inside in study.modes.items() if set(inside) < set(names)}
        first = {identity(mode, "G")} if again else set()
        yield CellJob(identity(mode, world), frozenset(first | (set() if study.last_iterate else fewer)),
                      (lambda: rounded(study)) if again else (lambda: study), mode, form, model, clean)


def _size(model: Path | Bundle) -> int:
    """Return the bytes of a model, by which jobs are ordered."""
    path: Any = model.path if isinstance(model, Bundle) else model
    return int(path.stat().st_size)


def _threads(workers: Workers, jobs: int) -> int:
    """Return how many threads each of several processes of this machine gets."""
    return max(1, len(os.sched_getaffinity(0)) // max(1, min(workers.jobs, jobs)))
