"""Targets made of targets: an ensemble that is attacked at once, and DIVA, which tells two models apart."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tinyfuse.attacks.adversarial import Adversarial, misclassified
from tinyfuse.attacks.guards import checked_logits
from tinyfuse.attacks.losses import check_loss
from tinyfuse.attacks.pgd import pgd
from tinyfuse.attacks.target import Batch, DifferentiableTarget, Focus, Gradient, Target, focused
from tinyfuse.core.errors import UsageError, nearest
from tinyfuse.threats.code_grid import InputGrid
from tinyfuse.threats.threat import Threat

COUNTS = ("judged", "all", "any")


class _Composite(ABC):
    """Members that see the same batch; a subclass says how their gradients add up."""

    def __init__(self, name: str, members: Sequence[DifferentiableTarget], judged: int) -> None:
        first = members[0]
        for member in members[1:]:
            if set(member.inputs) != set(first.inputs):
                raise UsageError(f"'{member.name}' has the inputs {', '.join(member.inputs)}, but '{first.name}' has "
                                 f"{', '.join(first.inputs)}; models that are attacked together need the same")
            if _space(member) != _space(first):
                raise UsageError(f"'{member.name}' takes {_space_name(member)}, but '{first.name}' takes "
                                 f"{_space_name(first)}; bring real-valued ones to codes with DequantisedTarget")
        self.name, self.members, self._judged = name, tuple(members), judged
        self.executor = "+".join(dict.fromkeys(member.executor for member in members))
        self.inputs: tuple[str, ...] = first.inputs
        self.grids: Mapping[str, InputGrid] | None = first.grids

    def logits(self, batch: Batch) -> np.ndarray:
        """Logits [n, k] of the judged member."""
        return self.members[self._judged].logits(batch)

    def gradient(self, batch: Batch, labels: np.ndarray, wrt: tuple[str, ...],
                 loss: str = "cross-entropy") -> Gradient:
        """The members' gradients as one, with the logits that judge the point."""
        wanted = self._member_loss(loss)
        return self._combined([member.gradient(batch, labels, wrt, wanted) for member in self.members],
                              np.asarray(labels))

    def focus(self, batch: Batch, modalities: tuple[str, ...]) -> Focus:
        """The same target while only ``modalities`` of ``batch`` change."""
        return _CompositeFocus(self, [focused(member, batch, modalities) for member in self.members])

    def _member_loss(self, loss: str) -> str:
        check_loss(loss)
        return loss

    @abstractmethod
    def _combined(self, found: Sequence[Gradient], labels: np.ndarray) -> Gradient:
        """One gradient from those of the members."""


class _CompositeFocus:
    """The foci of all members as one."""

    def __init__(self, target: _Composite, members: Sequence[Focus]) -> None:
        self._target, self._members = target, members

    def logits(self, point: Batch, rows: np.ndarray) -> np.ndarray:
        """Logits [m, k] of the judged member."""
        return self._members[self._target._judged].logits(point, rows)

    def gradient(self, point: Batch, labels: np.ndarray, rows: np.ndarray, loss: str = "cross-entropy") -> Gradient:
        """The members' gradients as one."""
        wanted = self._target._member_loss(loss)
        return self._target._combined([member.gradient(point, labels, rows, wanted) for member in self._members],
                                      np.asarray(labels))


class EnsembleTarget(_Composite):
    """Several models attacked at once: the loss is the weighted mean of theirs, ``weights`` [m] > 0 (default: equal).

    Attacks judge by the logits of member ``judged`` (default: the last one); :meth:`broken` counts otherwise. All
    members take the same inputs in the same units: real values, or codes of the same grids.

    Raises:
        UsageError: no member, members of different inputs or grids, or bad weights.
    """

    def __init__(self, targets: Sequence[DifferentiableTarget], weights: Sequence[float] | None = None, *,
                 judged: int = -1) -> None:
        if not targets or not -len(targets) <= judged < len(targets):
            raise UsageError(f"an ensemble of {len(targets)} targets, judged by number {judged}; "
                             "give at least one target and judge by one of them")
        given = np.ones(len(targets)) if weights is None else np.asarray(weights, np.float64)
        if given.shape != (len(targets),) or not (np.isfinite(given).all() and np.all(given > 0)):
            raise UsageError(f"weights {given.tolist()} for {len(targets)} targets; give each a finite number > 0")
        super().__init__("+".join(target.name for target in targets), targets, judged)
        self.weights = given / given.sum()

    def broken(self, batch: Batch, labels: np.ndarray, count: str = "all") -> np.ndarray:
        """Bool [n]: misclassified by the "judged" member, by "all" members or by "any" of them."""
        if count not in COUNTS:
            raise UsageError(f"unknown count '{count}'{nearest(count, COUNTS)}; use one of {', '.join(COUNTS)}")
        members = [self.members[self._judged]] if count == "judged" else self.members
        flags = [misclassified(checked_logits(member, batch, labels), labels) for member in members]
        return np.asarray(np.any(flags, axis=0) if count == "any" else np.all(flags, axis=0))

    def _combined(self, found: Sequence[Gradient], labels: np.ndarray) -> Gradient:
        del labels
        loss = sum(weight * one.loss.astype(np.float64) for weight, one in zip(self.weights, found, strict=True))
        wrt = {name: np.asarray(sum(weight * one.wrt[name].astype(np.float64)
                                    for weight, one in zip(self.weights, found, strict=True)), np.float32)
               for name in found[0].wrt}
        return Gradient(found[self._judged].logits, np.asarray(loss), wrt)


