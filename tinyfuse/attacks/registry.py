"""The attacks by name, behind one call: many threats in, as many outcomes out."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tinyfuse.attacks.adversarial import Adversarial
from tinyfuse.attacks.corners import corners
from tinyfuse.attacks.evolution import nes, spsa
from tinyfuse.attacks.fgsm import fgsm
from tinyfuse.attacks.pgd import mim, pgd
from tinyfuse.attacks.square import square
from tinyfuse.attacks.target import Batch, Target
from tinyfuse.attacks.targets.composite import diva
from tinyfuse.attacks.universal import universal
from tinyfuse.core.errors import UsageError, nearest
from tinyfuse.threats.threat import Threat


def _each(one: Callable[..., Adversarial]) -> Callable[..., list[Adversarial]]:
    """An attack on one threat as an attack on a list of them."""
    def attack_each(target: Target, batch: Batch, labels: np.ndarray, threats: Sequence[Threat],
                    **parameters: Any) -> list[Adversarial]:
        return [one(target, batch, labels, threat, **parameters) for threat in threats]

    return attack_each


_ONE: dict[str, Callable[..., Any]] = {
    "fgsm": fgsm, "pgd": pgd, "mim": mim, "square": square, "corners": corners, "nes": nes, "spsa": spsa}

ATTACKS: dict[str, Callable[..., list[Adversarial]]] = {
    name: one if one is fgsm else _each(one) for name, one in _ONE.items()}
"""Name -> f(target, batch, labels, threats, **parameters); a new attack is one new file and one row here."""


ITERATIVE = ("pgd", "mim")
"""Attacks that take ``steps``, ``step_size``, ``restarts`` and ``survivors_only``."""

GRADIENT_FREE = ("square", "corners", "nes", "spsa")
"""Attacks that ask a target for nothing but logits."""

SPECIAL: dict[str, Callable[..., Any]] = {"universal": universal, "diva": diva}
"""Attacks that need more than one model and one sample each, and so have calls of their own."""

SEEDED = (*ITERATIVE, *GRADIENT_FREE)
"""Attacks that take ``seed`` and ``sample_ids``."""


def attack(name: str, target: Target, batch: Batch, labels: np.ndarray,
           threats: Sequence[Threat], **parameters: Any) -> list[Adversarial]:
    """Run attack ``name`` with its own keyword ``parameters`` under each of ``threats``."""
    check_attack(name, target)
    return ATTACKS[name](target, batch, labels, threats, **parameters)


def check_attack(name: str, target: Target) -> None:
    """Raise UsageError unless ``name`` is an attack that ``target`` can be attacked with."""
    if name not in ATTACKS:
        raise UsageError(f"unknown attack '{name}'{nearest(name, ATTACKS)}; use one of {', '.join(ATTACKS)}")
    if name not in GRADIENT_FREE and not hasattr(target, "gradient"):
        raise UsageError(f"'{target.name}' on {target.executor} has no gradients, which {name} needs; "
                         f"use one of {', '.join(GRADIENT_FREE)}")


def defaults_of(name: str) -> dict[str, Any]:
    """The keyword parameters of attack ``name`` with their defaults, but those that a caller's batch decides."""
    taken = dict(inspect.signature((_ONE | SPECIAL)[name]).parameters)
    if name in ("mim", "diva"):
        taken = {**inspect.signature(pgd).parameters, **taken}
    left_out = {"sample_ids", "survivors_only"} | ({"loss"} if name == "diva" else set())
    return {key: parameter.default for key, parameter in taken.items()
            if parameter.kind is inspect.Parameter.KEYWORD_ONLY and key not in left_out}
