"""Training: Adam with a cosine schedule, a checkpoint after each epoch, the best epoch on the validation part."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from tinyfuse.core.backend import tensorflow
from tinyfuse.core.errors import DataError, ModelError, UsageError, nearest
from tinyfuse.core.files import load_arrays, save_arrays
from tinyfuse.data.dataset import Dataset
from tinyfuse.data.samples import Samples
from tinyfuse.nn import objectives, zoo
from tinyfuse.nn.axis_augmentation import change, read_changes
from tinyfuse.nn.dropout import reseed

PREDICT_BATCH = 250
CLASS_WEIGHTS = ("none", "balanced")


@dataclass(frozen=True)
class TrainConfig:
    """What decides the weights, beside the data and the network.

    ``patience``: training ends after so many epochs without a better one, 0: never. ``class_weights``: "balanced" gives
    each class the same weight in all, however many samples it has. ``augment``: see nn/axis_augmentation.py.
    """

    epochs: int = 12
    batch_size: int = 64
    learning_rate: float = 2e-3
    seed: int = 0
    objective: str = "plain"
    patience: int = 0
    class_weights: str = "none"
    augment: Mapping[str, Mapping[str, float]] = field(default_factory=dict, hash=False)

    def __post_init__(self) -> None:
        objectives.check_name(self.objective)
        if self.class_weights not in CLASS_WEIGHTS:
            raise UsageError(f"unknown class weights '{self.class_weights}'"
                             f"{nearest(self.class_weights, CLASS_WEIGHTS)}: choose one of {', '.join(CLASS_WEIGHTS)}")
        if self.class_weights != "none" and self.objective != "plain":
            raise UsageError(f"class weights go with the objective plain, not with {self.objective}; leave one of them "
                             "out")
        if self.patience < 0:
            raise UsageError(f"patience {self.patience}: give the epochs without a better one after which training "
                             "ends, or 0 for never")
        if self.epochs < 1 or self.batch_size < 1 or not 0 < self.learning_rate < 1:
            raise UsageError(f"cannot train with {asdict(self)}: epochs and batch_size must be at least 1 "
                             "and learning_rate between 0 and 1")


@dataclass(frozen=True)
class Trained:
    """A trained network: ``model`` returns logits; accuracies are fractions on whole parts.

    An objective may have another measure instead of the accuracy, see :class:`tinyfuse.nn.objectives.Objective`.
    """

    name: str
    model: Any
    best_epoch: int
    validation_accuracy: float
    test_accuracy: float
    seconds: float


@dataclass(frozen=True)
class Progress:
    """How far training came, and the best weights so far."""

    epochs_done: int = 0
    best_epoch: int = 0
    best_score: float = -1.0
    best_weights: Sequence[np.ndarray] = ()
    seconds: float = 0.0


def predict(model: Any, samples: Samples) -> np.ndarray:
    """Compute the float32 logits [n, classes] of ``samples``, in inference mode."""
    seen = samples.only(tuple(model.input_shape))
    parts = [model.predict_on_batch(dict(seen.take(slice(start, start + PREDICT_BATCH)).inputs))
             for start in range(0, len(seen), PREDICT_BATCH)]
    return np.concatenate(parts)


def accuracy_of(model: Any, samples: Samples) -> float:
    """Share of ``samples`` whose largest logit is that of their label."""
    return float(np.mean(predict(model, samples).argmax(1) == samples.label))


def score_of(objective: objectives.Objective, model: Any, samples: Samples) -> float:
    """Tell how good ``model`` is on ``samples``: what the objective says, else the accuracy."""
    own = getattr(objective, "score", None)
    return accuracy_of(model, samples) if own is None else float(own(predict(model, samples), samples))


def check_outputs(title: str, model: Any, dataset: Dataset, config: TrainConfig) -> None:
    """Raise UsageError unless ``model`` returns what the objective is about: classes, or the input again."""
    rebuilds = getattr(objectives.OBJECTIVES[config.objective], "rebuilds_input", False)
    wanted = sum(math.prod(one.shape) for one in dataset.inputs) if rebuilds else len(dataset.classes)
    found = int(model.output_shape[-1])
    if found != wanted:
        what = "values of the input" if rebuilds else "classes"
        raise UsageError(f"network '{title}' returns {found} values, but the objective '{config.objective}' needs the "
                         f"{wanted} {what}; give another network or objective (autoencoders: reconstruction)")


def steps_per_epoch(dataset: Dataset, config: TrainConfig) -> int:
    """Count the whole batches in the training part; UsageError if there is none."""
    steps = len(dataset.train) // config.batch_size
    if steps == 0:
        raise UsageError(f"{len(dataset.train)} training samples do not fill one batch of {config.batch_size}: "
                         "use more samples or a smaller batch")
    return steps


def train(name: str, dataset: Dataset, config: TrainConfig, *, checkpoint: Path | None = None,
          tick: Callable[[], None] = lambda: None,
          report: Callable[[str], None] = lambda line: None) -> Trained:
    """Train network ``name`` on ``dataset.train`` and keep the epoch that is best on ``dataset.validation``.

    Deterministic for (data, config) on one kind of machine. With a ``checkpoint``, an interrupted run goes on after its
    last whole epoch and ends with the same weights. ``tick`` counts steps, ``report`` gets one line after each epoch.
    """
    model = zoo.build(name, dataset.inputs, len(dataset.classes), seed=config.seed)
    return fit(name, model, dataset, config, {"model": name}, checkpoint=checkpoint, tick=tick, report=report)


def fit(title: str, model: Any, dataset: Dataset, config: TrainConfig, identity: Mapping[str, str], *,
        checkpoint: Path | None, tick: Callable[[], None], report: Callable[[str], None]) -> Trained:
    """Train ``model`` from the weights that it has; see :func:`train`. ``title`` names the run in reports.

    A checkpoint is only taken up by a run of the same data, ``config`` and ``identity``: whatever else decides the
    weights.
    """
    check_outputs(title, model, dataset, config)
    objective = _objective(config, dataset)
    step, optimizer = _train_step(model, config, objective, config.epochs * steps_per_epoch(dataset, config))
    identity = {**identity, "data": dataset.checksum, **{k: str(v) for k, v in asdict(config).items()}}
    variables = [*model.variables, *optimizer.variables]
    progress = _load_progress(checkpoint, identity, variables) if checkpoint else Progress()
    began = time.monotonic() - progress.seconds
    for epoch in range(progress.epochs_done, config.epochs):
        if 0 < config.patience <= progress.epochs_done - progress.best_epoch:
            break
        reseed(model, config.seed, epoch)
        _run_epoch(step, dataset, config, epoch, tick)
        weights = [np.asarray(variable) for variable in model.variables]
        if not all(np.isfinite(values).all() for values in weights):
            raise ModelError(f"training '{title}' diverged in epoch {epoch + 1}: use a smaller learning rate")
        score = score_of(objective, model, dataset.validation)
        if score >= progress.best_score:  # the later one of equal epochs
            progress = replace(progress, best_epoch=epoch + 1, best_score=score, best_weights=weights)
        progress = replace(progress, epochs_done=epoch + 1, seconds=time.monotonic() - began)
        if checkpoint:
            _save_progress(checkpoint, identity, variables, progress)
        report(f"{title}: epoch {epoch + 1}/{config.epochs}, validation {score:.4f}")
    for variable, value in zip(model.variables, progress.best_weights, strict=True):
        variable.assign(value)
    return Trained(title, model, progress.best_epoch, progress.best_score, score_of(objective, model, dataset.test),
                   progress.seconds)


def _objective(config: TrainConfig, dataset: Dataset) -> objectives.Objective:
    """Find what is minimised; with balanced classes each sample counts as much less as its class has more of them."""
    if config.class_weights == "none":
        return objectives.OBJECTIVES[config.objective]
    counts = np.bincount(dataset.train.label, minlength=len(dataset.classes))
    present = int((counts > 0).sum())
    return objectives.ClassWeighted(len(dataset.train) / (present * np.maximum(counts, 1)))


def _train_step(model: Any, config: TrainConfig, objective: objectives.Objective, total: int) -> tuple[Any, Any]:
    """Compile one of ``total`` training steps, f(inputs, labels); return it with its optimizer."""
    from tf_keras import optimizers

    tf = tensorflow()
    optimizer = optimizers.Adam(optimizers.schedules.CosineDecay(config.learning_rate, total, alpha=0.01))
    optimizer.build(model.trainable_variables)

    def step(batch: Any, labels: Any) -> Any:
        with tf.GradientTape() as tape:
            loss = objective.loss(model, batch, labels)
        gradients = tape.gradient(loss, model.trainable_variables)
        optimizer.apply_gradients(zip(gradients, model.trainable_variables, strict=True))
        return loss

    return tf.function(step), optimizer


def _run_epoch(step: Any, dataset: Dataset, config: TrainConfig, epoch: int, tick: Callable[[], None]) -> None:
    tf = tensorflow()
    changes, rng = read_changes(config.augment, dataset.inputs), np.random.default_rng([config.seed, epoch, 1])
    inputs, labels = dataset.epoch(epoch, seed=config.seed)
    for start in range(0, len(labels) - config.batch_size + 1, config.batch_size):
        rows = slice(start, start + config.batch_size)
        batch = {name: values[rows] for name, values in inputs.items()}
        changed = change(batch, dataset.inputs, changes, rng) if changes else batch
        step({name: tf.constant(values) for name, values in changed.items()}, tf.constant(labels[rows]))
        tick()


def _save_progress(path: Path, identity: Mapping[str, str], variables: Sequence[Any], progress: Progress) -> None:
    facts = {"identity": identity} | asdict(replace(progress, best_weights=()))
    values = [*(np.asarray(variable) for variable in variables), *progress.best_weights]
    save_arrays(path, {"facts": np.frombuffer(json.dumps(facts).encode(), np.uint8),
                       **{f"values_{i}": value for i, value in enumerate(values)}})


def _load_progress(path: Path, identity: Mapping[str, str], variables: Sequence[Any]) -> Progress:
    """Set ``variables`` from the checkpoint at ``path``; start afresh if there is none, or one of another run."""
    if not path.exists():
        return Progress()
    try:
        arrays = load_arrays(path)
        facts = json.loads(bytes(arrays["facts"]))
        if facts.pop("identity") != identity:
            return Progress()
        values = [arrays[f"values_{i}"] for i in range(len(arrays) - 1)]
        for variable, value in zip(variables, values, strict=False):
            variable.assign(value)
        return Progress(**facts | {"best_weights": values[len(variables):]})
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, DataError) as error:
        said = (str(error).splitlines() or [type(error).__name__])[0]
        raise ModelError(f"{path}: damaged training checkpoint ({said[:200]}); delete it to train anew") from error