class DivaTarget(_Composite):
    """Makes the integer model wrong where the float model stays right (DIVA, Hao et al. 2022).

    The loss is p_float[label] - c * p_int[label], whatever loss an attack asks for; p is the softmax. Attacks judge by
    the integer model's logits. The logits that come with a gradient are the same, except that a sample counts as not
    broken where the float model errs too: with ``survivors_only`` an attack therefore stops a sample at the first
    point that tells the models apart, as the authors do. Use :func:`evasive` for the verdict on what it returns.

    Raises:
        UsageError: models of different inputs or grids, or ``c`` that is not a finite number >= 0.
    """

    def __init__(self, float_target: DifferentiableTarget, int_target: DifferentiableTarget, c: float = 1.0) -> None:
        if not 0 <= c < float("inf"):
            raise UsageError(f"diva: c is {c}; give a finite number >= 0")
        super().__init__(f"diva:{float_target.name}:{int_target.name}", (float_target, int_target), 1)
        self.c = float(c)

    def _member_loss(self, loss: str) -> str:
        check_loss(loss)
        return "cross-entropy"

    def _combined(self, found: Sequence[Gradient], labels: np.ndarray) -> Gradient:
        """The cross-entropy L is -log p, hence dp = -p dL: exact from what the members return."""
        real, integer = found
        p_real, p_integer = np.exp(-real.loss.astype(np.float64)), np.exp(-integer.loss.astype(np.float64))
        wrt = {}
        for name, slope in real.wrt.items():
            ones = (1,) * (slope.ndim - 1)
            wrt[name] = (self.c * p_integer.reshape(-1, *ones) * integer.wrt[name]
                         - p_real.reshape(-1, *ones) * slope).astype(np.float32)
        logits = integer.logits.astype(np.float64)
        both = np.flatnonzero(misclassified(real.logits, labels) & misclassified(logits, labels))
        logits[both, labels[both]] = logits[both].max(axis=1) + 1.0
        return Gradient(logits, p_real - self.c * p_integer, wrt)


def diva(float_target: DifferentiableTarget, int_target: DifferentiableTarget, batch: Batch, labels: np.ndarray,
         threat: Threat, *, c: float = 1.0, **parameters: Any) -> Adversarial:
    """PGD on :class:`DivaTarget` that leaves a sample at the first point that tells the models apart.

    Both targets take ``batch`` (see :class:`DequantisedTarget`); ``parameters`` are those of :func:`pgd` but the loss.
    The flags are about the integer model alone: ask :func:`evasive` for the verdict on ``strongest``.
    """
    return pgd(DivaTarget(float_target, int_target, c), batch, labels, threat, survivors_only=True, **parameters)


def evasive(float_target: Target, int_target: Target, batch: Batch, labels: np.ndarray) -> np.ndarray:
    """Bool [n]: the float model is right and the integer model is wrong on the same ``batch``."""
    labels = np.asarray(labels)
    real, integer = (misclassified(checked_logits(target, batch, labels), labels)
                     for target in (float_target, int_target))
    return np.asarray(~real & integer)


def evasive_rate(float_target: Target, int_target: Target, batch: Batch, labels: np.ndarray) -> float:
    """The share of samples that are :func:`evasive`; both models see the same ``batch``."""
    return float(evasive(float_target, int_target, batch, labels).mean())


def _space(target: Target) -> dict[str, InputGrid] | None:
    return None if target.grids is None else {name: target.grids[name] for name in target.inputs}


def _space_name(target: Target) -> str:
    return "real values" if target.grids is None else ", ".join(
        f"{name} codes of scale {target.grids[name].scale:g}" for name in target.inputs)
