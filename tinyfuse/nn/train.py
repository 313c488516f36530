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

from tinyfuse.core.backend import compiled, tensorflow
from tinyfuse.core.errors import DataError, ModelError, UsageError, nearest
from tinyfuse.core.files import load_arrays, save_arrays
from tinyfuse.core.strict import encode
from tinyfuse.data.dataset import Dataset
from tinyfuse.nn import objectives, zoo
from tinyfuse.nn.axis_augmentation import change, read_changes
from tinyfuse.nn.dropout import reseed
from tinyfuse.nn.objectives.class_weights import ClassWeights
from tinyfuse.nn.objectives.objective import Part
from tinyfuse.nn.objectives.run import Run

CLASS_WEIGHTS = ("none", "balanced")


@dataclass(frozen=True)
class TrainConfig:
    """What decides the weights, beside the data and the network.

    ``patience``: training ends after so many epochs without a better one, 0: never. ``class_weights``: "balanced" gives
    each class the same weight in all, however many samples it has. ``augment``: see nn/axis_augmentation.py.
    ``objective`` and ``settings`` (of its parts, by their names): see nn/objectives; those left out are filled in.
    """

    epochs: int = 12
    batch_size: int = 64
    learning_rate: float = 2e-3
    seed: int = 0
    objective: str = "plain"
    patience: int = 0
    class_weights: str = "none"
    augment: Mapping[str, Mapping[str, float]] = field(default_factory=dict, hash=False)
    settings: objectives.Settings = field(default_factory=dict, hash=False)

    def __post_init__(self) -> None:
        parts = objectives.parts_of(self.objective, self.settings)
        filled = {part.name: table for part in parts if (table := encode(part))}
        object.__setattr__(self, "settings", filled)
        if self.class_weights not in CLASS_WEIGHTS:
            raise UsageError(f"unknown class weights '{self.class_weights}'"
                             f"{nearest(self.class_weights, CLASS_WEIGHTS)}: choose one of {', '.join(CLASS_WEIGHTS)}")
        if self.patience < 0:
            raise UsageError(f"patience {self.patience}: give the epochs without a better one after which training "
                             "ends, or 0 for never")
        if self.epochs < 1 or self.batch_size < 1 or not 0 < self.learning_rate < 1:
            raise UsageError(f"cannot train with {asdict(self)}: epochs and batch_size must be at least 1 "
                             "and learning_rate between 0 and 1")

    @property
    def parts(self) -> tuple[Part, ...]:
        """The parts of the objective, class weights among them."""
        weighted = (ClassWeights(),) if self.class_weights == "balanced" else ()
        return (*objectives.parts_of(self.objective, self.settings), *weighted)


@dataclass(frozen=True)
class Trained:
    """A trained network: ``model`` returns logits; accuracies are fractions on whole parts.

    An objective may have another measure instead of the accuracy. ``facts``: what its parts tell, by their names.
    ``own``: a part added layers to ``model``, so that it is no longer the network called ``name``.
    """

    name: str
    model: Any
    best_epoch: int
    validation_accuracy: float
    test_accuracy: float
    seconds: float
    facts: Mapping[str, Any] = field(default_factory=dict)
    own: bool = False


@dataclass(frozen=True)
class Progress:
    """How far training came, and the best weights so far."""

    epochs_done: int = 0
    best_epoch: int = 0
    best_score: float = -1.0
    best_weights: Sequence[np.ndarray] = ()
    seconds: float = 0.0


def check_outputs(title: str, model: Any, dataset: Dataset, config: TrainConfig) -> None:
    """Raise UsageError unless ``model`` returns what the objective is about: classes, or the input again."""
    rebuilds = any(getattr(part, "rebuilds_input", False) for part in config.parts)
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
                         f"use more samples or a batch of at most {max(len(dataset.train), 1)}")
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
    steps, given = steps_per_epoch(dataset, config), model
    for part in config.parts:
        model = part.rebuild(model) if hasattr(part, "rebuild") else model
    run = Run(model, dataset, config.parts, config.seed, config.epochs, steps, config.batch_size, config.learning_rate,
              lambda line: report(f"{title}: {line}"))
    step, optimizer = _train_step(run, config)
    identity = {**identity, "data": dataset.checksum, **{k: str(v) for k, v in asdict(config).items()}}
    variables = [*run.epoch_weights, *run.state, *optimizer.variables]
    progress = _load_progress(checkpoint, identity, variables) if checkpoint else Progress()
    began = time.monotonic() - progress.seconds
    if not progress.epochs_done:
        for work in run.works:
            work.prepare()
    for epoch in range(progress.epochs_done, config.epochs):
        if 0 < config.patience <= progress.epochs_done - progress.best_epoch:
            break
        _run_epoch(step, run, config, epoch, tick)
        weights = [np.asarray(variable) for variable in run.epoch_weights]
        if not all(np.isfinite(values).all() for values in weights):
            raise ModelError(f"training '{title}' diverged in epoch {epoch + 1}: use a smaller learning rate")
        score = run.score(dataset.validation)
        if score >= progress.best_score:  # the later one of equal epochs
            progress = replace(progress, best_epoch=epoch + 1, best_score=score, best_weights=weights)
        progress = replace(progress, epochs_done=epoch + 1, seconds=time.monotonic() - began)
        run.epoch_end(epoch)
        if checkpoint:
            _save_progress(checkpoint, identity, variables, progress)
        report(f"{title}: epoch {epoch + 1}/{config.epochs}, validation {score:.4f}")
    for variable, value in zip(run.epoch_weights, progress.best_weights, strict=True):
        variable.assign(value)
    facts = run.finish()
    return Trained(title, model, progress.best_epoch, run.measure(dataset.validation), run.measure(dataset.test),
                   progress.seconds, facts, own=model is not given)


