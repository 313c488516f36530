"""One attack on one network or integer model, as rows: what the command line and the public API ask for."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tinyfuse.attacks import (
    Adversarial,
    Batch,
    DifferentiableTarget,
    KerasTarget,
    Threat,
    TwinTarget,
    attack,
    audit,
    code_problem,
    misclassified,
    to_codes,
)
from tinyfuse.attacks.codes import naive_codes
from tinyfuse.attacks.profiles import Profile
from tinyfuse.attacks.registry import ITERATIVE
from tinyfuse.data import Dataset
from tinyfuse.errors import ModelError, ParityError, UsageError
from tinyfuse.evaluate.campaign import Campaign, run_campaign, saved
from tinyfuse.evaluate.rows import CLEAN, Attacked, Scope, Subject, outcome_key, outcome_row
from tinyfuse.evaluate.samples import Samples
from tinyfuse.integer.interpreters import IntegerModel, Interpreter, dequantize
from tinyfuse.nn.fusion import modalities_of
from tinyfuse.nn.obtain import Network
from tinyfuse.results import ResultStore, Row

BATCH = 50
MODES: Mapping[str, tuple[str, ...]] = {"image": ("image",), "audio": ("audio",), "both": ("image", "audio")}


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

    def settings(self, criterion: str, source: str, threat: str) -> Attacked:
        """The row settings of this attack."""
        budget, given = self.threat.epsilon, self.parameters
        iterated = self.attack in ITERATIVE
        steps = int(given.get("steps", 20 if iterated else 1))
        largest = max(budget.values())
        size = float(given["step_size"]) if "step_size" in given else 2.5 * largest / steps if iterated else largest
        return Attacked(
            attack=self.attack, criterion=criterion, source=source, modality=self.mode, norm=self.threat.norm,
            epsilon=largest, epsilon_image=budget.get("image", 0.0), epsilon_audio=budget.get("audio", 0.0),
            loss=str(given.get("loss", "cross-entropy")), steps=steps,
            step_size=size if len(set(budget.values())) == 1 else None,
            random_start=bool(given.get("random_start", False)), restarts=int(given.get("restarts", 1)),
            threat=threat, mask=self.mask, attack_seed=int(given.get("seed", 0)))


def attack_float(network: Network, single: Single) -> tuple[Adversarial, list[Row]]:
    """Attack ``network``; return its inputs and the rows clean, any iterate, last iterate."""
    if not set(single.threat.modalities) <= set(modalities_of(network.name)):
        raise UsageError(f"'{network.name}' does not look at {' and '.join(single.threat.modalities)}; "
                         f"attack {' or '.join(modalities_of(network.name))}")
    clean, began = single.clean(), time.monotonic()
    target = KerasTarget(network.model, batch_size=min(BATCH, len(clean)))
    found = _attack(target, clean.inputs, clean.label, single.threat, single)
    subject = Subject(network.name, "float", "keras", network.sha256)
    scope = Scope(single.dataset, int(network.table["training"]["seed"]))
    correct = ~misclassified(target.logits(clean.inputs), clean.label)
    return found, _rows(subject, scope, single, correct, found, "float", "real", time.monotonic() - began)


def attack_twin(model: IntegerModel, subject: Subject, single: Single, *, seed: int,
                executors: Sequence[str]) -> list[Row]:
    """Attack the integers themselves through the twin, then judge the same codes again in ``executors``.

    Raises:
        ModelError: the model has other inputs than the data.
        ParityError: TFLite Micro is among ``executors`` and an output code differs from the twin's.
    """
    check_inputs(model, single.dataset)
    target, clean, began = TwinTarget(model), single.clean(), time.monotonic()
    threat, batch = code_problem(single.threat, clean.inputs, model.grids, single.domain)
    found = _attack(target, batch, clean.label, threat, single)
    correct = ~misclassified(target.logits(batch), clean.label)
    scope, twin = Scope(single.dataset, seed), Subject(subject.model, subject.precision, "twin", subject.sha256)
    rows = _rows(twin, scope, single, correct, found, subject.precision, single.domain, time.monotonic() - began)
    for executor in executors:
        other = Subject(subject.model, subject.precision, executor, subject.sha256)
        rows += _again(model, other, scope, single, target, batch, clean.label, found)
    return rows


def replay_on(model: IntegerModel, subject: Subject, found: Adversarial, single: Single, *, seed: int) -> list[Row]:
    """Judge clean pairs and ``found``, made on the float network, on ``model``: brought onto its grid within the
    budget, or in the domain "naive" rounded and left as it is.
    """
    check_inputs(model, single.dataset)
    clean, began = single.clean(), time.monotonic()
    if single.domain == "naive":
        codes = naive_codes(found.strongest, model.grids)
    else:
        codes = to_codes(found.strongest, clean.inputs, single.threat, model.grids)
        audit(codes, clean.inputs, single.threat, model.grids)
    interpreter = Interpreter(model, subject.executor)
    start = {name: grid.quantise(clean.inputs[name]) for name, grid in model.grids.items()}
    settings = single.settings("replayed", "float", "naive" if single.domain == "naive" else "codes")
    judged = [(CLEAN, start), (settings, codes)]
    scope = Scope(single.dataset, seed)
    return [_row(subject, scope, what, ~misclassified(_logits(interpreter, inputs), clean.label),
                 time.monotonic() - began) for what, inputs in judged]


def check_inputs(model: IntegerModel, dataset: Dataset) -> None:
    """Raise ModelError unless the data has every input of ``model`` in its shape."""
    inputs = dataset.test.balanced(1, seed=0).inputs()
    for port in model.inputs:
        if port.name not in inputs or inputs[port.name].shape[1:] != port.shape[1:]:
            given = " and ".join(f"'{name}' {list(value.shape[1:])}" for name, value in inputs.items())
            raise ModelError(f"{model.name} takes '{port.name}' {list(port.shape[1:])}, but the data has {given}; "
                             "attack a model of these inputs, or rename its inputs when converting")


def _attack(target: DifferentiableTarget, batch: Batch, labels: np.ndarray, threat: Threat,
            single: Single) -> Adversarial:
    parameters = dict(single.parameters)
    if "step_size" in parameters and threat.lattice and target.grids:
        parameters["step_size"] = {name: float(max(1, target.grids[name].budget(parameters["step_size"])))
                                   for name in threat.modalities}
    found = attack(single.attack, target, batch, labels, [threat], **parameters)[0]
    audit(found.strongest, batch, threat)
    audit(found.last, batch, threat)
    return found


def _rows(subject: Subject, scope: Scope, single: Single, correct: np.ndarray, found: Adversarial, source: str,
          threat: str, seconds: float) -> list[Row]:
    queries = round(found.queries / len(correct))
    return [_row(subject, scope, CLEAN, correct, seconds),
            _row(subject, scope, single.settings("any-iterate", source, threat), ~found.broken, seconds,
                 float(found.zero_gradient.mean()), queries),
            _row(subject, scope, single.settings("last-iterate", source, threat), ~found.broken_last, seconds,
                 float(found.zero_gradient.mean()), queries)]


def _again(model: IntegerModel, subject: Subject, scope: Scope, single: Single, target: TwinTarget, batch: Batch,
           labels: np.ndarray, found: Adversarial) -> list[Row]:
    """Clean and strongest inputs in another executor."""
    interpreter, began, rows = Interpreter(model, subject.executor), time.monotonic(), []
    attacked = single.settings("any-iterate", subject.precision, single.domain)
    for what, inputs in ((CLEAN, batch), (attacked, found.strongest)):
        codes = {name: inputs[name].astype(np.int32) for name in target.inputs}
        output = interpreter.run(codes)
        if subject.executor == "tflm":
            differing = int(np.sum(output != target.twin.run(codes).reshape(output.shape)))
            if differing:
                raise ParityError(f"{model.name}: {differing} of {output.size} output codes of the twin differ from "
                                  "TFLite Micro's; do not trust its attacks, and report this model")
        wrong = misclassified(dequantize(output, model.output), labels)
        rows.append(_row(subject, scope, what, ~wrong, time.monotonic() - began))
    return rows


def _logits(interpreter: Interpreter, codes: Batch) -> np.ndarray:
    return dequantize(interpreter.run(codes), interpreter.model.output)


def _row(subject: Subject, scope: Scope, what: Attacked, correct: np.ndarray, seconds: float,
         zero_gradient_share: float | None = None, queries: int = 0) -> Row:
    return outcome_row(outcome_key(subject, scope, what, len(correct), subject.sha256), subject, scope, what, correct,
                       seconds=seconds, zero_gradient_share=zero_gradient_share, queries=queries)


def attack_suite(subject: Subject, target: KerasTarget | TwinTarget, suite: Profile, single: Single, *,
                 seed: int) -> list[Row]:
    """Run a whole suite on one model, in ``single``'s mode and in those that change fewer modalities.

    An integer model's adversarial inputs run on TFLite Micro as well.

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
        if isinstance(target, TwinTarget):
            _rerun(target, [saved(campaign, key) for key in campaign.keys], campaign, clean)
        return store.rows()


def _rerun(target: TwinTarget, cells: Sequence[Mapping[str, np.ndarray]], campaign: Campaign, clean: Samples) -> None:
    interpreter = Interpreter(target.model, "tflm")
    start = {name: grid.quantise(clean.inputs[name]) for name, grid in target.model.grids.items()}
    for held in cells:
        codes = {name: values[held["rows"]] for name, values in start.items()} | {
            name: held[name].astype(np.int32) for name in start if name in held}
        if not len(held["rows"]):
            continue
        ours, theirs = target.twin.run(codes), interpreter.run(codes)
        differing = int(np.sum(ours.reshape(theirs.shape) != theirs))
        if differing:
            raise ParityError(f"{target.name}: {differing} of {theirs.size} output codes of the twin differ from "
                              f"TFLite Micro's in {campaign.profile.name}; do not trust its attacks, "
                              "and report this model")
