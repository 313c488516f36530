"""One training of one network: its objective's parts put together into a loss, a step and a score."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from tinyfuse.core.backend import tensorflow
from tinyfuse.core.errors import UsageError
from tinyfuse.data.dataset import Dataset
from tinyfuse.data.samples import Input, Samples
from tinyfuse.nn.objectives.objective import Forward, Part, Step, Targets, Work
from tinyfuse.nn.objectives.view import View
from tinyfuse.nn.origin import seen_inputs
from tinyfuse.nn.predict import accuracy_of


def cross_entropy(logits: Any, targets: Targets) -> Any:
    """Compute the softmax cross-entropy [n] of ``logits`` [n, classes]."""
    tf = tensorflow()
    return targets.each(lambda labels: tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits))


@dataclass(eq=False)
class Run:
    """One training of ``model`` on ``dataset`` with the ``parts`` of its objective.

    ``seed``: of the training; ``epochs`` and ``steps`` (in each epoch) of ``batch_size`` say how long it is;
    ``learning_rate``: at its start; ``report`` gets lines for the user. ``progress``: a tf.Variable, the share of the
    training that is done.
    """

    model: Any
    dataset: Dataset
    parts: Sequence[Part]
    seed: int
    epochs: int
    steps: int
    batch_size: int = 64
    learning_rate: float = 2e-3
    report: Callable[[str], None] = lambda line: None

    def __post_init__(self) -> None:
        self.view = View(self.model)
        self.progress = tensorflow().Variable(0.0, trainable=False, dtype="float32")
        self.works: tuple[Work, ...] = ()
        self.works = tuple(part.attach(self) for part in self.parts)
        for hook in ("head", "base", "gradients"):
            owners = [part.name for part, work in zip(self.parts, self.works, strict=True)
                      if getattr(type(work), hook) is not getattr(Work, hook)]
            if len(owners) > 1:
                raise UsageError(f"{' and '.join(owners)} cannot be parts of one objective: each replaces the same "
                                 f"thing; leave all but one out")

    @cached_property
    def inputs(self) -> tuple[Input, ...]:
        """The inputs that reach the output of the model."""
        seen = seen_inputs(self.model)
        return tuple(one for one in self.dataset.inputs if one.name in seen)

    @property
    def variables(self) -> list[Any]:
        """Everything that is trained, the model's own first."""
        return [*self.model.trainable_variables, *(one for work in self.works for one in work.variables)]

    @property
    def epoch_weights(self) -> list[Any]:
        """What the weights of an epoch are: the model's variables and those that parts train beside it."""
        return [*self.model.variables, *(one for work in self.works for one in work.variables)]

    @property
    def state(self) -> list[Any]:
        """Further variables that a checkpoint must hold."""
        return [one for work in self.works for one in work.state]

    @cached_property
    def _with_features(self) -> bool:
        return any(work.needs_features for work in self.works)

    def forward(self, batch: Mapping[str, Any], *, training: bool) -> tuple[Forward, Any]:
        """Run one pass; return it and the logits [n, classes] of the head in use."""
        forward = self.view.forward(batch, training=training, features=self._with_features)
        heads = (work.head(forward) for work in self.works)
        return forward, next((logits for logits in heads if logits is not None), forward.logits)

    def logits(self, batch: Mapping[str, Any], *, training: bool) -> Any:
        """Compute the logits [n, classes] of the head in use."""
        return self.forward(batch, training=training)[1]

    def attack_loss(self, batch: Mapping[str, Any], targets: Targets) -> Any:
        """Compute what the adversary of training maximises, [n]: cross-entropy and the terms it knows of.

        In inference mode, so that attacked batches leave no trace in the statistics of batch norm.
        """
        forward, logits = self.forward(batch, training=False)
        losses = cross_entropy(logits, targets)
        for work in self.works:
            term = work.attack_term(batch, targets, forward) if work.in_attack else None
            losses = losses if term is None else losses + term
        return losses

    def prepared(self, clean: Mapping[str, Any], targets: Targets, seed: Any) -> tuple[Mapping[str, Any], Targets]:
        """Let every part attack or mix the batch of one training step."""
        batch: Mapping[str, Any] = clean
        for place, work in enumerate(self.works):
            batch, targets = work.batch(batch, targets, folded(seed, place))
        return batch, targets

    def step(self, clean: Mapping[str, Any], labels: Any, seed: Any) -> Step:
        """Make the batch of one training step and run the network on it."""
        targets = Targets.of(labels)
        return self._forward(*self.prepared(clean, targets, seed), clean, targets, seed)

    def _forward(self, batch: Mapping[str, Any], targets: Targets, clean: Mapping[str, Any], clean_targets: Targets,
                 seed: Any) -> Step:
        forward, logits = self.forward(batch, training=True)
        return Step(batch, targets, clean, clean_targets, forward, logits, seed)

    def loss(self, step: Step) -> Any:
        """Compute the scalar that ``step`` minimises: cross-entropy, terms of the parts and weight decay."""
        tf = tensorflow()
        bases = (work.base(step) for work in self.works)
        base = next((found for found in bases if found is not None), None)
        loss = tf.reduce_mean(cross_entropy(step.logits, step.targets)) if base is None else base
        for work in self.works:
            term = work.term(step)
            loss = loss if term is None else loss + term
        return loss + (tf.add_n(self.model.losses) if self.model.losses else 0.0)

    def gradients(self, clean: Mapping[str, Any], labels: Any, seed: Any) -> tuple[Any, Any, Mapping[int, Any]]:
        """Compute loss, gradients of :attr:`variables` and factors for their updates, for one batch.

        The batch is attacked or mixed once, at the weights as they are, and outside of what the tape records.
        """
        tf = tensorflow()
        variables, targets = self.variables, Targets.of(labels)
        made = self.prepared(clean, targets, seed)

        def compute() -> tuple[Any, Any, Mapping[int, Any]]:
            with tf.GradientTape() as tape:
                step = self._forward(*made, clean, targets, seed)
                loss = self.loss(step)
            gradients = tape.gradient(loss, variables, unconnected_gradients="zero")
            scales: dict[int, Any] = {}
            for work in self.works:
                gradients = work.change(gradients, variables, step)
                for place, scale in work.scales(variables, step).items():
                    scales[place] = scale * scales.get(place, 1.0)
            return loss, gradients, scales

        ways = (work.gradients(compute, variables) for work in self.works)
        return next((found for found in ways if found is not None), None) or compute()

    def measure(self, samples: Samples) -> float:
        """Compute the accuracy of the published model, or what a part has in its place."""
        found = (work.measure(samples) for work in self.works)
        own = next((one for one in found if one is not None), None)
        return accuracy_of(self.model, samples) if own is None else own

    def score(self, samples: Samples) -> float:
        """Tell how good the published model is: the mean of what the parts say, else :meth:`measure`."""
        scores = [one for one in (work.score(samples) for work in self.works) if one is not None]
        return float(np.mean(scores)) if scores else self.measure(samples)

    def publish(self) -> None:
        """Let every part write into the model what it needs to stand alone."""
        for work in self.works:
            work.publish()

    def epoch_end(self, epoch: int) -> None:
        """Let every part look at an epoch, and show what it says."""
        for text in (work.epoch_end(epoch) for work in self.works):
            if text:
                self.report(text)

    def finish(self) -> dict[str, Any]:
        """Do the second stage of every part, publish, and return their facts by name of the part."""
        facts = {part.name: dict(work.finish()) for part, work in zip(self.parts, self.works, strict=True)}
        self.publish()
        return {name: found for name, found in facts.items() if found}


def folded(seed: Any, place: int) -> Any:
    """Return another seed, int32 [2], for each ``place``."""
    return tensorflow().random.experimental.stateless_fold_in(seed, place)
