"""Adversarial training: each batch is attacked before the network learns from it (Madry et al. 2018).

Steps: FGSM from a random start (Wong et al. 2020), N-FGSM (de Jorge et al. 2022) or PGD, which on all inputs at once is
the multi-modal adversarial training of Li et al. 2022 and of CRMT's paper.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

from tinyfuse.core.backend import tensorflow
from tinyfuse.core.errors import UsageError, nearest
from tinyfuse.data.samples import Samples
from tinyfuse.nn.objectives.objective import Targets, Work
from tinyfuse.nn.objectives.overfitting import Monitor
from tinyfuse.nn.objectives.robust_accuracy import RobustScore
from tinyfuse.nn.objectives.run import Run, folded
from tinyfuse.nn.objectives.training_threat import Budget, TrainingThreat, climbed, pgd

METHODS = ("fgsm", "n-fgsm", "pgd")
ATTACKED = ("all", "drawn")
STARTS = ("random", "zero")
NOISE_FACTOR = 2.0  # N-FGSM draws its noise from a ball that is twice as large


@dataclass(frozen=True)
class Adversarial:
    """Settings of adversarial training.

    ``budget``: epsilon for all inputs, or by input. ``method``: "fgsm" (random start, one step of 1.25 epsilon),
    "n-fgsm" (noise of twice the ball, one step of epsilon, no projection) or "pgd" (``steps`` steps of
    2.5 epsilon / steps from a random start). ``step``: the length of a step as a share of epsilon, where it is another
    one. ``attacked``: "all" attacks every input of every sample; "drawn" draws for each sample which of its inputs are
    attacked, from all subsets with none and all among them, so that no input goes without clean samples and attacks by
    itself. ``ramp``: share of the training in which the budget grows from 0. ``start``: "random" or "zero", of FGSM and
    PGD. ``mask``: texts such as ``mic=valid``.
    """

    name: ClassVar[str] = "adversarial"
    budget: Budget = 0.03
    norm: str = "linf"
    method: str = "fgsm"
    steps: int = 5
    step: float | None = None
    attacked: str = "all"
    ramp: float = 0.0
    start: str = "random"
    mask: tuple[str, ...] = field(default=())

    def __post_init__(self) -> None:
        for what, value, allowed in (("method", self.method, METHODS), ("attacked", self.attacked, ATTACKED),
                                     ("start", self.start, STARTS)):
            if value not in allowed:
                raise UsageError(f"adversarial: unknown {what} '{value}'{nearest(value, allowed)}; choose one of "
                                 f"{', '.join(allowed)}")
        if self.steps < 1 or not 0 <= self.ramp < 1 or (self.step is not None and not 0 < self.step < float("inf")):
            raise UsageError(f"adversarial: steps {self.steps}, step {self.step}, ramp {self.ramp}: give at least one "
                             "step, a length above 0 and a ramp of at least 0 and below 1")

    @property
    def length(self) -> float:
        """Length of a step as a share of epsilon."""
        return self.step or {"fgsm": 1.25, "n-fgsm": 1.0, "pgd": 2.5 / self.steps}[self.method]

    def further(self, facts: Mapping[str, Any]) -> Mapping[str, Any]:
        """Keep the whole budget, which the network has met already."""
        return {"ramp": 0.0}

    def attach(self, run: Run) -> Work:
        """Return the part at work; see :class:`tinyfuse.nn.objectives.objective.Part`."""
        return AdversarialWork(self, run)


class AdversarialWork(Work):
    """Attacks each batch against the loss of the whole objective, in inference mode."""

    def __init__(self, settings: Adversarial, run: Run) -> None:
        self.settings, self.run = settings, run
        self.threat = TrainingThreat.of(run.inputs, settings.budget, settings.norm, settings.mask, settings.name)
        self._score = RobustScore(run, self.threat, settings.attacked == "drawn")
        self._monitor = Monitor(run, self.threat)
        self.state = self._monitor.state

    def batch(self, batch: Mapping[str, Any], targets: Targets, seed: Any) -> tuple[Mapping[str, Any], Targets]:
        """Attack ``batch``."""
        tf = tensorflow()
        sizes = self.sizes(batch, folded(seed, 0))

        def loss(point: Mapping[str, Any]) -> Any:
            return tf.reduce_sum(self.run.attack_loss(point, targets))

        attacked = self.attack(loss, batch, sizes, folded(seed, 1))
        return {name: tf.stop_gradient(value) for name, value in attacked.items()}, targets

    def attack(self, loss: Any, clean: Mapping[str, Any], sizes: Mapping[str, Any], seed: Any) -> Mapping[str, Any]:
        """Return where the method of the settings takes ``clean`` up ``loss``."""
        threat, method, length = self.threat, self.settings.method, self.settings.length
        start = threat.random_start(clean, seed, sizes) if self.settings.start == "random" else clean
        if method == "pgd":
            return pgd(loss, clean, threat, self.settings.steps, length, sizes, start)
        lengths = {name: length * size for name, size in sizes.items()}
        if method == "fgsm":
            return threat.project(climbed(loss, start, threat, lengths, clean), clean, sizes)
        noise = threat.draw(clean, seed, {name: NOISE_FACTOR * size for name, size in sizes.items()})
        start = threat.boxed({**clean, **{name: clean[name] + noise[name] for name in threat.attacked}})
        return threat.boxed(climbed(loss, start, threat, lengths, clean))

    def sizes(self, batch: Mapping[str, Any], seed: Any) -> dict[str, Any]:
        """Return by attacked input the share [n] of its budget; see :func:`shares`."""
        return shares(self.settings, self.run, self.threat.attacked, next(iter(batch.values())).shape[0], seed)

    def score(self, samples: Samples) -> float | None:
        """Return the accuracy under the attack that the network is trained against."""
        return self._score(samples)

    def epoch_end(self, epoch: int) -> str | None:
        """Name catastrophic overfitting where it begins."""
        return self._monitor.check(epoch)

    def finish(self) -> Mapping[str, Any]:
        """Return what the monitor found."""
        return self._monitor.facts()


def shares(settings: Adversarial, run: Run, names: Sequence[str], count: int, seed: Any) -> dict[str, Any]:
    """Return by attacked input the share [count] of its budget: the ramp's, and 0 in samples that do not attack it."""
    tf = tensorflow()
    ramp = tf.minimum(1.0, run.progress / settings.ramp) if settings.ramp else tf.constant(1.0)
    if settings.attacked == "all":
        return dict.fromkeys(names, ramp * tf.ones([count]))
    coins = tf.random.stateless_uniform([len(names), count], seed, 0, 2, "int32")
    return {name: ramp * tf.cast(coins[place], "float32") for place, name in enumerate(names)}
