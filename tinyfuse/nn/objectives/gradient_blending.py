"""Gradient blending: a loss for each branch and one for all, weighted by who still learns (Wang et al., CVPR 2020).

Each branch gets a linear head of its own beside the network's; they are trained with it and left out of what is
exported. A loss counts w = G / O^2, scaled to a sum of 1: G is how far the loss on held-out samples falls in a few
epochs of training by this loss alone, O how much the gap between it and the loss on the training samples grows.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

import numpy as np

from tinyfuse.core.backend import compiled, tensorflow
from tinyfuse.core.errors import UsageError, nearest
from tinyfuse.data.dataset import Dataset
from tinyfuse.data.samples import Samples
from tinyfuse.nn.dropout import reseed
from tinyfuse.nn.objectives.objective import Step, Targets, Work
from tinyfuse.nn.objectives.run import Run, cross_entropy
from tinyfuse.nn.predict import PREDICT_BATCH

ALL = "all"
"""Name of the loss of the network itself; no input can be called so."""
LEAST_SQUARE = 1e-4  # of the largest O^2: a loss whose gap happens not to grow must not take all the weight


@dataclass(frozen=True)
class GradientBlending:
    """Settings: weights are estimated by training copies for ``epochs`` epochs by each loss alone.

    They are estimated once, before the first epoch, with the share ``holdout`` of the training samples held out by
    whole groups (the training itself learns from all of them). ``online``: every ``epochs`` epochs instead, from the
    weights at that time; since the network has learnt from all training samples by then, it is the validation part
    that counts as held out. ``weights``, by branch and "all", are taken instead of an estimate.
    """

    name: ClassVar[str] = "gblend"
    epochs: int = 4
    holdout: float = 0.1
    online: bool = False
    weights: Mapping[str, float] = field(default_factory=dict, hash=False)

    def __post_init__(self) -> None:
        if self.epochs < 1 or not 0 < self.holdout < 1:
            raise UsageError(f"gblend: epochs {self.epochs}, holdout {self.holdout}: give at least one epoch and a "
                             "share between 0 and 1")

    def further(self, facts: Mapping[str, Any]) -> Mapping[str, Any]:
        """Keep the weights that were found: who learns fast is not seen in a network that has learnt."""
        return {"weights": self.weights or dict(facts.get("weights", {}))}

    def attach(self, run: Run) -> Work:
        """Return the part at work; see :class:`tinyfuse.nn.objectives.objective.Part`."""
        run.view.need_branches(self.name)
        return GradientBlendingWork(self, run)


class GradientBlendingWork(Work):
    """Replaces the cross-entropy by the weighted sum of those of all heads."""

    needs_features = True

    def __init__(self, settings: GradientBlending, run: Run) -> None:
        tf = tensorflow()
        self.settings, self.run = settings, run
        self.names = (*run.view.branches, ALL)
        given = _given_weights(settings.weights, self.names)
        self.weights = tf.Variable(np.full(len(self.names), 1 / len(self.names)) if given is None else given,
                                   trainable=False, dtype="float32")
        self.state = [self.weights]
        self.heads = _new_heads(run)
        self.variables = [one for head in self.heads.values() for one in head]

    def prepare(self) -> None:
        """Estimate the weights, unless they are given or found while training."""
        settings, train = self.settings, self.run.dataset.train
        if settings.weights or settings.online:
            return
        held = held_out(train.group, settings.holdout, np.random.default_rng([self.run.seed, 31]))
        self._estimate(_subset(self.run.dataset, np.flatnonzero(~held)), train.take(held), 0)

    def epoch_start(self, epoch: int) -> None:
        """Estimate the weights anew where that is due."""
        if self.settings.online and not self.settings.weights and epoch % self.settings.epochs == 0:
            self._estimate(self.run.dataset, self.run.dataset.validation, epoch)
            reseed(self.run.model, self.run.seed, epoch)

    def base(self, step: Step) -> Any:
        """Compute the weighted sum of the mean cross-entropies."""
        tf = tensorflow()
        logits = {**self.head_logits(step.forward.features), ALL: step.logits}
        losses = [tf.reduce_mean(cross_entropy(logits[name], step.targets)) for name in self.names]
        return tf.reduce_sum(self.weights * tf.stack(losses))

    def head_logits(self, features: Mapping[str, Any]) -> dict[str, Any]:
        """Compute by branch the logits [n, classes] of its own head."""
        return {branch: values @ self.heads[branch][0] + self.heads[branch][1] for branch, values in features.items()}

    def finish(self) -> Mapping[str, Any]:
        """Return the last weights."""
        return {"weights": {name: round(float(one), 4) for name, one in
                            zip(self.names, self.weights.numpy(), strict=True)}}

    def _estimate(self, dataset: Dataset, held: Samples, epoch: int) -> None:
        self.run.report(f"gblend trains by each of {', '.join(self.names)} for {self.settings.epochs} epochs")
        found = LossCurves(self, dataset, held).measure(self.settings.epochs, epoch)
        self.weights.assign(blend_weights(**found))
        self.run.report("gblend weights " + ", ".join(
            f"{name} {one:.3f}" for name, one in zip(self.names, self.weights.numpy(), strict=True)))


class LossCurves:
    """Trains the network by one loss alone, measures what that does to it, and puts everything back.

    The copies are trained on the training part of ``dataset`` as it is or augmented, without attack or mixing.
    """

    def __init__(self, work: GradientBlendingWork, dataset: Dataset, held: Samples) -> None:
        self.work, self.run, self.dataset = work, work.run, dataset
        self.parts = {"train": dataset.train, "held": held}
        self._sums = compiled(self._sum_losses)

    def measure(self, epochs: int, number: int) -> dict[str, np.ndarray]:
        """Return mean losses, float64 [losses], as the arguments of :func:`blend_weights`."""
        start = [np.asarray(one) for one in self.run.epoch_weights]
        before = {part: self._losses(samples) for part, samples in self.parts.items()}
        after = {part: np.zeros(len(self.work.names)) for part in self.parts}
        for place, name in enumerate(self.work.names):
            self._train(name, epochs, number)
            for part, samples in self.parts.items():
                after[part][place] = self._losses(samples)[place]
            for variable, value in zip(self.run.epoch_weights, start, strict=True):
                variable.assign(value)
        return {f"{part}_{when}": values for when, found in (("before", before), ("after", after))
                for part, values in found.items()}

    def _losses(self, samples: Samples) -> np.ndarray:
        """Measure the mean cross-entropy of each head, in inference mode, on samples that are not augmented."""
        inputs, total = samples.only(tuple(self.run.model.input_shape)), np.zeros(len(self.work.names))
        for start in range(0, len(samples), PREDICT_BATCH):
            part = inputs.take(slice(start, start + PREDICT_BATCH))
            total += self._sums(dict(part.inputs), part.label).numpy()
        return total / len(samples)

    def _sum_losses(self, batch: Any, labels: Any) -> Any:
        tf = tensorflow()
        forward, fused = self.run.forward(batch, training=False)
        logits = {**self.work.head_logits(forward.features), ALL: fused}
        return tf.stack([tf.reduce_sum(cross_entropy(logits[name], Targets.of(labels))) for name in self.work.names])

    def _train(self, name: str, epochs: int, number: int) -> None:
        """Train by the loss ``name`` alone, at the learning rate that the run has in its epoch ``number``."""
        from tf_keras import optimizers

        run, forward = self.run, self._all if name == ALL else self._alone(name)
        schedule = optimizers.schedules.CosineDecay(run.learning_rate, run.epochs * run.steps, alpha=0.01)
        step = _training_step(*forward, optimizers.Adam(float(schedule(number * run.steps))))
        reseed(run.model, run.seed, number)
        for epoch in range(epochs):
            inputs, labels = self.dataset.epoch(epoch, seed=run.seed)
            for start in range(0, max(len(labels) - run.batch_size, 0) + 1, run.batch_size):
                rows = slice(start, start + run.batch_size)
                step({key: tensorflow().constant(values[rows]) for key, values in inputs.items()},
                     tensorflow().constant(labels[rows]))

    @property
    def _all(self) -> tuple[Callable[[Any], Any], list[Any], Callable[[], list[Any]]]:
        """Logits of the network, what is trained for them, and its weight decay."""
        own = {one.ref() for one in self.work.variables}
        return (lambda batch: self.run.logits(batch, training=True),
                [one for one in self.run.variables if one.ref() not in own], lambda: self.run.model.losses)

    def _alone(self, branch: str) -> tuple[Callable[[Any], Any], list[Any], Callable[[], list[Any]]]:
        """The same for the head of one branch: no other branch is computed."""
        import tf_keras

        tf, model, head = tensorflow(), self.run.model, self.work.heads[branch]
        pieces = [model.get_layer(name).output for name, own in self.run.view.pieces() if own == branch]
        trunk = tf_keras.Model(model.input, pieces)
        return (lambda batch: tf.concat(tf.nest.flatten(trunk(batch, training=True)), 1) @ head[0] + head[1],
                [*trunk.trainable_variables, *head], lambda: trunk.losses)


def _training_step(logits: Callable[[Any], Any], variables: list[Any], decay: Callable[[], list[Any]],
                   optimizer: Any) -> Any:
    """Compile a step, f(batch, labels), that trains ``variables`` by the mean cross-entropy and weight decay."""
    tf = tensorflow()
    optimizer.build(variables)

    def step(batch: Any, labels: Any) -> None:
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(cross_entropy(logits(batch), Targets.of(labels)))
            losses = decay()
            loss = loss + (tf.add_n(losses) if losses else 0.0)
        gradients = tape.gradient(loss, variables, unconnected_gradients="zero")
        optimizer.apply_gradients(zip(gradients, variables, strict=True))

    return compiled(step)


def _new_heads(run: Run) -> dict[str, tuple[Any, Any]]:
    """Make by branch a head: kernel [features, classes], Glorot-uniform, and bias [classes].

    Of a network with rounded weights, which has learnt already, it is the branch's slice of the network's own head.
    """
    tf, classes, last = tensorflow(), len(run.dataset.classes), run.model.output._keras_history.layer
    rng, heads = np.random.default_rng([run.seed, 32]), {}
    rounded = last is not run.view.head
    own = {name: np.asarray(one) for name, one in run.view.weights.items()}
    for branch, rows in run.view.rows.items():
        if rounded:
            bias = own.get("bias", np.zeros(classes)) / len(run.view.rows)
            heads[branch] = (tf.Variable(own["kernel"][rows]), tf.Variable(bias, dtype="float32"))
            continue
        limit = np.sqrt(6 / (len(rows) + classes))
        kernel = rng.uniform(-limit, limit, (len(rows), classes))
        heads[branch] = (tf.Variable(kernel, dtype="float32"), tf.Variable(tf.zeros([classes])))
    return heads


def _given_weights(weights: Mapping[str, float], names: tuple[str, ...]) -> np.ndarray | None:
    """Return ``weights`` in the order of ``names`` with a sum of 1; None if there are none."""
    if not weights:
        return None
    for name in weights:
        if name not in names:
            raise UsageError(f"gblend: weight of '{name}'{nearest(name, names)}; the losses are {', '.join(names)}")
    values = np.array([weights.get(name, 0.0) for name in names])
    if not (np.isfinite(values).all() and values.min() >= 0 and values.sum() > 0):
        raise UsageError(f"gblend: weights {dict(weights)}; give numbers of at least 0, one of them above")
    return np.asarray(values / values.sum())


def _subset(dataset: Dataset, rows: np.ndarray) -> Dataset:
    """Keep of the training part the samples ``rows``, with their augmentation."""
    augment = dataset.augment
    return replace(dataset, train=dataset.train.take(rows),
                   augment=None if augment is None else lambda chosen, rng: augment(rows[chosen], rng))


def held_out(group: np.ndarray, share: float, rng: np.random.Generator) -> np.ndarray:
    """Draw whole groups that make up about ``share`` of the samples, bool [n]; UsageError if there is one group only.

    ``group`` int [n]: a held-out sample whose group is trained on would tell nothing of overfitting.
    """
    found, number, counts = np.unique(group, return_inverse=True, return_counts=True)
    if len(found) < 2:
        raise UsageError("gblend: all training samples are of one group, so that none can be held out; give weights "
                         "or use online")
    order = rng.permutation(len(found))
    taken = int(np.searchsorted(np.cumsum(counts[order]), share * len(group), side="right"))
    return np.isin(number, order[:min(max(taken, 1), len(found) - 1)])


def blend_weights(*, train_before: np.ndarray, train_after: np.ndarray, held_before: np.ndarray,
                  held_after: np.ndarray) -> np.ndarray:
    """Compute G / O^2 scaled to a sum of 1, float64 [losses], from mean losses before and after training.

    G = held_before - held_after, below 0 taken as 0; O is the growth of held - train. Equal weights where nothing was
    gained.
    """
    gain = np.maximum(held_before - held_after, 0.0)
    square = np.square((held_after - train_after) - (held_before - train_before))
    weights = gain / np.maximum(square, LEAST_SQUARE * square.max()) if square.max() > 0 else gain
    total = weights.sum()
    return np.asarray(weights / total if total > 0 else np.full(len(gain), 1 / len(gain)))
