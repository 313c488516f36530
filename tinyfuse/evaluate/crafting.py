"""Adversarial inputs from the float network's own gradients: judged on it, and saved for the integer models."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tinyfuse.attacks import ITERATIVE, Adversarial, DifferentiableTarget, Threat, attack, audit
from tinyfuse.evaluate import samples
from tinyfuse.evaluate.matrix import Matrix
from tinyfuse.evaluate.rows import Attacked, Scope, Subject, outcome_key, outcome_row
from tinyfuse.files import save_arrays, sha256_hex
from tinyfuse.results import ResultStore


@dataclass(frozen=True)
class Crafted:
    """One saved set of adversarial inputs: only the attacked modalities are in the file."""

    path: Path
    mode: str
    attack: str
    epsilon: float
    threat: Threat


def step_size(matrix: Matrix, crafted: Crafted) -> float | None:
    """Step of an attack: the whole budget, or 2.5 epsilon / steps where it iterates; None if modalities differ."""
    if len(set(crafted.threat.epsilon.values())) > 1:
        return None
    return 2.5 * crafted.epsilon / matrix.steps if crafted.attack in ITERATIVE else crafted.epsilon


def attacked(matrix: Matrix, crafted: Crafted, criterion: str, threat: str, *, source: str = "float") -> Attacked:
    """The row settings of ``crafted`` under ``criterion``; ``source`` is the precision whose gradients made it."""
    budget = crafted.threat.epsilon
    iterative = crafted.attack in ITERATIVE
    return Attacked(crafted.attack, criterion, source, crafted.mode, matrix.norm, crafted.epsilon,
                    budget.get("image", 0.0), budget.get("audio", 0.0),
                    matrix.steps if iterative else 1, step_size(matrix, crafted),
                    matrix.random_start and iterative, threat, 0)


def plan(matrix: Matrix, subject: Subject, folder: Path, scope: Scope) -> list[Crafted]:
    """Every (attack, mode, epsilon) against ``subject`` and the file that holds its inputs.

    The file's name has a digest of the network and the data, so that other inputs can never be taken for these.
    """
    found = []
    origin = sha256_hex(f"{subject.sha256} {scope.dataset.checksum}".encode())[:12]
    for name in matrix.attacks:
        for mode, modalities in matrix.modes_of(subject.model).items():
            for epsilon in matrix.epsilons:
                start = "-random" * matrix.random_start
                settings = f"{name}-{matrix.norm}-{matrix.steps}{start}-{matrix.attack_pairs}"
                file = f"{subject.model}__{subject.precision}__{settings}__{mode}__{epsilon!r}__{origin}.npz"
                threat = Threat(matrix.norm, dict.fromkeys(modalities, epsilon))
                found.append(Crafted(folder / file, mode, name, epsilon, threat))
    return found


def craft(target: DifferentiableTarget, clean: samples.Samples, crafted: Crafted, matrix: Matrix) -> Adversarial:
    """Run one attack on a float network with true labels and audit what it made."""
    iterated = {"steps": matrix.steps, "random_start": matrix.random_start}
    settings = iterated if crafted.attack in ITERATIVE else {}
    found = attack(crafted.attack, target, clean.inputs, clean.label, [crafted.threat], **settings)[0]
    audit(found.strongest, clean.inputs, crafted.threat)
    audit(found.last, clean.inputs, crafted.threat)
    return found


def craft_all(target: DifferentiableTarget, clean: samples.Samples, matrix: Matrix, subject: Subject, folder: Path, *,
              store: ResultStore, scope: Scope, tick: Callable[[str], None]) -> None:
    """Make what is missing of :func:`plan` and append the rows of ``subject``: any iterate, and the last one alone."""
    for crafted in plan(matrix, subject, folder, scope):
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
