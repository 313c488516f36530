"""CPU seconds of training objectives relative to joint training, in one run on one thread.

Steps of an objective and of joint training alternate after a warm-up that traces both; ratios are those of neighbours,
so that the load of the machine matters little. Half of the steps are of a quarter of the training and half of three
quarters, as some objectives change on the way. What choosing the epoch takes, and stages before and after training, is
measured apart, the second time where the first one traces, and counted in proportion. Loading data is left out, and
what the beginning of an epoch takes beyond 1,024 training samples.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from tinyfuse.core.backend import tensorflow
from tinyfuse.data import Dataset
from tinyfuse.nn import zoo
from tinyfuse.nn.objectives.gradient_blending import GradientBlendingWork, LossCurves
from tinyfuse.nn.objectives.robust_accuracy import SAMPLES
from tinyfuse.nn.objectives.run import Run
from tinyfuse.nn.train import TrainConfig, _train_step

CHECKED = 32
"""Samples that epochs are judged on here; training takes SAMPLES of them, without an adversary the validation part."""


@dataclass(frozen=True)
class Training:
    """A training as it is asked for: ``epochs`` of ``steps`` steps."""

    network: str
    objective: str
    settings: Mapping[str, Mapping[str, Any]]
    epochs: int
    steps: int


class Timed:
    """One training whose pieces are timed on ``dataset``, which holds a few batches."""

    def __init__(self, training: Training, dataset: Dataset) -> None:
        config = TrainConfig(objective=training.objective, settings=training.settings, epochs=training.epochs)
        model = zoo.build(training.network, dataset.inputs, len(dataset.classes), seed=0)
        for part in config.parts:
            model = part.rebuild(model) if hasattr(part, "rebuild") else model
        self.training, self.dataset, self.size = training, dataset, config.batch_size
        self.run = Run(model, dataset, config.parts, 0, training.epochs, training.steps, self.size,
                       config.learning_rate, lambda line: None)
        self._step, _ = _train_step(self.run, config)
        inputs, self._labels = dataset.epoch(0, seed=0)
        self._inputs = dict(inputs)

    def begin(self, epoch: int) -> float:
        """Go to the beginning of ``epoch``, as training does; return the CPU seconds."""
        self.run.progress.assign(epoch / self.training.epochs)
        return _seconds(lambda: [work.epoch_start(epoch) for work in self.run.works])

    def step(self, number: int) -> float:
        """Train on one batch; return its CPU seconds."""
        tf = tensorflow()
        start = number * self.size % (len(self._labels) - self.size + 1)
        batch = {name: tf.constant(values[start:start + self.size]) for name, values in self._inputs.items()}
        seed = tf.constant(np.array([number, 0], np.int32))
        return _seconds(lambda: self._step(batch, tf.constant(self._labels[start:start + self.size]), seed))

    def check(self) -> float:
        """Choose an epoch and look after it: CPU seconds for the samples that training takes."""
        few = self.dataset.validation.take(slice(0, CHECKED))
        self.run.publish()
        self.run.score(few)
        self.run.epoch_end(0)
        return _seconds(lambda: self.run.score(few)) * SAMPLES / len(few) + _seconds(lambda: self.run.epoch_end(0))

    def before(self) -> float:
        """Estimate the weights of losses, where that is done: CPU seconds for the whole training part."""
        return sum(_blending(work, self) for work in self.run.works if isinstance(work, GradientBlendingWork))

    def after(self) -> float:
        """Do the second stages: CPU seconds, those of tracing included."""
        return _seconds(self.run.finish)


def _blending(work: GradientBlendingWork, timed: Timed) -> float:
    """Time the training of copies by the difference of two lengths, as each of them traces anew."""
    curves = LossCurves(work, timed.dataset, timed.dataset.validation)
    batches = len(timed.dataset.train) // timed.size
    short, long = ([_seconds(lambda name=name, n=n: curves._train(name, n, 0)) for name in work.names] for n in (1, 2))
    return float(np.sum(np.subtract(long, short))) / batches * timed.training.steps * work.settings.epochs


def _seconds(call: Callable[[], Any]) -> float:
    began = time.process_time()
    call()
    return time.process_time() - began


def relative(joint: Timed, other: Timed, count: int) -> dict[str, Any]:
    """Train ``other`` beside ``joint`` for ``count`` steps each; return ratios and CPU seconds of its pieces."""
    training, pairs = other.training, list[tuple[float, float]]()
    for share in (1, 3):
        begun = other.begin(share * training.epochs // 4)
        for number in range(1 + count // 2):  # the first one traces, or meets what has changed
            pair = joint.step(number), other.step(number)
            pairs += [pair] if number else []
    base, own = (np.array(column) for column in zip(*pairs, strict=True))
    ratios, once = own / base, other.before() + other.after()
    joint_check, check = joint.check(), other.check() + begun
    whole = training.epochs * (training.steps * own.mean() + check) + once
    return {"step": round(float(np.median(ratios)), 3), "low": round(float(ratios.min()), 3),
            "high": round(float(ratios.max()), 3), "steps": len(ratios), "step_seconds": round(float(own.mean()), 3),
            "epoch_seconds": round(check, 2), "once_seconds": round(once, 2),
            "whole": round(float(whole / (training.epochs * (training.steps * base.mean() + joint_check))), 3)}


def measure(trainings: Mapping[str, Training], joint: Training, dataset: Dataset, count: int,
            path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield what each of ``trainings`` takes beside ``joint``, by name, and append it to ``path``."""
    base = Timed(joint, dataset)
    base.begin(0)
    for name, training in trainings.items():
        found = relative(base, Timed(training, dataset), count)
        with path.open("a", encoding="utf-8") as stream:
            stream.write(json.dumps({"objective": name, **found}) + "\n")
        yield name, found


def few_batches(dataset: Dataset, batches: int, size: int) -> Dataset:
    """Keep ``batches`` batches of the training part, and of the validation part what epochs are judged on."""
    rows = np.arange(min(batches * size, len(dataset.train)))
    augment = dataset.augment
    return replace(dataset, train=dataset.train.take(rows), validation=dataset.validation.take(slice(0, CHECKED)),
                   augment=None if augment is None else lambda chosen, rng: augment(rows[chosen], rng))
