"""The attacks by name, behind one call: many threats in, as many outcomes out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tinyfuse.attacks.adversarial import Adversarial
from tinyfuse.attacks.fgsm import fgsm
from tinyfuse.attacks.pgd import pgd
from tinyfuse.attacks.target import Batch, DifferentiableTarget
from tinyfuse.attacks.threat import Threat
from tinyfuse.errors import UsageError, nearest


def _pgd_each(target: DifferentiableTarget, batch: Batch, labels: np.ndarray, threats: Sequence[Threat],
              **parameters: Any) -> list[Adversarial]:
    return [pgd(target, batch, labels, threat, **parameters) for threat in threats]


ATTACKS: dict[str, Callable[..., list[Adversarial]]] = {"fgsm": fgsm, "pgd": _pgd_each}
"""Name -> f(target, batch, labels, threats, **parameters); a new attack is one new file and one row here."""


ITERATIVE = ("pgd",)
"""Attacks that take ``steps`` and ``random_start``; the others take one step of the whole budget."""


def attack(name: str, target: DifferentiableTarget, batch: Batch, labels: np.ndarray,
           threats: Sequence[Threat], **parameters: Any) -> list[Adversarial]:
    """Run attack ``name`` with its own keyword ``parameters`` under each of ``threats``."""
    if name not in ATTACKS:
        raise UsageError(f"unknown attack '{name}'{nearest(name, ATTACKS)}; use one of {', '.join(ATTACKS)}")
    return ATTACKS[name](target, batch, labels, threats, **parameters)
