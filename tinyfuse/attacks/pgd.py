"""The fast gradient method, projected gradient descent with restarts and with momentum, and DIVA on top of it."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from typing import Any

import numpy as np

from tinyfuse.attacks.adversarial import Adversarial, Strongest, misclassified
from tinyfuse.attacks.attack import Attack, GradientAttack, at_least
from tinyfuse.attacks.losses import CROSS_ENTROPY
from tinyfuse.attacks.oracle import Climb, Problem, Query
from tinyfuse.attacks.target import DifferentiableTarget, Gradient, take_rows, zero_gradient
from tinyfuse.attacks.targets.composite import DivaTarget
from tinyfuse.data.samples import Batch
from tinyfuse.threats.code_grid import Grids
from tinyfuse.threats.threat import Threat


@dataclass(frozen=True)
class FGSM(GradientAttack):
    """clip(x + epsilon * sign(g)), or x + epsilon * g / ||g|| for L2, with the gradient g of ``loss``.

    Numerically CleverHans 4.0's ``fast_gradient_method``.
    """

    name = "fgsm"
    loss: str = CROSS_ENTROPY

    def step_lengths(self, threat: Threat, grids: Grids | None) -> dict[str, float]:
        return dict(threat.budget)

    def climb(self, problem: Problem) -> Climb:
        batch, threat = problem.batch, problem.threat
        gradient, _ = yield from problem.gradient(self.loss)
        point = threat.realise(threat.ascend(batch, gradient.wrt, threat.budget), batch)
        broken = misclassified((yield Query(point, problem.places)), problem.labels)
        return Adversarial(threat, last=point, strongest=point, broken=broken, broken_last=broken,
                           zero_gradient=zero_gradient(gradient.wrt, threat), queries=len(broken))


@dataclass(frozen=True)
class FGM(FGSM):
    """:class:`FGSM` in a Euclidean norm: x + epsilon * g / ||g||, one step of the whole budget.

    In the joint norm the length is that of the gradients of all attacked inputs together (Yang et al. 2024).
    """

    name = "fgm"
    norms = ("l2", "l2-joint", "l2-steps")


@dataclass(frozen=True)
class PGD(GradientAttack):
    """``steps`` steps up ``loss``, projected after each (Madry et al. 2018).

    ``step_size`` is in input units and at most the budget, by default 2.5 epsilon / steps (in a joint ball it is the
    step of the input with the largest budget, and those of others are shorter in proportion to theirs); on codes it is
    a whole number of them for a given size and at least one code otherwise, as rounding would undo less. Numerically
    CleverHans 4.0's ``projected_gradient_descent``.

    ``restarts`` runs in all; the first starts at the clean point unless ``random_start``, the others at points that
    depend only on ``seed``, the sample's id and the restart.
    """

    name = "pgd"
    iterative = True
    least = at_least(steps=1, step_size=0, restarts=1, seed=0)
    steps: int = 20
    step_size: float | None = None
    random_start: bool = False
    restarts: int = 1
    seed: int = 0
    loss: str = CROSS_ENTROPY

    def step_lengths(self, threat: Threat, grids: Grids | None) -> dict[str, float]:
        """Return the length of a step by input; a ``step_size`` on codes needs ``grids``."""
        if self.step_size is None:
            least = 1.0 if threat.lattice else 0.0
            wanted = {name: max(2.5 * epsilon / self.steps, least) for name, epsilon in threat.budget.items()}
        else:
            wanted = self._given_lengths(self.step_size, threat, grids)
        return {name: min(wanted[name], epsilon) for name, epsilon in threat.budget.items()}

    def _given_lengths(self, size: float, threat: Threat, grids: Grids | None) -> dict[str, float]:
        """Return steps of ``size`` in input units; in a joint ball that of the largest budget, others in proportion."""
        codes = grids if threat.lattice and grids else None
        real = {name: epsilon * (codes[name].scale if codes else 1.0) for name, epsilon in threat.budget.items()}
        largest = max(real.values())
        sizes = {name: size * (epsilon / largest if threat.norm.joint and largest else 1.0)
                 for name, epsilon in real.items()}
        return {name: float(max(1, codes[name].budget(one))) for name, one in sizes.items()} if codes else sizes

    def climb(self, problem: Problem) -> Climb:
        """Run all restarts; with survivors only, each on what no iterate has broken yet."""
        batch, threat = problem.batch, problem.threat
        lengths = self.step_lengths(threat, problem.grids)
        first, queries = yield from problem.gradient(self.loss)
        best = Strongest(batch, problem.labels, threat.attacked)
        for restart in range(self.restarts):
            rows = np.flatnonzero(~best.wrong) if problem.survivors_only else np.arange(len(problem.labels))
            if not len(rows):
                break
            random = self.random_start or restart > 0
            start = threat.random_point(batch, seed=self.seed, sample_ids=problem.ids,
                                        restart=restart) if random else batch
            climbers = Climbers(problem, best, rows, start, None if random else first)
            seen, logits = yield from self._ascend(climbers, lengths)
            queries += climbers.queries
            if restart == 0:
                last, last_logits = {**batch, **seen}, logits
        if problem.survivors_only:
            last = best.point
        broken, broken_last = yield from _judge(problem, best, last, last_logits)
        return Adversarial(threat, last=last, strongest=best.point, broken=broken, broken_last=broken_last,
                           zero_gradient=zero_gradient(first.wrt, threat), queries=queries)

    def _ascend(self, at: Climbers, lengths: dict[str, float]) -> Generator[
            Query, Any, tuple[dict[str, np.ndarray], np.ndarray]]:
        for _ in range(self.steps):
            gradient = yield from at.gradient(self.loss)
            direction = self._direction(gradient, at)
            at.point = at.threat.project(at.threat.ascend(at.point, direction, lengths), at.clean)
        return (yield from at.arrive())

    def _direction(self, gradient: Batch, at: Climbers) -> Batch:
        return gradient


@dataclass(frozen=True)
class MIM(PGD):
    """The momentum iterative method (Dong et al. 2018): steps along decay * velocity + gradient / mean |gradient|.

    ``momentum`` is the decay; gradients are divided by their mean size per sample and input, in a joint ball by that of
    all inputs together.
    """

    name = "mim"
    least = at_least(**PGD.least, momentum=0)
    momentum: float = 1.0

    def _direction(self, gradient: Batch, at: Climbers) -> Batch:
        means = {name: np.abs(values).mean(axis=tuple(range(1, values.ndim))) for name, values in gradient.items()}
        if at.threat.norm.joint:
            means = dict.fromkeys(means, np.mean(list(means.values()), axis=0))
        for name, values in gradient.items():
            mean = means[name].reshape(-1, *([1] * (values.ndim - 1)))
            scaled = np.divide(values, mean, out=np.zeros_like(values), where=mean > 0)
            at.velocity[name] = np.float32(self.momentum) * at.velocity.get(name, np.float32(0)) + scaled
        return at.velocity


@dataclass(frozen=True)
class DIVA(Attack):
    """PGD, with ``momentum`` MIM, on :class:`DivaTarget` that leaves a sample once a point tells the models apart.

    Finds inputs that the integer model gets wrong while its float network stays right (Hao et al. 2022).
    """

    name = "diva"
    iterative = True
    needs_float = True
    least = at_least(**MIM.least, c=0)
    c: float = 1.0
    steps: int = 20
    step_size: float | None = None
    random_start: bool = False
    restarts: int = 1
    seed: int = 0
    momentum: float | None = None

    def step_lengths(self, threat: Threat, grids: Grids | None) -> dict[str, float]:
        return self._climb().step_lengths(threat, grids)

    def run(self, target: DifferentiableTarget, batch: Batch, labels: np.ndarray, threat: Threat, *,
            beside: DifferentiableTarget, sample_ids: np.ndarray | None = None) -> Adversarial:
        """Attack the integer model ``target`` where the float network ``beside`` it is right.

        Both take ``batch`` (see :class:`DequantisedTarget`). The flags are about the integer model alone: whether the
        float network is still right on ``strongest`` is for the caller to judge.
        """
        return self._climb().run(DivaTarget(beside, target, self.c), batch, labels, threat, sample_ids=sample_ids,
                                 survivors_only=True)

    def _climb(self) -> PGD:
        settings = (self.steps, self.step_size, self.random_start, self.restarts, self.seed)
        return PGD(*settings) if self.momentum is None else MIM(*settings, momentum=self.momentum)


class Climbers:
    """The samples ``rows`` of ``problem`` on their way from ``start``; every iterate is offered to ``best``.

    ``first``: the gradient of the problem's samples at the clean point, if that is the start (it is no iterate).
    ``point``, ``clean``, ``threat`` and ``velocity`` (what an attack adds up on the way) are those of the samples that
    still climb: with survivors only, a sample leaves once an iterate is misclassified.
    """

    def __init__(self, problem: Problem, best: Strongest, rows: np.ndarray, start: Batch,
                 first: Gradient | None) -> None:
        self.threat = problem.threat.take(rows)
        self.clean, self.point = ({name: values[name][rows] for name in self.threat.attacked}
                                  for values in (problem.batch, start))
        self.velocity: dict[str, np.ndarray] = {}
        self.queries = 0
        self._problem, self._best, self._rows = problem, best, rows
        self._first = None if first is None else take_rows(first, rows)

    def gradient(self, loss: str) -> Generator[Query, Any, Batch]:
        """Return the gradients of ``loss``, 0 where the mask is, for the samples that still climb after this query."""
        if not len(self._rows):
            return self.point
        if self._first is not None:
            gradient, self._first = self._first, None
            return self.threat.masked(gradient.wrt)
        seen = self.threat.realise(self.point, self.clean)
        gradient = yield Query(seen, self._problem.places[self._rows], loss)
        self.queries += len(self._rows)
        wrong = self._best.offer(self._rows, seen, gradient.logits)
        if self._problem.survivors_only and wrong.any():
            gradient = take_rows(gradient, ~wrong)
            self._keep(~wrong)
        return self.threat.masked(gradient.wrt)

    def arrive(self) -> Generator[Query, Any, tuple[dict[str, np.ndarray], np.ndarray]]:
        """Judge the last iterates; return them and their logits."""
        seen = self.threat.realise(self.point, self.clean)
        if not len(self._rows):
            return seen, np.zeros((0, 0))
        logits = yield Query(seen, self._problem.places[self._rows])
        self._best.offer(self._rows, seen, logits)
        return seen, logits

    def _keep(self, climbing: np.ndarray) -> None:
        """Forget all samples but those ``climbing`` (bool)."""
        self._rows, self.threat = self._rows[climbing], self.threat.take(climbing)
        self.clean, self.point, self.velocity = ({name: values[climbing] for name, values in table.items()}
                                                 for table in (self.clean, self.point, self.velocity))


def _judge(problem: Problem, best: Strongest, last: Batch,
           last_logits: np.ndarray) -> Generator[Query, Any, tuple[np.ndarray, np.ndarray]]:
    """Return (broken, broken_last) as whoever judges the points again finds them; what either broke is in ``best``."""
    # A backward pass may round its logits differently, so the flags come from a forward pass.
    broken = misclassified((yield Query(best.point, problem.places)), problem.labels)
    if problem.survivors_only:
        return broken, broken
    broken_last = misclassified(last_logits, problem.labels)
    missed = broken_last & ~broken
    best.replace(np.flatnonzero(missed), last, missed)
    return broken | broken_last, broken_last
