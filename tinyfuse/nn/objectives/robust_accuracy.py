"""Accuracy under PGD while a network is trained: what decides the epoch, and what tells of overfitting."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Any

import numpy as np

from tinyfuse.core.backend import compiled, tensorflow
from tinyfuse.data.samples import Samples
from tinyfuse.nn.objectives.objective import Targets
from tinyfuse.nn.objectives.run import Run
from tinyfuse.nn.objectives.training_threat import TrainingThreat, pgd

SAMPLES = 256
STEPS = 10
LENGTH = 2.5 / STEPS


class Climber:
    """Attacks the network of ``run`` within ``threat``, in compiled steps and in inference mode."""

    def __init__(self, run: Run, threat: TrainingThreat) -> None:
        self.run, self.threat = run, threat
        self._climb, self._right = compiled(self._climbed), compiled(self._is_right)

    def batch(self, samples: Samples) -> tuple[dict[str, Any], Any]:
        """Choose at most 256 of ``samples``, always the same, class-balanced: their inputs and labels as tensors."""
        tf = tensorflow()
        chosen = samples.balanced(min(SAMPLES, len(samples)), seed=0)
        return {name: tf.constant(np.asarray(values[:])) for name, values in chosen.inputs.items()}, tf.constant(
            chosen.label)

    def sizes(self, attacked: tuple[str, ...]) -> dict[str, Any]:
        """Give the inputs ``attacked`` their whole budget, and others none."""
        return {name: tensorflow().constant(float(name in attacked)) for name in self.threat.attacked}

    def right(self, point: Mapping[str, Any], labels: Any) -> np.ndarray:
        """Tell which samples are classified right at ``point``, bool [n]."""
        return np.array(self._right(point, labels))

    def climb(self, point: Any, clean: Any, labels: Any, sizes: Mapping[str, Any], length: float) -> Any:
        """Move ``point`` by a step up the loss; ``length`` is a factor of the budget."""
        return self._climb(point, clean, labels, sizes, tensorflow().constant(length))

    def survivors(self, clean: Any, labels: Any, sizes: Mapping[str, Any], start: Any) -> np.ndarray:
        """Tell which samples are right at ``clean`` and at every iterate of PGD from ``start``, bool [n]."""
        alive, point = self.right(clean, labels), start
        for _ in range(STEPS):
            point = self.climb(point, clean, labels, sizes, LENGTH)
            alive &= self.right(point, labels)
        return alive

    def _climbed(self, point: Any, clean: Any, labels: Any, sizes: Any, length: Any) -> Any:
        def loss(values: Mapping[str, Any]) -> Any:
            return tensorflow().reduce_sum(self.run.attack_loss(values, Targets.of(labels)))

        return pgd(loss, clean, self.threat, 1, length, sizes, point)

    def _is_right(self, point: Any, labels: Any) -> Any:
        tf = tensorflow()
        return tf.equal(tf.argmax(self.run.logits(point, training=False), 1), labels)


class RobustScore:
    """Measures the accuracy under PGD with 10 steps from a random point on at most 256 fixed samples.

    A sample counts while no iterate is misclassified. With ``subsets`` it is the mean over every subset of attacked
    inputs, none and all among them, so that an input that the network stopped listening to costs score.
    """

    def __init__(self, run: Run, threat: TrainingThreat, subsets: bool) -> None:
        names = threat.attacked
        self.threat, self._climber = threat, Climber(run, threat)
        self.sets = [one for count in range(len(names) + 1) for one in itertools.combinations(names, count)
                     ] if subsets else [names]
        tf = tensorflow()
        self._start = compiled(lambda clean, sizes: threat.random_start(clean, tf.constant([0, 0]), sizes))

    def __call__(self, samples: Samples) -> float:
        clean, labels = self._climber.batch(samples)
        return float(np.mean([self._accuracy(clean, labels, one) for one in self.sets]))

    def _accuracy(self, clean: Mapping[str, Any], labels: Any, attacked: tuple[str, ...]) -> float:
        if not attacked:
            return float(self._climber.right(clean, labels).mean())
        sizes = self._climber.sizes(attacked)
        return float(self._climber.survivors(clean, labels, sizes, self._start(clean, sizes)).mean())
