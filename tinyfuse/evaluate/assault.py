"""All attacks on one network: its float form, then each integer form with its own gradients and with the others'."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from tinyfuse.attacks import DifferentiableTarget, KerasTarget, Threat, TwinTarget, code_problem, misclassified
from tinyfuse.attacks.codes import covers
from tinyfuse.attacks.profiles import Entry, Profile
from tinyfuse.attacks.suite import CellKey
from tinyfuse.data import padding_mask
from tinyfuse.evaluate.campaign import Campaign, run_campaign
from tinyfuse.evaluate.conversion import IntegerFile
from tinyfuse.evaluate.evidence import survivors_of
from tinyfuse.evaluate.judging import Pending, pending_parity
from tinyfuse.evaluate.parity import write_sample
from tinyfuse.evaluate.probes import OPTIONAL, PROBES, Bench, measure
from tinyfuse.evaluate.rows import Subject, probe_row
from tinyfuse.evaluate.run import Run
from tinyfuse.evaluate.samples import Samples
from tinyfuse.evaluate.transfer import Judge, replay
from tinyfuse.integer.interpreters import load
from tinyfuse.results import ResultStore, Row

FLOAT = "float"
Tick = Callable[[str], None]


@dataclass(frozen=True)
class Assault:
    """What the matrix of ``run`` asks for the network ``model``."""

    run: Run
    model: str

    @property
    def suites(self) -> list[Profile]:
        """The profiles that count, and "raw": in full on few samples, for the check of the uncarried curve."""
        return [*self.run.matrix.suites(), self.raw]

    @property
    def raw(self) -> Profile:
        """FGSM and one PGD without short cuts."""
        entries = Entry("fgsm"), Entry("pgd", {"steps": self.run.matrix.steps})
        return Profile("raw", entries, last_iterate=True)

    @property
    def transfer(self) -> Profile:
        """What is replayed on other models: the literature's protocol if it runs anyway, or a full PGD."""
        full = [suite for suite in self.run.matrix.suites() if suite.last_iterate]
        return full[0] if full else Profile("transfer", (Entry("pgd", {"steps": self.run.matrix.steps}),), True)

    @property
    def cells(self) -> int:
        """Modes times budgets."""
        return len(self.run.matrix.modes_of(self.model)) * len(self.run.matrix.epsilons)

    @property
    def cells_of_float(self) -> int:
        """Cells of all suites on the float network."""
        return self.cells * (len(self.suites) + (self.transfer not in self.suites))

    @property
    def cells_of_integer(self) -> int:
        """Cells of all suites on one integer model, threat model R included."""
        return self.cells * (len(self.suites) + len([s for s in self.run.matrix.suites() if not s.last_iterate]) *
                             (self.run.matrix.norm == "linf"))

    def campaign(self, subject: Subject, suite: Profile, *, threat: str = "real",
                 grids: Mapping[str, Any] | None = None) -> Campaign:
        """``suite`` against ``subject`` on this run's attacked pairs."""
        matrix = self.run.matrix
        samples = self.run.judged(matrix.raw_pairs if suite.name == "raw" else matrix.attack_pairs)
        return Campaign(subject, self.run.scope, suite, matrix.modes_of(self.model), matrix.epsilons, matrix.norm,
                        samples.inputs, samples.label, self.run.samples, threat, grids)


def attack_keras(assault: Assault, subject: Subject, target: KerasTarget, *, tick: Tick) -> Campaign:
    """Attack a float network; return the campaign whose inputs are replayed on other models."""
    own = assault.campaign(subject, assault.transfer)
    for suite in {suite.name: suite for suite in (*assault.suites, assault.transfer)}.values():
        run_campaign(assault.campaign(subject, suite), target, assault.run.store,
                     tick=lambda note: tick(f"{subject.model} {subject.precision} {note}"))
    _probe(assault, subject, target, assault.campaign(subject, assault.suites[0]))
    return own


