"""``tinyfuse attack``: a study of one cell (of a suite: of its modes) on one network or integer model, as rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np

from tinyfuse.attacks import Attack, DequantisedTarget, EnsembleTarget, KerasTarget, misclassified
from tinyfuse.attacks.profiles import Profile
from tinyfuse.attacks.targets.anomaly import (
    CLASSES,
    AnomalyNetwork,
    AnomalyTwin,
    IntegerTarget,
    float_target,
    read_out,
)
from tinyfuse.checks.line_rows import survivors_of
from tinyfuse.core.errors import ParityError
from tinyfuse.core.results import ResultStore, Row
from tinyfuse.core.statistics import wilson
from tinyfuse.data import Batch, Dataset, Input, Samples
from tinyfuse.integer.executors import open_executor
from tinyfuse.integer.executors.installed import ORACLE, is_here
from tinyfuse.nn.network import Network
from tinyfuse.nn.objectives.memory import with_identity_gradient
from tinyfuse.nn.objectives.reconstruction import auc
from tinyfuse.study.cell_study import CellStudy, ThreatModel
from tinyfuse.study.rows import (
    CLEAN,
    KERAS_BATCH,
    SAMPLE_SEED,
    AttackSettings,
    OutcomeLog,
    Scope,
    Subject,
    budget_of,
)
from tinyfuse.study.stages.alone import probe_alone
from tinyfuse.study.stages.attack import attack_cells, code_types
from tinyfuse.study.stages.exchange import Judge, points_for, replay
from tinyfuse.study.worst_case import FLOAT, FLOAT_EXECUTOR
from tinyfuse.threats.code_grid import Grids
from tinyfuse.threats.code_threats import spent, whole_codes
from tinyfuse.threats.modes import ALL, attacked_by, mode_name, modes_of


@dataclass(frozen=True, eq=False)
class AttackResult:
    """Result rows, with what fits into none of them.

    ``made``: the attacked inputs as the judged model takes them (codes, or float32 values of a network), by name
    [n, ...], with "label" int [n] and "broken" bool [n]; of a suite each name but "label" begins with its mode and "_".
    ``notes``: further figures by the key of a row: "spent", "universal", "evasive"; of an autoencoder "auc".
    ``probes``: rows of what the attacked model gets right from each input alone, for the checks.
    """

    rows: list[Row]
    made: Mapping[str, np.ndarray] = field(default_factory=dict)
    notes: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    probes: list[Row] = field(default_factory=list)

    @property
    def evidence(self) -> list[Row]:
        """All rows, as the checks want them."""
        return [*self.rows, *self.probes]


@dataclass(frozen=True, eq=False)
class AttackTask:
    """``plan`` on ``count`` test samples of ``dataset``: what is asked for, whatever is attacked.

    ``modality``: "all" inputs, or names separated by commas. ``epsilon``: one budget, or one for each attacked input,
    in its own units (default: a share of the range of its values); or ``codes``, whole codes of an integer model.
    ``world``: threat model of an integer model, "codes" (G), "real" (R) or "naive" (N: on the float network only).
    ``around_memory``: gradients of a float network take its memory of features for the identity.
    """

    plan: Attack | Profile
    dataset: Dataset
    count: int
    modality: str = ALL
    epsilon: float | Mapping[str, float] | None = None
    codes: int | None = None
    norm: str = "linf"
    world: str = "codes"
    mask: Mapping[str, np.ndarray] = field(default_factory=dict)
    around_memory: bool = False

    @cached_property
    def samples(self) -> Samples:
        """The attacked test samples."""
        return self.dataset.test.balanced(self.count, seed=SAMPLE_SEED)

    def budget(self, inputs: Sequence[Input], grids: Grids | None = None) -> dict[str, float]:
        """Return the epsilon of each attacked one of ``inputs``; ``grids`` are those of an integer model."""
        attacked = attacked_by(self.modality, [one.name for one in inputs])
        if self.codes is not None and grids is not None:
            return whole_codes(self.codes, attacked, grids)
        return budget_of(inputs, attacked, self.epsilon, self.norm)

    def study(self, subject: Subject, seed: int, inputs: Sequence[Input], grids: Grids | None = None) -> CellStudy:
        """Set up the task on ``subject``, which looks at ``inputs``; rows and points stay in memory."""
        budget = self.budget(inputs, grids)
        attacked = tuple(budget)
        modes = {mode_name(attacked, [one.name for one in inputs]): attacked}
        if isinstance(self.plan, Profile):
            modes = {mode: names for mode, names in modes_of(attacked).items() if len(names) == 1} | modes
        model = ThreatModel(tuple(inputs), self.norm, "real" if grids is None else self.world, grids, self.mask)
        return CellStudy(plan=self.plan, threat_model=model, modes=modes, budgets=(budget,), samples=self.samples,
                         subject=subject, log=OutcomeLog(ResultStore(), Scope(self.dataset, seed)), points={})


@dataclass(frozen=True, eq=False)
class ModelSubject:
    """An integer model under attack through its ``twin``, as rows name it; trained with ``seed`` on ``inputs``.

    The interpreters trust a file and may end the process on a hostile one; what the twin accepts is sound.
    """

    twin: IntegerTarget
    subject: Subject
    seed: int
    inputs: tuple[Input, ...]


def attack_network(network: Network, task: AttackTask) -> AttackResult:
    """Attack a float ``network``: rows clean, any iterate, last iterate; or clean and those of a suite."""
    target = _target(network, task)
    study = _attacked_network(network, target, task)
    return _with_auc(_result(study), study, target)


def _target(network: Network, task: AttackTask) -> KerasTarget:
    """Make the target of a float ``network``."""
    attacked = replace(network, model=with_identity_gradient(network.model)) if task.around_memory else network
    return float_target(attacked, task.dataset, batch_size=min(KERAS_BATCH, task.count))


def _attacked_network(network: Network, target: KerasTarget, task: AttackTask) -> CellStudy:
    subject = Subject.of(network, FLOAT, FLOAT_EXECUTOR, network.sha256)
    study = task.study(subject, network.seed, network.inputs)
    study = replace(study, source=f"{FLOAT}-around-memory") if task.around_memory else study
    _judge(study, study.subject, CLEAN, target.logits(task.samples.inputs))
    probe_alone(study.log, study.subject, target, task.samples)
    attack_cells(study, target)
    return study


def attack_model(model: ModelSubject, task: AttackTask, executors: Sequence[str],
                 beside: Network | None = None) -> AttackResult:
    """Attack the integers themselves through the twin, then judge the same codes again in ``executors``.

    With the float network ``beside``, the gradients are the mean of both, or what tells them apart (DIVA); the integers
    alone are judged. Of a suite, only TFLite Micro judges again, and leaves no rows. Raises ParityError if one of its
    output codes differs from the twin's.
    """
    twin, study = model.twin, task.study(model.subject, model.seed, model.inputs, model.twin.model.grids)
    if beside is not None:
        return _attack_with_float(model, beside, study, task, executors)
    _judge(study, study.subject, CLEAN, twin.logits(study.problem[1]))
    probe_alone(study.log, study.subject, twin, task.samples)
    attack_cells(study, twin)
    if isinstance(task.plan, Profile):
        for key in study.keys if is_here(ORACLE) else ():
            _logits_of(twin, ORACLE, check=True)(study.points_of(key))
    else:
        _judge_again(study, twin, executors)
    return _with_auc(_result(study), study, twin)


def _attack_with_float(model: ModelSubject, network: Network, study: CellStudy, task: AttackTask,
                       executors: Sequence[str]) -> AttackResult:
    """Attack the integers together with their float ``network``, which sees the values that the codes stand for."""
    assert isinstance(task.plan, Attack)
    twin, apart = model.twin, task.plan.needs_float
    real = float_target(network, task.dataset, batch_size=min(KERAS_BATCH, task.count))
    seen = DequantisedTarget(real, twin.model.grids)
    subject = Subject.of(network, FLOAT, FLOAT_EXECUTOR, network.sha256)
    study = replace(study, source=f"{FLOAT}+{model.subject.precision}",
                    made_by=f"{network.sha256}+{model.subject.sha256}")
    if apart:
        _judge(study, subject, CLEAN, real.logits(task.samples.inputs))
    _judge(study, study.subject, CLEAN, twin.logits(study.problem[1]))
    probe_alone(study.log, study.subject, twin, task.samples)
    attack_cells(study, twin if apart else EnsembleTarget([seen, twin]), beside=seen)
    if apart:
        (key,), settings = study.keys, replace(_settings(study), criterion="replayed")
        _judge(study, subject, settings, seen.logits(study.points_of(key)), study.digest(key))
    _judge_again(study, twin, executors)
    return _with_evasive(_result(study)) if apart else _result(study)


def replay_on_model(model: ModelSubject, network: Network, task: AttackTask,
                    executors: Sequence[str]) -> AttackResult:
    """Attack the float ``network``, then judge clean samples and what was made in ``executors`` on the integers.

    In the world "codes" the inputs are brought onto the grid within the budget; in "real" the device rounds them; in
    "naive" they are rounded just so, and the notes say what that spends. "broken" is what the first executor says.
    """
    integer, grids, keys = model.twin.model, model.twin.model.grids, list[str]()
    budget = task.budget(model.inputs, grids)
    target = _target(network, task)
    study = _attacked_network(network, target, replace(task, epsilon=budget, codes=None))
    start = {name: values.astype(np.float32) for name, values in integer.codes_of(task.samples.inputs).items()}
    for executor in executors:
        judge = Judge(replace(model.subject, executor=executor), _logits_of(model.twin, executor), grids)
        _judge(study, judge.subject, CLEAN, judge.logits(start))
        keys += replay(study, judge, task.world)
    rows, probes = _rows(study)
    if not executors:
        return AttackResult(rows, probes=probes)
    codes = points_for(study, study.keys[0], grids, task.world)
    made = {port.name: codes[port.name].astype(port.dtype) for port in integer.inputs}
    made |= {"label": task.samples.label,
             "broken": next(~survivors_of(row) for row in rows if row["key"] == keys[0])}
    excess = spent(codes, task.samples.inputs, grids)
    note = {"spent": {name: excess[name] for name in budget}}
    return AttackResult(rows, made, dict.fromkeys(keys, note) if task.world == "naive" else {}, probes)


def _judge(study: CellStudy, subject: Subject, settings: AttackSettings, logits: np.ndarray, made_by: str = "") -> str:
    """Write the row of ``subject`` with these ``logits``; return its key."""
    label = study.samples.label
    return study.log.judge(subject, settings, len(label), made_by or subject.sha256,
                           lambda: ~misclassified(logits, label))


def _settings(study: CellStudy) -> AttackSettings:
    """Return the settings of the one attack of ``study``, as its own row names them."""
    (plan, key) = study.plan, study.keys[0]
    assert not isinstance(plan, Profile)
    return study.settings(key, "replayed" if plan.one_for_all else "any-iterate", plan)


def _judge_again(study: CellStudy, twin: IntegerTarget, executors: Sequence[str]) -> None:
    """Judge clean and attacked codes of ``study`` in ``executors``; TFLite Micro must compute the twin's codes."""
    key, settings = study.keys[0], _settings(study)
    for executor in executors:
        subject, run = replace(study.subject, executor=executor), _logits_of(twin, executor, check=True)
        _judge(study, subject, CLEAN, run(study.problem[1]))
        _judge(study, subject, settings, run(study.points_of(key)), study.digest(key))


