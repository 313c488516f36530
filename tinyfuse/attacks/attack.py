"""What every attack is: a frozen dataclass of its settings that runs against a target; its repr is its identity."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from tinyfuse.attacks.adversarial import Adversarial
from tinyfuse.attacks.guards import check_request
from tinyfuse.attacks.losses import CROSS_ENTROPY, check_loss
from tinyfuse.attacks.oracle import Climb, Oracle, Problem
from tinyfuse.attacks.target import Gradient, Target
from tinyfuse.core.errors import UsageError
from tinyfuse.core.strict import encode
from tinyfuse.data.samples import Batch
from tinyfuse.threats.code_grid import Grids
from tinyfuse.threats.norms import NORMS, norm_of
from tinyfuse.threats.threat import Threat


def at_least(**smallest: float) -> Mapping[str, float]:
    """Return the smallest value allowed for each setting, by its name."""
    return smallest


@dataclass(frozen=True)
class Attack:
    """Settings of an attack, and as class attributes what kind of attack it is.

    ``gradient_free``: it asks a target for nothing but logits. ``iterative``: it takes steps of a length in input
    units. ``in_suites``: it attacks one target sample by sample, so it may stand in a profile. ``needs_float``: it runs
    on an integer model with its float network beside. ``one_for_all``: one perturbation serves a whole set. ``norms``:
    those that it is defined for, its own default first. ``least``: the smallest value of each setting that is a number.
    An unknown loss, or a number that is smaller or not finite, is
    a UsageError.
    """

    name: ClassVar[str]
    least: ClassVar[Mapping[str, float]] = {}
    gradient_free: ClassVar[bool] = False
    iterative: ClassVar[bool] = False
    in_suites: ClassVar[bool] = False
    needs_float: ClassVar[bool] = False
    one_for_all: ClassVar[bool] = False
    norms: ClassVar[tuple[str, ...]] = tuple(NORMS)

    def __post_init__(self) -> None:
        check_loss(getattr(self, "loss", CROSS_ENTROPY))
        for name, smallest in self.least.items():
            value = getattr(self, name)
            if value is not None and not smallest <= value < float("inf"):
                raise UsageError(f"{self.name}: {name} is {value}; give at least {smallest}")

    @property
    def title(self) -> str:
        """A short name that tells the attacks of one suite apart."""
        loss = getattr(self, "loss", CROSS_ENTROPY)
        return self.name if loss == CROSS_ENTROPY else f"{self.name}-{loss}"

    def settings(self) -> dict[str, Any]:
        """Return the name and every setting that is not None, for a row; :func:`attack_of` reads it back."""
        return {"name": self.name, **encode(self)}

    def check_norm(self, norm: str) -> None:
        """Raise UsageError unless the attack is defined for ``norm``."""
        if norm not in self.norms:
            raise UsageError(f"{self.name}: the norm is {norm}; this attack is defined for {' and '.join(self.norms)}")

    def norm_or_default(self, norm: str | None) -> str:
        """Return ``norm``, or the attack's own default; raise UsageError if it is unknown or not defined for it."""
        chosen = norm_of(norm or self.norms[0]).name
        self.check_norm(chosen)
        return chosen

    def step_lengths(self, threat: Threat, grids: Grids | None) -> dict[str, float]:
        """Return the length of its steps by input in the units of ``threat``; empty where they are not fixed."""
        return {}


@dataclass(frozen=True)
class SampleAttack(Attack, ABC):
    """An attack on one target, sample by sample."""

    in_suites = True

    def run(self, target: Target, batch: Batch, labels: np.ndarray, threat: Threat, *,
            sample_ids: np.ndarray | None = None, survivors_only: bool = False,
            known: Gradient | None = None) -> Adversarial:
        """Attack the samples of ``batch`` (float32 [n, ...] by input) with true classes ``labels`` (int [n]).

        Random numbers depend on the seed of the attack and on each sample's entry in ``sample_ids`` (int [n], default
        0..n-1), never on the batch around it. ``survivors_only``: a sample may leave once an iterate is misclassified;
        "misclassified by any iterate" stays exact, and ``last`` is ``strongest``. ``known``: the gradient of the
        cross-entropy at ``batch``, which is not asked again. A threat that does not fit and a lack of gradients are
        UsageErrors; NaN or infinite gradients or logits, and probabilities instead of logits, are TinyfuseErrors.
        """
        if not (self.gradient_free or hasattr(target, "gradient")):
            raise UsageError(f"'{target.name}' on {target.executor} has no gradients, which {self.name} needs; use one "
                             f"of {', '.join(name for name, kind in ATTACKS.items() if kind.gradient_free)}")
        for norm in threat.norm.names:
            self.check_norm(norm)
        check_request(target, batch, labels, [threat])
        labels, places = np.asarray(labels), np.arange(len(labels))
        ids = places if sample_ids is None else np.asarray(sample_ids)
        if ids.shape != labels.shape or ids.dtype.kind not in "iu" or ids.min() < 0:
            raise UsageError(f"sample_ids are {ids.dtype} of shape {ids.shape}; give {len(labels)} integers >= 0, one "
                             "per sample")
        problem = Problem(batch, labels, threat, ids, places, target.grids, known, survivors_only)
        return self.solve(problem, Oracle(target, batch, labels, threat.attacked))

    @abstractmethod
    def solve(self, problem: Problem, oracle: Oracle) -> Adversarial:
        """Attack the samples of ``problem``, which are part of the batch of ``oracle``."""


@dataclass(frozen=True)
class GradientAttack(SampleAttack):
    """An attack that asks for gradients or logits query by query, so that several of them can share batches."""

    def solve(self, problem: Problem, oracle: Oracle) -> Adversarial:
        climb, answer = self.climb(problem), None
        try:
            while True:
                answer = oracle.answers([climb.send(answer)])[0]
        except StopIteration as end:
            found: Adversarial = end.value
            return found

    @abstractmethod
    def climb(self, problem: Problem) -> Climb:
        """Yield queries about the samples of ``problem``; return the outcome."""


ATTACKS: dict[str, type[Attack]] = {}
"""The attacks by name; a new one is one new file and one name in profiles.py."""


def register(kind: type[Attack]) -> None:
    """Add an attack to :data:`ATTACKS`."""
    ATTACKS[kind.name] = kind
