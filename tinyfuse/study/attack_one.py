"""One attack on one network or integer model, as rows: what the command line and the public API ask for."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tinyfuse.attacks import (
    Adversarial,
    Batch,
    DequantisedTarget,
    DifferentiableTarget,
    EnsembleTarget,
    KerasTarget,
    Threat,
    TwinTarget,
    attack,
    code_problem,
    misclassified,
    to_codes,
)
from tinyfuse.attacks.registry import GRADIENT_FREE, ITERATIVE, defaults_of
from tinyfuse.attacks.steps import step_sizes
from tinyfuse.core.errors import ParityError, UsageError
from tinyfuse.core.results import Row
from tinyfuse.data import Dataset
from tinyfuse.integer.interpreters import IntegerModel, Interpreter, dequantize
from tinyfuse.nn.train_or_load import Network
from tinyfuse.nn.zoo.fusion import modalities_of
from tinyfuse.study.rows import CLEAN, Attacked, Scope, Subject, outcome_key, outcome_row
from tinyfuse.study.samples import Samples, real_codes
from tinyfuse.threats.audit import audit
from tinyfuse.threats.code_grid import Grids
from tinyfuse.threats.code_threats import naive_codes, rounded_codes, spent

BATCH = 40
MODES: Mapping[str, tuple[str, ...]] = {"image": ("image",), "audio": ("audio",), "both": ("image", "audio")}
"""Attacked modalities by the name of the mode."""


class Rows(list[Row]):
    """Result rows, with what fits into none of them.

    ``made``: the attacked inputs as the judged model takes them (codes, or float32 values of a network), by name
    [n, ...], with "label" int [n] and "broken" bool [n]; of a suite each name but "label" begins with its mode and "_".
    ``notes``: further figures by the key of a row: "spent", "universal", "evasive".
    """

    def __init__(self, rows: Iterable[Row] = (), made: Mapping[str, np.ndarray] | None = None,
                 notes: Mapping[str, Mapping[str, Any]] | None = None) -> None:
        super().__init__(rows)
        self.made, self.notes = dict(made or {}), dict(notes or {})


@dataclass(frozen=True, eq=False)
class Single:
    """``attack`` with its ``parameters`` under the real-valued ``threat`` on ``pairs`` test pairs of ``dataset``.

    ``domain``: threat model of an integer model, "codes" (G), "real" (R) or "naive" (N: on the float network only).
    """

    attack: str
    parameters: Mapping[str, Any]
    threat: Threat
    mode: str
    dataset: Dataset
    pairs: int
    domain: str = "codes"
    mask: str = ""

    def clean(self) -> Samples:
        """The attacked test pairs."""
        pairs = self.dataset.test.balanced(self.pairs, seed=0)
        return Samples(pairs.inputs(), pairs.label)

    @property
    def given(self) -> dict[str, Any]:
        """All parameters of the attack, those that were not given with their defaults."""
        return {**defaults_of(self.attack), **self.parameters}

    def problem(self, clean: Samples, grids: Grids | None) -> tuple[Threat, Batch]:
        """The threat and ``clean`` in the units of a target: real values, or codes where it has ``grids``."""
        return (self.threat, clean.inputs) if grids is None else code_problem(self.threat, clean.inputs, grids,
                                                                              self.domain)

    def steps(self, threat: Threat, grids: Grids | None) -> dict[str, float]:
        """The step by modality in the units of ``threat``; the whole budget for attacks of one step."""
        given = self.given
        if "step_size" not in given:
            return dict(threat.epsilon)
        return step_sizes(threat, int(given["steps"]), given["step_size"], grids)

    def settings(self, criterion: str, source: str, domain: str, threat: Threat | None = None,
                 grids: Grids | None = None) -> Attacked:
        """The row settings of this attack, which ran under ``threat``, in codes where there are ``grids``."""
        given, budget = self.given, self.threat.epsilon
        scale = {name: grid.scale for name, grid in (grids or {}).items()}
        sizes = {size * scale.get(name, 1.0) for name, size in self.steps(threat or self.threat, grids).items()}
        usual = "margin" if self.attack in GRADIENT_FREE else "diva" if self.attack == "diva" else "cross-entropy"
        return Attacked(
            attack=self.attack, criterion=criterion, source=source, modality=self.mode, norm=self.threat.norm,
            epsilon=max(budget.values()), epsilon_image=budget.get("image", 0.0),
            epsilon_audio=budget.get("audio", 0.0), loss=str(given.get("loss", usual)),
            steps=int(given.get("steps", given.get("epochs", 1))),
            # Searches and universal perturbations have steps that change or that are shares of a budget.
            step_size=sizes.pop() if len(sizes) == 1 and ("step_size" in given or self.attack == "fgsm") else None,
            random_start=bool(given.get("random_start", False)), restarts=int(given.get("restarts", 1)),
            threat=domain, mask=self.mask, attack_seed=int(given.get("seed", 0)))


@dataclass(frozen=True, eq=False)
class Judge:
    """Makes the rows of ``single`` on ``subject``; ``made_by``: digest of the models whose gradients were used."""

    subject: Subject
    scope: Scope
    single: Single
    made_by: str
    began: float = field(default_factory=time.monotonic)

    def row(self, what: Attacked, correct: np.ndarray, zero_gradient_share: float | None = None,
            queries: int = 0) -> Row:
        """The row of ``correct`` bool [n]; every parameter of the attack is in its key."""
        source = self.subject.sha256 if what is CLEAN else f"{self.made_by} {sorted(self.single.given.items())!r}"
        return outcome_row(outcome_key(self.subject, self.scope, what, len(correct), source), self.subject, self.scope,
                           what, correct, seconds=time.monotonic() - self.began,
                           zero_gradient_share=zero_gradient_share, queries=queries)

    def rows(self, correct: np.ndarray, found: Adversarial, settings: Mapping[str, Attacked]) -> list[Row]:
        """Clean, then what ``found`` left by criterion."""
        left = {"any-iterate": ~found.broken, "last-iterate": ~found.broken_last}
        share, queries = float(found.zero_gradient.mean()), round(found.queries / len(correct))
        return [self.row(CLEAN, correct), *(self.row(what, left[name], share, queries)
                                            for name, what in settings.items())]


def attack_float(network: Network, single: Single) -> tuple[Adversarial, Rows]:
    """Attack ``network``; return its inputs and the rows clean, any iterate, last iterate."""
    target, judge = float_target(network, single)
    clean = single.clean()
    found = _attack(target, clean.inputs, clean.label, single.threat, single)
    settings = {name: single.settings(name, "float", "real") for name in ("any-iterate", "last-iterate")}
    correct = ~misclassified(target.logits(clean.inputs), clean.label)
    return found, Rows(judge.rows(correct, found, settings),
                       kept(target.inputs, found.strongest, clean.label, found.broken))


def float_target(network: Network, single: Single) -> tuple[KerasTarget, Judge]:
    """``network`` as a target that looks at what ``single`` attacks, and the judge that makes its rows."""
    if not set(single.threat.modalities) <= set(modalities_of(network.name)):
        raise UsageError(f"'{network.name}' does not look at {' and '.join(single.threat.modalities)}; "
                         f"attack {' or '.join(modalities_of(network.name))}")
    scope = Scope(single.dataset, int(network.table["training"]["seed"]))
    judge = Judge(Subject(network.name, "float", "keras", network.sha256), scope, single, network.sha256)
    return KerasTarget(network.model, batch_size=min(BATCH, single.pairs)), judge


def attack_twin(model: IntegerModel, subject: Subject, single: Single, *, seed: int, executors: Sequence[str],
                beside: Network | None = None) -> Rows:
    """Attack the integers themselves through the twin, then judge the same codes again in ``executors``.

    With the float network ``beside``, the gradients are the mean of both; the integers alone are judged.

    Raises:
        ModelError: the model has other inputs than the data.
        ParityError: TFLite Micro is among ``executors`` and an output code differs from the twin's.
    """
    check_inputs(model, single.dataset)
    target, clean = TwinTarget(model), single.clean()
    threat, batch = single.problem(clean, model.grids)
    attacked: DifferentiableTarget = target
    source, made_by = subject.precision, subject.sha256
    if beside is not None:
        seen = DequantisedTarget(float_target(beside, single)[0], model.grids)
        attacked, source, made_by = EnsembleTarget([seen, target]), f"float+{source}", f"{beside.sha256}+{made_by}"
    judge = Judge(_by(subject, "twin"), Scope(single.dataset, seed), single, made_by)
    found = _attack(attacked, batch, clean.label, threat, single)
    settings = {name: single.settings(name, source, single.domain, threat, model.grids)
                for name in ("any-iterate", "last-iterate")}
    rows = judge.rows(~misclassified(target.logits(batch), clean.label), found, settings)
    rows += judge_again(target, judge, executors, {CLEAN: batch, settings["any-iterate"]: found.strongest}, clean.label)
    return Rows(rows, kept(target.inputs, found.strongest, clean.label, found.broken, model))


def judge_again(target: TwinTarget, judge: Judge, executors: Sequence[str], inputs: Mapping[Attacked, Batch],
                labels: np.ndarray) -> list[Row]:
    """The codes of ``inputs`` in ``executors``, as rows.

    Raises:
        ParityError: TFLite Micro is among ``executors`` and an output code differs from the twin's.
    """
    rows = []
    for executor in executors:
        other = Judge(_by(judge.subject, executor), judge.scope, judge.single, judge.made_by)
        interpreter = Interpreter(target.model, executor)
        for what, batch in inputs.items():
            codes = {name: batch[name].astype(np.int32) for name in target.inputs}
            output = interpreter.run(codes)
            if executor == "tflm":
                same_codes(target, codes, output)
            rows.append(other.row(what, ~misclassified(dequantize(output, target.model.output), labels)))
    return rows


def same_codes(target: TwinTarget, codes: Batch, theirs: np.ndarray) -> None:
    """Raise ParityError unless the twin computes the output codes ``theirs`` of TFLite Micro for ``codes``."""
    differing = int(np.sum(target.twin.run(codes).reshape(theirs.shape) != theirs))
    if differing:
        raise ParityError(f"{target.name}: {differing} of {theirs.size} output codes of the twin differ from "
                          "TFLite Micro's; do not trust its attacks, and report this model")


def replay_on(model: IntegerModel, subject: Subject, executors: Sequence[str], found: Adversarial, single: Single, *,
              seed: int, made_by: str) -> Rows:
    """Judge clean pairs and ``found``, made on the float network of digest ``made_by``, in ``executors``.

    In the domain "codes" the inputs are brought onto the grid within the budget; in "real" the device rounds them; in
    "naive" they are rounded just so, and the notes say what that spends. "broken" is what the first executor says.
    """
    check_inputs(model, single.dataset)
    clean = single.clean()
    codes = _REPLAYED[single.domain](found.strongest, clean.inputs, single.threat, model.grids)
    start = {name: grid.quantise(clean.inputs[name]) for name, grid in model.grids.items()}
    # How the inputs were made is a matter of the float network, so no grids: its steps are real.
    settings = single.settings("replayed", "float", single.domain)
    rows, notes, verdicts = [], {}, []
    for executor in executors:
        interpreter = Interpreter(model, executor)
        judge = Judge(_by(subject, executor), Scope(single.dataset, seed), single, made_by)
        for what, inputs in ((CLEAN, start), (settings, codes)):
            wrong = misclassified(dequantize(interpreter.run(inputs), model.output), clean.label)
            rows.append(judge.row(what, ~wrong))
        verdicts.append(wrong)
        if single.domain == "naive":
            excess = spent(codes, clean.inputs, model.grids)
            notes[rows[-1]["key"]] = {"spent": {name: excess[name] for name in single.threat.modalities}}
    made = kept(tuple(model.grids), codes, clean.label, verdicts[0], model) if verdicts else {}
    return Rows(rows, made, notes)


def _within_codes(adversarial: Batch, clean: Batch, threat: Threat, grids: Grids) -> dict[str, np.ndarray]:
    codes = to_codes(adversarial, clean, threat, grids)
    audit(codes, clean, threat, grids)
    return codes


def _just_rounded(adversarial: Batch, clean: Batch, threat: Threat, grids: Grids) -> dict[str, np.ndarray]:
    del clean, threat
    return naive_codes(adversarial, grids)


_REPLAYED = {"codes": _within_codes, "real": rounded_codes, "naive": _just_rounded}


def check_inputs(model: IntegerModel, dataset: Dataset) -> None:
    """Raise ModelError unless the data has every input of ``model`` in its shape."""
    real_codes(model, dataset.test.balanced(1, seed=0).inputs())


def kept(inputs: Sequence[str], point: Batch, labels: np.ndarray, broken: np.ndarray,
         model: IntegerModel | None = None) -> dict[str, np.ndarray]:
    """What ``--save`` keeps of ``point``: the codes of ``model``, or without one real values."""
    kinds = {} if model is None else {port.name: port.dtype for port in model.inputs}
    return {**{name: point[name].astype(kinds.get(name, np.float32)) for name in inputs},
            "label": labels, "broken": broken}


def _attack(target: DifferentiableTarget, batch: Batch, labels: np.ndarray, threat: Threat,
            single: Single) -> Adversarial:
    parameters = dict(single.parameters)
    if single.attack in ITERATIVE:
        parameters["step_size"] = single.steps(threat, target.grids)
    found = attack(single.attack, target, batch, labels, [threat], **parameters)[0]
    audit(found.strongest, batch, threat)
    audit(found.last, batch, threat)
    return found


def _by(subject: Subject, executor: str) -> Subject:
    return Subject(subject.model, subject.precision, executor, subject.sha256)
