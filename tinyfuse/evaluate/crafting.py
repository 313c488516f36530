"""Adversarial inputs from the float network's own gradients: judged on it, and saved for the integer models."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tinyfuse.attacks import ATTACKS, Adversarial, DifferentiableTarget, Threat, audit
from tinyfuse.evaluate import samples
from tinyfuse.evaluate.matrix import Matrix
from tinyfuse.evaluate.rows import Attacked, Scope, Subject, outcome_key, outcome_row
from tinyfuse.files import save_arrays
from tinyfuse.results import ResultStore


@dataclass(frozen=True)
class Crafted:
    """One saved set of adversarial inputs: only the attacked modalities are in the file."""

    path: Path
    mode: str
    attack: str
    epsilon: float
    threat: Threat


def step_size(matrix: Matrix, attack: str, epsilon: float) -> float:
    """Step of an attack: the whole budget for FGSM, 2.5 epsilon / steps for PGD (Madry et al. 2018)."""
    return epsilon if attack == "fgsm" else 2.5 * epsilon / matrix.steps


def attacked(matrix: Matrix, crafted: Crafted, criterion: str, threat: str, *, source: str = "float") -> Attacked:
    """The row settings of ``crafted`` under ``criterion``; ``source`` is the precision whose gradients made it."""
    budget = crafted.threat.epsilon
    steps = 1 if crafted.attack == "fgsm" else matrix.steps
    return Attacked(crafted.attack, criterion, source, crafted.mode, matrix.norm, crafted.epsilon,
                    budget.get("image", 0.0), budget.get("audio", 0.0), steps,
                    step_size(matrix, crafted.attack, crafted.epsilon),
                    matrix.random_start and crafted.attack == "pgd", threat, 0)


def plan(matrix: Matrix, model: str, folder: Path, *, source: str = "float") -> list[Crafted]:
    """Every (attack, mode, epsilon) of ``model`` and the file that holds its inputs, made on precision ``source``."""
    found = []
    for attack in matrix.attacks:
        for mode, modalities in matrix.modes_of(model).items():
            for epsilon in matrix.epsilons:
                start = "-random" * matrix.random_start
                settings = f"{attack}-{matrix.norm}-{matrix.steps}{start}-{matrix.attack_pairs}"
                name = f"{model}__{source}__{settings}__{mode}__{epsilon:g}.npz"
                threat = Threat(matrix.norm, dict.fromkeys(modalities, epsilon))
                found.append(Crafted(folder / name, mode, attack, epsilon, threat))
    return found


def craft(target: DifferentiableTarget, clean: samples.Samples, crafted: Crafted, matrix: Matrix) -> Adversarial:
    """Run one attack on a float network with true labels and audit what it made."""
    settings = {} if crafted.attack == "fgsm" else {"steps": matrix.steps, "random_start": matrix.random_start}
    found = ATTACKS[crafted.attack](target, clean.inputs, clean.label, [crafted.threat], **settings)[0]
    audit(found.strongest, clean.inputs, crafted.threat)
    audit(found.last, clean.inputs, crafted.threat)
    return found


def craft_all(target: DifferentiableTarget, clean: samples.Samples, matrix: Matrix, subject: Subject, folder: Path, *,
              store: ResultStore, scope: Scope, tick: Callable[[str], None]) -> None:
    """Make what is missing of :func:`plan` and append the rows of ``subject``: any iterate, and the last one alone."""
    for crafted in plan(matrix, subject.model, folder, source=subject.precision):
        wanted = {criterion: attacked(matrix, crafted, criterion, "real", source=subject.precision)
                  for criterion in ("any-iterate", "last-iterate")}
        keys = {name: outcome_key(subject, scope, settings, len(clean), subject.sha256)
                for name, settings in wanted.items()}
        if not (crafted.path.exists() and all(store.has(key) for key in keys.values())):
            began = time.monotonic()
            found = craft(target, clean, crafted, matrix)
            save_arrays(crafted.path, {name: found.strongest[name] for name in crafted.threat.modalities})
            broken = {"any-iterate": found.broken, "last-iterate": found.broken_last}
            for criterion, settings in wanted.items():
                store.append(outcome_row(keys[criterion], subject, scope, settings, ~broken[criterion],
                                         seconds=time.monotonic() - began,
                                         zero_gradient_share=float(found.zero_gradient.mean())))
        tick(f"{subject.model} {subject.precision} {crafted.attack} {crafted.mode} {crafted.epsilon:g}")
