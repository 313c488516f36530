"""Targets made of targets: a float network in codes, an ensemble attacked at once, the pair that DIVA tells apart."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

import numpy as np

from tinyfuse.attacks.adversarial import misclassified
from tinyfuse.attacks.target import DifferentiableTarget, Focus, Gradient, Target, focused
from tinyfuse.core.errors import UsageError
from tinyfuse.data.samples import Batch
from tinyfuse.threats.code_grid import Grids


class DequantisedTarget:
    """A real-valued target seen from code space: it gets scale * (q - zero_point), gradients are d loss / d code.

    So gradients of the float network attack the integer model inside its own ball (transfer, BPDA).
    """

    def __init__(self, inner: DifferentiableTarget, grids: Grids) -> None:
        self.name, self.executor, self.inputs = inner.name, inner.executor, inner.inputs
        self.grids: Grids | None = grids
        self._inner, self._by_name = inner, grids

    def logits(self, batch: Batch) -> np.ndarray:
        return self._inner.logits(self._real(batch))

    def gradient(self, batch: Batch, labels: np.ndarray, wrt: tuple[str, ...],
                 loss: str = "cross-entropy") -> Gradient:
        found = self._inner.gradient(self._real(batch), labels, wrt, loss)
        scaled = {name: values * np.float32(self._by_name[name].scale) for name, values in found.wrt.items()}
        return Gradient(found.logits, found.loss, scaled)

    def _real(self, batch: Batch) -> dict[str, np.ndarray]:
        return {name: self._by_name[name].dequantise(batch[name]) if name in self._by_name else batch[name]
                for name in self.inputs}


class _Composite(ABC):
    """Members that see the same batch, the last of which judges; a subclass says how their gradients add up.

    All members take the same inputs in the same units, real values or codes of the same grids; others are a UsageError.
    ``loss``: what the members are asked for, whatever an attack asks for.
    """

    loss: str | None = None

    def __init__(self, name: str, members: Sequence[DifferentiableTarget]) -> None:
        first = members[0]
        for member in members[1:]:
            if set(member.inputs) != set(first.inputs):
                raise UsageError(f"'{member.name}' has the inputs {', '.join(member.inputs)}, but '{first.name}' has "
                                 f"{', '.join(first.inputs)}; models that are attacked together need the same")
            if any((member.grids or {}).get(name) != (first.grids or {}).get(name) for name in first.inputs):
                raise UsageError(f"'{member.name}' takes {_units(member)}, but '{first.name}' takes {_units(first)}; "
                                 "bring real-valued ones to codes with DequantisedTarget")
        self.name, self.members = name, tuple(members)
        self.executor = "+".join(dict.fromkeys(member.executor for member in members))
        self.inputs: tuple[str, ...] = first.inputs
        self.grids: Grids | None = first.grids

    def logits(self, batch: Batch) -> np.ndarray:
        return self.members[-1].logits(batch)

    def gradient(self, batch: Batch, labels: np.ndarray, wrt: tuple[str, ...],
                 loss: str = "cross-entropy") -> Gradient:
        found = [member.gradient(batch, labels, wrt, self.loss or loss) for member in self.members]
        return self.combined(found, np.asarray(labels))

    def focus(self, batch: Batch, varying: tuple[str, ...]) -> Focus:
        return _CompositeFocus(self, [focused(member, batch, varying) for member in self.members])

    @abstractmethod
    def combined(self, found: Sequence[Gradient], labels: np.ndarray) -> Gradient:
        """Return one gradient from those of the members."""


class _CompositeFocus:
    """The foci of all members as one."""

    def __init__(self, target: _Composite, members: Sequence[Focus]) -> None:
        self._target, self._members = target, members

    def logits(self, point: Batch, rows: np.ndarray) -> np.ndarray:
        return self._members[-1].logits(point, rows)

    def gradient(self, point: Batch, labels: np.ndarray, rows: np.ndarray, loss: str = "cross-entropy") -> Gradient:
        found = [member.gradient(point, labels, rows, self._target.loss or loss) for member in self._members]
        return self._target.combined(found, np.asarray(labels))


class EnsembleTarget(_Composite):
    """Several models attacked at once: the loss is the mean of theirs, and the last one judges."""

    def __init__(self, targets: Sequence[DifferentiableTarget]) -> None:
        if not targets:
            raise UsageError("an ensemble of no targets; give at least one")
        super().__init__("+".join(target.name for target in targets), targets)

    def combined(self, found: Sequence[Gradient], labels: np.ndarray) -> Gradient:
        share = 1.0 / len(found)
        loss = sum(share * one.loss.astype(np.float64) for one in found)
        wrt = {name: np.asarray(sum(share * one.wrt[name].astype(np.float64) for one in found), np.float32)
               for name in found[0].wrt}
        return Gradient(found[-1].logits, np.asarray(loss), wrt)


class DivaTarget(_Composite):
    """Makes the integer model wrong where the float model stays right (DIVA, Hao et al. 2022).

    The loss is p_float[label] - c * p_int[label], whatever loss an attack asks for; p is the softmax. Attacks judge by
    the integer model's logits. The logits that come with a gradient are the same, except that a sample counts as not
    broken where the float model errs too: with ``survivors_only`` an attack therefore stops a sample at the first
    point that tells the models apart, as the authors do.
    """

    loss = "cross-entropy"

    def __init__(self, float_target: DifferentiableTarget, int_target: DifferentiableTarget, c: float = 1.0) -> None:
        super().__init__(f"diva:{float_target.name}:{int_target.name}", (float_target, int_target))
        self.c = float(c)

    def combined(self, found: Sequence[Gradient], labels: np.ndarray) -> Gradient:
        """The cross-entropy L of the members is -log p, hence dp = -p dL, exactly."""
        real, integer = found
        p_real, p_integer = np.exp(-real.loss.astype(np.float64)), np.exp(-integer.loss.astype(np.float64))
        wrt = {}
        for name, slope in real.wrt.items():
            ones = (1,) * (slope.ndim - 1)
            wrt[name] = (self.c * p_integer.reshape(-1, *ones) * integer.wrt[name]
                         - p_real.reshape(-1, *ones) * slope).astype(np.float32)
        logits = integer.logits.astype(np.float64)
        alike = np.flatnonzero(misclassified(real.logits, labels) & misclassified(logits, labels))
        logits[alike, labels[alike]] = logits[alike].max(axis=1) + 1.0
        return Gradient(logits, p_real - self.c * p_integer, wrt)


def _units(target: Target) -> str:
    return "real values" if target.grids is None else ", ".join(
        f"{name} codes of scale {target.grids[name].scale:g}" for name in target.inputs)