def attack_integers(assault: Assault, float_subject: Subject, float_target: DifferentiableTarget, own: Campaign,
                    files: Sequence[IntegerFile], *, tick: Tick) -> list[Pending]:
    """Attack each integer model in threat model G, replay what the others were attacked with, then attack what is left
    in R; choose the samples for TFLite Micro and return the parity runs.
    """
    run, work = assault.run, []
    judges: dict[str, Judge] = {FLOAT: Judge(float_subject, float_target, None)}
    sources = {FLOAT: own} if FLOAT in run.matrix.transfer_from else {}
    attacked: list[tuple[IntegerFile, TwinTarget, list[Campaign]]] = []
    for made in files:
        target = TwinTarget(load(made.path))
        subject = Subject(assault.model, made.precision.name, "twin", made.table["sha256"])
        _judge_clean(run, subject, target, float_subject.sha256)
        found = [assault.campaign(subject, suite, threat="codes", grids=target.grids) for suite in assault.suites]
        for campaign in found:
            run_campaign(campaign, target, run.store, tick=_said(subject, tick))
        _probe(assault, subject, target, found[0])
        judges[subject.precision] = Judge(subject, target, target.grids)
        if subject.precision in run.matrix.transfer_from:
            # A suite that skips what is broken already leaves no inputs for those samples: replays need one in full.
            source = assault.campaign(subject, assault.transfer, threat="codes", grids=target.grids)
            run_campaign(source, target, run.store, tick=_said(subject, tick))
            sources[subject.precision] = source
        attacked.append((made, target, found))
    for name, source in sources.items():
        for precision, judge in judges.items():
            if precision != name:
                replay(source, judge, run.store)
    for made, target, found in attacked:
        work += _parity(assault, made, target, [*found, *_attack_rounded(assault, target, found, tick)])
    return work


def _attack_rounded(assault: Assault, target: TwinTarget, found: Sequence[Campaign], tick: Tick) -> list[Campaign]:
    """Every suite in threat model R on what nothing in G broke: its inputs are legal in R as well."""
    rounded = []
    for campaign in found:
        if campaign.profile.last_iterate or campaign.norm != "linf":
            continue
        wider = replace(campaign, threat="real")
        run_campaign(wider, target, assault.run.store, carried=_legal_in(assault.run.store, wider, campaign),
                     tick=_said(campaign.subject, tick))
        rounded.append(wider)
    return rounded


def _said(subject: Subject, tick: Tick) -> Tick:
    return lambda note: tick(f"{subject.model} {subject.precision} {note}")


def _legal_in(store: ResultStore, wider: Campaign, campaign: Campaign) -> dict[CellKey, np.ndarray]:
    """What any attack in ``campaign``'s threat model broke, where all that was legal there is legal in ``wider``."""
    rows = store.rows("attack", model=campaign.subject.model, precision=campaign.subject.precision,
                      executor=campaign.subject.executor, threat=campaign.threat, norm=campaign.norm,
                      n=len(campaign.labels), **campaign.scope.fields())
    legal = {}
    for mode, epsilon in campaign.keys:
        broken = np.zeros(len(campaign.labels), bool)
        for row in rows:
            if (row["modality"], row["epsilon"]) == (mode, epsilon):
                broken |= ~survivors_of(row)
        (wide, codes), (narrow, _) = (code_problem(each.real_threat((mode, epsilon)), each.clean, each.grids or {},
                                                   each.threat) for each in (wider, campaign))
        legal[mode, epsilon] = broken & covers(wide, narrow, codes)
    return legal


def _parity(assault: Assault, made: IntegerFile, target: TwinTarget, found: Sequence[Campaign]) -> list[Pending]:
    run = assault.run
    count = run.matrix.parity_samples
    path = run.samples / f"parity__{made.path.stem}__{count}__{found[0].path(found[0].keys[0]).stem[-12:]}.npz"
    written = write_sample(path, target, found, count)
    return list(pending_parity(run, assault.model, made, path, written))


def _probe(assault: Assault, subject: Subject, target: DifferentiableTarget, campaign: Campaign) -> None:
    """The experiments of probes.py on the first samples, at the largest budget on all modalities."""
    run = assault.run
    rows = np.arange(min(run.matrix.probe_pairs, len(campaign.labels)))
    done: dict[str, Row] = {row["name"]: row for row in run.store.rows(
        "probe", model=subject.model, precision=subject.precision, executor=subject.executor)}
    if done.keys() >= PROBES.keys() - OPTIONAL:
        return
    small = replace(campaign, clean={name: values[rows] for name, values in campaign.clean.items()},
                    labels=campaign.labels[rows])
    cells, batch = small.problem()
    threat: Threat = max(cells, key=lambda cell: (len(cell.threat.modalities), cell.epsilon)).threat
    padding = padding_mask()
    bench = Bench(target, batch, small.labels, threat, run.matrix.steps, {"audio": 1 - padding})
    for name, found in measure(bench):
        run.store.append(probe_row(subject, run.scope, name, found.value, found.n, found.detail))


def _judge_clean(run: Run, subject: Subject, target: TwinTarget, source_sha256: str) -> None:
    def judge(pairs: Samples) -> np.ndarray:
        grids = target.grids or {}
        codes = {name: grid.quantise(pairs.inputs[name]).astype(np.float32) for name, grid in grids.items()}
        return np.asarray(~misclassified(target.logits(codes), pairs.label))

    run.judge_clean(subject, {run.matrix.attack_pairs, run.matrix.clean_pairs}, source_sha256, judge)
