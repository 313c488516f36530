"""Attacks that need more than one model and one sample each: a universal perturbation, and DIVA's evasive inputs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from tinyfuse.attacks import DequantisedTarget, KerasTarget, TwinTarget, misclassified, universal
from tinyfuse.attacks.targets.composite import diva
from tinyfuse.attacks.universal import judge as judge_delta
from tinyfuse.checks.line_rows import survivors_of
from tinyfuse.core.results import Row
from tinyfuse.core.statistics import wilson
from tinyfuse.data import Pairs
from tinyfuse.integer.interpreters import IntegerModel
from tinyfuse.nn.train_or_load import Network
from tinyfuse.study.attack_one import Judge, Rows, Single, check_inputs, float_target, judge_again, kept
from tinyfuse.study.rows import CLEAN, Attacked, Scope, Subject
from tinyfuse.study.samples import Samples
from tinyfuse.threats.audit import audit


def universal_on_float(network: Network, single: Single) -> Rows:
    """Make one perturbation on ``train_pairs`` training pairs for ``network``; judge it on the test pairs."""
    target, judge = float_target(network, single)
    return _universal(target, judge, "float", "real")[0]


def universal_on_twin(model: IntegerModel, subject: Subject, single: Single, *, seed: int,
                      executors: Sequence[str]) -> Rows:
    """Make one perturbation of whole codes on ``train_pairs`` training pairs; judge it on test pairs and ``executors``.

    Raises:
        ModelError: the model has other inputs than the data.
        ParityError: TFLite Micro is among ``executors`` and an output code differs from the twin's.
    """
    check_inputs(model, single.dataset)
    target, twin = TwinTarget(model), replace(subject, executor="twin")
    judge = Judge(twin, Scope(single.dataset, seed), single, subject.sha256)
    rows, settings = _universal(target, judge, subject.precision, single.domain)
    clean = single.clean()
    codes = {name: rows.made[name] for name in target.inputs}
    again = judge_again(target, judge, executors, {CLEAN: single.problem(clean, model.grids)[1], settings: codes},
                        clean.label)
    known = {row["key"]: {"universal": {"train_pairs": single.parameters["train_pairs"]}} for row in again[1::2]}
    return Rows([*rows, *again], rows.made, {**rows.notes, **known})


def _universal(target: KerasTarget | TwinTarget, judge: Judge, source: str, domain: str) -> tuple[Rows, Attacked]:
    single = judge.single
    parameters = dict(single.parameters)
    learnt = _samples(single.dataset.train, parameters.pop("train_pairs"))
    clean, grids = single.clean(), target.grids
    threat, batch = single.problem(learnt, grids)
    found = universal(target, batch, learnt.label, threat, **parameters)
    threat, batch = single.problem(clean, grids)
    verdict = judge_delta(target, batch, clean.label, threat, found.delta)
    settings = single.settings("replayed", source, domain)
    rows = [judge.row(CLEAN, ~verdict.missed),
            judge.row(settings, ~verdict.broken, queries=round(found.queries / len(learnt)))]
    notes = {"train_pairs": len(learnt), "train_accuracy": float(np.mean(~found.verdict.broken)),
             "fooling_rate": verdict.fooling_rate}
    model = target.model if isinstance(target, TwinTarget) else None
    made = kept(target.inputs, verdict.point, clean.label, verdict.broken, model)
    made |= {f"delta_{name}": values for name, values in found.delta.items()}
    return Rows(rows, made, {rows[-1]["key"]: {"universal": notes}}), settings


def attack_diva(model: IntegerModel, network: Network, subject: Subject, single: Single, *, seed: int,
                executors: Sequence[str]) -> Rows:
    """Look for inputs that the integer model gets wrong while its float ``network`` stays right (DIVA).

    The float network sees the values that the codes stand for. Each row of the integer model has the note "evasive":
    how many of all samples; those that the float network had wrong when clean do not count, though DIVA may mend them.

    Raises:
        ModelError: the model has other inputs than the data.
        ParityError: TFLite Micro is among ``executors`` and an output code differs from the twin's.
    """
    check_inputs(model, single.dataset)
    target, clean, grids = TwinTarget(model), single.clean(), model.grids
    real, of_float = float_target(network, single)
    seen, made_by = DequantisedTarget(real, grids), f"{network.sha256}+{subject.sha256}"
    judge = Judge(replace(subject, executor="twin"), Scope(single.dataset, seed), single, made_by)
    of_float = replace(of_float, made_by=made_by)
    threat, batch = single.problem(clean, grids)
    parameters = {**single.parameters, "step_size": single.steps(threat, grids)}
    found = diva(seen, target, batch, clean.label, threat, **parameters)
    audit(found.strongest, batch, threat)
    settings = single.settings("any-iterate", f"float+{subject.precision}", single.domain, threat, grids)
    wrong = misclassified(target.logits(found.strongest), clean.label)
    floats = [of_float.row(CLEAN, ~misclassified(real.logits(clean.inputs), clean.label)),
              of_float.row(replace(settings, criterion="replayed"),
                           ~misclassified(seen.logits(found.strongest), clean.label))]
    share, queries = float(found.zero_gradient.mean()), round(found.queries / len(clean))
    rows = [judge.row(CLEAN, ~misclassified(target.logits(batch), clean.label)),
            judge.row(settings, ~wrong, share, queries)]
    rows += judge_again(target, judge, executors, {CLEAN: batch, settings: found.strongest}, clean.label)
    return Rows([*floats, *rows], kept(target.inputs, found.strongest, clean.label, wrong, model) | {
        "evasive": survivors_of(floats[0]) & survivors_of(floats[1]) & wrong}, _evasive(floats, rows))


def _evasive(floats: Sequence[Row], rows: Sequence[Row]) -> dict[str, Mapping[str, Any]]:
    """The note "evasive" of each attacked row of the integers; ``rows`` are pairs of clean and attacked."""
    notes: dict[str, Mapping[str, Any]] = {}
    right = survivors_of(floats[0])
    stays = right & survivors_of(floats[1])
    for clean, attacked in zip(rows[::2], rows[1::2], strict=True):
        before, after = int(np.sum(right & ~survivors_of(clean))), int(np.sum(stays & ~survivors_of(attacked)))
        low, high = wilson(after, attacked["n"])
        notes[attacked["key"]] = {"evasive": {
            "count": after, "n": attacked["n"], "rate": after / attacked["n"], "ci_low": low, "ci_high": high,
            "clean_count": before, "float_stays_correct": int(stays.sum())}}
    return notes


def _samples(pairs: Pairs, count: int) -> Samples:
    chosen = pairs.balanced(count, seed=0)
    return Samples(chosen.inputs(), chosen.label)
