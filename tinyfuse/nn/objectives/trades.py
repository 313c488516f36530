"""TRADES: cross-entropy on the samples, and how far an adversary can move the predictions (Zhang et al. 2019)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

from tinyfuse.core.backend import tensorflow
from tinyfuse.core.errors import UsageError
from tinyfuse.data.samples import Samples
from tinyfuse.nn.objectives.adversarial import Adversarial
from tinyfuse.nn.objectives.objective import Step, Targets, Work
from tinyfuse.nn.objectives.robust_accuracy import RobustScore
from tinyfuse.nn.objectives.run import Run
from tinyfuse.nn.objectives.training_threat import Budget, TrainingThreat, pgd

NOISE = 1e-3
"""Deviation of the start's noise, as a share of an input's range. At the sample itself the gradient is exactly 0."""


@dataclass(frozen=True)
class Trades:
    """Settings: mean cross-entropy + ``beta`` * mean KL(p(x) || p(x')), where x' maximises the KL in the ball.

    ``budget``, ``norm``, ``mask``: as of adversarial training. The adversary takes ``steps`` steps, each of ``length``
    times epsilon.
    """

    name: ClassVar[str] = "trades"
    budget: Budget = 0.03
    norm: str = "linf"
    beta: float = 3.0
    steps: int = 7
    length: float = 0.25
    mask: tuple[str, ...] = field(default=())

    def __post_init__(self) -> None:
        if not (0 <= self.beta < float("inf") and self.steps >= 1 and 0 < self.length < float("inf")):
            raise UsageError(f"trades: beta {self.beta}, steps {self.steps}, length {self.length}: give a finite beta "
                             "of at least 0, at least one step and a length above 0")

    def attach(self, run: Run) -> Work:
        """Return the part at work; UsageError beside adversarial training, whose adversary is another one."""
        if any(isinstance(part, Adversarial) for part in run.parts):
            raise UsageError("trades and adversarial cannot be parts of one objective: trades has an adversary of its "
                             "own; leave one out")
        return TradesWork(self, run)


class TradesWork(Work):
    """Crafts x' in inference mode; the loss sees both x and x' in training mode, and both change the weights."""

    def __init__(self, settings: Trades, run: Run) -> None:
        self.settings, self.run = settings, run
        self.threat = TrainingThreat.of(run.inputs, settings.budget, settings.norm, settings.mask, settings.name)
        self._score = RobustScore(run, self.threat, subsets=False)
        self._crafted: tuple[Any, Mapping[str, Any]] | None = None  # of the batch of one step

    def batch(self, batch: Mapping[str, Any], targets: Targets, seed: Any) -> tuple[Mapping[str, Any], Targets]:
        """Forget the points of the step before."""
        self._crafted = None
        return batch, targets

    def term(self, step: Step) -> Any:
        """Compute beta * mean KL(p(x) || p(x'))."""
        moved = self.run.logits(self.of_step(step), training=True)
        return self.settings.beta * tensorflow().reduce_mean(divergence(step.logits, moved))

    def of_step(self, step: Step) -> Mapping[str, Any]:
        """Return the points of ``step``, crafted once, however often its loss is computed (awp does it twice)."""
        if self._crafted is None or self._crafted[0] is not step.batch:
            self._crafted = step.batch, self.adversarial(step.batch, step.seed)
        return {name: tensorflow().stop_gradient(value) for name, value in self._crafted[1].items()}

    def adversarial(self, clean: Mapping[str, Any], seed: Any) -> Mapping[str, Any]:
        """Return the points near ``clean`` at which the predictions differ most from those at ``clean``."""
        tf = tensorflow()
        before = tf.stop_gradient(self.run.logits(clean, training=False))
        sizes = dict.fromkeys(self.threat.attacked, tf.constant(1.0))

        def loss(point: Mapping[str, Any]) -> Any:
            return tf.reduce_sum(divergence(before, self.run.logits(point, training=False)))

        start = noisy(clean, self.threat, seed)
        return pgd(loss, clean, self.threat, self.settings.steps, self.settings.length, sizes, start)

    def score(self, samples: Samples) -> float | None:
        """Return the accuracy under PGD with the same budget."""
        return self._score(samples)


def divergence(logits: Any, others: Any) -> Any:
    """Compute KL(p || p') [n] in nats, of the softmax p of ``logits`` and p' of ``others`` [n, classes].

    Clean predictions come first, and gradients flow to both. They are written out, for they are exactly 0 where the
    logits agree; those that TensorFlow derives are rounding errors there, whose signs an adversary would follow.
    """
    tf = tensorflow()

    @tf.custom_gradient  # type: ignore[untyped-decorator]
    def computed(one: Any, other: Any) -> Any:
        p, q = tf.nn.softmax(one), tf.nn.softmax(other)
        ratio = tf.nn.log_softmax(one) - tf.nn.log_softmax(other)
        found = tf.reduce_sum(p * ratio, -1)

        def gradients(upstream: Any) -> Any:
            return upstream[:, None] * p * (ratio - found[:, None]), upstream[:, None] * (q - p)

        return found, gradients

    return computed(tf.convert_to_tensor(logits), tf.convert_to_tensor(others))


def noisy(clean: Mapping[str, Any], threat: TrainingThreat, seed: Any) -> Mapping[str, Any]:
    """Add normal noise of deviation :data:`NOISE` to the attacked inputs of ``clean``, within the ball and the box."""
    tf, moved = tensorflow(), dict(clean)
    for place, name in enumerate(threat.attacked):
        fold = tf.random.experimental.stateless_fold_in(seed, place)
        scale = NOISE * (threat.high[name] - threat.low[name])
        moved[name] += threat.mask.get(name, 1.0) * scale * tf.random.stateless_normal(clean[name].shape, fold)
    return threat.project(moved, clean, dict.fromkeys(threat.attacked, tf.constant(1.0)))
