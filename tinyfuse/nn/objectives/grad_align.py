"""GradAlign: the loss stays nearly linear in the ball, so that one step of FGSM is enough (Andriushchenko 2020)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from tinyfuse.core.backend import tensorflow
from tinyfuse.core.errors import UsageError
from tinyfuse.nn.objectives.adversarial import Adversarial, shares
from tinyfuse.nn.objectives.objective import Step, Targets, Work
from tinyfuse.nn.objectives.run import Run, folded
from tinyfuse.nn.objectives.training_threat import TrainingThreat

LARGEST = 16 / 255
"""Share of an input's range: up to here the paper chose its weights; beyond, its formula grows without measure."""


@dataclass(frozen=True)
class GradAlign:
    """Settings: ``weight`` of 1 - cos(gradient at x, gradient at x + noise), beside adversarial training.

    The noise is uniform in the ball of the adversarial part, with its ramp and for inputs that it draws. Without a
    ``weight``: :func:`published_weight` of the largest epsilon.
    """

    name: ClassVar[str] = "grad-align"
    weight: float | None = None

    def __post_init__(self) -> None:
        if self.weight is not None and not 0 <= self.weight < float("inf"):
            raise UsageError(f"grad-align: weight is {self.weight}; give a finite number of at least 0")

    def attach(self, run: Run) -> Work:
        """Return the part at work; UsageError without adversarial training beside it."""
        beside = next((part for part in run.parts if isinstance(part, Adversarial)), None)
        if beside is None:
            raise UsageError("grad-align needs adversarial training beside it, whose budget it takes: give "
                             "adversarial+grad-align")
        threat = TrainingThreat.of(run.inputs, beside.budget, beside.norm, beside.mask, self.name)
        return GradAlignWork(self, run, threat, beside)


class GradAlignWork(Work):
    """Compares the gradients of each attacked input by itself, as each has a step of its own; mean over inputs."""

    def __init__(self, settings: GradAlign, run: Run, threat: TrainingThreat, beside: Adversarial) -> None:
        self.run, self.threat, self.beside = run, threat, beside
        largest = max(threat.budget[name] / (threat.high[name] - threat.low[name]) for name in threat.attacked)
        self.weight = published_weight(largest) if settings.weight is None else settings.weight

    def term(self, step: Step) -> Any:
        """Compute the weighted mean of 1 - cos, whose own gradient takes second derivatives of the network."""
        tf = tensorflow()
        names, count = self.threat.attacked, next(iter(step.clean.values())).shape[0]
        sizes = shares(self.beside, self.run, names, count, folded(step.seed, 0))
        here = self.slopes(step.clean, step.clean_targets)
        there = self.slopes(self.threat.random_start(step.clean, step.seed, sizes), step.clean_targets)
        return self.weight * tf.add_n([misalignment(one, other, sizes[name] > 0) for one, other, name in
                                       zip(here, there, names, strict=True)]) / len(names)

    def slopes(self, point: Mapping[str, Any], targets: Targets) -> Sequence[Any]:
        """Compute the gradients by attacked input of the loss that the adversary climbs, in inference mode."""
        tf, varying = tensorflow(), {name: point[name] for name in self.threat.attacked}
        with tf.GradientTape() as tape:
            tape.watch(list(varying.values()))
            loss = tf.reduce_sum(self.run.attack_loss({**point, **varying}, targets))
        found: Sequence[Any] = tape.gradient(loss, list(varying.values()), unconnected_gradients="zero")
        masks = [self.threat.mask.get(name, 1.0) for name in varying]
        return [gradient * mask for gradient, mask in zip(found, masks, strict=True)]


def misalignment(here: Any, there: Any, attacked: Any = True) -> Any:
    """Compute the mean of 1 - cos over ``attacked`` samples whose gradients [n, ...] are both not 0; 0 without any.

    Leaving out zero gradients is what the released code does.
    """
    tf = tensorflow()
    axes = list(range(1, len(here.shape)))
    squares = [tf.reduce_sum(tf.square(one), axes) for one in (here, there)]
    both = tf.logical_and(tf.logical_and(squares[0] > 0, squares[1] > 0), attacked)
    # Where a gradient is 0 the root is taken of 1: the derivative of a root at 0 is infinite, and 0 * inf is nan.
    lengths = [tf.sqrt(tf.where(both, square, 1.0)) for square in squares]
    cosines = tf.reduce_sum(here * there, axes) / (lengths[0] * lengths[1])
    used = tf.cast(both, here.dtype)
    return tf.math.divide_no_nan(tf.reduce_sum(used * (1.0 - cosines)), tf.reduce_sum(used))


def published_weight(epsilon: float) -> float:
    """Compute the weight that the paper took for FGSM of ``epsilon``, a share of the range: 0.2 at 8/255.

    exp(epsilon * 255 / 8 * ln 10 + ln 0.02), held from :data:`LARGEST` on.
    """
    return 0.02 * math.exp(min(epsilon, LARGEST) * 255 / 8 * math.log(10))