def _logits_of(twin: IntegerTarget, executor: str, *, check: bool = False) -> Any:
    """Return f(codes by name) -> logits [n, k] of ``executor``; TFLite Micro is compared with ``twin`` if asked."""
    opened = open_executor(twin.model, executor)

    def logits(batch: Batch) -> np.ndarray:
        codes = {port.name: batch[port.name].astype(np.int32) for port in twin.model.inputs}
        output = opened.run(codes)
        if check and executor == ORACLE:
            check_same_codes(twin, codes, output)
        return read_out(twin, output, codes)

    return logits


def _with_auc(result: AttackResult, study: CellStudy, target: KerasTarget | IntegerTarget) -> AttackResult:
    """Add to ``result`` the note "auc" of an autoencoder's rows: how well errors tell anomalies from normal samples.

    It is about what the ``target`` computes, which TFLite Micro computes alike; samples of both kinds are needed.
    """
    labels, notes = study.samples.label, dict(result.notes)
    if not isinstance(target, (AnomalyNetwork, AnomalyTwin)) or len(np.unique(labels)) < CLASSES:
        return result
    clean = auc(target.logits(study.problem[1])[:, 1], labels)
    after = [(study.budget_of[key], auc(target.logits(study.points_of(key))[:, 1], labels)) for key in study.keys]
    for row in result.rows:
        if row["criterion"] != "last-iterate":
            found = next((value for budget, value in after if budget == row["budget"]), clean)
            notes[row["key"]] = {**notes.get(row["key"], {}), "auc": found}
    return replace(result, notes=notes)


