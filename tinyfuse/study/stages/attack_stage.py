"""All attacks on one network: its float form, then each integer form with its own gradients and with the others'."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from tinyfuse.attacks import DifferentiableTarget, TwinTarget, code_problem, misclassified
from tinyfuse.attacks.profiles import Entry, Profile
from tinyfuse.attacks.suite import CellKey
from tinyfuse.core.files import sha256_hex
from tinyfuse.integer.interpreters import load
from tinyfuse.study.campaign import Campaign, run_campaign, saved
from tinyfuse.study.rows import Subject
from tinyfuse.study.run import Run
from tinyfuse.study.samples import Samples
from tinyfuse.study.stages.convert_stage import IntegerFile
from tinyfuse.study.stages.exchange import Judge, replay
from tinyfuse.study.stages.interpreter_jobs import Pending, pending_parity
from tinyfuse.study.stages.parity import write_samples
from tinyfuse.study.stages.probe_stage import probe
from tinyfuse.threats.code_threats import covers

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
    def rounds(self) -> bool:
        """Whether threat model R is asked for, and defined."""
        return "real" in self.run.matrix.threats and self.run.matrix.norm == "linf"

    def cells(self, precision: str) -> int:
        """Modes times budgets over all campaigns on the network in ``precision``, threat model R included."""
        matrix = self.run.matrix
        replayed = precision in matrix.transfer_from and self.transfer not in self.suites
        rounded = [suite for suite in matrix.suites() if not suite.last_iterate
                   and precision != FLOAT and self.rounds]
        full = len(matrix.suites()) + replayed + len(rounded)
        return len(matrix.modes_of(self.model)) * (full * len(matrix.epsilons) + len(matrix.raw_budgets))

    def campaign(self, subject: Subject, suite: Profile, *, threat: str = "real",
                 grids: Mapping[str, Any] | None = None) -> Campaign:
        """``suite`` against ``subject`` on this run's attacked pairs."""
        matrix = self.run.matrix
        raw = suite.name == "raw"
        samples = self.run.judged(matrix.raw_pairs if raw else matrix.attack_pairs)
        return Campaign(subject, self.run.scope, suite, matrix.modes_of(self.model),
                        matrix.raw_budgets if raw else matrix.epsilons, matrix.norm, samples.inputs, samples.label,
                        self.run.samples, threat, grids)


@dataclass(frozen=True, eq=False)
class AttackedModel:
    """An integer model after the attacks in threat model G; ``source``: what is replayed on other models."""

    made: IntegerFile
    subject: Subject
    target: TwinTarget
    campaigns: list[Campaign]
    source: Campaign


def attack_keras(assault: Assault, subject: Subject, target: DifferentiableTarget, *, tick: Tick) -> Campaign:
    """Attack a float network; return the campaign whose inputs are replayed on other models."""
    return _attack(assault, subject, target, [assault.campaign(subject, suite) for suite in assault.suites],
                   assault.campaign(subject, assault.transfer), tick)


def attack_integer(assault: Assault, made: IntegerFile, *, source_sha256: str, tick: Tick) -> AttackedModel:
    """Attack an integer model in threat model G; ``source_sha256`` is that of its float network."""
    target = TwinTarget(load(made.path))
    subject = Subject(assault.model, made.precision.name, "twin", made.table["sha256"])
    _judge_clean(assault.run, subject, target, source_sha256)
    found = [assault.campaign(subject, suite, threat="codes", grids=target.grids) for suite in assault.suites]
    source = _attack(assault, subject, target, found,
                     assault.campaign(subject, assault.transfer, threat="codes", grids=target.grids), tick)
    return AttackedModel(made, subject, target, found, source)


def _attack(assault: Assault, subject: Subject, target: DifferentiableTarget, campaigns: Sequence[Campaign],
            source: Campaign, tick: Tick) -> Campaign:
    run = assault.run
    # A suite that skips what is broken already leaves no inputs for those samples: replays need one in full.
    replayed = [source] if subject.precision in run.matrix.transfer_from else []
    for campaign in {campaign.profile.name: campaign for campaign in (*campaigns, *replayed)}.values():
        run_campaign(campaign, target, run.store, tick=lambda note: tick(f"{subject.model} {subject.precision} {note}"))
    probe(run, subject, target, campaigns)
    return source


def exchange(assault: Assault, sources: Mapping[str, Campaign], judges: Mapping[str, Judge]) -> None:
    """Replay what was made for each of ``sources`` on all the other ``judges``; both go by precision."""
    for name in assault.run.matrix.transfer_from:
        for precision, judge in judges.items():
            if name in sources and precision != name:
                replay(sources[name], judge, assault.run.store)


def attack_rounded(assault: Assault, attacked: AttackedModel, *, tick: Tick) -> list[Campaign]:
    """Every suite in threat model R on what it did not break in G with inputs that are legal in R as well."""
    rounded, name = [], f"{assault.model} {attacked.subject.precision}"
    for campaign in attacked.campaigns:
        if campaign.profile.last_iterate or not assault.rounds:
            continue
        wider = replace(campaign, threat="real")
        wider = replace(wider, carried={key: saved(campaign, key)["broken"] & _legal(wider, campaign, key)
                                        for key in campaign.keys})
        run_campaign(wider, attacked.target, assault.run.store, tick=lambda note: tick(f"{name} R {note}"))
        rounded.append(wider)
    return rounded


def _legal(wider: Campaign, campaign: Campaign, key: CellKey) -> np.ndarray:
    """Bool [n]: all inputs of ``campaign`` in the cell ``key`` are legal in ``wider``."""
    (wide, codes), (narrow, _) = (code_problem(each.real_threat(key), each.clean, each.grids or {}, each.threat)
                                  for each in (wider, campaign))
    return covers(wide, narrow, codes)


def parity(assault: Assault, attacked: AttackedModel, rounded: Sequence[Campaign]) -> list[Pending]:
    """Choose the samples for TFLite Micro from all campaigns; return the runs that are left."""
    run, count = assault.run, assault.run.matrix.parity_samples
    campaigns = [*attacked.campaigns, *rounded]
    digest = sha256_hex(" ".join(campaign.digest(key) for campaign in campaigns for key in campaign.keys).encode())
    stem = run.samples / f"parity__{attacked.made.path.stem}__{count}__{digest[:12]}"
    return list(pending_parity(run, assault.model, attacked.made,
                               write_samples(stem, attacked.target, campaigns, count)))


def _judge_clean(run: Run, subject: Subject, target: TwinTarget, source_sha256: str) -> None:
    def judge(pairs: Samples) -> np.ndarray:
        grids = target.grids or {}
        codes = {name: grid.quantise(pairs.inputs[name]).astype(np.float32) for name, grid in grids.items()}
        return np.asarray(~misclassified(target.logits(codes), pairs.label))

    run.judge_clean(subject, {run.matrix.attack_pairs, run.matrix.clean_pairs}, source_sha256, judge)
