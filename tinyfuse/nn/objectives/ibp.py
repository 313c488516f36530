"""Interval bound propagation: a network learns to keep its classes apart in whole boxes (Gowal et al. 2018).

The loss is kappa CE(z) + (1 - kappa) CE(-margins), z the logits of the batch and margins their lower bounds within the
budget. Both the budget and 1 - kappa grow from 0 over the first part of the training (Shi et al. 2021: initial weights,
batch norm with the statistics of the batch, regularisers). What this leaves certified in float is not yet a
proof for the integers; with rounded weights the intervals are those of the rounded network.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np

from tinyfuse.core.backend import compiled, tensorflow
from tinyfuse.core.errors import UsageError
from tinyfuse.data.samples import Samples
from tinyfuse.nn.objectives.ibp_bounds import Bounds
from tinyfuse.nn.objectives.ibp_initialisation import initialise, is_fresh
from tinyfuse.nn.objectives.ibp_regularisers import regularisation
from tinyfuse.nn.objectives.objective import Step, Targets, Work
from tinyfuse.nn.objectives.run import Run, cross_entropy
from tinyfuse.nn.objectives.training_threat import Budget, TrainingThreat, pgd

SCORED_SAMPLES = 2000
SCORED_AT_ONCE = 250


@dataclass(frozen=True)
class IntervalSettings:
    """Settings of every part that trains on intervals.

    ``budget``: epsilon (L-inf) for all inputs, or by input; ``mask``: texts such as ``mic=valid``. ``natural``: share
    of the training before the budget begins to grow, ``ramp``: the share in which it does. ``regularise``: the weight
    of the terms of :mod:`tinyfuse.nn.objectives.ibp_regularisers`, with their ``tolerance``; it falls to 0 as the
    budget grows. ``clip``: the largest norm of all gradients together, 0: any. ``initialise``: a network that has not
    been trained begins with weights that keep the width of intervals.
    """

    budget: Budget = 0.03
    mask: tuple[str, ...] = field(default=())
    natural: float = 0.02
    ramp: float = 0.4
    regularise: float = 0.5
    tolerance: float = 0.5
    clip: float = 10.0
    initialise: bool = True

    name: ClassVar[str] = ""

    def __post_init__(self) -> None:
        if not (min(self.natural, self.ramp) >= 0 and self.natural + self.ramp < 1):
            raise UsageError(f"{self.name}: natural {self.natural} and ramp {self.ramp}: give shares of the training "
                             "of at least 0 that add up to less than 1")
        if not (self.regularise >= 0 and 0 < self.tolerance <= 1 and self.clip >= 0):
            raise UsageError(f"{self.name}: regularise {self.regularise}, tolerance {self.tolerance}, clip "
                             f"{self.clip}: give a weight of at least 0, a tolerance above 0 and up to 1, and a norm "
                             "of at least 0")

    @property
    def last_kappa(self) -> float:
        """The weight of the ordinary cross-entropy once the budget has grown."""
        return 0.0

    def further(self, facts: Mapping[str, Any]) -> Mapping[str, Any]:
        """Keep the whole budget, which the network has met already."""
        return {"natural": 0.0, "ramp": 0.0, "regularise": 0.0, "initialise": False}


@dataclass(frozen=True)
class Ibp(IntervalSettings):
    """Settings: ``kappa`` is the weight that the ordinary cross-entropy keeps at the end."""

    name: ClassVar[str] = "ibp"
    kappa: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 <= self.kappa <= 1:
            raise UsageError(f"ibp: kappa is {self.kappa}; give a share between 0 and 1")

    @property
    def last_kappa(self) -> float:
        """The weight of the ordinary cross-entropy once the budget has grown."""
        return self.kappa

    def attach(self, run: Run) -> Work:
        """Return the part at work; see :class:`tinyfuse.nn.objectives.objective.Part`."""
        return IntervalWork(self, run)


class IntervalWork(Work):
    """Replaces the cross-entropy by that of lower bounds of margins around the clean samples."""

    def __init__(self, settings: IntervalSettings, run: Run) -> None:
        self.settings, self.run = settings, run
        self.threat = TrainingThreat.of(run.inputs, settings.budget, "linf", settings.mask, settings.name)
        self.bounds = Bounds(run.model, self.threat, settings.name)
        self._relus = self.bounds.readers(("ReLU",))
        self._certified = compiled(self.bounds.certified)

    @property
    def grown(self) -> Any:
        """The share of the budget, and of what changes with it, at this place of the training."""
        settings, tf = self.settings, tensorflow()
        if not settings.ramp:
            return tf.cast(self.run.progress >= settings.natural, "float32")
        return tf.clip_by_value((self.run.progress - settings.natural) / settings.ramp, 0.0, 1.0)

    def prepare(self) -> None:
        """Give a network that has not been trained its initial weights; UsageError where another part has the head."""
        for part, work in zip(self.run.parts, self.run.works, strict=True):
            if type(work).head is not Work.head:
                raise UsageError(f"{self.settings.name} and {part.name} cannot be parts of one objective: {part.name} "
                                 "computes the logits in its own way, which intervals do not follow; leave one out")
        if self.settings.initialise and is_fresh(self.run.model):
            initialise(self.run.model, self.run.seed)

    def around(self, step: Step) -> tuple[Mapping[str, Any], Targets, float]:
        """Return the centres of the boxes, their targets and their size as a share of the budget."""
        return step.clean, step.clean_targets, 1.0

    def base(self, step: Step) -> Any:
        """Compute both cross-entropies with their weights, and the regularisers."""
        tf, settings, grown = tensorflow(), self.settings, self.grown
        center, targets, share = self.around(step)
        inputs = self.bounds.around(center, share * grown, step.batch)
        boxes = self.bounds.boxes(inputs)
        kappa = 1 - (1 - settings.last_kappa) * grown
        natural = tf.reduce_mean(cross_entropy(step.logits, step.targets))
        loss = kappa * natural + (1 - kappa) * targets.mean(lambda labels: self._bounded(boxes, labels))
        if not settings.regularise:
            return loss
        attacked = {name: inputs[name] for name in self.threat.attacked}
        terms = regularisation(attacked, [boxes[read] for _, read in self._relus], settings.tolerance)
        return loss + settings.regularise * (1 - grown) * terms

    def _bounded(self, boxes: Any, labels: Any) -> Any:
        """Compute the cross-entropy [n] of the worst logits that the bounds allow, that of the label being 0."""
        worst = -self.bounds.margins(boxes, labels)
        return tensorflow().nn.sparse_softmax_cross_entropy_with_logits(labels, worst)

    def change(self, gradients: Sequence[Any], variables: Sequence[Any], step: Step) -> Sequence[Any]:
        """Clip the norm of all gradients together."""
        if not self.settings.clip:
            return gradients
        clipped: Sequence[Any] = tensorflow().clip_by_global_norm(gradients, self.settings.clip)[0]
        return clipped

    def score(self, samples: Samples) -> float:
        """Return the share of at most 2,000 fixed samples that intervals certify within the whole budget."""
        return self.certified_share(samples.balanced(min(SCORED_SAMPLES, len(samples)), seed=0))

    def certified_share(self, samples: Samples) -> float:
        """Return the share of ``samples`` that intervals certify within the whole budget, in inference mode."""
        tf, names = tensorflow(), [one.name for one in self.run.inputs]
        found = []
        for place in range(0, len(samples), SCORED_AT_ONCE):
            part = samples.take(slice(place, place + SCORED_AT_ONCE))
            batch = {name: tf.constant(np.asarray(part.inputs[name])) for name in names}
            found.append(np.asarray(self._certified(batch, tf.constant(part.label))))
        return float(np.concatenate(found).mean())

    def finish(self) -> Mapping[str, Any]:
        """Tell which shares of the validation and test part the intervals certify."""
        data = self.run.dataset
        return {"certified": {"validation": self.certified_share(data.validation),
                              "test": self.certified_share(data.test)}}


@dataclass(frozen=True)
class AttackedSettings(IntervalSettings):
    """Settings of parts that also attack their samples: ``steps`` of PGD."""

    steps: int = 4

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 1 <= self.steps <= 1000:
            raise UsageError(f"{self.name}: steps is {self.steps}; give a whole number from 1 to 1000")


class AttackedWork(IntervalWork):
    """Trains on intervals around, or beside, samples that PGD has attacked."""

    settings: AttackedSettings

    def batch(self, batch: Mapping[str, Any], targets: Targets, seed: Any) -> tuple[Mapping[str, Any], Targets]:
        """Attack ``batch`` within the share :attr:`reach` of the budget that has grown."""
        tf, steps, size = tensorflow(), self.settings.steps, self.reach * self.grown
        sizes = dict.fromkeys(self.threat.attacked, size * tf.ones([next(iter(batch.values())).shape[0]]))

        def loss(point: Mapping[str, Any]) -> Any:
            return tf.reduce_sum(self.run.attack_loss(point, targets))

        start = self.threat.random_start(batch, seed, sizes)
        return pgd(loss, batch, self.threat, steps, min(1.0, 2.5 / steps), sizes, start), targets

    @property
    def reach(self) -> float:
        """The share of the budget that the attack has."""
        return 1.0