def check_same_codes(twin: IntegerTarget, codes: Batch, theirs: np.ndarray) -> None:
    """Raise ParityError unless the twin computes the output codes ``theirs`` of TFLite Micro for ``codes``."""
    differing = int(np.sum(twin.twin.run(codes).reshape(theirs.shape) != theirs))
    if differing:
        raise ParityError(f"{twin.name}: {differing} of {theirs.size} output codes of the twin differ from "
                          "TFLite Micro's; do not trust its attacks, and report this model")


def _result(study: CellStudy) -> AttackResult:
    """Collect the rows of ``study`` and the inputs that it made; of a universal perturbation also its notes.

    They say what it was made on, and beside the rows of the attacked subject what it did.
    """
    (rows, probes), made = _rows(study), {"label": study.samples.label}
    inputs = [one.name for one in study.threat_model.inputs]
    for key in study.keys:
        prefix = f"{key[0]}_" if isinstance(study.plan, Profile) else ""
        held, kinds = study.saved(key), code_types(study)
        made |= {prefix + name: values.astype(kinds.get(name, np.float32))
                 for name, values in study.points_of(key).items() if name in inputs}
        made[f"{prefix}broken"] = held["broken"]
        made |= {name: values for name, values in held.items() if name.startswith("delta_")}
    if "train_accuracy" not in held:
        return AttackResult(rows, made, probes=probes)
    learnt = {"train_samples": int(held["train_samples"])}
    own = learnt | {name: float(held[name]) for name in ("train_accuracy", "fooling_rate")}
    return AttackResult(rows, made, {
        row["key"]: {"universal": own if row["executor"] == study.subject.executor else learnt}
        for row in rows if row["kind"] == "attack"}, probes)


