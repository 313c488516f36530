"""Class weights: each class counts the same in all, however many samples it has."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from tinyfuse.core.backend import tensorflow
from tinyfuse.nn.objectives.objective import Step, Targets, Work
from tinyfuse.nn.objectives.run import Run, cross_entropy


@dataclass(frozen=True)
class ClassWeights:
    """Settings: none. The weight of a class is the number of samples over that of classes and that of its samples."""

    name: ClassVar[str] = "class-weights"

    def attach(self, run: Run) -> Work:
        """Return the part at work; see :class:`tinyfuse.nn.objectives.objective.Part`."""
        return ClassWeightsWork(balanced_weights(run.dataset.train.label, len(run.dataset.classes)))


class ClassWeightsWork(Work):
    """Multiplies the cross-entropy of a sample by the weight of its class: ``weights`` float [classes].

    Each label of a mixed sample has its own weight. Terms of other parts are not weighted.
    """

    def __init__(self, weights: np.ndarray) -> None:
        self.weights = np.asarray(weights, np.float32)

    def base(self, step: Step) -> Any:
        """Compute the mean weighted cross-entropy."""
        tf = tensorflow()
        return step.targets.mean(lambda labels: tf.gather(self.weights, labels) *
                                 cross_entropy(step.logits, Targets.of(labels)))


def balanced_weights(labels: np.ndarray, classes: int) -> np.ndarray:
    """Compute the weights, float64 [classes], by which each class that occurs in ``labels`` counts the same."""
    counts = np.bincount(labels, minlength=classes)
    return np.asarray(len(labels) / (int((counts > 0).sum()) * np.maximum(counts, 1)))