def _train_step(run: Run, config: TrainConfig) -> tuple[Any, Any]:
    """Compile a training step, f(inputs, labels, seed); return it with its optimizer."""
    from tf_keras import optimizers

    tf = tensorflow()
    schedule = optimizers.schedules.CosineDecay(config.learning_rate, run.epochs * run.steps, alpha=0.01)
    optimizer, variables = optimizers.Adam(schedule), run.variables
    optimizer.build(variables)

    def step(batch: Any, labels: Any, seed: Any) -> Any:
        loss, gradients, scales = run.gradients(batch, labels, seed)
        before = {place: tf.identity(variables[place]) for place in scales}
        optimizer.apply_gradients(zip(gradients, variables, strict=True))
        for place, scale in scales.items():  # of the update: Adam hides a factor of the gradient
            variables[place].assign(before[place] + scale * (variables[place] - before[place]))
        return loss

    return compiled(step), optimizer


def _run_epoch(step: Any, run: Run, config: TrainConfig, epoch: int, tick: Callable[[], None]) -> None:
    tf, dataset = tensorflow(), run.dataset
    reseed(run.model, config.seed, epoch)
    for work in run.works:
        work.epoch_start(epoch)
    changes, rng = read_changes(config.augment, dataset.inputs), np.random.default_rng([config.seed, epoch, 1])
    inputs, labels = dataset.epoch(epoch, seed=config.seed)
    for place in range(run.steps):
        rows = slice(place * config.batch_size, (place + 1) * config.batch_size)
        batch = {name: values[rows] for name, values in inputs.items()}
        changed = change(batch, dataset.inputs, changes, rng) if changes else batch
        seed = np.random.SeedSequence([config.seed, epoch, place]).generate_state(2).view(np.int32)
        run.progress.assign((epoch * run.steps + place) / (run.epochs * run.steps))
        step({name: tf.constant(values) for name, values in changed.items()}, tf.constant(labels[rows]),
             tf.constant(seed))
        tick()
    run.publish()


def _save_progress(path: Path, identity: Mapping[str, str], variables: Sequence[Any], progress: Progress) -> None:
    facts = {"identity": identity} | asdict(replace(progress, best_weights=()))
    values = [*(np.asarray(variable) for variable in variables), *progress.best_weights]
    save_arrays(path, {"facts": np.frombuffer(json.dumps(facts).encode(), np.uint8),
                       **{f"values_{i}": value for i, value in enumerate(values)}})


def _load_progress(path: Path, identity: Mapping[str, str], variables: Sequence[Any]) -> Progress:
    """Set ``variables`` from the checkpoint at ``path``; start afresh if there is none."""
    if not path.exists():
        return Progress()
    try:
        arrays = load_arrays(path)
        facts = json.loads(bytes(arrays["facts"]))
        _check_identity(path, dict(facts.pop("identity")), identity)
        values = [arrays[f"values_{i}"] for i in range(len(arrays) - 1)]
        for variable, value in zip(variables, values, strict=False):
            variable.assign(value)
        return Progress(**facts | {"best_weights": values[len(variables):]})
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, DataError) as error:
        said = (str(error).splitlines() or [type(error).__name__])[0]
        raise ModelError(f"{path}: damaged training checkpoint ({said[:200]}); delete it to train anew") from error


def _check_identity(path: Path, found: Mapping[str, str], wanted: Mapping[str, str]) -> None:
    """Raise UsageError if the checkpoint at ``path`` is one of another training, which would be lost."""
    for key in (*wanted, *found):
        if found.get(key) != wanted.get(key):
            raise UsageError(f"{path} holds an interrupted training with {key} = {found.get(key)}, but "
                             f"{wanted.get(key)} is asked for; give the same again to go on, or another output folder, "
                             "or delete it")
