"""Training: Adam with a cosine schedule, a checkpoint after each epoch, the best epoch on the validation part."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tinyfuse.core.backend import tensorflow
from tinyfuse.core.errors import ModelError, UsageError
from tinyfuse.data import Dataset, Pairs
from tinyfuse.data.digits.augmentation import epoch_batches
from tinyfuse.nn.checkpoint import Progress, load_progress, save_progress
from tinyfuse.nn.zoo.fusion import build

PREDICT_BATCH = 250


@dataclass(frozen=True)
class TrainConfig:
    """What decides the weights, beside the data and the network."""

    epochs: int = 12
    batch_size: int = 64
    learning_rate: float = 2e-3
    seed: int = 0

    def __post_init__(self) -> None:
        if self.epochs < 1 or self.batch_size < 1 or not 0 < self.learning_rate < 1:
            raise UsageError(f"cannot train with {asdict(self)}: epochs and batch_size must be at least 1 "
                             "and learning_rate between 0 and 1")


@dataclass(frozen=True)
class Trained:
    """A trained network: ``model`` returns logits; accuracies are fractions on whole parts."""

    name: str
    model: Any
    best_epoch: int
    validation_accuracy: float
    test_accuracy: float
    seconds: float


def compiled(model: Any) -> Callable[[Any], Any]:
    """``model`` in inference mode as one compiled function for batches of any size."""
    tf = tensorflow()
    signature = {name: tf.TensorSpec(shape, tf.float32) for name, shape in model.input_shape.items()}

    def forward(batch: Any) -> Any:
        return model(batch, training=False)

    return tf.function(forward, input_signature=[signature])  # type: ignore[no-any-return]


def predict(model: Any, pairs: Pairs) -> np.ndarray:
    """Float32 logits [n, 10] of ``pairs``, in inference mode."""
    return _logits(compiled(model), pairs)


def accuracy(model: Any, pairs: Pairs) -> float:
    """Share of ``pairs`` whose largest logit is at the label."""
    return _share(compiled(model), pairs)


def _logits(forward: Callable[[Any], Any], pairs: Pairs) -> np.ndarray:
    inputs, starts = pairs.inputs(), range(0, len(pairs), PREDICT_BATCH)
    return np.concatenate([
        np.asarray(forward({name: value[start:start + PREDICT_BATCH] for name, value in inputs.items()}))
        for start in starts])


def _share(forward: Callable[[Any], Any], pairs: Pairs) -> float:
    return float(np.mean(_logits(forward, pairs).argmax(1) == pairs.label))


def _train_step(model: Any, optimizer: Any) -> Any:
    tf = tensorflow()

    def step(batch: Any, labels: Any) -> Any:
        with tf.GradientTape() as tape:
            losses = tf.nn.sparse_softmax_cross_entropy_with_logits(labels, model(batch, training=True))
            loss = tf.reduce_mean(losses) + tf.add_n(model.losses)
        gradients = tape.gradient(loss, model.trainable_variables)
        optimizer.apply_gradients(zip(gradients, model.trainable_variables, strict=True))
        return loss

    return tf.function(step)


def _optimizer(model: Any, config: TrainConfig, steps: int) -> Any:
    from tf_keras import optimizers

    schedule = optimizers.schedules.CosineDecay(config.learning_rate, config.epochs * steps, alpha=0.01)
    optimizer = optimizers.Adam(schedule)
    optimizer.build(model.trainable_variables)
    return optimizer


def _run_epoch(step: Any, dataset: Dataset, config: TrainConfig, epoch: int, tick: Callable[[], None]) -> None:
    tf = tensorflow()
    inputs, labels = epoch_batches(dataset, seed=config.seed, epoch=epoch)
    for start in range(0, len(labels) - config.batch_size + 1, config.batch_size):
        rows = slice(start, start + config.batch_size)
        step({k: tf.constant(v[rows]) for k, v in inputs.items()}, tf.constant(labels[rows]))
        tick()


def steps_per_epoch(dataset: Dataset, config: TrainConfig) -> int:
    """Number of whole batches in the training part."""
    steps = len(dataset.train) // config.batch_size
    if steps == 0:
        raise UsageError(f"{len(dataset.train)} training pairs do not fill one batch of {config.batch_size}: "
                         "use more pairs or a smaller batch")
    return steps


def train(name: str, dataset: Dataset, config: TrainConfig, *, checkpoint: str | Path | None = None,
          tick: Callable[[], None] = lambda: None,
          report: Callable[[str], None] = lambda line: None) -> Trained:
    """Train network ``name`` on ``dataset.train`` and keep the epoch that is best on ``dataset.validation``.

    Deterministic for (data, config) on one kind of machine. With ``checkpoint`` (a path), an interrupted
    run continues after its last whole epoch and ends with the same weights as an uninterrupted one.
    ``tick`` is called after each step and ``report`` with one line after each epoch.
    """
    return fit(name, build(name, seed=config.seed), dataset, config, {"model": name}, checkpoint=checkpoint, tick=tick,
               report=report)


def fit(title: str, model: Any, dataset: Dataset, config: TrainConfig, identity: Mapping[str, str], *,
        checkpoint: str | Path | None, tick: Callable[[], None], report: Callable[[str], None]) -> Trained:
    """Train ``model`` from the weights that it has; see :func:`train`.

    A checkpoint is only taken up by a run of the same data, ``config`` and ``identity``: whatever else decides the
    weights. ``title`` names the run in reports.
    """
    began = time.monotonic()
    optimizer = _optimizer(model, config, steps_per_epoch(dataset, config))
    identity = {**identity, "data": dataset.checksum, **{k: str(v) for k, v in asdict(config).items()}}
    variables = [*model.variables, *optimizer.variables]
    progress = load_progress(checkpoint, identity, variables) if checkpoint else Progress()
    step, forward = _train_step(model, optimizer), compiled(model)
    for epoch in range(progress.epochs_done, config.epochs):
        _run_epoch(step, dataset, config, epoch, tick)
        score = _share(forward, dataset.validation)
        if not all(np.isfinite(np.asarray(v)).all() for v in model.variables):
            raise ModelError(f"training '{title}' diverged in epoch {epoch + 1}: use a smaller learning rate")
        progress = progress.after(epoch + 1, score, [np.asarray(v) for v in model.variables], began)
        if checkpoint:
            save_progress(checkpoint, identity, variables, progress)
        began = time.monotonic()
        report(f"{title}: epoch {epoch + 1}/{config.epochs}, validation {score:.4f}")
    for variable, value in zip(model.variables, progress.best_weights, strict=True):
        variable.assign(value)
    return Trained(title, model, progress.best_epoch, progress.best_score, _share(forward, dataset.test),
                   progress.seconds)