def _rows(study: CellStudy) -> tuple[list[Row], list[Row]]:
    """Return the outcomes of ``study``, and its probes."""
    every = study.log.store.rows()
    return ([row for row in every if row["kind"] != "probe"], [row for row in every if row["kind"] == "probe"])


def _with_evasive(result: AttackResult) -> AttackResult:
    """Add to ``result`` the note "evasive" of each attacked row of the integers, and which samples are evasive.

    Those that the float network had wrong when clean do not count, though DIVA may mend them.
    """
    def verdict(kind: str, executor: str) -> np.ndarray:
        return next(survivors_of(row) for row in result.rows if (row["kind"], row["executor"]) == (kind, executor))

    right = verdict("clean", FLOAT_EXECUTOR)
    stays, notes = right & verdict("attack", FLOAT_EXECUTOR), {}
    for row in result.rows:
        if row["kind"] != "attack" or row["executor"] == FLOAT_EXECUTOR:
            continue
        before, after = right & ~verdict("clean", row["executor"]), int(np.sum(stays & ~survivors_of(row)))
        low, high = wilson(after, row["n"])
        notes[row["key"]] = {"evasive": {
            "count": after, "n": row["n"], "rate": after / row["n"], "ci_low": low, "ci_high": high,
            "clean_count": int(before.sum()), "float_stays_correct": int(stays.sum())}}
    return replace(result, made={**result.made, "evasive": stays & result.made["broken"]}, notes=notes)
