"""All attacks of a sweep on one network: its float form, each integer form, each rounded form, and replays."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from tinyfuse.attacks import FGSM, PGD, Attack, KerasTarget, misclassified
from tinyfuse.attacks.profiles import Profile
from tinyfuse.attacks.suite import CellKey
from tinyfuse.attacks.targets import anomaly
from tinyfuse.attacks.targets.anomaly import IntegerTarget
from tinyfuse.checks.gating import ATTACK_STAGE
from tinyfuse.core.errors import DataError, ParityError, RecipeError, TinyfuseError
from tinyfuse.core.faults import log_fault
from tinyfuse.core.files import sha256_hex
from tinyfuse.data import Samples
from tinyfuse.integer.model import load_model
from tinyfuse.nn.network import Network
from tinyfuse.quantize.minmax import simulate
from tinyfuse.study.cell_study import CellStudy, PointFolder, ThreatModel
from tinyfuse.study.rows import CLEAN, KERAS_BATCH, Subject, failed_row
from tinyfuse.study.run import Run
from tinyfuse.study.stages.alone import probe_alone
from tinyfuse.study.stages.attack import Tick, attack_cells, probe
from tinyfuse.study.stages.convert import IntegerFile
from tinyfuse.study.stages.examples import write_examples
from tinyfuse.study.stages.exchange import Judge, replay
from tinyfuse.study.stages.rejudge import Pending, pending_parity, write_samples
from tinyfuse.study.worst_case import FLOAT, FLOAT_EXECUTOR, INTEGER_EXECUTOR
from tinyfuse.threats.budgets import spread
from tinyfuse.threats.code_grid import Grids
from tinyfuse.threats.code_threats import covers
from tinyfuse.threats.modes import modes_of


@contextmanager
def failing(run: Run, network: Network, precision: str) -> Iterator[None]:
    """Turn what makes the figures of one subject worthless, a fault of ours included, into a failed row."""
    try:
        yield
    except (DataError, ParityError, OSError):
        raise
    except TinyfuseError as error:
        run.store.append(failed_row(run.log.scope, network.name, precision, ATTACK_STAGE, str(error)))
    except Exception as error:
        run.store.append(failed_row(run.log.scope, network.name, precision, ATTACK_STAGE, log_fault(error, run.folder)))


@dataclass(frozen=True, eq=False)
class Attacked:
    """A subject after the attacks in its own units (G of an integer model); ``source`` is replayed on other models."""

    target: KerasTarget | IntegerTarget
    studies: list[CellStudy]
    source: CellStudy


@dataclass(frozen=True)
class NetworkAttacks:
    """All attacks that the matrix of ``run`` asks for on ``network``: its float form and each integer form."""

    run: Run
    network: Network

    @property
    def suites(self) -> list[Profile]:
        """The profiles that count, and perhaps "raw": FGSM and one PGD in full on few samples, uncarried."""
        raw = Profile("raw", (FGSM(), PGD(steps=self.run.matrix.steps)), last_iterate=True)
        return [*self.run.matrix.suites(), *([raw] if self.run.matrix.raw_samples else [])]

    @property
    def transfer(self) -> Profile:
        """What is replayed on other models: the literature's protocol if it runs anyway, or a full PGD."""
        full = [suite for suite in self.run.matrix.suites() if suite.last_iterate]
        return full[0] if full else Profile("transfer", (PGD(steps=self.run.matrix.steps),), last_iterate=True)

    def studies(self, subject: Subject, grids: Grids | None) -> tuple[list[CellStudy], CellStudy]:
        """Return the studies of all suites against ``subject``, and the one whose inputs are replayed."""
        return [self.study(subject, suite, grids) for suite in self.suites], self.study(subject, self.transfer, grids)

    def attacked(self, studies: Sequence[CellStudy], source: CellStudy) -> list[CellStudy]:
        """Return what has to be attacked of :meth:`studies`, each once.

        A suite that skips what is broken already leaves no inputs for those samples: replays need one in full.
        """
        needed = [source] if source.subject.precision in self.run.matrix.transfer_from else []
        return [*{study.plan.name: study for study in (*studies, *needed)}.values()]

    def is_rounded(self, suite: Profile | Attack) -> bool:
        """Tell whether ``suite`` runs on integer models in threat model R as well."""
        asked = "real" in self.run.matrix.threats and self.run.matrix.norm == "linf"
        return asked and isinstance(suite, Profile) and not suite.last_iterate

    def cells(self, precision: str) -> int:
        """Count modes times budgets over all studies of the network in ``precision``, threat model R included."""
        matrix = self.run.matrix
        replayed = precision in matrix.transfer_from and self.transfer not in self.suites
        again = [suite for suite in matrix.suites() if precision != FLOAT and self.is_rounded(suite)]
        full = (len(matrix.suites()) + replayed + len(again)) * len(matrix.epsilons)
        raw = len(matrix.raw_epsilons or matrix.epsilons) if matrix.raw_samples else 0
        return len(modes_of(self.network.input_names)) * (full + raw)

    def attack_all(self, files: Sequence[IntegerFile], tick: Tick) -> list[Pending]:
        """Attack everything with its own gradients in threat model G, then replay, then attack in threat model R."""
        run, network, work = self.run, self.network, list[Pending]()
        subject, target = Subject.of(network, FLOAT, FLOAT_EXECUTOR, network.sha256), self.float_target(network.model)
        found: dict[str, Attacked] = {}
        with failing(run, network, FLOAT):
            found[FLOAT] = self._attack(subject, target, tick)
        for file in files:
            with failing(run, network, file.recipe.name):
                found[file.recipe.name] = self._attack(file.subject(network, INTEGER_EXECUTOR),
                                                       anomaly.twin_target(load_model(file.path), run.dataset), tick)
        self._replay(found, Judge(subject, target.logits))
        for file in files:
            if file.recipe.name in found:
                with failing(run, network, file.recipe.name):
                    attacked = found[file.recipe.name]
                    work += self._parity_runs(file, attacked, self._attack_rounded(attacked, tick))
        return work

    def attack_simulations(self) -> None:
        """Attack recipes that only exist as a float simulation (scheme ``minmax``) white-box as floats."""
        run, network = self.run, self.network
        for recipe in run.matrix.recipes_for(network.input_names):
            if recipe.scheme != "minmax":
                continue
            try:
                target = self.float_target(simulate(network, recipe))
            except RecipeError as error:
                run.store.append(failed_row(run.log.scope, network.name, recipe.name, "simulate", str(error)))
                continue
            with failing(run, network, recipe.name):
                self._attack(Subject.simulated(network, recipe), target)

    def show_examples(self, files: Sequence[IntegerFile]) -> None:
        """Save for each input what an attack on it looks like: on 8 bits, or else on the first integer model."""
        suites = [suite for suite in self.run.matrix.suites() if not suite.last_iterate]
        for file in sorted(files, key=lambda file: file.recipe.name != "w8")[:1] if suites else ():
            twin = anomaly.twin_target(load_model(file.path), self.run.dataset)
            study = self.study(file.subject(self.network, INTEGER_EXECUTOR), suites[0], twin.grids)
            if all(study.name(key) in study.points for key in study.keys):
                write_examples(self.run, study, self.float_target(self.network.model), twin, self.network.classes)

    def float_target(self, model: Any) -> KerasTarget:
        """Open a ``tf_keras`` model with the inputs and outputs of the network, to be attacked."""
        return anomaly.float_target(replace(self.network, model=model), self.run.dataset,
                            batch_size=min(KERAS_BATCH, self.run.matrix.attack_samples))

    def study(self, subject: Subject, suite: Profile, grids: Grids | None) -> CellStudy:
        """Set up ``suite`` against ``subject`` on this run's samples, in codes (G) where there are ``grids``."""
        run, matrix, names = self.run, self.run.matrix, self.network.input_names
        count, epsilons = matrix.attack_samples, matrix.epsilons
        if suite.name == "raw":
            count, epsilons = matrix.raw_samples, matrix.raw_epsilons or epsilons
        threats = ThreatModel(self.network.inputs, matrix.norm, "real" if grids is None else "codes", grids)
        return CellStudy(plan=suite, threat_model=threats, modes=modes_of(names),
                         budgets=tuple(spread(one, names) for one in epsilons), samples=run.judged(count),
                         subject=subject, log=run.log, points=PointFolder(run.samples))

    def _attack(self, subject: Subject, target: KerasTarget | IntegerTarget,
                tick: Tick = lambda note: None) -> Attacked:
        """Judge clean samples, run every suite on ``target``, and probe it."""
        self._judge_clean(subject, target)
        probe_alone(self.run.log, subject, target, self.run.judged(self.run.matrix.attack_samples))
        studies, source = self.studies(subject, target.grids)
        for study in self.attacked(studies, source):
            attack_cells(study, target, tick=lambda note: tick(f"{subject.model} {subject.precision} {note}"))
        if self.run.matrix.probe_samples:
            probe(self.run, target, studies)
        return Attacked(target, studies, source)

    def _judge_clean(self, subject: Subject, target: KerasTarget | IntegerTarget) -> None:
        """Judge as many clean samples as are attacked, as the matrix wants, and of a float network all."""
        counts = {self.run.matrix.attack_samples, self.run.matrix.clean_samples}
        for count in sorted(counts if target.grids else {*counts, len(self.run.everything)}):
            samples = self.run.judged(count)
            self.run.log.judge(subject, CLEAN, len(samples), self.network.sha256,
                               functools.partial(_correct, target, samples))

    def _replay(self, found: Mapping[str, Attacked], float_judge: Judge) -> None:
        """Judge what was made for each source of the matrix on all other models."""
        judges = {FLOAT: float_judge} | {name: Judge(one.source.subject, one.target.logits, one.target.grids)
                                         for name, one in found.items()}
        for source in self.run.matrix.transfer_from:
            for name, judge in judges.items():
                if source in found and name != source:
                    replay(found[source].source, judge)

    def _attack_rounded(self, attacked: Attacked, tick: Tick) -> list[CellStudy]:
        """Run every suite in threat model R on what it did not break in G with inputs that are legal in R as well."""
        found, subject = list[CellStudy](), attacked.source.subject
        for study in attacked.studies:
            if not self.is_rounded(study.plan):
                continue
            wider = rounded(study)
            attack_cells(wider, attacked.target,
                         tick=lambda note: tick(f"{subject.model} {subject.precision} R {note}"))
            found.append(wider)
        return found

    def _parity_runs(self, made: IntegerFile, attacked: Attacked, rounded: Sequence[CellStudy]) -> list[Pending]:
        """Choose the samples for TFLite Micro from all studies; return the runs that are left."""
        count, studies = self.run.matrix.parity_samples, [*attacked.studies, *rounded]
        digest = sha256_hex(" ".join(study.digest(key) for study in studies for key in study.keys).encode())
        stem = self.run.samples / f"parity__{made.path.stem}__{count}__{digest[:12]}"
        assert not isinstance(attacked.target, KerasTarget)
        return list(pending_parity(self.run, self.network, made, write_samples(stem, attacked.target, studies, count)))


def _correct(target: KerasTarget | IntegerTarget, samples: Samples) -> np.ndarray:
    """Find which samples ``target`` classifies correctly as they are, bool [n]."""
    real, grids = samples.inputs, target.grids
    batch = real if grids is None else {name: grid.quantise(real[name]).astype(np.float32)
                                        for name, grid in grids.items()}
    return np.asarray(~misclassified(target.logits(batch), samples.label))


def rounded(study: CellStudy) -> CellStudy:
    """Return ``study`` in threat model R, on what its cells, as far as they are saved, did not break legally in R."""
    wider = replace(study, threat_model=replace(study.threat_model, world="real"))
    return replace(wider, carried={key: study.saved(key)["broken"] & _legal(wider, study, key)
                                   for key in study.keys if study.name(key) in study.points})


def _legal(wider: CellStudy, study: CellStudy, key: CellKey) -> np.ndarray:
    """Find which inputs of ``study`` in the cell ``key`` are legal in ``wider``, bool [n]."""
    (wide, codes), (narrow, _) = (each.threat_model.problem(each.budget_of[key], each.samples.inputs)
                                  for each in (wider, study))
    return covers(wide, narrow, codes)
